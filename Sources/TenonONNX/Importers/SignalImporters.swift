import Glibc
import TenonIR

/// Windows, and the discrete Fourier transform as products with matrices.
enum SignalImporters {
    static let table: [String: OperatorImporter] = [
        "HannWindow": window([0.5, -0.5]),
        "HammingWindow": window([25.0 / 46, -21.0 / 46]),
        "BlackmanWindow": window([0.42, -0.5, 0.08]),
        "DFT": OperatorImporter(since: 17, transform),
        "STFT": OperatorImporter(since: 17, shortTimeTransform),
    ]

    // MARK: - Windows

    /// Σ factors[k] × cos(2πk n / size), for n = 0, 1, … size - 1; over size - 1 where the window is not periodic.
    private static func window(_ factors: [Double]) -> OperatorImporter {
        OperatorImporter(since: 17) { node in
            let given = try ArithmeticImporters.single(node)
            let dtype = try node.dtype("output_datatype") ?? .float32
            let isPeriodic = try node.bool("periodic", true)
            let size = try node.reshape(try node.cast(given, .int64), [])
            func number(_ value: Int64) throws -> Operand { .constant(try Constant.ints([], [value])) }
            let counted = try node.call("arange", [try number(0), size, try number(1)])
            let positions = try node.cast(try node.freshlySized(counted, .int64, rank: 1), .float64)
            var period = try node.cast(size, .float64)
            func real(_ value: Double) throws -> Operand { try node.scalar(value, like: period) }
            if !isPeriodic { period = try node.call("subtract", [period, try real(1)]) }
            let turns = try node.call("divide", [positions, period])
            var sum: Operand?
            for (order, factor) in factors.enumerated() {
                let angle = try node.call("multiply", [turns, try real(2 * Double.pi * Double(order))])
                let term = try node.call("multiply", [try node.call("cos", [angle]), try real(factor)])
                sum = try sum.map { try node.call("add", [$0, term]) } ?? term
            }
            return [.operand(try node.cast(sum ?? turns, dtype))]
        }
    }

    // MARK: - Transform

    /// Longer transforms would need larger matrices than are worth their memory.
    private static let longest: Int64 = 4096

    private static func transform(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(1...(node.opset < 20 ? 2 : 3))
        let (isInverse, isOneSided) = (try node.bool("inverse", false), try node.bool("onesided", false))
        let shape = try node.shape(0)
        let rank = shape.count
        var given = try node.opset < 20 ? node.int("axis", 1) : -2
        if node.opset >= 20, node.has(2) { given = try node.constantInts(2).first ?? -2 }
        let axis = try node.axis(given, rank: rank)
        guard axis < rank - 1, let parts = shape[rank - 1].value, parts == 1 || parts == 2 else {
            throw node.error(.invalidShape, "expected real or complex numbers in the last dimension, found \(shape)")
        }
        guard let size = shape[axis].value else { throw node.unsupported("an axis whose size is not known") }
        // A one-sided inverse gives real numbers back.
        let isReal = isInverse && isOneSided
        var length = isReal ? 2 * (size - 1) : size
        if node.has(1) {
            guard let known = try node.constantInts(1).first else {
                throw node.error(.invalidShape, "dft_length expects one number")
            }
            length = known
        }
        guard length > 0, length <= longest, size <= longest else {
            throw node.unsupported("a transform of \(size) values to \(length)")
        }
        let half = length / 2 + 1
        let used = min(size, isReal ? half : length)
        let dtype = try node.type(0).dtype ?? .float32
        let matrices = try Matrices(
            rows: used, columns: isOneSided && !isInverse ? half : length, length: length, isInverse: isInverse,
            isReal: isReal, dtype)
        // Numbers stand last, real and imaginary parts apart.
        var moved = (0..<rank - 1).filter { $0 != axis }
        moved.append(axis)
        let ordered = try node.call(
            "permute_dims", [try node.operand(0)], ["axes": .ints((moved + [rank - 1]).map { Int64($0) })])
        func part(_ index: Int64) throws -> Operand {
            let bounds: [Operand] = [
                .tuple([.int(Int64(rank - 2)), .int(Int64(rank - 1))]), .tuple([.int(0), .int(index)]),
                .tuple([.int(used), .int(index + 1)]),
            ]
            let column = try node.call("strided_slice", [ordered] + bounds)
            return try node.call("squeeze", [column], ["axis": .ints([Int64(rank - 1)])])
        }
        let (cosine, sine) = (Operand.constant(matrices.cosine), Operand.constant(matrices.sine))
        let x = try part(0)
        // (a + bi)(c + si) with s negative on the way there.
        var real = try node.call("matmul", [x, cosine])
        var imaginary = try node.call("matmul", [x, sine])
        if parts == 2 {
            let y = try part(1)
            real = try node.call("subtract", [real, try node.call("matmul", [y, sine])])
            imaginary = try node.call("add", [imaginary, try node.call("matmul", [y, cosine])])
        }
        let fields = try (isReal ? [real] : [real, imaginary]).map {
            try node.call("expand_dims", [$0], ["axis": .ints([-1])])
        }
        let all = fields.count == 1 ? fields[0] : try node.call("concat", [.tuple(fields)], ["axis": -1])
        // Back to where the axis was.
        var order = [Int64](repeating: Int64(rank - 1), count: rank)
        for (place, source) in moved.enumerated() { order[source] = Int64(place) }
        return try node.result("permute_dims", [all], ["axes": .ints(order)])
    }

    /// Frames of a signal, each multiplied by a window and transformed: a convolution with the rows of the transform.
    private static func shortTimeTransform(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...4)
        let shape = try node.shape(0)
        guard shape.count == 3 || shape.count == 2, shape.count == 2 || shape[2].value == 1 else {
            throw node.unsupported("a signal of \(try node.type(0)), expected real numbers [batch, length, 1]")
        }
        let step = try node.constantInts(1).first ?? 0
        var length = node.has(3) ? try node.constantInts(3).first : nil
        if node.has(2) {
            guard let own = try node.type(2).elementCount.map(Int64.init) else {
                throw node.unsupported("a window of unknown length")
            }
            if let length, length != own {
                throw node.error(.invalidShape, "window expects \(length) numbers, found \(own)")
            }
            length = own
        }
        guard let length, length > 0, length <= longest, step > 0, step <= Int64(Int32.max) else {
            throw node.error(.invalidArgument, "frame_step and frame_length expect numbers from 1 to \(longest)")
        }
        let bins = try node.bool("onesided", true) ? length / 2 + 1 : length
        let dtype = try node.type(0).dtype ?? .float32
        let matrices = try Matrices(
            rows: length, columns: bins, length: length, isInverse: false, isReal: false, dtype)
        // [bins × 2, 1, length].
        let rows = try [matrices.cosine, matrices.sine].map {
            Operand.constant(try ConstantTransform.transposed($0))
        }
        var kernel = try node.reshape(
            try node.call("concat", [.tuple(rows)], ["axis": 0]), [.fixed(bins * 2), 1, .fixed(length)])
        if node.has(2) {
            let window = try node.cast(try node.operand(2), dtype)
            kernel = try node.call("multiply", [kernel, try node.reshape(window, [1, 1, .fixed(length)])])
        }
        let signal = try node.reshape(try node.operand(0), [shape[0], 1, shape[1]])
        let frames = try node.call("nn.conv1d", [signal, kernel], ["strides": .ints([step])])
        guard let found = try node.type(of: frames).shape else { throw node.unsupported("an unknown shape") }
        let apart = try node.reshape(frames, [shape[0], 2, .fixed(bins), found[2]])
        return try node.result("permute_dims", [apart], ["axes": .ints([0, 3, 2, 1])])
    }

    /// cos and ±sin of 2π r c / length, divided by length for an inverse.
    private struct Matrices {
        let cosine: Constant
        let sine: Constant

        init(rows: Int64, columns: Int64, length: Int64, isInverse: Bool, isReal: Bool, _ dtype: DataType) throws {
            var (cosines, sines): ([Double], [Double]) = ([], [])
            for row in 0..<rows {
                // The other half of a real signal's frequencies mirrors this one.
                let isAlone = row == 0 || 2 * row == length
                let scale = (isInverse ? 1 / Double(length) : 1) * (isReal && !isAlone ? 2 : 1)
                for column in 0..<columns {
                    let angle = 2 * Double.pi * Double(row * column % length) / Double(length)
                    cosines.append(cos(angle) * scale)
                    // The imaginary parts of frequencies that stand alone do not count.
                    sines.append(isReal && isAlone ? 0 : (isInverse ? sin(angle) : -sin(angle)) * scale)
                }
            }
            cosine = try Constant.from(doubles: cosines, dtype, [rows, columns])
            sine = try Constant.from(doubles: sines, dtype, [rows, columns])
        }
    }
}
