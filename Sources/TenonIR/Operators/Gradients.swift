/// Gradients that Relax has as operators, written in terms of others.
enum GradientOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "grad.take_backward",
            "What take's result contributes to each element of x: output_grad added up where indices say.",
            inputs: [.init("output_grad"), .init("x"), .init("indices")], attributes: [.optional("axis", .int)],
            expansion: take
        ) { site in
            let x = try site.tensor(1)
            if let axis = site.attributes.int("axis"), let rank = x.rank { _ = try site.axis(axis, rank: rank) }
            if site.attributes.int("axis") == nil, let rank = x.rank, rank != 1 {
                throw site.attributeError("axis", expects: "an axis")
            }
            return .tensor(x)
        },
        OperatorSchema(
            "grad.nll_loss_backward", "The gradient of nn.nll_loss with respect to predictions.",
            inputs: [
                .init("output_grad"), .init("predictions"), .init("targets"), .init("weights", optional: true),
            ],
            attributes: [
                .defaulted("reduction", "mean", allowed: ["none", "mean", "sum"]),
                .defaulted("ignore_index", .int(-100)),
            ], expansion: likelihood
        ) { .tensor(try $0.tensor(1)) },
        pool("max", []), pool("avg", [.defaulted("count_include_pad", false)]),
    ]

    private static func pool(_ kind: String, _ more: [OperatorSchema.Attribute]) -> OperatorSchema {
        OperatorSchema(
            "grad.\(kind)_pool2d_backward", "The gradient of nn.\(kind)_pool2d with respect to data.",
            inputs: [.init("output_grad"), .init("data")],
            attributes: [
                .spread("pool_size", .ints([1, 1]), 2), .spread("strides", .ints([1, 1]), 2),
                .spread("padding", .ints([0, 0, 0, 0]), 4),
                .spread("dilation", .ints([1, 1]), 2), .defaulted("ceil_mode", false), layout("layout"),
                layout("out_layout"),
            ] + more,
            expansion: { expander, call in
                try reordered(&expander, call)
                    ?? (kind == "max" ? maxPool(&expander, call) : averagePool(&expander, call))
            }
        ) { site in
            let data = try site.tensor(1, rank: 4)
            _ = try site.tensor(0, rank: 4)
            // Small enough that sums of them are numbers.
            for (name, least) in [("pool_size", 1), ("strides", 1), ("padding", 0), ("dilation", 1)] {
                guard try site.ints(name).allSatisfy({ $0 >= least && $0 <= 1 << 20 }) else {
                    throw site.attributeError(name, expects: "\(least) to 2^20")
                }
            }
            return .tensor(data)
        }
    }

    private static func layout(_ name: String) -> OperatorSchema.Attribute {
        var attribute = OperatorSchema.Attribute.implied(name, "NCHW")
        attribute.allowed = ["NCHW", "NHWC"]
        // The result's is data's where nothing else is said.
        if name == "out_layout" { (attribute.impliedValue, attribute.impliedBy) = (nil, "layout") }
        return attribute
    }

    /// A call in another layout as permutations around one in the own; nil where there is none.
    private static func reordered(_ expander: inout OperatorExpander, _ call: Call) throws -> Operand? {
        let layout = call.attributes.string("layout") ?? "NCHW"
        let out = call.attributes.string("out_layout") ?? layout
        guard call.attributes["layout"] != nil || call.attributes["out_layout"] != nil else { return nil }
        guard case .op(let op) = call.callee else { return nil }
        var (arguments, attributes) = (call.arguments, call.attributes)
        (attributes["layout"], attributes["out_layout"]) = (nil, nil)
        for (index, order) in [out, layout].enumerated() where order == "NHWC" {
            arguments[index] = try expander.call("permute_dims", [arguments[index]], ["axes": .ints([0, 3, 1, 2])])
        }
        let result = try expander.call(op.name, arguments, attributes)
        return layout == "NHWC" ? try expander.call("permute_dims", [result], ["axes": .ints([0, 2, 3, 1])]) : result
    }

    /// A vector of zeros with the updates added at their places, in the shape of x.
    private static func added(
        _ expander: inout OperatorExpander, _ updates: Operand, at places: Operand, _ dtype: DataType, _ shape: [Dim]
    ) throws -> Operand {
        let count = try ComposedOperators.product(shape)
        let zeros = try expander.call("zeros", [.shape([count])], ["dtype": .dtype(dtype)])
        let sums = try expander.call(
            "scatter_elements", [zeros, places, updates], ["axis": 0, "reduction": "add"])
        return try expander.call("reshape", [sums, .shape(shape)])
    }

    private static func take(_ expander: inout OperatorExpander, _ call: Call) throws -> Operand? {
        let (dtype, shape) = try expander.shaped(call.arguments[1], "grad.take_backward")
        let picked = try expander.shaped(call.arguments[2], "grad.take_backward").shape
        let given = call.attributes.int("axis") ?? 0
        let axis = Int(given < 0 ? given + Int64(shape.count) : given)
        let (outer, inner) = (
            try ComposedOperators.product(shape[..<axis]), try ComposedOperators.product(shape[(axis + 1)...])
        )
        let count = try ComposedOperators.product(picked)
        let updates = try expander.call("reshape", [call.arguments[0], .shape([outer, count, inner])])
        var places = try expander.call("astype", [call.arguments[2]], ["dtype": .dtype(.int64)])
        places = try expander.call("reshape", [places, .shape([1, count, 1])])
        places = try expander.call("broadcast_to", [places, .shape([outer, count, inner])])
        let zeros = try expander.call("zeros", [.shape([outer, shape[axis], inner])], ["dtype": .dtype(dtype)])
        let sums = try expander.call(
            "scatter_elements", [zeros, places, updates], ["axis": 1, "reduction": "add"])
        return try expander.call("reshape", [sums, .shape(shape)])
    }

    private static func likelihood(_ expander: inout OperatorExpander, _ call: Call) throws -> Operand? {
        let (dtype, shape) = try expander.shaped(call.arguments[1], "grad.nll_loss_backward")
        let targets = call.arguments[2]
        let targetType = try expander.shaped(targets, "grad.nll_loss_backward").dtype
        let axis = shape.count == 1 ? 0 : 1
        guard shape.count >= 1, let classes = shape[axis].value, classes <= 1 << 24 else {
            throw TenonError(.unsupported, "grad.nll_loss_backward: expects a known number of classes, at most 2^24")
        }
        let ignored = try expander.scalar(Double(call.attributes.int("ignore_index") ?? -100), targetType)
        let counts = try expander.call("not_equal", [targets, ignored])
        let safe = try expander.call("where", [counts, targets, try expander.call("zeros_like", [targets])])
        var weights = try expander.call("astype", [counts], ["dtype": .dtype(dtype)])
        if call.arguments.count > 3 {
            let each = try expander.call("take", [call.arguments[3], safe], ["axis": 0])
            weights = try expander.call("multiply", [each, weights])
        }
        var each = try expander.call("multiply", [weights, call.arguments[0]])
        if call.attributes.string("reduction") == "mean" {
            each = try expander.call("divide", [each, try expander.call("sum", [weights])])
        }
        // One class of each is minus its weight, the others nothing.
        let row =
            [Dim](repeating: 1, count: axis) + [.fixed(classes)] + [Dim](repeating: 1, count: shape.count - axis - 1)
        let numbers = Operand.constant(try .from(doubles: (0..<Int(classes)).map(Double.init), targetType, [classes]))
        let places = try expander.call("expand_dims", [safe], ["axis": .ints([Int64(axis)])])
        let chosen = try expander.call("equal", [places, try expander.call("reshape", [numbers, .shape(row)])])
        let chosenNumbers = try expander.call("astype", [chosen], ["dtype": .dtype(dtype)])
        let spread = try expander.call("expand_dims", [each], ["axis": .ints([Int64(axis)])])
        return try expander.call("negative", [try expander.call("multiply", [chosenNumbers, spread])])
    }

    /// The window's attributes as the pool forward takes them.
    private static func window(_ attributes: Attributes) -> Attributes {
        var result = Attributes()
        for name in ["pool_size", "strides", "padding", "dilation", "ceil_mode"] { result[name] = attributes[name] }
        return result
    }

    private static func maxPool(_ expander: inout OperatorExpander, _ call: Call) throws -> Operand? {
        let (dtype, shape) = try expander.shaped(call.arguments[1], "grad.max_pool2d_backward")
        let both = try expander.call("nn.max_pool2d_with_indices", [call.arguments[1]], window(call.attributes))
        let found = try expander.item(both, 1)
        let count = try ComposedOperators.product(try expander.shaped(found, "grad.max_pool2d_backward").shape)
        let places = try expander.call("reshape", [found, .shape([count])])
        let updates = try expander.call("reshape", [call.arguments[0], .shape([count])])
        return try added(&expander, updates, at: places, dtype, shape)
    }

    /// Each element of output_grad goes in equal parts to what its window covers.
    private static func averagePool(_ expander: inout OperatorExpander, _ call: Call) throws -> Operand? {
        let op = "grad.avg_pool2d_backward"
        let (dtype, shape) = try expander.shaped(call.arguments[1], op)
        let sizes = try expander.shaped(call.arguments[0], op).shape
        guard let kernel = call.attributes.ints("pool_size"), let strides = call.attributes.ints("strides"),
            let padding = call.attributes.ints("padding"), let dilation = call.attributes.ints("dilation"),
            shape.count == 4, sizes.count == 4
        else { throw TenonError(.internal, "\(op): attributes are missing") }
        let batch = try ComposedOperators.product(shape[..<2])
        let one = try expander.scalar(1, dtype)
        var parts = try expander.call("reshape", [call.arguments[0], .shape([batch, 1] + sizes[2...])])
        let area = try expander.scalar(Double(kernel[0]) * Double(kernel[1]), dtype)
        let ones = try expander.call("broadcast_to", [one, .shape([1, 1] + shape[2...])])
        if call.attributes.bool("count_include_pad") == true, call.attributes.bool("ceil_mode") != true {
            parts = try expander.call("divide", [parts, area])
        } else if call.attributes.bool("count_include_pad") == true {
            throw TenonError(
                .unsupported, "\(op): ceil_mode together with count_include_pad is not supported", operatorName: op)
        } else {
            let share = try coverage(&expander, ones, kernel, strides, padding, dilation, sizes, dtype)
            parts = try expander.call("divide", [parts, share])
        }
        let weight = try expander.call(
            "ones", [.shape([1, 1] + kernel.map { Dim.fixed($0) })], ["dtype": .dtype(dtype)])
        var spread = try expander.call(
            "nn.conv2d_transpose", [parts, weight], ["strides": .ints(strides), "dilation": .ints(dilation)])
        let reached = try expander.shaped(spread, op).shape
        // Cut to the place of data in what the windows reach; what no window reaches gets nothing.
        var (begin, end): ([Int64], [Int64]) = ([], [])
        var pad = [Int64](repeating: 0, count: 8)
        for axis in 0..<2 {
            guard let length = reached[axis + 2].value, let size = shape[axis + 2].value, size <= 1 << 40 else {
                throw TenonError(.unsupported, "\(op): expects images of known size", operatorName: op)
            }
            begin.append(padding[axis])
            end.append(min(length, padding[axis] + size))
            pad[2 * (axis + 2) + 1] = max(0, padding[axis] + size - length)
        }
        func list(_ numbers: [Int64]) throws -> Operand { .constant(try Constant(.int64, [2], numbers)) }
        spread = try expander.call("strided_slice", [spread, try list([2, 3]), try list(begin), try list(end)])
        if pad.contains(where: { $0 != 0 }) {
            spread = try expander.call("nn.pad", [spread], ["pad_width": .ints(pad), "pad_value": 0.0])
        }
        return try expander.call("reshape", [spread, .shape(shape)])
    }

    /// How many elements of an image of ones each window covers: a convolution with ones, padded as far as windows reach.
    private static func coverage(
        _ expander: inout OperatorExpander, _ ones: Operand, _ kernel: [Int64], _ strides: [Int64], _ padding: [Int64],
        _ dilation: [Int64], _ sizes: [Dim], _ dtype: DataType
    ) throws -> Operand {
        let shape = try expander.shaped(ones, "grad.avg_pool2d_backward").shape
        var reach = padding
        for axis in 0..<2 {
            guard let count = sizes[axis + 2].value, let size = shape[axis + 2].value, max(count, size) <= 1 << 40
            else {
                throw TenonError(.unsupported, "grad.avg_pool2d_backward: expects images of known size")
            }
            // Windows of ceil_mode may end behind the padding.
            let needed = (count - 1) * strides[axis] + (kernel[axis] - 1) * dilation[axis] + 1
            reach[axis + 2] = max(0, needed - size - padding[axis])
        }
        let weight = try expander.call(
            "ones", [.shape([1, 1] + kernel.map { Dim.fixed($0) })], ["dtype": .dtype(dtype)])
        return try expander.call(
            "nn.conv2d", [ones, weight],
            ["strides": .ints(strides), "padding": .ints(reach), "dilation": .ints(dilation)])
    }
}
