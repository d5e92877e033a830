/// Operators that make one value of all values along some axes.
enum ReductionOperators {
    static let schemas: [OperatorSchema] = [
        reduction("sum", "Sum over axis; 0 over nothing."),
        reduction("mean", "Mean over axis; NaN over nothing."),
        reduction("max", "Largest value over axis; NaN if one is NaN."),
        reduction("min", "Smallest value over axis; NaN if one is NaN."),
        reduction("prod", "Product over axis; 1 over nothing."),
        reduction("variance", "Mean of the squared distance from the mean over axis."),
        reduction("std", "Square root of the variance over axis."),
        reduction("sum_square", "Sum of squares over axis."),
        reduction("l1_norm", "Sum of magnitudes over axis."),
        reduction("l2_norm", "Square root of the sum of squares over axis."),
        reduction("log_sum", "log(sum(x)) over axis."),
        reduction("log_sum_exp", "log(sum(exp(x))) over axis, without overflow."),
        reduction("all", "Whether every value holds, over axis."),
        reduction("any", "Whether one value holds, over axis."),
        position("argmax", "Position of the largest value along axis, or among all values."),
        position("argmin", "Position of the smallest value along axis, or among all values."),
        cumulative("cumsum", "Sums of all values up to each one along axis."),
        cumulative("cumprod", "Products of all values up to each one along axis."),
    ]

    private static func reduction(_ name: String, _ summary: String) -> OperatorSchema {
        OperatorSchema(
            name, summary, inputs: [.init("x")], attributes: [.optional("axis", .ints), .defaulted("keepdims", false)]
        ) { site in
            let x = try site.tensor(0)
            return try reduced(site, x, axes: site.attributes.ints("axis"), dtype: x.dtype)
        }
    }

    private static func position(_ name: String, _ summary: String) -> OperatorSchema {
        OperatorSchema(
            name, summary, inputs: [.init("x")],
            attributes: [
                .optional("axis", .int), .defaulted("keepdims", false), .defaulted("select_last_index", false),
            ]
        ) { site in
            let x = try site.tensor(0)
            let axis = site.attributes.int("axis")
            if let shape = x.shape {
                let empty = try axis.map { shape[try site.axis($0, rank: shape.count)] == 0 } ?? shape.contains(0)
                if empty { throw site.inputError(0, expects: "one value at least to choose from") }
            }
            return try reduced(site, x, axes: axis.map { [$0] }, dtype: .int64)
        }
    }

    private static func cumulative(_ name: String, _ summary: String) -> OperatorSchema {
        OperatorSchema(
            name, summary, inputs: [.init("x")],
            attributes: [
                .defaulted("axis", 0), .optional("dtype", .dtype), .defaulted("exclusive", false),
                .defaulted("reverse", false),
            ]
        ) { site in
            var x = try site.tensor(0)
            if let rank = x.rank { _ = try site.axis(try site.int("axis"), rank: rank) }
            x.dtype = site.attributes.dtype("dtype") ?? x.dtype
            return .tensor(x)
        }
    }

    /// The type without the axes, or with size 1 there; nil stands for all axes.
    static func reduced(_ site: CallSite, _ x: TensorType, axes: [Int64]?, dtype: DataType?) throws -> ValueType {
        let keepsDims = site.bool("keepdims")
        guard let rank = x.rank else {
            return .tensor(TensorType(dtype: dtype, rank: axes == nil && !keepsDims ? 0 : nil))
        }
        guard axes?.count ?? 0 <= rank else { throw site.attributeError("axis", expects: "different axes") }
        let resolved = try axes.map { try $0.map { try site.axis($0, rank: rank) } } ?? Array(0..<rank)
        let removed = Set(resolved)
        guard removed.count == resolved.count else { throw site.attributeError("axis", expects: "different axes") }
        guard let shape = x.shape else {
            return .tensor(TensorType(dtype: dtype, rank: keepsDims ? rank : rank - removed.count))
        }
        var result: [Dim] = []
        for position in 0..<rank {
            if !removed.contains(position) {
                result.append(shape[position])
            } else if keepsDims {
                result.append(1)
            }
        }
        return .tensor(TensorType(dtype, result))
    }
}
