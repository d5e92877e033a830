import TenonIR

/// Patches put together where only the run knows their shape, or where they have more than three dimensions.
enum PatchImporters {
    /// Every number of a patch is added at the position that it has in the padded picture.
    static func columnsToImage(_ node: Node) throws -> [ImportedValue] {
        guard let axisCount = try node.integers(2).count, axisCount > 0 else {
            throw node.unsupported("a block_shape of unknown length")
        }
        let block = try GeometryImporters.sizes(node, 2, count: axisCount)
        let image = try GeometryImporters.sizes(node, 1, count: axisCount)
        let shape = try node.shape(0)
        guard shape.count == 3 else {
            throw node.error(.invalidShape, "input expects [n, channels × patch, patches], found \(try node.type(0))")
        }
        let ones = [Int64](repeating: 1, count: axisCount)
        let (strides, dilations) = (try node.ints("strides") ?? ones, try node.ints("dilations") ?? ones)
        let pads = try node.ints("pads") ?? [Int64](repeating: 0, count: axisCount * 2)
        guard strides.count == axisCount, dilations.count == axisCount, pads.count == axisCount * 2,
            (strides + dilations).allSatisfy({ $0 > 0 && $0 <= Int64(Int32.max) }),
            pads.allSatisfy({ $0 >= 0 && $0 <= Int64(Int32.max) })
        else { throw node.error(.invalidArgument, "strides, dilations and pads expect \(axisCount) numbers per side") }
        func dim(_ dim: Dim?) throws -> Dim {
            guard let dim else { throw node.error(.invalidShape, "a size overflows") }
            return dim
        }
        var (counts, whole): ([Dim], [Dim]) = ([], [])
        for axis in 0..<axisCount {
            let reach = try dim(Dim.adding(block[axis], -1).flatMap { Dim.multiplying($0, .fixed(dilations[axis])) })
            whole.append(try dim(Dim.adding(image[axis], .fixed(pads[axis] + pads[axis + axisCount]))))
            let rest = try dim(Dim.subtracting(whole[axis], reach).flatMap { Dim.adding($0, -1) })
            counts.append(try dim(Dim.floorDividing(rest, by: strides[axis]).flatMap { Dim.adding($0, 1) }))
        }
        let area = try dim(Dim.product(block))
        let channels = try dim(Dim.floorDividing(shape[1], by: area))
        let (lines, places) = (try dim(Dim.multiplying(shape[0], channels)), try dim(Dim.product(block + counts)))
        // Positions over [block…, count…], a sum of a line for each dimension.
        var position: Operand?
        for axis in 0..<axisCount {
            let below = try node.sizes(of: [try dim(Dim.product(whole[(axis + 1)...]))])
            for (place, size, factor) in [
                (axis, block[axis], dilations[axis]), (axisCount + axis, counts[axis], strides[axis]),
            ] {
                var form = [Dim](repeating: 1, count: axisCount * 2)
                form[place] = size
                let line = try node.call(
                    "multiply",
                    [
                        try node.call("arange", [.shape([0]), .shape([size]), .shape([1])]),
                        try node.call("multiply", [below, try node.list([factor])]),
                    ])
                let part = try node.reshape(line, form)
                position = try position.map { try node.call("add", [$0, part]) } ?? part
            }
        }
        guard let position else { throw node.error(.invalidShape, "a patch without dimensions") }
        let flat = try node.call("reshape", [position, .shape([1, places])])
        let indices = try node.call("broadcast_to", [flat, .shape([lines, places])])
        let x = try node.call("reshape", [try node.operand(0), .shape([lines, places])])
        let dtype = try node.type(0).dtype ?? .float32
        let empty = try node.call(
            "zeros", [.shape([lines, try dim(Dim.product(whole))])], ["dtype": .dtype(dtype)])
        let sums = try node.call("scatter_elements", [empty, indices, x], ["axis": 1, "reduction": "add"])
        let result = try node.call("reshape", [sums, .shape([shape[0], channels] + whole)])
        if !pads.contains(where: { $0 != 0 }) { return [.operand(result)] }
        let ends = try (0..<axisCount).map { try dim(Dim.adding(image[$0], .fixed(pads[$0]))) }
        return try node.result(
            "strided_slice",
            [
                result, .tuple((0..<axisCount).map { .int(Int64($0 + 2)) }),
                .shape((0..<axisCount).map { .fixed(pads[$0]) }), .shape(ends),
            ], ["assume_inbound": true])
    }
}
