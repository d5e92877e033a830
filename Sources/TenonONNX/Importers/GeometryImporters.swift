import TenonIR

/// Operators on where things lie in a picture: grids of positions, cuts around the middle, patches put together, convolutions
/// whose samples move.
enum GeometryImporters {
    static let table: [String: OperatorImporter] = [
        "AffineGrid": OperatorImporter(since: 20, affineGrid),
        "CenterCropPad": OperatorImporter(since: 18, centerCropPad),
        "Col2Im": OperatorImporter(since: 18, columnsToImage),
        "DeformConv": OperatorImporter(since: 19, deformable),
    ]

    /// Input `index` as sizes: known, or symbols that the run binds.
    static func sizes(_ node: Node, _ index: Int, count: Int) throws -> [Dim] {
        let given = try node.integers(index, count: count)
        if let dims = given.dims { return dims }
        let shape = try node.shape(try node.vector(given), count: count)
        guard case .shape(let dims?) = node.graph.builder.type(of: shape) else {
            throw node.unsupported("input \(index), sizes that are not known")
        }
        return dims
    }

    // MARK: - AffineGrid

    /// theta × (x, y, 1) for evenly spaced positions from -1 to 1: their corners with align_corners, else their centres.
    private static func affineGrid(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...2)
        let theta = try node.shape(0)
        guard theta.count == 3, let rows = theta[1].value, rows == 2 || rows == 3, theta[2].value == rows + 1 else {
            throw node.error(.invalidShape, "theta expects [n, 2, 3] or [n, 3, 4], found \(try node.type(0))")
        }
        let size = try sizes(node, 1, count: Int(rows) + 2)
        let (batch, spatial) = (size[0], Array(size.dropFirst(2)))
        let alignsCorners = try node.bool("align_corners", false)
        let dtype = try node.type(0).dtype ?? .float32
        func positions(_ count: Dim) throws -> Operand {
            let numbers = try node.cast(try node.call("arange", [.shape([0]), .shape([count]), .shape([1])]), dtype)
            func scalar(_ value: Double) throws -> Operand { try node.scalar(value, like: numbers) }
            if alignsCorners {
                guard let last = Dim.subtracting(count, 1).flatMap({ Dim.maximum($0, 1) }) else {
                    throw node.error(.invalidShape, "a size overflows")
                }
                let whole = try node.cast(try node.sizes(of: [last]), dtype)
                let part = try node.call("divide", [try node.call("multiply", [numbers, try scalar(2)]), whole])
                return try node.call("subtract", [part, try scalar(1)])
            }
            let whole = try node.cast(try node.sizes(of: [count]), dtype)
            let centre = try node.call("add", [numbers, try scalar(0.5)])
            let part = try node.call("divide", [try node.call("multiply", [centre, try scalar(2)]), whole])
            return try node.call("subtract", [part, try scalar(1)])
        }
        // x belongs to the last axis and stands first.
        var columns: [Operand] = []
        for axis in spatial.indices.reversed() {
            var shape = [Dim](repeating: 1, count: spatial.count + 1)
            shape[axis] = spatial[axis]
            columns.append(
                try node.call(
                    "broadcast_to", [try node.reshape(try positions(spatial[axis]), shape), .shape(spatial + [1])]))
        }
        columns.append(try node.call("ones", [.shape(spatial + [1])], ["dtype": .dtype(dtype)]))
        guard let count = Dim.product(spatial) else {
            throw node.error(.invalidShape, "a product of sizes does not fit")
        }
        let all = try node.call("concat", [.tuple(columns)], ["axis": .int(Int64(spatial.count))])
        let base = try node.reshape(all, [1, count, .fixed(rows + 1)])
        let turned = try node.call("permute_dims", [try node.operand(0)], ["axes": .ints([0, 2, 1])])
        let grid = try node.call("matmul", [base, turned])
        return [.operand(try node.reshape(grid, [batch] + spatial + [.fixed(rows)]))]
    }

    // MARK: - CenterCropPad

    /// Cut around the middle where an axis is larger than asked for, padded on both sides where it is smaller.
    private static func centerCropPad(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...2)
        let shape = try node.shape(0)
        let axes = try (node.ints("axes") ?? (0..<Int64(shape.count)).map { $0 }).map {
            try node.axis($0, rank: shape.count, what: "axes")
        }
        let wanted = try sizes(node, 1, count: axes.count)
        var x = try node.operand(0)
        var target = shape
        var widths = [Dim](repeating: 0, count: shape.count * 2)
        var (begins, ends): ([Dim], [Dim]) = ([], [])
        for (axis, size) in zip(axes, wanted) {
            guard let kept = Dim.minimum(size, shape[axis]), let cut = Dim.subtracting(shape[axis], kept),
                let begin = Dim.floorDividing(cut, by: Int64(2)), let end = Dim.adding(begin, kept),
                let missing = Dim.subtracting(size, kept), let before = Dim.floorDividing(missing, by: Int64(2)),
                let after = Dim.subtracting(missing, before)
            else { throw node.error(.invalidShape, "a size overflows") }
            begins.append(begin)
            ends.append(end)
            (widths[axis * 2], widths[axis * 2 + 1]) = (before, after)
            target[axis] = size
        }
        let isCut = zip(zip(axes, begins), ends).contains { $0.1 != 0 || $1 != shape[$0.0] }
        if isCut {
            x = try node.call(
                "strided_slice", [x, .tuple(axes.map { .int(Int64($0)) }), .shape(begins), .shape(ends)],
                ["assume_inbound": true])
        }
        if widths.allSatisfy({ $0 == 0 }) {
            return [.operand(try node.type(of: x).shape == target ? x : sized(node, x, target))]
        }
        let zero = try node.scalar(0, like: x)
        let padded = try node.dynamic("nn.pad", [x], [try node.sizes(of: widths), zero], ["pad_mode": "constant"])
        return [.operand(try sized(node, padded, target))]
    }

    private static func sized(_ node: Node, _ x: Operand, _ shape: [Dim]) throws -> Operand {
        try node.sized(x, TensorType(try node.type(of: x).dtype, shape))
    }

    // MARK: - Col2Im

    /// The sum of patches where they lie in the picture: a transposed convolution whose kernel has one 1 per place of a patch.
    private static func columnsToImage(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(3...3)
        guard let block = try node.host(2)?.ints, (1...3).contains(block.count) else {
            return try PatchImporters.columnsToImage(node)
        }
        guard block.allSatisfy({ $0 > 0 && $0 <= Int64(Int16.max) }) else {
            throw node.error(.invalidArgument, "block_shape is \(block)")
        }
        let spatial = block.count
        let image = try sizes(node, 1, count: spatial)
        let shape = try node.shape(0)
        let area = block.reduce(1, *)
        guard shape.count == 3, area <= 1 << 16, let rows = shape[1].value, rows % area == 0 else {
            throw node.error(.invalidShape, "input expects [n, channels × \(area), patches], found \(try node.type(0))")
        }
        let channels = rows / area
        let ones = [Int64](repeating: 1, count: spatial)
        let (strides, dilations) = (try node.ints("strides") ?? ones, try node.ints("dilations") ?? ones)
        let pads = try node.ints("pads") ?? [Int64](repeating: 0, count: spatial * 2)
        guard strides.count == spatial, dilations.count == spatial, pads.count == spatial * 2,
            (strides + dilations).allSatisfy({ $0 > 0 && $0 <= Int64(Int32.max) }),
            pads.allSatisfy({ $0 >= 0 && $0 <= Int64(Int32.max) })
        else { throw node.error(.invalidArgument, "strides, dilations and pads expect \(spatial) numbers per side") }
        var (counts, whole): ([Dim], [Dim]) = ([], [])
        for axis in 0..<spatial {
            let extent = dilations[axis] * (block[axis] - 1) + 1
            guard let padded = Dim.adding(image[axis], .fixed(pads[axis] + pads[axis + spatial])),
                let steps = Dim.adding(padded, .fixed(-extent)).flatMap({ Dim.floorDividing($0, by: strides[axis]) }),
                let count = Dim.adding(steps, 1)
            else { throw node.error(.invalidShape, "a size overflows") }
            counts.append(count)
            whole.append(padded)
        }
        let dtype = try node.type(0).dtype ?? .float32
        let x = try node.call("reshape", [try node.operand(0), .shape([shape[0], shape[1]] + counts)])
        // [channels × area, 1, block…]: the place of a patch that a row belongs to.
        var numbers = [Double](repeating: 0, count: Int(area * area))
        for place in 0..<Int(area) { numbers[place * Int(area) + place] = 1 }
        let kernel = Operand.constant(try Constant.from(doubles: numbers, dtype, [area, 1] + block))
        let repeats = [channels] + [Int64](repeating: 1, count: spatial + 1)
        let kernels = channels == 1 ? kernel : try node.call("tile", [kernel], ["repeats": .ints(repeats)])
        let zeros = [Int64](repeating: 0, count: spatial)
        var result = try node.call(
            "nn.conv\(spatial)d_transpose", [x, kernels],
            [
                "strides": .ints(strides), "dilation": .ints(dilations), "padding": .ints(zeros + zeros),
                "output_padding": .ints(zeros), "groups": .int(channels),
            ])
        guard let found = try node.type(of: result).shape else { throw node.unsupported("an unknown shape") }
        // Strides may leave places at the end without a patch; the padding goes.
        var widths: [Dim] = [0, 0, 0, 0]
        for axis in 0..<spatial {
            guard let more = Dim.subtracting(whole[axis], found[axis + 2]) else {
                throw node.error(.invalidShape, "a size overflows")
            }
            widths += [0, more]
        }
        if widths.contains(where: { $0 != 0 }) {
            let zero = try node.scalar(0, like: result)
            result = try sized(
                node,
                try node.dynamic("nn.pad", [result], [try node.sizes(of: widths), zero], ["pad_mode": "constant"]),
                [shape[0], .fixed(channels)] + whole)
        }
        if pads.contains(where: { $0 != 0 }) {
            let begins = (0..<spatial).map { Dim.fixed(pads[$0]) }
            let ends = try (0..<spatial).map { axis -> Dim in
                guard let end = Dim.adding(image[axis], .fixed(pads[axis])) else {
                    throw node.error(.invalidShape, "a size overflows")
                }
                return end
            }
            result = try node.call(
                "strided_slice",
                [result, .tuple((0..<spatial).map { .int(Int64($0 + 2)) }), .shape(begins), .shape(ends)],
                ["assume_inbound": true])
        }
        return [.operand(result)]
    }

    // MARK: - DeformConv

    /// A convolution of samples that offsets have moved: read by interpolation, weighed by the mask, multiplied by the weights.
    private static func deformable(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(3...5)
        let (shape, weight, offsets) = (try node.shape(0), try node.shape(1), try node.shape(2))
        guard shape.count == 4, weight.count == 4, offsets.count == 4 else {
            throw node.unsupported("an input of \(shape.count) dimensions, expected 4")
        }
        let kernel = try ConvolutionImporters.kernelSize(node, weight)
        let window = try WindowAttributes(node, kernel: kernel, input: Array(shape.dropFirst(2)))
        let (groups, offsetGroups) = (try node.int("group", 1), try node.int("offset_group", 1))
        let places = kernel[0] * kernel[1]
        guard groups > 0, offsetGroups > 0, let channels = shape[1].value, channels % offsetGroups == 0,
            channels % groups == 0, let outputs = weight[0].value, outputs % groups == 0,
            offsets[1].value == offsetGroups * 2 * places, window.computedPads == nil
        else {
            throw node.error(
                .invalidShape, "X \(shape), W \(weight) and offset \(offsets) in \(groups) and \(offsetGroups) groups")
        }
        let dtype = try node.type(0).dtype ?? .float32
        let (height, width) = (offsets[2], offsets[3])
        let x = try node.operand(0)
        // Where each place of the kernel reads without offsets: [places, rows, columns].
        func base(_ axis: Int, _ count: Dim) throws -> Operand {
            let steps = try node.call("arange", [.shape([0]), .shape([count]), .shape([1])])
            let moved = try node.call(
                "subtract",
                [
                    try node.call("multiply", [steps, .constant(try Constant.ints([], [window.strides[axis]]))]),
                    .constant(try Constant.ints([], [window.pads[axis]])),
                ])
            let own = (0..<places).map { place -> Int64 in
                (axis == 0 ? place / kernel[1] : place % kernel[1]) * window.dilations[axis]
            }
            let starts = Operand.constant(try Constant.ints([places, 1, 1], own))
            let line = try node.reshape(moved, axis == 0 ? [1, count, 1] : [1, 1, count])
            return try node.cast(try node.call("add", [starts, line]), dtype)
        }
        let batch = shape[0]
        guard let all = Dim.multiplying(height, .fixed(places)),
            let samples = Dim.multiplying(batch, .fixed(offsetGroups))
        else { throw node.error(.invalidShape, "a size overflows") }
        // [batch × groups, places, 2, rows, columns]: rows first, then columns.
        let given = try node.reshape(
            try node.operand(2), [samples, .fixed(places), 2, height, width])
        let parts = try node.call("split", [given], ["sections": 2, "axis": 2])
        func position(_ axis: Int, _ count: Dim) throws -> Operand {
            let offset = try node.reshape(try node.item(axis, of: parts), [samples, .fixed(places), height, width])
            let pixel = try node.call("add", [offset, try base(axis, axis == 0 ? height : width)])
            // From -1 to 1 over the pixels' corners: 2 × (pixel + 0.5) / size - 1.
            let whole = try node.cast(try node.reshape(try node.sizes(of: [count]), []), dtype)
            let centre = try node.call("add", [pixel, try node.scalar(0.5, like: pixel)])
            let part = try node.call(
                "divide", [try node.call("multiply", [centre, try node.scalar(2, like: pixel)]), whole])
            let moved = try node.call("subtract", [part, try node.scalar(1, like: pixel)])
            return try node.reshape(moved, [samples, all, width, 1])
        }
        let grid = try node.call(
            "concat", [.tuple([try position(1, shape[3]), try position(0, shape[2])])], ["axis": 3])
        let perGroup = channels / offsetGroups
        let pictures = try node.reshape(x, [samples, .fixed(perGroup), shape[2], shape[3]])
        var read = try node.call(
            "image.grid_sample", [pictures, grid],
            ["method": "bilinear", "padding_mode": "zeros", "align_corners": false])
        read = try node.reshape(read, [samples, .fixed(perGroup), .fixed(places), height, width])
        if node.has(4) {
            let mask = try node.reshape(try node.operand(4), [samples, 1, .fixed(places), height, width])
            read = try node.call("multiply", [read, mask])
        }
        // Every channel's places side by side, as a 1×1 convolution takes them.
        let columns = try node.reshape(read, [batch, .fixed(channels * places), height, width])
        let flat = try node.reshape(
            try node.operand(1), [weight[0], .fixed(channels / groups * places), 1, 1])
        var result = try node.call("nn.conv2d", [columns, flat], ["groups": .int(groups)])
        if node.has(3) {
            result = try node.call("add", [result, try node.reshape(try node.operand(3), [1, weight[0], 1, 1])])
        }
        return [.operand(result)]
    }
}
