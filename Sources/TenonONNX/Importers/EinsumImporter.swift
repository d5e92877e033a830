import TenonIR

/// Einsum as sums, transpositions and matrix products.
enum EinsumImporter {
    static let table: [String: OperatorImporter] = ["Einsum": OperatorImporter(since: 12, einsum)]

    /// A tensor whose dimensions have labels.
    private struct Term {
        var operand: Operand
        var labels: [Character]
    }

    private static func einsum(_ node: Node) throws -> [ImportedValue] {
        let equation = try node.string("equation", "").filter { $0 != " " }
        let (inputs, output) = try parse(node, equation)
        var terms: [Term] = []
        for (index, labels) in inputs.enumerated() {
            terms.append(try diagonal(node, Term(operand: try node.operand(index), labels: labels)))
        }
        // From the left, two at a time; a label goes when neither the result nor a later term has it.
        var result = terms.removeFirst()
        if terms.isEmpty { result = try summed(node, result, keeping: Set(output)) }
        while !terms.isEmpty {
            let next = terms.removeFirst()
            result = try product(node, result, next, keeping: Set(output + terms.flatMap(\.labels)))
        }
        return [.operand(try permuted(node, result, to: output))]
    }

    /// Labels per input and of the output; an ellipsis becomes labels that no letter is.
    private static func parse(_ node: Node, _ equation: String) throws -> ([[Character]], [Character]) {
        func invalid(_ reason: ErrorMessage) -> TenonError {
            node.error(.invalidArgument, "equation \(quoted(equation)): \(reason)")
        }
        let sides = equation.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard sides.count == 1 || sides[1].first == ">" else { throw invalid("'-' without '>'") }
        let parts = sides[0].split(separator: ",", omittingEmptySubsequences: false)
        guard parts.count == node.inputCount, parts.count > 0 else {
            throw invalid("\(parts.count) terms for \(node.inputCount) inputs")
        }
        func labels(_ text: Substring, dots: Int) throws -> [Character] {
            var found: [Character] = []
            var rest = text
            while let first = rest.first {
                if rest.hasPrefix("...") {
                    // Digits stand for the dimensions under the dots, counted from the last one.
                    for place in (0..<dots).reversed() { found.append(Character("\(place)")) }
                    rest = rest.dropFirst(3)
                    continue
                }
                guard first.isASCII, first.isLetter else { throw invalid("\(quoted(String(first))) is no label") }
                found.append(first)
                rest = rest.dropFirst()
            }
            return found
        }
        var inputs: [[Character]] = []
        var mostDots = 0
        for (index, part) in parts.enumerated() {
            let rank = try node.rank(index)
            let letters = part.filter { $0 != "." }.count
            let dots = part.contains(".") ? rank - letters : 0
            guard dots >= 0, dots < 10 else { throw invalid("term \(index) has more labels than dimensions") }
            mostDots = max(mostDots, dots)
            inputs.append(try labels(part, dots: dots))
            guard inputs[index].count == rank else { throw invalid("term \(index) has \(rank) dimensions") }
        }
        if sides.count == 2 {
            let output = try labels(sides[1].dropFirst(), dots: mostDots)
            let known = Set(inputs.joined())
            guard output.allSatisfy(known.contains) else { throw invalid("the result has a label that no term has") }
            guard Set(output).count == output.count else { throw invalid("the result has a label twice") }
            return (inputs, output)
        }
        // Without '->': dots first, then the letters that occur once, in order.
        var counts: [Character: Int] = [:]
        for label in inputs.joined() { counts[label, default: 0] += 1 }
        let dots = (0..<mostDots).reversed().map { Character("\($0)") }
        return (inputs, dots + counts.filter { $0.value == 1 && $0.key.isLetter }.map(\.key).sorted())
    }

    /// A label that stands twice takes the elements whose places along both dimensions are the same.
    private static func diagonal(_ node: Node, _ term: Term) throws -> Term {
        var term = term
        while let second = term.labels.indices.first(where: { term.labels[..<$0].contains(term.labels[$0]) }),
            let first = term.labels[..<second].firstIndex(of: term.labels[second])
        {
            guard let shape = try node.type(of: term.operand).shape else {
                throw node.unsupported("an operand whose shape is not known")
            }
            if let a = shape[first].value, let b = shape[second].value, a != b {
                throw node.error(.invalidShape, "label \(term.labels[first]) has the sizes \(a) and \(b)")
            }
            // Both to the end, and of each row of the square the one element.
            let others = shape.indices.filter { $0 != first && $0 != second }
            let order = (others + [first, second]).map { Int64($0) }
            let moved = try node.call("permute_dims", [term.operand], ["axes": .ints(order)])
            let size = shape[first]
            let places = try node.call("arange", [.shape([0]), .shape([size]), .shape([1])])
            let index = try node.call(
                "broadcast_to", [try node.reshape(places, [size, 1]), .shape(others.map { shape[$0] } + [size, 1])])
            let picked = try node.call("gather_elements", [moved, index], ["axis": -1])
            let squeezed = try node.call("squeeze", [picked], ["axis": .ints([-1])])
            term = Term(operand: squeezed, labels: others.map { term.labels[$0] } + [term.labels[first]])
        }
        return term
    }

    private static func summed(_ node: Node, _ term: Term, keeping: Set<Character>) throws -> Term {
        let axes = term.labels.indices.filter { !keeping.contains(term.labels[$0]) }
        if axes.isEmpty { return term }
        let sum = try node.call("sum", [term.operand], ["axis": .ints(axes.map { Int64($0) })])
        return Term(operand: sum, labels: term.labels.filter(keeping.contains))
    }

    private static func permuted(_ node: Node, _ term: Term, to labels: [Character]) throws -> Operand {
        guard term.labels != labels else { return term.operand }
        let axes = labels.compactMap { label in term.labels.firstIndex(of: label).map { Int64($0) } }
        return try node.call("permute_dims", [term.operand], ["axes": .ints(axes)])
    }

    /// One matrix product: labels of both are batch or summed, the others are rows and columns.
    private static func product(_ node: Node, _ a: Term, _ b: Term, keeping: Set<Character>) throws -> Term {
        let (inA, inB) = (Set(a.labels), Set(b.labels))
        let a = try summed(node, a, keeping: keeping.union(inB))
        let b = try summed(node, b, keeping: keeping.union(inA))
        let batch = a.labels.filter { inB.contains($0) && keeping.contains($0) }
        let contracted = a.labels.filter { inB.contains($0) && !keeping.contains($0) }
        let rows = a.labels.filter { !inB.contains($0) }
        let columns = b.labels.filter { !inA.contains($0) }
        var sizes: [Character: Dim] = [:]
        func shape(_ term: Term) throws -> [Dim] {
            guard let shape = try node.type(of: term.operand).shape, shape.count == term.labels.count else {
                throw node.unsupported("an operand whose shape is not known")
            }
            return shape
        }
        for term in [a, b] {
            for (label, size) in zip(term.labels, try shape(term)) {
                let before = sizes[label] ?? size
                guard let common = Dim.broadcasting(before, size) else {
                    throw node.error(.invalidShape, "label \(label) has the sizes \(before) and \(size)")
                }
                sizes[label] = common
            }
        }
        /// With a size of 1 spread to that of the other term.
        func spread(_ term: Term) throws -> Term {
            let own = try shape(term)
            let wanted = term.labels.map { sizes[$0] ?? 1 }
            if own == wanted { return term }
            return Term(operand: try node.call("broadcast_to", [term.operand, .shape(wanted)]), labels: term.labels)
        }
        let (left, right) = (try spread(a), try spread(b))
        func size(_ labels: [Character]) throws -> Dim {
            guard let product = ReshapingFolding.product(labels.compactMap { sizes[$0] }) else {
                throw node.error(.invalidShape, "a product of sizes does not fit")
            }
            return product
        }
        let first = try node.reshape(
            try permuted(node, left, to: batch + rows + contracted),
            [try size(batch), try size(rows), try size(contracted)])
        let second = try node.reshape(
            try permuted(node, right, to: batch + contracted + columns),
            [try size(batch), try size(contracted), try size(columns)])
        let product = try node.call("matmul", [first, second])
        let labels = batch + rows + columns
        return Term(operand: try node.reshape(product, labels.compactMap { sizes[$0] }), labels: labels)
    }
}
