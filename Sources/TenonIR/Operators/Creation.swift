/// Tensors made of shapes and numbers.
enum CreationOperators {
    static let schemas: [OperatorSchema] = [
        filled("zeros", "A tensor of zeros."),
        filled("ones", "A tensor of ones."),
        OperatorSchema(
            "full", "A tensor of one value, in its element type unless dtype says another.",
            inputs: [.init("shape", .shape), .init("fill_value")], attributes: [.optional("dtype", .dtype)]
        ) { site in
            let value = try site.tensor(1)
            if let count = value.elementCount, count != 1 { throw site.inputError(1, expects: "one element") }
            return try type(site, dtype: site.attributes.dtype("dtype") ?? value.dtype)
        },
        like("zeros_like", "Zeros in the shape of x."),
        like("ones_like", "Ones in the shape of x."),
        OperatorSchema(
            "one_hot", "on_value where the index along the new axis is the input's, else off_value.",
            inputs: [.init("indices"), .init("on_value", .any), .init("off_value", .any)],
            attributes: [.required("depth", .int), .defaulted("axis", -1), .defaulted("dtype", .dtype(.float32))],
            infer: oneHot),
        OperatorSchema(
            "eye", "Ones on the k-th diagonal of n × m, zeros elsewhere.", inputs: [.init("shape", .shape)],
            attributes: [.defaulted("k", 0), .defaulted("dtype", .dtype(.float32))]
        ) { site in
            if let dims = site.dims(0), dims.count != 2 { throw site.inputError(0, expects: "2 dimensions") }
            return try type(site, dtype: site.attributes.dtype("dtype"))
        },
        triangle("tril", "x on the k-th diagonal and below, zeros above."),
        triangle("triu", "x on the k-th diagonal and above, zeros below."),
    ]

    private static func type(_ site: CallSite, dtype: DataType?) throws -> ValueType {
        guard let dims = site.dims(0) else { return .tensor(TensorType(dtype: dtype, rank: nil)) }
        guard dims.allSatisfy({ ($0.value ?? 0) >= 0 }) else { throw site.inputError(0, expects: "sizes from 0") }
        return .tensor(TensorType(dtype, dims))
    }

    private static func filled(_ name: String, _ summary: String) -> OperatorSchema {
        OperatorSchema(
            name, summary, inputs: [.init("shape", .shape)], attributes: [.defaulted("dtype", .dtype(.float32))]
        ) { site in try type(site, dtype: site.attributes.dtype("dtype")) }
    }

    private static func like(_ name: String, _ summary: String) -> OperatorSchema {
        OperatorSchema(name, summary, inputs: [.init("x")], attributes: [.optional("dtype", .dtype)]) { site in
            var type = try site.tensor(0)
            type.dtype = site.attributes.dtype("dtype") ?? type.dtype
            return .tensor(type)
        }
    }

    private static func triangle(_ name: String, _ summary: String) -> OperatorSchema {
        OperatorSchema(name, summary, inputs: [.init("x")], attributes: [.defaulted("k", 0)]) { site in
            let x = try site.tensor(0)
            if let rank = x.rank, rank < 2 { throw site.inputError(0, expects: "2 dimensions at least") }
            return .tensor(x)
        }
    }

    private static func oneHot(_ site: CallSite) throws -> ValueType {
        let indices = try site.tensor(0)
        let dtype = site.attributes.dtype("dtype")
        let depth = try site.int("depth")
        guard depth >= 0 else { throw site.attributeError("depth", expects: "a number from 0") }
        guard let rank = indices.rank else { return .tensor(TensorType(dtype: dtype, rank: nil)) }
        let axis = try site.axis(try site.int("axis"), rank: rank + 1)
        guard var shape = indices.shape else { return .tensor(TensorType(dtype: dtype, rank: rank + 1)) }
        shape.insert(.fixed(depth), at: axis)
        return .tensor(TensorType(dtype, shape))
    }
}
