import TenonIR

/// Pooling over windows and over everything.
enum PoolingImporters {
    static let table: [String: OperatorImporter] = [
        "MaxPool": OperatorImporter { node in
            let order = try node.int("storage_order", 0)
            guard node.wants(1) else { return try pool(node, "max") }
            guard order == 0 || order == 1 else { throw node.error(.invalidArgument, "storage_order is \(order)") }
            let both = try pool(
                node, "max", ["column_major": .bool(order == 1)], of: try ArithmeticImporters.single(node),
                suffix: "_with_indices")
            return [.operand(try node.item(0, of: both)), .operand(try node.item(1, of: both))]
        },
        "AveragePool": OperatorImporter { node in
            try pool(node, "avg", ["count_include_pad": .bool(try node.bool("count_include_pad", false))])
        },
        "LpPool": OperatorImporter(since: 2, lpPool),
        "GlobalLpPool": OperatorImporter(since: 2) { node in
            let x = try ArithmeticImporters.single(node)
            let p = try node.int("p", 2)
            let rank = try node.rank(0)
            guard rank > 2 else {
                throw node.error(.invalidShape, "input expects 3 dimensions at least, found \(rank)")
            }
            let over: Attributes = ["axis": .ints((2..<Int64(rank)).map { $0 }), "keepdims": true]
            return try root(node, try node.call("sum", [try power(node, x, p)], over), p)
        },
        "MaxUnpool": OperatorImporter(since: 9, maxUnpool),
        "GlobalAveragePool": OperatorImporter { node in try global(node, "avg") },
        "GlobalMaxPool": OperatorImporter { node in try global(node, "max") },
    ]

    private static func pool(
        _ node: Node, _ kind: String, _ extra: Attributes = Attributes()
    ) throws -> [ImportedValue] {
        [.operand(try pool(node, kind, extra, of: try ArithmeticImporters.single(node)))]
    }

    /// The pooling that the node's attributes describe, of `operand`.
    static func pool(
        _ node: Node, _ kind: String, _ extra: Attributes, of operand: Operand, suffix: String = ""
    ) throws -> Operand {
        guard let kernel = try node.ints("kernel_shape") else {
            throw node.error(.invalidArgument, "attribute 'kernel_shape' is missing")
        }
        let data = try node.type(of: operand)
        guard (1...3).contains(kernel.count) else {
            throw node.unsupported("a kernel of \(kernel.count) dimensions, expected 1 to 3")
        }
        if let rank = data.rank, rank != kernel.count + 2 {
            throw node.error(
                .invalidShape, "input has \(rank) dimensions, kernel_shape \(kernel) needs \(kernel.count + 2)")
        }
        let window = try WindowAttributes(node, kernel: kernel, input: data.shape.map { Array($0.dropFirst(2)) })
        var attributes = extra
        attributes["pool_size"] = .ints(kernel)
        attributes["strides"] = .ints(window.strides)
        attributes["padding"] = .ints(window.pads)
        attributes["dilation"] = .ints(window.dilations)
        attributes["ceil_mode"] = .bool(try node.bool("ceil_mode", false))
        guard window.computedPads == nil else {
            guard suffix.isEmpty else {
                throw node.unsupported("indices with auto_pad SAME over a size that is not known")
            }
            return try paddedPool(node, kind, window, attributes, of: operand, spatial: kernel.count)
        }
        return try node.call("nn.\(kind)_pool\(kernel.count)d\(suffix)", [operand], attributes)
    }

    /// With padding that only a run knows put around the input.
    private static func paddedPool(
        _ node: Node, _ kind: String, _ window: WindowAttributes, _ attributes: Attributes, of x: Operand, spatial: Int
    ) throws -> Operand {
        let op = "nn.\(kind)_pool\(spatial)d"
        if kind == "max" {
            let dtype = try node.type(of: x).dtype ?? .float32
            let least =
                dtype.isFloatingPoint ? -Double.infinity : dtype.isUnsignedInteger ? 0 : dtype == .int8 ? -128 : nil
            guard let least else {
                throw node.unsupported("auto_pad SAME of \(dtype.name) over a size that is not known")
            }
            return try node.call(op, [try window.padded(node, x, with: least)], attributes)
        }
        var attributes = attributes
        let countsPadding = attributes.bool("count_include_pad") ?? false
        attributes["count_include_pad"] = true
        let mean = try node.call(op, [try window.padded(node, x)], attributes)
        if countsPadding { return mean }
        // The mean over all places, over the part of them that the input fills.
        let filled = try node.call(op, [try window.padded(node, try node.call("ones_like", [x]))], attributes)
        return try node.call("divide", [mean, filled])
    }

    private static func power(_ node: Node, _ x: Operand, _ p: Int64) throws -> Operand {
        guard p > 0 else { throw node.error(.invalidArgument, "p expects a number above 0, found \(p)") }
        if p == 2 { return try node.call("square", [x]) }
        let magnitude = try node.call("abs", [x])
        return p == 1 ? magnitude : try node.call("power", [magnitude, try node.scalar(Double(p), like: x)])
    }

    private static func root(_ node: Node, _ x: Operand, _ p: Int64) throws -> [ImportedValue] {
        if p == 1 { return [.operand(x)] }
        if p == 2 { return try node.result("sqrt", [x]) }
        return try node.result("power", [x, try node.scalar(1 / Double(p), like: x)])
    }

    /// (sum of |x|^p over the window)^(1/p), the sum as a mean that counts every position.
    private static func lpPool(_ node: Node) throws -> [ImportedValue] {
        guard let kernel = try node.ints("kernel_shape") else {
            throw node.error(.invalidArgument, "attribute 'kernel_shape' is missing")
        }
        let p = try node.int("p", 2)
        let x = try ArithmeticImporters.single(node)
        var powers = try power(node, x, p)
        if try node.bool("ceil_mode", false) { powers = try filled(powers, kernel, node) }
        let mean = try pool(node, "avg", ["count_include_pad": true], of: powers)
        let count = kernel.reduce(1.0) { $0 * Double($1) }
        return try root(node, try node.call("multiply", [mean, try node.scalar(count, like: x)]), p)
    }

    /// Zeros behind an image, so that its last windows are whole.
    private static func filled(_ image: Operand, _ kernel: [Int64], _ node: Node) throws -> Operand {
        let sizes = try node.shape(0).dropFirst(2).map { dim in
            guard let size = dim.value, size < 1 << 31 else {
                throw node.unsupported("ceil_mode over a size that is not known")
            }
            return size
        }
        guard sizes.count == kernel.count else {
            throw node.error(.invalidArgument, "kernel_shape expects \(sizes.count) numbers")
        }
        let window = try WindowAttributes(node, kernel: kernel, input: sizes.map { .fixed($0) })
        var widths: [Int64] = [0, 0, 0, 0]
        for axis in kernel.indices {
            let (begin, end) = (window.pads[axis], window.pads[axis + kernel.count])
            let extent = (kernel[axis] - 1) * window.dilations[axis] + 1
            let room = max(sizes[axis] + begin + end - extent, 0)
            var steps = (room + window.strides[axis] - 1) / window.strides[axis]
            // A window that begins behind the image is none.
            if steps * window.strides[axis] >= sizes[axis] + begin { steps -= 1 }
            widths += [0, max(steps * window.strides[axis] - room, 0)]
        }
        return widths.allSatisfy { $0 == 0 } ? image : try node.call("nn.pad", [image], ["pad_width": .ints(widths)])
    }

    /// Zeros with each value where MaxPool found it. A larger `output_shape` leaves zeros behind what is restored.
    private static func maxUnpool(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...3)
        let x = try node.shape(0)
        guard let kernel = try node.ints("kernel_shape"), kernel.count == x.count - 2, x.count > 2 else {
            throw node.error(.invalidArgument, "kernel_shape expects \(x.count - 2) numbers")
        }
        let window = try WindowAttributes(node, kernel: kernel, input: Array(x.dropFirst(2)))
        guard window.computedPads == nil else { throw node.unsupported("auto_pad SAME over a size that is not known") }
        var shape = Array(x.prefix(2))
        for axis in kernel.indices {
            let pads = window.pads[axis] + window.pads[axis + kernel.count]
            guard
                let steps = Dim.adding(x[axis + 2], -1).flatMap({ Dim.multiplying($0, .fixed(window.strides[axis])) }),
                let size = Dim.adding(steps, .fixed(kernel[axis] - pads)), size.value ?? 0 >= 0
            else { throw node.error(.invalidShape, "the size of the result does not fit or is negative") }
            shape.append(size)
        }
        guard let count = ReshapingFolding.product(shape), let given = ReshapingFolding.product(x) else {
            throw node.error(.invalidShape, "the number of elements of the result does not fit")
        }
        let values = try node.operand(0)
        let dtype = try node.type(0).dtype ?? .float32
        let zeros = try node.call("zeros", [.shape([count])], ["dtype": .dtype(dtype)])
        let places = try node.reshape(try node.operand(1), [given])
        let flat = try node.call("scatter_elements", [zeros, places, try node.reshape(values, [given])], ["axis": 0])
        let result = try node.reshape(flat, shape)
        guard node.has(2) else { return [.operand(result)] }
        return [.operand(try enlarged(node, result, shape, dtype))]
    }

    /// `x` with zeros at the end of each axis, up to the sizes that input 2 gives.
    private static func enlarged(_ node: Node, _ x: Operand, _ shape: [Dim], _ dtype: DataType) throws -> Operand {
        let given = try node.integers(2, count: shape.count)
        if case .known(let sizes) = given, sizes == shape.map(\.value) { return x }
        let missing = try node.call("subtract", [try node.vector(given), try node.sizes(of: shape)])
        let rows = try node.reshape(missing, [.fixed(Int64(shape.count)), 1])
        let before = Operand.constant(try Constant.filled(.int64, [Int64(shape.count), 1], 0))
        let widths = try node.call("concat", [.tuple([before, rows])], ["axis": 1])
        let padded = try node.dynamic(
            "nn.pad", [x],
            [try node.reshape(widths, [.fixed(Int64(shape.count) * 2)]), .constant(try Constant.floats([], [0]))],
            ["pad_mode": "constant"])
        return try node.freshlySized(padded, dtype, rank: shape.count)
    }

    private static func global(_ node: Node, _ kind: String) throws -> [ImportedValue] {
        try node.requireInputs(1...1)
        let spatial = try node.rank(0) - 2
        guard (1...3).contains(spatial) else {
            throw node.unsupported("an input of \(spatial + 2) dimensions, expected 3 to 5")
        }
        return try node.result(
            "nn.adaptive_\(kind)_pool\(spatial)d", [try node.operand(0)],
            ["output_size": .ints([Int64](repeating: 1, count: spatial))])
    }
}
