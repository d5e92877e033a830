import TenonIR

/// Values that stand in the file, and nodes that pass a value on.
enum ConstantImporters {
    static let table: [String: OperatorImporter] = [
        "Constant": OperatorImporter(constant),
        "ConstantOfShape": OperatorImporter(since: 9, constantOfShape),
        "Identity": OperatorImporter { node in [.operand(try ArithmeticImporters.single(node))] },
        "Dropout": OperatorImporter(since: 7, dropout),
        "EyeLike": OperatorImporter(since: 9) { node in
            let type = try node.type(0)
            guard let shape = type.shape, shape.count == 2 else {
                throw node.error(.invalidShape, "input expects 2 dimensions, found \(type)")
            }
            let dtype = try node.dtype("dtype") ?? type.dtype ?? .float32
            return try node.result("eye", [.shape(shape)], ["k": .int(try node.int("k", 0)), "dtype": .dtype(dtype)])
        },
    ]

    private static func constant(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(0...0)
        guard node.proto.attribute.count == 1, let name = node.proto.attribute.first?.name else {
            throw node.error(.invalidArgument, "expected one attribute, found \(node.proto.attribute.count)")
        }
        let result: Constant?
        switch name {
        case "value": result = try node.tensor(name)
        case "value_int": result = try node.int(name).map { try Constant.ints([], [$0]) }
        case "value_ints": result = try node.ints(name).map { try Constant.ints([Int64($0.count)], $0) }
        case "value_float": result = try node.attribute(name, .float).map { try Constant.floats([], [$0.f]) }
        case "value_floats":
            result = try node.attribute(name, .floats).map { try Constant.floats([Int64($0.floats.count)], $0.floats) }
        case "value_string":
            result = try node.attribute(name, .string).map {
                try Constant(shape: [], strings: [String(decoding: $0.s, as: UTF8.self)])
            }
        case "value_strings":
            result = try node.attribute(name, .strings).map {
                try Constant(
                    shape: [Int64($0.strings.count)], strings: $0.strings.map { String(decoding: $0, as: UTF8.self) })
            }
        case "sparse_value":
            result = try node.attribute(name, .sparseTensor).map {
                try node.graph.sparseConstant($0.sparseTensor, name: node.proto.output.first ?? name)
            }
        default: throw node.unsupported("attribute \(quoted(name))")
        }
        guard let result else { throw node.error(.invalidArgument, "attribute \(quoted(name)) has no value") }
        return [.operand(.constant(result))]
    }

    /// Small ones are folded; a large one is written out when its shape is known.
    private static func constantOfShape(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(1...1)
        let value = try node.tensor("value")
        if let value, value.count != 1 {
            throw node.error(.invalidShape, "value expects one number, found \(value.type)")
        }
        let fill = Operand.constant(try value ?? Constant.floats([], [0]))
        let given = try node.integers(0)
        guard case .known(let shape) = given else {
            if let dims = given.dims { return try node.result("full", [.shape(dims), fill]) }
            let vector = try node.vector(given)
            let target = try given.count.map { try node.shape(vector, count: $0) } ?? node.unknownShape(vector)
            return try node.result("full", [target, fill])
        }
        guard let count = checkedElementCount(shape), shape.count <= node.graph.options.limits.rank,
            count <= node.graph.options.limits.structureBytes / 8
        else { throw TenonError.onnxLimit("a constant of shape \(shape)") }
        guard let value else { return [.operand(.constant(try Constant.filled(.float32, shape, 0)))] }
        guard value.count == 1, let number = value.double(at: 0) else {
            throw node.error(.invalidShape, "value expects one number, found \(value.type)")
        }
        return [.operand(.constant(try Constant.filled(value.dtype, shape, number)))]
    }

    /// Does nothing outside of training.
    private static func dropout(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(1...3)
        node.ignore("ratio", "seed")
        if node.has(2) {
            let ratio = node.has(1) ? try node.constant(1)?.splatValue : 0.5
            guard let training = try node.constant(2)?.splatValue, training == 0 || ratio == 0 else {
                throw node.unsupported("training_mode that is not constant false")
            }
        }
        let x = try node.operand(0)
        guard node.wants(1) else { return [.operand(x)] }
        // Nothing is dropped. Before opset 10 the mask has the element type of the data.
        let dtype = node.opset < 10 ? try node.type(0).dtype ?? .float32 : .bool
        return [.operand(x), .operand(try node.call("ones_like", [x], ["dtype": .dtype(dtype)]))]
    }
}
