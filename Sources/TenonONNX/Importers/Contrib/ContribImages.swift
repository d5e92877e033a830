import TenonIR

/// Operators on images of ONNX Runtime's own.
enum ContribImages {
    static let table: [String: OperatorImporter] = ["com.microsoft.CropAndResize": OperatorImporter(cropAndResize)]

    /// Regions of the pictures that indices name, sampled at evenly spaced places from corner to corner. A place outside of the
    /// picture gives a value of its own, one at its edge the edge.
    private static func cropAndResize(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(4...4)
        let (shape, rois) = (try node.shape(0), try node.shape(1))
        guard shape.count == 4, rois.count == 2, rois[1] == 4 || !rois[1].isFixed, try node.rank(2) == 1 else {
            throw node.error(
                .invalidShape,
                "expected X [n, c, h, w], rois [regions, 4] and indices [regions], found \(shape) and \(rois)")
        }
        let mode = try node.string("mode", "bilinear")
        guard mode == "bilinear" || mode == "nearest" else {
            throw node.error(.invalidArgument, "mode is \(quoted(mode))")
        }
        guard let crop = try node.host(3)?.dims, crop.count == 2 else {
            throw node.unsupported("a crop_size that only a run knows")
        }
        let dtype = try node.type(0).dtype ?? .float32
        let pictures = try node.call("take", [try node.operand(0), try node.operand(2)], ["axis": 0])
        func corner(_ index: Int64) throws -> Operand {
            try node.call(
                "strided_slice",
                [try node.operand(1), .tuple([.int(1)]), .tuple([.int(index)]), .tuple([.int(index + 1)])])
        }
        /// The last pixel along an axis.
        func last(_ axis: Int) throws -> Operand {
            guard let end = Dim.subtracting(shape[axis], 1) else { throw node.error(.invalidShape, "a size overflows") }
            return try node.cast(try node.reshape(try node.sizes(of: [end]), []), dtype)
        }
        func times(_ a: Operand, _ b: Operand) throws -> Operand { try node.call("multiply", [a, b]) }
        /// Places along an axis, in pixels.
        func places(_ first: Int64, _ second: Int64, _ count: Dim, _ end: Operand) throws -> Operand {
            let (begin, finish) = (try corner(first), try corner(second))
            let span = try times(try node.call("subtract", [finish, begin]), end)
            if count == 1 {
                // The middle.
                let sum = try node.call("add", [begin, finish])
                return try times(try times(sum, end), try node.scalar(0.5, like: sum))
            }
            guard let steps = Dim.subtracting(count, 1) else { throw node.error(.invalidShape, "a size overflows") }
            let numbers = try node.cast(try node.call("arange", [.shape([0]), .shape([count]), .shape([1])]), dtype)
            let step = try node.call("divide", [span, try node.cast(try node.sizes(of: [steps]), dtype)])
            return try node.call(
                "add", [try times(begin, end), try times(step, try node.reshape(numbers, [1, count]))])
        }
        let (bottom, right) = (try last(2), try last(3))
        let (rows, columns) = (try places(0, 2, crop[0], bottom), try places(1, 3, crop[1], right))
        func outside(_ x: Operand, _ end: Operand) throws -> Operand {
            try node.call(
                "logical_or",
                [try node.call("less", [x, try node.scalar(0, like: x)]), try node.call("greater", [x, end])])
        }
        // Positions from -1 to 1 over the centres of the first and last pixel; of halves the nearest is the upper one.
        func position(_ x: Operand, _ end: Operand, _ shape: [Dim]) throws -> Operand {
            var pixel = x
            if mode == "nearest" {
                pixel = try node.call("floor", [try node.call("add", [x, try node.scalar(0.5, like: x)])])
            }
            let one = try node.scalar(1, like: x)
            let whole = try node.call("maximum", [end, one])
            let doubled = try node.call("divide", [try times(pixel, try node.scalar(2, like: x)), whole])
            let moved = try node.reshape(try node.call("subtract", [doubled, one]), shape)
            return try node.call("broadcast_to", [moved, .shape([rois[0], crop[0], crop[1], 1])])
        }
        let grid = try node.call(
            "concat",
            [
                .tuple([
                    try position(columns, right, [rois[0], 1, crop[1], 1]),
                    try position(rows, bottom, [rois[0], crop[0], 1, 1]),
                ])
            ], ["axis": 3])
        let sampled = try node.call(
            "image.grid_sample", [pictures, grid],
            ["method": .string(mode), "padding_mode": "border", "align_corners": true])
        let beyond = try node.call(
            "logical_or",
            [
                try node.reshape(try outside(rows, bottom), [rois[0], 1, crop[0], 1]),
                try node.reshape(try outside(columns, right), [rois[0], 1, 1, crop[1]]),
            ])
        let value = try node.scalar(try node.float("extrapolation_value", 0), like: sampled)
        return try node.result("where", [beyond, value, sampled])
    }
}
