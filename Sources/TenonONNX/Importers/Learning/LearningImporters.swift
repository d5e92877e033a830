import TenonIR

/// Linear models and preparation of features, of ai.onnx.ml.
enum LearningImporters {
    static let table: [String: OperatorImporter] = [
        "ai.onnx.ml.LinearRegressor": OperatorImporter(regressor),
        "ai.onnx.ml.LinearClassifier": OperatorImporter(classifier),
        "ai.onnx.ml.Scaler": OperatorImporter { node in
            let x = try node.features(0)
            var result = x
            let count = try node.columns(x)
            for (name, op) in [("offset", "subtract"), ("scale", "multiply")] {
                guard let values = try node.floats(name), !values.isEmpty else { continue }
                guard values.count == 1 || values.count == count else {
                    throw node.error(
                        .invalidArgument, "attribute '\(name)' expects \(count) values, found \(values.count)")
                }
                result = try node.call(op, [result, try node.floats(values, [values.count], like: result)])
            }
            return [.operand(try node.cast(result, .float32))]
        },
        "ai.onnx.ml.Normalizer": OperatorImporter(normalizer),
        "ai.onnx.ml.Binarizer": OperatorImporter { node in
            let x = try node.operand(0)
            let dtype = try node.type(of: x).dtype ?? .float32
            let threshold = try node.scalar(try node.float("threshold", 0), like: x)
            return [.operand(try node.cast(try node.call("greater", [x, threshold]), dtype))]
        },
        "ai.onnx.ml.Imputer": OperatorImporter(imputer),
        "ai.onnx.ml.ArrayFeatureExtractor": OperatorImporter { node in
            try node.requireInputs(2...2)
            let x = try node.rows(try node.operand(0))
            let indices = try node.reshape(try node.operand(1), [try count(try node.type(1), node)])
            return try node.result("take", [x, indices], ["axis": .int(-1)])
        },
        "ai.onnx.ml.FeatureVectorizer": OperatorImporter(vectorizer),
        "ai.onnx.ml.OneHotEncoder": OperatorImporter(oneHot),
        "ai.onnx.ml.LabelEncoder": OperatorImporter(since: 2, labelEncoder),
        "ai.onnx.ml.ZipMap": OperatorImporter { node in
            // The tensor of probabilities; whose columns they are is said beside it.
            guard let labels = try ClassLabels(node, ints: "classlabels_int64s", strings: "classlabels_strings") else {
                throw node.error(.invalidArgument, "class labels are missing")
            }
            if let name = node.proto.output.first { node.graph.columnLabels[name] = labels.values }
            return [.operand(try node.operand(0))]
        },
    ]

    private static func count(_ type: TensorType, _ node: Node) throws -> Dim {
        var count: Dim = 1
        for dim in type.shape ?? [] {
            guard let product = Dim.multiplying(count, dim) else {
                throw node.unsupported("a number of indices that is not known")
            }
            count = product
        }
        guard type.shape != nil else { throw node.unsupported("a number of indices that is not known") }
        return count
    }

    // MARK: - Linear models

    /// x · coefficientsᵀ + intercepts, [n, outputs].
    private static func linear(_ node: Node, outputs: Int?) throws -> Operand {
        try node.requireInputs(1...1)
        let x = try node.rows(try node.features(0))
        guard let coefficients = try node.floats("coefficients"), !coefficients.isEmpty else {
            throw node.error(.invalidArgument, "attribute 'coefficients' is missing")
        }
        let columns = try node.columns(x)
        guard columns > 0, coefficients.count % columns == 0,
            outputs == nil || outputs.map { $0 * columns } == coefficients.count
        else {
            throw node.error(
                .invalidArgument, "\(coefficients.count) coefficients do not belong to \(columns) features")
        }
        let rows = coefficients.count / columns
        let scores = try node.call("nn.dense", [x, try node.floats(coefficients, [rows, columns], like: x)])
        guard let intercepts = try node.floats("intercepts"), !intercepts.isEmpty else { return scores }
        guard intercepts.count == rows || intercepts.count == 1 else {
            throw node.error(
                .invalidArgument, "attribute 'intercepts' expects \(rows) values, found \(intercepts.count)")
        }
        return try node.add(scores, try node.floats(intercepts, [intercepts.count], like: scores))
    }

    private static func regressor(_ node: Node) throws -> [ImportedValue] {
        let scores = try linear(node, outputs: Int(clamping: try node.int("targets", 1)))
        let mode = try node.string("post_transform", "NONE")
        return [.operand(try PostTransform.apply(mode, to: try node.cast(scores, .float32), node))]
    }

    private static func classifier(_ node: Node) throws -> [ImportedValue] {
        node.ignore("multi_class")
        var scores = try node.cast(try linear(node, outputs: nil), .float32)
        let labels = try ClassLabels(node, ints: "classlabels_ints", strings: "classlabels_strings")
        let mode = try node.string("post_transform", "NONE")
        let rows = try node.columns(scores)
        if rows == 1, labels?.count == 2 {
            scores = try node.call(
                "concat", [.tuple([try node.call("negative", [scores]), scores])], ["axis": .int(1)])
        }
        let result = try PostTransform.apply(mode, to: scores, node)
        if rows > 1 || labels?.count == 2 {
            guard let labels else {
                return [
                    .operand(try node.call("argmax", [scores], ["axis": .int(1), "keepdims": .bool(false)])),
                    .operand(result),
                ]
            }
            guard labels.count == (rows == 1 ? 2 : rows) else {
                throw node.error(.invalidArgument, "\(labels.count) class labels for \(rows) rows of coefficients")
            }
            return [.operand(try labels.best(scores, node)), .operand(result)]
        }
        let flat = try node.call("reshape", [result, .shape([try node.type(of: result).shape?.first ?? 1])])
        let isIt = try node.call("greater_equal", [flat, try node.scalar(mode == "NONE" ? 0 : 0.5, like: flat)])
        let one = try node.cast(isIt, .int64)
        guard let labels, let value = labels.values.int(at: 0) else { return [.operand(one), .operand(result)] }
        return [.operand(try node.multiply(one, try node.scalar(Double(value), like: one))), .operand(result)]
    }

    // MARK: - Features

    private static func normalizer(_ node: Node) throws -> [ImportedValue] {
        let x = try node.rows(try node.features(0))
        let length: Operand
        switch try node.string("norm", "MAX") {
        case "MAX": length = try node.largest(try node.call("abs", [x]))
        case "L1": length = try node.call("l1_norm", [x], ["axis": .ints([-1]), "keepdims": .bool(true)])
        case "L2": length = try node.call("l2_norm", [x], ["axis": .ints([-1]), "keepdims": .bool(true)])
        case let other: throw node.error(.invalidArgument, "attribute 'norm' is \(quoted(other))")
        }
        // Of zeros only zeros are left.
        let held = try node.call("maximum", [length, try node.scalar(1e-30, like: length)])
        return [.operand(try node.cast(try node.divide(x, held), .float32))]
    }

    private static func imputer(_ node: Node) throws -> [ImportedValue] {
        let x = try node.rows(try node.operand(0))
        let dtype = try node.type(of: x).dtype ?? .float32
        let (floats, ints) = (try node.floats("imputed_value_floats"), try node.ints("imputed_value_int64s"))
        let missing =
            dtype.isInteger
            ? Double(try node.int("replaced_value_int64", 0)) : try node.float("replaced_value_float", 0)
        node.ignore("replaced_value_int64", "replaced_value_float")
        let values = dtype.isInteger ? ints?.map { Double($0) } ?? floats : floats ?? ints?.map { Double($0) }
        guard let values, !values.isEmpty else { throw node.error(.invalidArgument, "imputed values are missing") }
        if let columns = try node.type(of: x).shape?.last?.value, values.count != 1, Int64(values.count) != columns {
            throw node.error(.invalidArgument, "expected \(columns) imputed values, found \(values.count)")
        }
        let isMissing =
            missing.isNaN
            ? try node.call("isnan", [x]) : try node.call("equal", [x, try node.scalar(missing, like: x)])
        return [.operand(try node.select(isMissing, try node.floats(values, [values.count], like: x), x))]
    }

    private static func vectorizer(_ node: Node) throws -> [ImportedValue] {
        let widths = try node.ints("inputdimensions") ?? []
        var parts: [Operand] = []
        for index in 0..<node.inputCount {
            var x = try node.cast(try node.operand(index), .float32)
            guard let shape = try node.type(of: x).shape, (1...2).contains(shape.count) else {
                throw node.unsupported("input \(index) of type \(try node.type(index))")
            }
            if shape.count == 1 { x = try node.reshape(x, [shape[0], 1]) }
            if widths.indices.contains(index), widths[index] >= 0, widths[index] < 1 << 30 {
                let own = Int64(try node.columns(x))
                if own > widths[index] {
                    x = try node.call(
                        "strided_slice", [x, .tuple([.int(1)]), .tuple([.int(0)]), .tuple([.int(widths[index])])])
                } else if own < widths[index] {
                    x = try node.call("nn.pad", [x], ["pad_width": .ints([0, 0, 0, widths[index] - own])])
                }
            }
            parts.append(x)
        }
        guard !parts.isEmpty else { throw node.error(.invalidGraph, "expected 1 input at least") }
        return try node.result("concat", [.tuple(parts)], ["axis": .int(1)])
    }

    private static func oneHot(_ node: Node) throws -> [ImportedValue] {
        let x = try node.operand(0)
        _ = try node.int("zeros", 1)
        let type = try node.type(of: x)
        guard let shape = type.shape else { throw node.unsupported("an input of unknown rank") }
        let categories: Operand
        if let texts = try node.strings("cats_strings"), !texts.isEmpty {
            categories = .constant(try Constant(shape: [Int64(texts.count)], strings: texts))
        } else if let numbers = try node.ints("cats_int64s"), !numbers.isEmpty {
            let list = try Constant.ints([Int64(numbers.count)], numbers)
            categories = try node.cast(.constant(list), type.dtype ?? .int64)
        } else {
            throw node.error(.invalidArgument, "categories are missing")
        }
        let column = try node.call("reshape", [x, .shape(shape + [1])])
        return [.operand(try node.cast(try node.call("equal", [column, categories]), .float32))]
    }

    private static func labelEncoder(_ node: Node) throws -> [ImportedValue] {
        let x = try node.operand(0)
        func list(_ what: String) throws -> Constant? {
            if let tensor = try node.tensor("\(what)_tensor") {
                return try tensor.dtype == .string
                    ? Constant(shape: [Int64(tensor.count)], strings: tensor.strings)
                    : Constant(
                        dtype: tensor.dtype, shape: [Int64(tensor.count)], borrowing: tensor.bytes, owner: tensor)
            }
            if let ints = try node.ints("\(what)_int64s"), !ints.isEmpty {
                return try Constant.ints([Int64(ints.count)], ints)
            }
            if let floats = try node.floats("\(what)_floats"), !floats.isEmpty {
                return try Constant.from(doubles: floats, .float32, [Int64(floats.count)])
            }
            guard let texts = try node.strings("\(what)_strings"), !texts.isEmpty else { return nil }
            return try Constant(shape: [Int64(texts.count)], strings: texts)
        }
        guard let keys = try list("keys"), var values = try list("values"), keys.count == values.count else {
            throw node.error(.invalidArgument, "keys and values must be lists of one length")
        }
        let (text, number, whole) = (
            try node.string("default_string", "_Unused"), try node.float("default_float", -0.0),
            try node.int("default_int64", -1)
        )
        var fallback = try node.tensor("default_tensor")
        if fallback == nil || fallback?.dtype != values.dtype || fallback?.count != 1 {
            fallback =
                try values.dtype == .string
                ? Constant(shape: [], strings: [text])
                : values.dtype.isInteger
                    ? Constant.scalar(values.dtype, Double(whole)) : Constant.scalar(values.dtype, number)
        }
        if values.dtype == .string, let other = fallback {
            // Numbers of texts, the last one that for all other keys.
            if let name = node.proto.output.first { node.graph.textValues[name] = values.strings + other.strings }
            values = try Constant.ints([Int64(keys.count)], (0..<keys.count).map { Int64($0) })
            fallback = try Constant.ints([], [Int64(keys.count)])
        }
        guard let fallback else { throw node.error(.internal, "no value for other keys") }
        return try node.result(
            "ml.lookup", [try node.cast(x, keys.dtype), .constant(keys), .constant(values), .constant(fallback)])
    }
}
