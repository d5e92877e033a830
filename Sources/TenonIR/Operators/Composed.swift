/// Operators of Relax that are written in terms of others.
enum ComposedOperators {
    static let schemas: [OperatorSchema] =
        [
            Einsum.schema,
            OperatorSchema(
                "nn.dropout", "x itself, as at inference, and a mask of ones.", inputs: [.init("data")],
                attributes: [.defaulted("rate", 0.5)],
                expansion: { expander, call in
                    .tuple([call.arguments[0], try expander.call("ones_like", [call.arguments[0]])])
                }
            ) { site in
                let x = ValueType.tensor(try site.tensor(0))
                return .tuple([x, x])
            },
            OperatorSchema(
                "nn.batch_flatten", "All dimensions behind the first as one.", inputs: [.init("data")],
                expansion: { expander, call in
                    let shape = try expander.shaped(call.arguments[0], "nn.batch_flatten").shape
                    return try expander.call(
                        "reshape", [call.arguments[0], .shape([shape[0], try product(shape.dropFirst())])])
                }
            ) { site in
                let x = try site.tensor(0)
                if let rank = x.rank, rank < 1 { throw site.inputError(0, expects: "one dimension at least") }
                guard let shape = x.shape else { return .tensor(TensorType(dtype: x.dtype, rank: 2)) }
                return .tensor(TensorType(x.dtype, [shape[0], try product(shape.dropFirst())]))
            },
            OperatorSchema(
                "nn.pixel_shuffle",
                "Groups of upscale_factor² channels of [..., c, h, w] moved into squares of pixels.",
                inputs: [.init("data")], attributes: [.required("upscale_factor", .int)], expansion: pixelShuffle
            ) { site in
                let x = try site.tensor(0)
                let factor = try site.int("upscale_factor")
                guard factor > 0, factor < 1 << 15 else {
                    throw site.attributeError("upscale_factor", expects: "a number from 1")
                }
                if let rank = x.rank, rank < 3 { throw site.inputError(0, expects: "3 dimensions at least") }
                guard var shape = x.shape else { return .tensor(x) }
                let channel = shape.count - 3
                if let channels = shape[channel].value, channels % (factor * factor) != 0 {
                    throw site.inputError(0, expects: "a number of channels that \(factor * factor) divides")
                }
                shape[channel] = try site.dim(Dim.floorDividing(shape[channel], by: factor * factor))
                for axis in channel + 1...channel + 2 {
                    shape[axis] = try site.dim(Dim.multiplying(shape[axis], .fixed(factor)))
                }
                return .tensor(TensorType(x.dtype, shape))
            },
            OperatorSchema(
                "outer", "Products of each element of a with each of b.", inputs: [.init("a"), .init("b")],
                expansion: { expander, call in
                    let (a, b) = (
                        try expander.shaped(call.arguments[0], "outer").shape,
                        try expander.shaped(call.arguments[1], "outer").shape
                    )
                    let column = try expander.call("reshape", [call.arguments[0], .shape([a[0], 1])])
                    let row = try expander.call("reshape", [call.arguments[1], .shape([1, b[0]])])
                    return try expander.call("multiply", [column, row])
                }
            ) { site in
                let (a, b) = (try site.tensor(0, rank: 1), try site.tensor(1, rank: 1))
                let dtype = try site.sameDType(0, 1)
                guard let x = a.shape, let y = b.shape else { return .tensor(TensorType(dtype: dtype, rank: 2)) }
                return .tensor(TensorType(dtype, x + y))
            },
            OperatorSchema(
                "ewise_fma", "x1 · x2 + x3 element by element.", inputs: [.init("x1"), .init("x2"), .init("x3")],
                expansion: { expander, call in
                    let product = try expander.call("multiply", [call.arguments[0], call.arguments[1]])
                    return try expander.call("add", [product, call.arguments[2]])
                }
            ) { site in
                for index in 1...2 { _ = try site.sameDType(0, index) }
                let shapes = try (0..<3).map { try site.tensor($0) }
                if let x = shapes[0].shape {
                    for index in 1...2 {
                        if let other = shapes[index].shape,
                            other.count != x.count || zip(x, other).contains(where: Einsum.differ)
                        {
                            throw site.inputError(index, expects: "the shape of x1 (\(shapes[0]))")
                        }
                    }
                }
                return .tensor(shapes[0])
            },
            OperatorSchema(
                "log_add_exp", "log(exp(a) + exp(b)) without overflow, with broadcasting.",
                inputs: [.init("a"), .init("b")],
                commutative: true,
                expansion: { expander, call in
                    let (a, b) = (call.arguments[0], call.arguments[1])
                    let larger = try expander.call("maximum", [a, b])
                    let distance = try expander.call("abs", [try expander.call("subtract", [a, b])])
                    // Infinities of one sign have no distance.
                    let same = try expander.call("equal", [a, b])
                    let apart = try expander.call(
                        "where", [same, try expander.call("zeros_like", [distance]), distance])
                    let rest = try expander.call("nn.softplus", [try expander.call("negative", [apart])])
                    return try expander.call("add", [larger, rest])
                }
            ) { site in
                let sum = try Operators.require("add").schema
                return try sum.infer(
                    CallSite(
                        schema: site.schema, arguments: site.arguments, types: site.types, constants: site.constants,
                        attributes: Attributes()))
            },
            OperatorSchema(
                "full_like", "One value in the shape of x, and in its element type unless dtype says another.",
                inputs: [.init("x"), .init("fill_value")], attributes: [.optional("dtype", .dtype)],
                expansion: { expander, call in
                    let (dtype, shape) = try expander.shaped(call.arguments[0], "full_like")
                    let wanted = call.attributes["dtype"] ?? .dtype(dtype)
                    return try expander.call("full", [.shape(shape), call.arguments[1]], ["dtype": wanted])
                }
            ) { site in
                var type = try site.tensor(0)
                if let count = try site.tensor(1).elementCount, count != 1 {
                    throw site.inputError(1, expects: "one element")
                }
                type.dtype = site.attributes.dtype("dtype") ?? type.dtype
                return .tensor(type)
            },
            OperatorSchema(
                "eye_like", "Ones on the k-th diagonal of a matrix of the shape of x, zeros elsewhere.",
                inputs: [.init("x")],
                attributes: [.defaulted("k", 0), .optional("dtype", .dtype)],
                expansion: { expander, call in
                    let (dtype, shape) = try expander.shaped(call.arguments[0], "eye_like")
                    return try expander.call(
                        "eye", [.shape(shape)],
                        ["k": call.attributes["k"] ?? 0, "dtype": call.attributes["dtype"] ?? .dtype(dtype)])
                }
            ) { site in
                var type = try site.tensor(0, rank: 2)
                type.dtype = site.attributes.dtype("dtype") ?? type.dtype
                return .tensor(type)
            },
            OperatorSchema(
                "masked_fill", "x with value where mask holds.", inputs: [.init("x"), .init("mask")],
                attributes: [.required("value", .float)],
                expansion: { expander, call in
                    let dtype = try expander.shaped(call.arguments[0], "masked_fill").dtype
                    let value = try expander.scalar(call.attributes.float("value") ?? 0, dtype)
                    return try expander.call("where", [call.arguments[1], value, call.arguments[0]])
                }
            ) { site in
                let (x, mask) = (try site.tensor(0), try site.tensor(1))
                if let dtype = mask.dtype, dtype != .bool { throw site.inputError(1, .invalidType, expects: "bool") }
                return try Broadcast.type(site, 0, 1, dtype: x.dtype)
            },
            OperatorSchema(
                "meshgrid", "Each of some vectors repeated over a grid of all; 'xy' exchanges the first two axes.",
                inputs: [.init("tensors", .tuple)], attributes: [.defaulted("indexing", "ij", allowed: ["ij", "xy"])],
                expansion: meshgrid
            ) { site in
                let tensors = try site.tensors(0)
                var dims: [Dim] = []
                for tensor in tensors {
                    guard let shape = tensor.shape else { return .object }
                    guard shape.count <= 1 else { throw site.inputError(0, expects: "vectors") }
                    dims.append(shape.first ?? 1)
                }
                if site.attributes.string("indexing") == "xy", dims.count > 1 { dims.swapAt(0, 1) }
                return .tuple(tensors.map { .tensor(TensorType($0.dtype, dims)) })
            },
            OperatorSchema(
                "bucketize",
                "For each value how many of the ascending boundaries are below it; with right, below or equal.",
                inputs: [.init("input"), .init("boundaries")],
                attributes: [.defaulted("out_int32", false), .defaulted("right", false)],
                expansion: { expander, call in
                    let last = try expander.call("expand_dims", [call.arguments[0]], ["axis": .ints([-1])])
                    let compare = call.attributes.bool("right") == true ? "less_equal" : "less"
                    let below = try expander.call(compare, [call.arguments[1], last])
                    let dtype: DataType = call.attributes.bool("out_int32") == true ? .int32 : .int64
                    let counted = try expander.call("astype", [below], ["dtype": .dtype(dtype)])
                    return try expander.call("sum", [counted], ["axis": .ints([-1])])
                }
            ) { site in
                var type = try site.tensor(0)
                _ = try site.tensor(1, rank: 1)
                type.dtype = site.bool("out_int32") ? .int32 : .int64
                return .tensor(type)
            },
            OperatorSchema(
                "collapse_sum_to", "data summed over the dimensions that broadcasting shape to data's would repeat.",
                inputs: [.init("data"), .init("shape", .shape)],
                expansion: { expander, call in
                    guard case .shape(let dims) = expander.type(of: call.arguments[1]), let dims else { return nil }
                    return try collapse(&expander, call.arguments[0], dims)
                }
            ) { site in
                guard let dims = site.dims(1) else {
                    return .tensor(TensorType(dtype: try site.tensor(0).dtype, rank: nil))
                }
                return .tensor(TensorType(try site.tensor(0).dtype, dims))
            },
            OperatorSchema(
                "collapse_sum_like", "data summed over the dimensions that broadcasting target to data would repeat.",
                inputs: [.init("data"), .init("collapse_target")],
                expansion: { expander, call in
                    try collapse(
                        &expander, call.arguments[0], try expander.shaped(call.arguments[1], "collapse_sum_like").shape)
                }
            ) { site in
                var type = try site.tensor(1)
                type.dtype = try site.tensor(0).dtype
                return .tensor(type)
            },
        ] + identities

    /// What changes nothing of a value here: marks for other machines and for training.
    private static let identities: [OperatorSchema] = [
        "hint_on_device", "to_vdevice", "builtin.stop_lift_params", "memory.ensure_zero_offset", "grad.no_grad",
        "grad.start_checkpoint", "grad.end_checkpoint",
    ].map { name in
        OperatorSchema(
            name, "x itself: a mark that means nothing here.", inputs: [.init("x", .any)],
            expansion: { _, call in call.arguments[0] }
        ) { site in site.types.first ?? .object }
    }

    static func product(_ dims: some Sequence<Dim>) throws -> Dim {
        var total: Dim = 1
        for dim in dims {
            guard let next = Dim.multiplying(total, dim) else {
                throw TenonError(.invalidShape, "a dimension overflows")
            }
            total = next
        }
        return total
    }

    private static func pixelShuffle(_ expander: inout OperatorExpander, _ call: Call) throws -> Operand? {
        let shape = try expander.shaped(call.arguments[0], "nn.pixel_shuffle").shape
        guard let factor = call.attributes.int("upscale_factor") else { return nil }
        let lead = Array(shape.dropLast(3))
        let image = [try product(lead)] + shape.suffix(3)
        let four =
            shape.count == 4 ? call.arguments[0] : try expander.call("reshape", [call.arguments[0], .shape(image)])
        let moved = try expander.call("nn.depth_to_space", [four], ["block_size": .int(factor), "mode": "CRD"])
        if shape.count == 4 { return moved }
        return try expander.call(
            "reshape", [moved, .shape(lead + (try expander.shaped(moved, "nn.pixel_shuffle").shape.suffix(3)))])
    }

    private static func meshgrid(_ expander: inout OperatorExpander, _ call: Call) throws -> Operand? {
        guard case .tuple(let types) = expander.type(of: call.arguments[0]) else { return nil }
        var fields: [Operand] = []
        for index in types.indices {
            if case .tuple(let inline) = call.arguments[0] {
                fields.append(inline[index])
            } else {
                fields.append(try expander.item(call.arguments[0], index))
            }
        }
        var order = Array(fields.indices)
        if call.attributes.string("indexing") == "xy", order.count > 1 { order.swapAt(0, 1) }
        let dims = try order.map { try expander.shaped(fields[$0], "meshgrid").shape.first ?? 1 }
        var result: [Operand] = []
        for (index, field) in fields.enumerated() {
            var shape = [Dim](repeating: 1, count: fields.count)
            guard let axis = order.firstIndex(of: index) else { continue }
            shape[axis] = dims[axis]
            let spread = try expander.call("reshape", [field, .shape(shape)])
            result.append(try expander.call("broadcast_to", [spread, .shape(dims)]))
        }
        return .tuple(result)
    }

    private static func collapse(_ expander: inout OperatorExpander, _ data: Operand, _ target: [Dim]) throws -> Operand
    {
        let shape = try expander.shaped(data, "collapse_sum").shape
        guard target.count <= shape.count else {
            throw TenonError(
                .invalidShape, "collapse_sum: expects a shape that broadcasts to \(shape), found \(target)")
        }
        let lead = shape.count - target.count
        var axes = (0..<lead).map { Int64($0) }
        for (index, dim) in target.enumerated() where dim == 1 && shape[lead + index] != 1 {
            axes.append(Int64(lead + index))
        }
        let summed = axes.isEmpty ? data : try expander.call("sum", [data], ["axis": .ints(axes)])
        return try expander.call("reshape", [summed, .shape(target)])
    }
}
