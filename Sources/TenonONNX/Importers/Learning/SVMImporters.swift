import TenonIR

/// Support vector machines of ai.onnx.ml, as arithmetic on the matrix of kernel values.
enum SVMImporters {
    static let table: [String: OperatorImporter] = [
        "ai.onnx.ml.SVMRegressor": OperatorImporter(regressor),
        "ai.onnx.ml.SVMClassifier": OperatorImporter(classifier),
    ]

    /// k(x, v) for every row of x and every support vector: [n, vectors].
    private static func kernel(_ x: Operand, _ vectors: [Double], _ node: Node) throws -> Operand {
        let columns = try node.columns(x)
        guard columns > 0, vectors.count % columns == 0 else {
            throw node.error(.invalidArgument, "support vectors do not have \(columns) features")
        }
        let count = vectors.count / columns
        let parameters = try node.floats("kernel_params") ?? []
        func parameter(_ index: Int) throws -> Operand {
            try node.scalar(parameters.indices.contains(index) ? parameters[index] : 0, like: x)
        }
        func product() throws -> Operand {
            try node.call("nn.dense", [x, try node.floats(vectors, [count, columns], like: x)])
        }
        func line() throws -> Operand {
            try node.add(try node.multiply(try product(), try parameter(0)), try parameter(1))
        }
        switch try node.string("kernel_type", "LINEAR") {
        case "LINEAR": return try product()
        case "POLY": return try node.call("power", [try line(), try parameter(2)])
        case "SIGMOID": return try node.call("tanh", [try line()])
        case "RBF":
            guard let rows = try node.type(of: x).shape?.first else {
                throw node.unsupported("an input of unknown shape")
            }
            let apart = try node.call("reshape", [x, .shape([rows, 1, .fixed(Int64(columns))])])
            let distance = try node.call("subtract", [apart, try node.floats(vectors, [count, columns], like: x)])
            let squares = try node.call("sum_square", [distance], ["axis": .ints([-1]), "keepdims": .bool(false)])
            let scale = try node.call("negative", [try parameter(0)])
            return try node.call("exp", [try node.multiply(squares, scale)])
        case let other: throw node.error(.invalidArgument, "attribute 'kernel_type' is \(quoted(other))")
        }
    }

    private static func regressor(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(1...1)
        let x = try node.rows(try node.features(0))
        let supports = try node.int("n_supports", 0)
        let coefficients = try node.floats("coefficients") ?? []
        let vectors = try node.floats("support_vectors") ?? []
        let rho = try node.floats("rho") ?? []
        _ = try node.int("n_targets", 1)
        let basis: Operand
        if supports > 0 {
            basis = try kernel(x, vectors, node)
        } else {
            node.ignore("kernel_type", "kernel_params")
            basis = x
        }
        guard coefficients.count == (try node.columns(basis)) else {
            throw node.error(
                .invalidArgument, "\(coefficients.count) coefficients for \(try node.columns(basis)) vectors")
        }
        var score = try node.call(
            "nn.dense", [basis, try node.floats(coefficients, [1, coefficients.count], like: basis)])
        if let shift = rho.first { score = try node.add(score, try node.scalar(shift, like: score)) }
        if try node.int("one_class", 0) != 0 {
            let isInside = try node.call("greater", [score, try node.scalar(0, like: score)])
            score = try node.select(isInside, try node.scalar(1, like: score), try node.scalar(-1, like: score))
        }
        let mode = try node.string("post_transform", "NONE")
        return [.operand(try PostTransform.apply(mode, to: try node.cast(score, .float32), node))]
    }

    private static func classifier(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(1...1)
        let x = try node.rows(try node.features(0))
        let coefficients = try node.floats("coefficients") ?? []
        let vectors = try node.floats("support_vectors") ?? []
        let rho = try node.floats("rho") ?? []
        let perClass = try node.ints("vectors_per_class") ?? []
        let (probA, probB) = (try node.floats("prob_a") ?? [], try node.floats("prob_b") ?? [])
        let labels = try ClassLabels(node, ints: "classlabels_ints", strings: "classlabels_strings")
        let mode = try node.string("post_transform", "NONE")
        let classes = max(labels?.count ?? 0, 1)
        let total = perClass.reduce(0) { $0 &+ $1 }
        guard total > 0 else {
            node.ignore("kernel_type", "kernel_params")
            return try linear(node, x, coefficients, rho, labels, mode)
        }
        guard classes == perClass.count, classes > 1, perClass.allSatisfy({ $0 >= 0 }), total < 1 << 28,
            Int64(coefficients.count) == total * Int64(classes - 1), rho.count == classes * (classes - 1) / 2
        else { throw node.error(.invalidArgument, "the lists of vectors and classes do not belong together") }
        let values = try kernel(x, vectors, node)
        guard try node.columns(values) == Int(total) else {
            throw node.error(.invalidArgument, "vectors_per_class does not add up to the support vectors")
        }
        // One row of weights per pair of classes.
        let starts = perClass.reduce(into: [0]) { $0.append($0[$0.count - 1] + Int($1)) }
        var weights: [Double] = []
        var (first, second): ([Int], [Int]) = ([], [])
        for i in 0..<classes {
            for j in i + 1..<max(classes, i + 1) {
                var row = [Double](repeating: 0, count: Int(total))
                for v in starts[i]..<starts[i + 1] { row[v] = coefficients[(j - 1) * Int(total) + v] }
                for v in starts[j]..<starts[j + 1] { row[v] = coefficients[i * Int(total) + v] }
                weights += row
                first.append(i)
                second.append(j)
            }
        }
        let pairs = first.count
        var decisions = try node.call(
            "nn.dense", [values, try node.floats(weights, [pairs, Int(total)], like: values)])
        decisions = try node.add(decisions, try node.floats(rho, [pairs], like: decisions))
        let wins = try node.cast(
            try node.call("greater", [decisions, try node.scalar(0, like: decisions)]),
            try node.type(of: decisions).dtype ?? .float32)
        // The votes of each class: of a pair's first one where the decision is above 0, else of the second.
        var votesFor = [Double](repeating: 0, count: classes * pairs)
        var base = [Double](repeating: 0, count: classes)
        for pair in 0..<pairs {
            votesFor[first[pair] * pairs + pair] = 1
            votesFor[second[pair] * pairs + pair] = -1
            base[second[pair]] += 1
        }
        var votes = try node.call("nn.dense", [wins, try node.floats(votesFor, [classes, pairs], like: wins)])
        votes = try node.add(votes, try node.floats(base, [classes], like: votes))
        let label: Operand
        if let labels {
            label = try labels.best(votes, node)
        } else {
            label = try node.call("argmax", [votes], ["axis": .int(1), "keepdims": .bool(false)])
        }
        var scores = decisions
        if !probA.isEmpty {
            guard probA.count == pairs, probB.count == pairs else {
                throw node.error(.invalidArgument, "prob_a and prob_b expect \(pairs) values")
            }
            let line = try node.add(
                try node.multiply(decisions, try node.floats(probA, [pairs], like: decisions)),
                try node.floats(probB, [pairs], like: decisions))
            // 1 - sigmoid(x) is sigmoid(-x).
            let shares = try node.call("sigmoid", [try node.call("negative", [line])])
            scores = try node.call("ml.pairwise_coupling", [shares], ["classes": .int(Int64(classes))])
        } else if classes == 2 {
            scores = try node.call(
                "concat", [.tuple([try node.call("negative", [decisions]), decisions])], ["axis": .int(1)])
        }
        return [.operand(label), .operand(try PostTransform.apply(mode, to: try node.cast(scores, .float32), node))]
    }

    /// Without support vectors: one row of coefficients per class.
    private static func linear(
        _ node: Node, _ x: Operand, _ coefficients: [Double], _ rho: [Double], _ labels: ClassLabels?, _ mode: String
    ) throws -> [ImportedValue] {
        let columns = try node.columns(x)
        guard columns > 0, !coefficients.isEmpty, coefficients.count % columns == 0 else {
            throw node.error(
                .invalidArgument, "\(coefficients.count) coefficients do not belong to \(columns) features")
        }
        let rows = coefficients.count / columns
        var scores = try node.call("nn.dense", [x, try node.floats(coefficients, [rows, columns], like: x)])
        if let shift = rho.first { scores = try node.add(scores, try node.scalar(shift, like: scores)) }
        scores = try node.cast(scores, .float32)
        let label =
            try labels?.best(scores, node)
            ?? node.call("argmax", [scores], ["axis": .int(1), "keepdims": .bool(false)])
        return [.operand(label), .operand(try PostTransform.apply(mode, to: scores, node))]
    }
}
