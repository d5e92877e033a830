import TenonIR

/// Resize, and Upsample from which it came.
enum ResizeImporters {
    static let table: [String: OperatorImporter] = [
        "Resize": OperatorImporter(since: 10, resize),
        "Upsample": OperatorImporter(since: 7) { node in
            try node.requireInputs(node.opset < 9 ? 1...1 : 2...2)
            return try simple(node, node.opset < 9 ? try node.floats("scales") ?? [] : nil)
        },
    ]

    /// Interpolation without choices, as before opset 11: positions are output over scale, the nearest is below.
    ///
    /// - Parameter given: the scales of an attribute, else those of input 1 count.
    private static func simple(_ node: Node, _ given: [Double]?) throws -> [ImportedValue] {
        let mode = try node.string("mode", "nearest")
        guard let method = ["nearest": "nearest_neighbor", "linear": "linear", "bilinear": "linear"][mode] else {
            throw node.unsupported("mode \(quoted(mode))")
        }
        let attributes: Attributes = [
            "method": .string(method), "coordinate_transformation_mode": "asymmetric", "rounding_method": "floor",
        ]
        let axes = Array(0..<(try node.rank(0)))
        guard let scales = try given ?? node.constant(1)?.doubleElements else {
            return try ComputedResize(node: node, axes: axes, scales: 1).call(attributes)
        }
        return try call(node, axes: axes, scales: scales, sizes: nil, roi: nil, attributes)
    }

    private static func resize(_ node: Node) throws -> [ImportedValue] {
        if node.opset < 11 {
            try node.requireInputs(2...2)
            return try simple(node, nil)
        }
        try node.requireInputs(1...4)
        let mode = try node.string("mode", "nearest")
        guard let method = ["nearest": "nearest_neighbor", "linear": "linear", "cubic": "cubic"][mode] else {
            throw node.unsupported("mode \(quoted(mode))")
        }
        let transformation = try node.string("coordinate_transformation_mode", "half_pixel")
        let attributes: Attributes = [
            "method": .string(method), "coordinate_transformation_mode": .string(transformation),
            "rounding_method": .string(try node.string("nearest_mode", "round_prefer_floor")),
            "cubic_alpha": .float(try node.float("cubic_coeff_a", -0.75)),
            "cubic_exclude": .bool(try node.bool("exclude_outside", false)),
            "antialias": .bool(try node.bool("antialias", false)),
            "extrapolation_value": .float(try node.float("extrapolation_value", 0)),
        ]
        let rank = try node.rank(0)
        let axes = try node.ints("axes")?.map { try node.axis($0, rank: rank, what: "axes") } ?? Array(0..<rank)
        // An empty tensor stands for an input left out.
        func isGiven(_ index: Int) throws -> Bool { try node.has(index) && node.type(index).elementCount != 0 }
        let takesRegion = transformation == "tf_crop_and_resize"
        guard let scales = try isGiven(2) ? node.constant(2)?.doubleElements : [],
            var sizes = try isGiven(3) ? node.host(3)?.dims : [],
            let roi = try takesRegion && isGiven(1) ? node.constant(1)?.doubleElements : []
        else {
            let computed = ComputedResize(
                node: node, axes: axes, scales: try isGiven(2) ? 2 : nil, sizes: try isGiven(3) ? 3 : nil,
                roi: try takesRegion && isGiven(1) ? 1 : nil,
                policy: try node.string("keep_aspect_ratio_policy", "stretch"))
            return try computed.call(attributes)
        }
        guard scales.isEmpty != sizes.isEmpty else {
            throw node.error(.invalidArgument, "expected one of the inputs 'scales' and 'sizes'")
        }
        sizes = try keepingAspect(node, sizes, axes)
        return try call(
            node, axes: axes, scales: scales.isEmpty ? nil : scales, sizes: sizes.isEmpty ? nil : sizes,
            roi: takesRegion && node.has(1) ? roi : nil, attributes)
    }

    /// Sizes that one scale gives for all axes: the smallest or the largest of those asked for.
    private static func keepingAspect(_ node: Node, _ sizes: [Dim], _ axes: [Int]) throws -> [Dim] {
        let policy = try node.string("keep_aspect_ratio_policy", "stretch")
        if policy == "stretch" || sizes.isEmpty { return sizes }
        guard policy == "not_larger" || policy == "not_smaller" else {
            throw node.error(.invalidArgument, "keep_aspect_ratio_policy is \(quoted(policy))")
        }
        let shape = try node.shape(0)
        guard sizes.count == axes.count else {
            throw node.error(.invalidArgument, "expected \(axes.count) sizes, found \(sizes.count)")
        }
        let ratios = try zip(sizes, axes).map { size, axis -> Double in
            guard let wanted = size.value, let own = shape[axis].value, own > 0, wanted > 0, wanted < 1 << 40 else {
                throw node.unsupported("keep_aspect_ratio_policy over symbolic or empty sizes")
            }
            return Double(wanted) / Double(own)
        }
        guard let ratio = policy == "not_larger" ? ratios.min() : ratios.max() else { return sizes }
        return axes.map { axis in
            .fixed(Int64(clamping: (Double(shape[axis].value ?? 0) * ratio + 0.5).rounded(.down)))
        }
    }

    /// The call for the spatial axes; batch and channels stay as they are.
    private static func call(
        _ node: Node, axes: [Int], scales: [Double]?, sizes: [Dim]?, roi: [Double]?, _ attributes: Attributes
    ) throws -> [ImportedValue] {
        let shape = try node.shape(0)
        let count = (scales?.count ?? sizes?.count) ?? 0
        guard count == axes.count, Set(axes).count == count, roi == nil || roi?.count == count * 2 else {
            throw node.error(.invalidArgument, "expected \(axes.count) scales or sizes, found \(count)")
        }
        var target = shape
        var factors = [Double](repeating: 1, count: shape.count)
        var region = [Double](repeating: 0, count: shape.count) + [Double](repeating: 1, count: shape.count)
        for (index, axis) in axes.enumerated() {
            if let scales {
                factors[axis] = scales[index]
                if scales[index] != 1 { target[axis] = try scaled(node, shape[axis], by: scales[index]) }
            } else if let sizes {
                target[axis] = sizes[index]
            }
            if let roi {
                region[axis] = roi[index]
                region[axis + shape.count] = roi[index + count]
            }
        }
        // Axes that stay come first, and the operator's are the others. A size that is asked for of one that only a run knows
        // is taken to be that one where it is the batch, and checked.
        var x = try node.operand(0)
        var changed = shape.indices.filter { target[$0] != shape[$0] }
        if shape.count > 2, target[0].isFixed, !shape[0].isFixed {
            changed.removeAll { $0 == 0 }
            var known = shape
            known[0] = target[0]
            x = try node.sized(x, TensorType(try node.type(of: x).dtype, known))
        }
        if roi != nil { changed = Array(min(2, shape.count - 1)..<shape.count) }
        let isUsual = (3...5).contains(shape.count) && changed.allSatisfy { $0 >= 2 }
        let moving = isUsual ? Array(2..<shape.count) : changed
        guard (1...3).contains(moving.count) else {
            if moving.isEmpty { return [.operand(x)] }
            throw node.unsupported("a resize of \(moving.count) dimensions, expected 1 to 3")
        }
        let spatial = moving.count
        var attributes = attributes
        if scales != nil { attributes["scales"] = .floats(moving.map { factors[$0] }) }
        if roi != nil {
            attributes["roi"] = .floats(moving.map { region[$0] } + moving.map { region[$0 + shape.count] })
        }
        let size = moving.map { target[$0] }
        if isUsual { return try node.result("image.resize\(spatial)d", [x, .shape(size)], attributes) }
        // What stays goes into the batch, with one channel.
        let staying = shape.indices.filter { !moving.contains($0) }
        guard let current = try node.type(of: x).shape, let batch = Dim.product(staying.map { current[$0] }) else {
            throw node.error(.invalidShape, "a product of sizes does not fit")
        }
        let order = staying + moving
        let apart = try node.call("permute_dims", [x], ["axes": .ints(order.map { Int64($0) })])
        let flat = try node.reshape(apart, [batch, 1] + moving.map { current[$0] })
        let resized = try node.call("image.resize\(spatial)d", [flat, .shape(size)], attributes)
        let whole = try node.reshape(resized, staying.map { current[$0] } + size)
        let back = shape.indices.map { axis in Int64(order.firstIndex(of: axis) ?? axis) }
        return try node.result("permute_dims", [whole], ["axes": .ints(back)])
    }

    /// ⌊size × scale⌋, with f32 numbers as ONNX has them; a symbolic size needs a scale that is a simple fraction.
    private static func scaled(_ node: Node, _ size: Dim, by scale: Double) throws -> Dim {
        guard scale > 0, scale <= 1_048_576 else {
            throw node.error(.invalidArgument, "scale \(scale) expects a number above 0 and at most 2^20")
        }
        if let size = size.value {
            guard size >= 0, size < 1 << 40 else {
                throw node.error(.invalidShape, "size \(size) is too large to scale")
            }
            return .fixed(Int64((Double(size) * scale).rounded(.down)))
        }
        for divisor in 1...64 {
            let factor = scale * Double(divisor)
            guard factor == factor.rounded() else { continue }
            if let result = Dim.multiplying(size, .fixed(Int64(factor))).flatMap({
                Dim.floorDividing($0, by: Int64(divisor))
            }) {
                return result
            }
        }
        throw node.unsupported("scale \(scale) of a symbolic size")
    }
}
