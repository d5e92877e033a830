/// Attributes of Relax that say an operator's result or operand in another form. The operator without them is what passes and
/// kernels know.
enum RelaxForms {
    /// `ret_type`: both results, or one of them.
    static func choosingResult(_ schema: OperatorSchema) -> OperatorSchema {
        var result = schema
        let (rule, name) = (schema.infer, schema.name)
        var attribute = OperatorSchema.Attribute.implied("ret_type", "both")
        attribute.allowed = ["both", "values", "indices"]
        result.attributes.append(attribute)
        result.viewAttributes = ["ret_type"]
        @Sendable func index(_ attributes: Attributes) -> Int? {
            switch attributes.string("ret_type") {
            case "values": 0
            case "indices": 1
            default: nil
            }
        }
        result.infer = { site in
            let type = try rule(site)
            guard let index = index(site.attributes), case .tuple(let fields) = type, fields.indices.contains(index)
            else {
                return type
            }
            return fields[index]
        }
        result.expansion = { expander, call in
            guard let index = index(call.attributes) else { return nil }
            var attributes = call.attributes
            attributes["ret_type"] = nil
            return try expander.item(try expander.call(name, call.arguments, attributes), index)
        }
        return result
    }

    /// `axis`: the second operand is a vector along that axis of the first.
    static func alongAxis(_ schema: OperatorSchema) -> OperatorSchema {
        var result = schema
        let (rule, name) = (schema.infer, schema.name)
        result.attributes.append(.optional("axis", .int))
        result.viewAttributes = ["axis"]
        result.infer = { site in
            guard let given = site.attributes.int("axis") else { return try rule(site) }
            let (x, vector) = (try site.tensor(0), try site.tensor(1))
            _ = try site.sameDType(0, 1)
            if let rank = vector.rank, rank > 1 { throw site.inputError(1, expects: "one dimension") }
            guard let rank = x.rank else { return .tensor(x) }
            let axis = try site.axis(given, rank: rank)
            if let own = vector.shape?.first?.value, own != 1, let size = x.shape?[axis].value, own != size {
                throw site.inputError(1, expects: "\(size) elements, as \(x) has along axis \(axis)")
            }
            return .tensor(x)
        }
        result.expansion = { expander, call in
            guard let given = call.attributes.int("axis") else { return nil }
            let rank = try expander.shaped(call.arguments[0], name).shape.count
            let shape = try expander.shaped(call.arguments[1], name).shape
            let axis = given < 0 ? given + Int64(rank) : given
            // A vector along the last axis broadcasts as it is.
            guard let size = shape.first, axis >= 0, axis < Int64(rank) - 1 else {
                return try expander.call(name, call.arguments)
            }
            let behind = [Dim](repeating: 1, count: rank - 1 - Int(axis))
            let vector = try expander.call("reshape", [call.arguments[1], .shape([size] + behind)])
            return try expander.call(name, [call.arguments[0], vector])
        }
        return result
    }

    /// `return_index`, `return_inverse`, `return_counts`: which results there are behind the first. With none of the three said, all.
    static func choosingResults(_ schema: OperatorSchema) -> OperatorSchema {
        var result = schema
        let (rule, name) = (schema.infer, schema.name)
        let flags = ["return_index", "return_inverse", "return_counts"]
        result.attributes += flags.map { .optional($0, .bool) }
        result.viewAttributes = flags
        @Sendable func indices(_ attributes: Attributes) -> [Int]? {
            guard flags.contains(where: { attributes[$0] != nil }) else { return nil }
            return [0] + flags.indices.filter { attributes.bool(flags[$0]) == true }.map { $0 + 1 }
        }
        result.infer = { site in
            let type = try rule(site)
            guard let indices = indices(site.attributes), case .tuple(let fields) = type, fields.count == 4 else {
                return type
            }
            return indices.count == 1 ? fields[0] : .tuple(indices.map { fields[$0] })
        }
        result.expansion = { expander, call in
            guard let indices = indices(call.attributes) else { return nil }
            var attributes = call.attributes
            for flag in flags { attributes[flag] = nil }
            let all = try expander.call(name, call.arguments, attributes)
            let items = try indices.map { try expander.item(all, $0) }
            return items.count == 1 ? items[0] : .tuple(items)
        }
        return result
    }

    /// `grid_axis`: where a grid has its axes, last as in ONNX or behind the batch as in Relax.
    static func axesOfGrid(_ schema: OperatorSchema) -> OperatorSchema {
        var result = schema
        let (rule, name) = (schema.infer, schema.name)
        result.attributes.append(.implied("grid_axis", -1))
        result.viewAttributes = ["grid_axis"]
        result.infer = { site in
            guard let given = site.attributes.int("grid_axis") else { return try rule(site) }
            guard given == 1 else { throw site.attributeError("grid_axis", expects: "-1 or 1") }
            var grid = try site.tensor(1)
            if var shape = grid.shape, shape.count > 1 {
                shape.append(shape.remove(at: 1))
                grid = TensorType(grid.dtype, shape)
            }
            return try rule(
                CallSite(
                    schema: site.schema, arguments: site.arguments, types: [site.types[0], .tensor(grid)],
                    constants: site.constants, attributes: site.attributes))
        }
        result.expansion = { expander, call in
            guard call.attributes.int("grid_axis") != nil else { return nil }
            let rank = Int64(try expander.shaped(call.arguments[1], name).shape.count)
            var attributes = call.attributes
            attributes["grid_axis"] = nil
            let order = [0] + (2..<max(rank, 2)).map { $0 } + [1]
            let grid = try expander.call("permute_dims", [call.arguments[1]], ["axes": .ints(order)])
            return try expander.call(name, [call.arguments[0], grid], attributes)
        }
        return result
    }

    /// `window_size`: how many keys up to its own a query of causal attention sees.
    static func window(_ schema: OperatorSchema) -> OperatorSchema {
        var result = schema
        let (rule, name) = (schema.infer, schema.name)
        result.attributes.append(.optional("window_size", .int))
        result.viewAttributes = ["window_size"]
        result.infer = { site in
            if let size = site.attributes.int("window_size") {
                guard size > 0, site.attributes.string("causal_mask") != nil, site.attributes.int("left_window") == -1
                else {
                    throw site.attributeError(
                        "window_size", expects: "a number above 0, with causal_mask and without left_window")
                }
            }
            return try rule(site)
        }
        result.expansion = { expander, call in
            guard let size = call.attributes.int("window_size") else { return nil }
            var attributes = call.attributes
            attributes["window_size"] = nil
            attributes["left_window"] = .int(size - 1)
            return try expander.call(name, call.arguments, attributes)
        }
        return result
    }
}

/// Operators of Relax that are a few others in a row.
enum RelaxOperators {
    static let schemas: [OperatorSchema] = [
        LayoutTransform.schema, MemoryView.schema,
        OperatorSchema(
            "median",
            """
            The middle value along axis, of two middle ones the lower, and where it stands; of all elements, or over several axes, \
            the value alone.
            """,
            inputs: [.init("data")], attributes: [.optional("axis", .ints), .defaulted("keepdims", false)],
            expansion: expandMedian, infer: inferMedian),
        OperatorSchema(
            "dynamic_strided_slice", "data from begin to end in steps of strides, for each axis; all are tensors.",
            inputs: [.init("data"), .init("begin"), .init("end"), .init("strides")],
            expansion: { expander, call in
                guard let rank = expander.type(of: call.arguments[0]).asTensor?.rank else {
                    throw TenonError(
                        .unsupported, "dynamic_strided_slice: expects an operand of known rank",
                        operatorName: "dynamic_strided_slice")
                }
                let axes = Operand.constant(try Constant(.int64, [Int64(rank)], (0..<rank).map { Int64($0) }))
                return try expander.call("strided_slice", [call.arguments[0], axes] + call.arguments.dropFirst())
            }
        ) { site in
            let data = try site.tensor(0)
            for index in 1...3 {
                let list = try site.tensor(index, rank: 1)
                if let rank = data.rank, let count = list.shape?[0].value, count != Int64(rank) {
                    throw site.inputError(index, expects: "\(rank) numbers")
                }
            }
            return .tensor(TensorType(dtype: data.dtype, rank: data.rank))
        },
    ]

    /// The axes that a median goes over, in order.
    private static func axes(_ given: [Int64]?, _ rank: Int) -> [Int] {
        guard let given else { return Array(0..<rank) }
        return given.map { Int(truncatingIfNeeded: $0 < 0 ? $0 + Int64(rank) : $0) }.sorted()
    }

    private static func inferMedian(_ site: CallSite) throws -> ValueType {
        let data = try site.tensor(0)
        let given = site.attributes.ints("axis")
        let keeps = site.bool("keepdims")
        func results(_ rank: Int?, _ shape: [Dim]?) -> ValueType {
            func type(_ dtype: DataType?) -> ValueType {
                .tensor(shape.map { TensorType(dtype, $0) } ?? TensorType(dtype: dtype, rank: rank))
            }
            return given?.count == 1 ? .tuple([type(data.dtype), type(.int64)]) : type(data.dtype)
        }
        guard let rank = data.rank else { return results(nil, nil) }
        for axis in given ?? [] { _ = try site.axis(axis, rank: rank) }
        let reduced = axes(given, rank)
        guard Set(reduced).count == reduced.count else { throw site.attributeError("axis", expects: "different axes") }
        guard let shape = data.shape else { return results(keeps ? rank : rank - reduced.count, nil) }
        for axis in reduced where shape[axis].value == 0 {
            throw site.inputError(0, expects: "elements along axis \(axis)")
        }
        var left: [Dim] = []
        for (axis, size) in shape.enumerated() {
            if !reduced.contains(axis) { left.append(size) } else if keeps { left.append(1) }
        }
        return results(left.count, left)
    }

    /// Sorted along one axis, the middle one picked. Several axes are brought to the end and made one.
    private static func expandMedian(_ expander: inout OperatorExpander, _ call: Call) throws -> Operand? {
        let shape = try expander.shaped(call.arguments[0], "median").shape
        let given = call.attributes.ints("axis")
        let reduced = axes(given, shape.count)
        let others = shape.indices.filter { !reduced.contains($0) }
        var data = call.arguments[0]
        var axis = reduced.first ?? 0
        let size = try ComposedOperators.product(reduced.map { shape[$0] })
        if reduced.count != 1 {
            let order = (others + reduced).map { Int64($0) }
            data = try expander.call("permute_dims", [data], ["axes": .ints(order)])
            data = try expander.call("reshape", [data, .shape(others.map { shape[$0] } + [size])])
            axis = others.count
        }
        guard let count = size.value, count > 0 else {
            throw TenonError(.unsupported, "median: expects a known number of elements", operatorName: "median")
        }
        let order = try expander.call("argsort", [data], ["axis": .int(Int64(axis))])
        let middle = Operand.constant(try Constant(.int64, [1], [(count - 1) / 2]))
        let place = try expander.call("take", [order, middle], ["axis": .int(Int64(axis))])
        var results = [try expander.call("gather_elements", [data, place], ["axis": .int(Int64(axis))]), place]
        let keeps = call.attributes.bool("keepdims") == true
        for index in results.indices where !keeps || reduced.count != 1 {
            var left = others.map { shape[$0] }
            if keeps { left = shape.indices.map { reduced.contains($0) ? 1 : shape[$0] } }
            results[index] = try expander.call("reshape", [results[index], .shape(left)])
        }
        return given?.count == 1 ? .tuple(results) : results[0]
    }
}
