/// Einstein's sum: `ab,bc->ac`. Written as permutations, sums and matrix products, two operands at a time.
enum Einsum {
    static let schema: OperatorSchema = OperatorSchema(
        "einsum",
        """
        Products of the operands' elements, summed over the letters that the result does not name; '...' stands for \
        dimensions that broadcast.
        """,
        inputs: [.init("operands", .tuple)], attributes: [.required("subscripts", .string)],
        expansion: { expander, call in try expand(&expander, call) }
    ) { site in
        let tensors = try site.tensors(0)
        var dtype: DataType?
        for tensor in tensors {
            if let known = dtype, let other = tensor.dtype, known != other {
                throw site.inputError(0, .invalidType, expects: "tensors of one element type")
            }
            dtype = dtype ?? tensor.dtype
        }
        let equation = try Equation(site.attributes.string("subscripts") ?? "", ranks: tensors.map(\.rank)) {
            site.attributeError("subscripts", expects: $0)
        }
        var sizes: [Int: Dim] = [:]
        for (tensor, labels) in zip(tensors, equation.operands) {
            guard let shape = tensor.shape else {
                return .tensor(TensorType(dtype: dtype, rank: equation.result.count))
            }
            for (dim, label) in zip(shape, labels) {
                guard let known = sizes[label], known != 1 || !Equation.isBroadcast(label) else {
                    sizes[label] = dim
                    continue
                }
                if Equation.isBroadcast(label), dim == 1 { continue }
                if differ(known, dim) {
                    throw site.inputError(0, expects: "one size for each letter of '\(equation.text)'")
                }
            }
        }
        return .tensor(TensorType(dtype, equation.result.compactMap { sizes[$0] }))
    }

    /// Two known sizes that are not the same.
    static func differ(_ a: Dim, _ b: Dim) -> Bool {
        guard let x = a.value, let y = b.value else { return false }
        return x != y
    }

    /// Letters as numbers: those of the alphabet, and from `firstBroadcast` on what '...' stands for, counted from the last.
    struct Equation {
        var text: String
        var operands: [[Int]] = []
        var result: [Int] = []

        private static let firstBroadcast = 1 << 16

        static func isBroadcast(_ label: Int) -> Bool { label >= firstBroadcast }

        init(_ text: String, ranks: [Int?], error: (String) -> TenonError) throws {
            self.text = text
            let bare = text.filter { $0 != " " }
            let sides = bare.split(separator: ">", omittingEmptySubsequences: false)
            let hasResult = sides.count == 2
            guard sides.count <= 2, !hasResult || sides[0].last == "-" else { throw error("operands->result") }
            let terms = (hasResult ? sides[0].dropLast() : sides[0]).split(
                separator: ",", omittingEmptySubsequences: false)
            guard terms.count == ranks.count else { throw error("\(ranks.count) operands") }
            for (term, rank) in zip(terms, ranks) {
                operands.append(try Self.labels(String(term), rank: rank, error))
            }
            var widest = 0
            for labels in operands { widest = max(widest, labels.filter(Self.isBroadcast).count) }
            let broadcast = (0..<widest).reversed().map { Self.firstBroadcast + $0 }
            if hasResult {
                let term = String(sides[1])
                let count = term.filter { $0 != "." }.count
                result = try Self.labels(term, rank: count + (term.contains(".") ? widest : 0), error)
            } else {
                let all = operands.flatMap { $0 }
                result =
                    broadcast
                    + Set(all).filter { label in all.filter { $0 == label }.count == 1 && !Self.isBroadcast(label) }
                    .sorted()
            }
            let known = Set(operands.flatMap { $0 })
            guard Set(result).count == result.count, result.allSatisfy(known.contains) else {
                throw error("a result that names letters of the operands, each once")
            }
        }

        private static func labels(_ term: String, rank: Int?, _ error: (String) -> TenonError) throws -> [Int] {
            var labels: [Int] = []
            let letters = term.filter { $0 != "." }
            guard letters.allSatisfy({ $0.isLetter && $0.isASCII }) else {
                throw error("letters, commas, '...' and '->'")
            }
            let dots = term.count - letters.count
            guard dots == 0 || dots == 3 && term.contains("...") else { throw error("'...' at most once in a term") }
            if dots == 0, let rank, rank != letters.count { throw error("\(rank) letters in '\(term)'") }
            guard let rank = rank ?? (dots == 0 ? letters.count : nil), rank >= letters.count else {
                throw error("operands of known rank, of \(letters.count) dimensions at least")
            }
            var isInside = false
            for character in term {
                guard character == "." else {
                    labels.append(Int(character.asciiValue ?? 0))
                    continue
                }
                if !isInside {
                    isInside = true
                    for index in (0..<rank - letters.count).reversed() { labels.append(firstBroadcast + index) }
                }
            }
            return labels
        }
    }

    private struct Term {
        var operand: Operand
        var labels: [Int]
    }

    private static func expand(_ expander: inout OperatorExpander, _ call: Call) throws -> Operand? {
        guard let tuple = call.arguments.first, case .tuple(let types) = expander.type(of: tuple) else { return nil }
        var fields: [Operand] = []
        if case .tuple(let inline) = tuple {
            fields = inline
        } else {
            for index in types.indices { fields.append(try expander.item(tuple, index)) }
        }
        let equation = try Equation(
            call.attributes.string("subscripts") ?? "", ranks: types.map { $0.asTensor?.rank }
        ) { TenonError(.invalidArgument, "einsum: attribute 'subscripts' expects \($0)", operatorName: "einsum") }
        var terms: [Term] = []
        for (field, labels) in zip(fields, equation.operands) {
            terms.append(try diagonal(&expander, Term(operand: field, labels: labels)))
        }
        while terms.count > 1 {
            let (a, b) = (terms.removeFirst(), terms.removeFirst())
            let needed = Set(equation.result + terms.flatMap(\.labels))
            terms.insert(try product(&expander, a, b, needed), at: 0)
        }
        guard var last = terms.first else { return nil }
        last = try summed(&expander, last, keeping: Set(equation.result))
        return try permuted(&expander, last, equation.result).operand
    }

    /// A letter that stands twice in a term means the diagonal.
    private static func diagonal(_ expander: inout OperatorExpander, _ term: Term) throws -> Term {
        var term = term
        while let (first, second) = repeated(term.labels) {
            let shape = try expander.shaped(term.operand, "einsum").shape
            guard let size = shape[first].value, shape[second].value == size, size < 1 << 24 else {
                throw TenonError(
                    .unsupported,
                    "einsum: a diagonal expects one known size, found \(shape[first]) and \(shape[second])")
            }
            let rest = term.labels.indices.filter { $0 != first && $0 != second }
            let axes = (rest + [first, second]).map { Int64($0) }
            let moved = try expander.call("permute_dims", [term.operand], ["axes": .ints(axes)])
            let flat = try expander.call("reshape", [moved, .shape(rest.map { shape[$0] } + [.fixed(size * size)])])
            let places = Operand.constant(try .ints([size], (0..<size).map { $0 * (size + 1) }))
            term.operand = try expander.call("take", [flat, places], ["axis": .int(Int64(rest.count))])
            term.labels = rest.map { term.labels[$0] } + [term.labels[first]]
        }
        return term
    }

    private static func repeated(_ labels: [Int]) -> (Int, Int)? {
        for (index, label) in labels.enumerated() {
            if let other = labels[(index + 1)...].firstIndex(of: label) { return (index, other) }
        }
        return nil
    }

    private static func summed(
        _ expander: inout OperatorExpander, _ term: Term, keeping needed: Set<Int>
    ) throws -> Term {
        let axes = term.labels.indices.filter { !needed.contains(term.labels[$0]) }
        guard !axes.isEmpty else { return term }
        let operand = try expander.call("sum", [term.operand], ["axis": .ints(axes.map { Int64($0) })])
        return Term(operand: operand, labels: term.labels.filter { needed.contains($0) })
    }

    private static func permuted(
        _ expander: inout OperatorExpander, _ term: Term, _ labels: [Int]
    ) throws -> Term {
        guard labels != term.labels else { return term }
        let axes = labels.compactMap { term.labels.firstIndex(of: $0).map { Int64($0) } }
        return Term(operand: try expander.call("permute_dims", [term.operand], ["axes": .ints(axes)]), labels: labels)
    }

    private static func product(
        _ expander: inout OperatorExpander, _ first: Term, _ second: Term, _ needed: Set<Int>
    ) throws -> Term {
        var a = try summed(&expander, first, keeping: needed.union(second.labels))
        var b = try summed(&expander, second, keeping: needed.union(first.labels))
        let both = a.labels.filter(b.labels.contains)
        let (batch, contracted) = (both.filter(needed.contains), both.filter { !needed.contains($0) })
        let (ownA, ownB) = (a.labels.filter { !both.contains($0) }, b.labels.filter { !both.contains($0) })
        a = try permuted(&expander, a, batch + ownA + contracted)
        b = try permuted(&expander, b, batch + contracted + ownB)
        var (p, q) = (try expander.shaped(a.operand, "einsum").shape, try expander.shaped(b.operand, "einsum").shape)
        // What broadcasts is written out where the operands differ.
        var sizes: [Int: Dim] = [:]
        for label in both {
            guard let i = a.labels.firstIndex(of: label), let j = b.labels.firstIndex(of: label) else { continue }
            sizes[label] = p[i] == 1 ? q[j] : p[i]
        }
        let (wantedP, wantedQ) = (
            zip(p, a.labels).map { sizes[$1] ?? $0 }, zip(q, b.labels).map { sizes[$1] ?? $0 }
        )
        if wantedP != p { a.operand = try expander.call("broadcast_to", [a.operand, .shape(wantedP)]) }
        if wantedQ != q { b.operand = try expander.call("broadcast_to", [b.operand, .shape(wantedQ)]) }
        (p, q) = (wantedP, wantedQ)
        func size(_ dims: ArraySlice<Dim>) throws -> Dim {
            var total: Dim = 1
            for dim in dims {
                guard let next = Dim.multiplying(total, dim) else {
                    throw TenonError(.invalidShape, "einsum: a dimension overflows")
                }
                total = next
            }
            return total
        }
        let (n, m, k) = (batch.count, ownA.count, contracted.count)
        let dimsA = Array(p[..<n]) + [try size(p[n..<(n + m)]), try size(p[(n + m)...])]
        let dimsB = Array(q[..<n]) + [try size(q[n..<(n + k)]), try size(q[(n + k)...])]
        let left = try expander.call("reshape", [a.operand, .shape(dimsA)])
        let right = try expander.call("reshape", [b.operand, .shape(dimsB)])
        let result = try expander.call("matmul", [left, right])
        let dims = Array(p[..<n]) + Array(p[n..<(n + m)]) + Array(q[(n + k)...])
        return Term(operand: try expander.call("reshape", [result, .shape(dims)]), labels: batch + ownA + ownB)
    }
}
