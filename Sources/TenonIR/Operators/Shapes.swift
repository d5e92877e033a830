/// Operators between tensors and shapes, and those whose number of results depends on the data.
enum ShapeOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema("shape_of", "The shape of x.", inputs: [.init("x")]) { site in
            .shape(try site.tensor(0).shape)
        },
        OperatorSchema("shape_to_tensor", "A shape as a tensor of i64.", inputs: [.init("shape", .shape)]) { site in
            guard let dims = site.dims(0) else { return .tensor(TensorType(dtype: .int64, rank: 1)) }
            return .tensor(.int64, [Int64(dims.count)])
        },
        OperatorSchema("tensor_to_shape", "A tensor of integers as a shape.", inputs: [.init("x")]) { site in
            try ComparisonOperators.require(site, 0, "an integer tensor") { $0.isInteger }
            _ = try site.tensor(0, rank: 1)
            return .shape(site.constants.first.flatMap { $0 }?.intElements.map { $0.map { .fixed($0) } })
        },
        OperatorSchema("size", "The number of elements of x, as i64.", inputs: [.init("x")]) { site in
            _ = try site.tensor(0)
            return .tensor(.int64, [] as [Int64])
        },
        OperatorSchema(
            "arange",
            """
            start, start + step, … before end, each one number: tensors, or shapes of one size, as i64 unless dtype says \
            another. How many there are depends on the data where a tensor is not known.
            """,
            inputs: [.init("start", .any), .init("end", .any), .init("step", .any)],
            attributes: [.optional("dtype", .dtype)], infer: Counting.infer),
        OperatorSchema(
            "nonzero", "Positions of the elements other than 0, one row per dimension of x; a scalar counts as [1].",
            inputs: [.init("x")]
        ) { site in
            _ = try site.tensor(0)
            return .tensor(TensorType(dtype: .int64, rank: 2))
        },
        RelaxForms.choosingResults(
            OperatorSchema(
                "unique",
                """
                The different values of x (or slices along axis), in order or as they come; where each comes first, which one \
                each element is, and how often each occurs.
                """,
                inputs: [.init("x")], attributes: [.defaulted("sorted", true), .optional("axis", .int)]
            ) { site in
                let x = try site.tensor(0)
                let axis = site.attributes.int("axis")
                if let axis, let rank = x.rank { _ = try site.axis(axis, rank: rank) }
                let list = ValueType.tensor(TensorType(dtype: .int64, rank: 1))
                return .tuple([.tensor(TensorType(dtype: x.dtype, rank: axis == nil ? 1 : x.rank)), list, list, list])
            }),
        OperatorSchema(
            "compress", "Slices of x along axis, or elements of it flattened, where condition holds.",
            inputs: [.init("x"), .init("condition")], attributes: [.optional("axis", .int)]
        ) { site in
            let x = try site.tensor(0)
            try ComparisonOperators.require(site, 1, "a bool tensor") { $0 == .bool }
            _ = try site.tensor(1, rank: 1)
            let axis = site.attributes.int("axis")
            if let axis, let rank = x.rank { _ = try site.axis(axis, rank: rank) }
            return .tensor(TensorType(dtype: x.dtype, rank: axis == nil ? 1 : x.rank))
        },
        OperatorSchema(
            "reverse_sequence",
            "The first sequence_lens[i] entries along seq_axis of sample i backwards, the rest as they are.",
            inputs: [.init("data"), .init("sequence_lens")],
            attributes: [.defaulted("seq_axis", 0), .defaulted("batch_axis", 1)]
        ) { site in
            let data = try site.tensor(0)
            let lengths = try site.tensor(1, rank: 1)
            try ComparisonOperators.require(site, 1, "an integer tensor") { $0.isInteger }
            guard let rank = data.rank else { return .tensor(data) }
            let axes = [
                try site.axis(try site.int("seq_axis"), rank: rank),
                try site.axis(try site.int("batch_axis"), rank: rank),
            ]
            guard axes[0] != axes[1] else {
                throw site.attributeError("batch_axis", expects: "another axis than seq_axis")
            }
            if let a = data.shape?[axes[1]].value, let b = lengths.shape?[0].value, a != b {
                throw site.inputError(1, expects: "\(a) lengths")
            }
            return .tensor(data)
        },
    ]
}
