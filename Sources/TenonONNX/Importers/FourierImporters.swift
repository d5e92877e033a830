import Glibc
import TenonIR

/// The discrete Fourier transform as products with matrices, which are constants where the sizes are known.
enum FourierImporters {
    static let table: [String: OperatorImporter] = [
        "DFT": OperatorImporter(since: 17, transform),
        "STFT": OperatorImporter(since: 17, shortTimeTransform),
    ]

    /// Longer transforms would need larger matrices than are worth their memory.
    private static let longest: Int64 = 4096

    private static func overflow(_ node: Node) -> TenonError { node.error(.invalidShape, "a size overflows") }

    private static func checked(_ node: Node, _ dims: Dim...) throws {
        for dim in dims {
            if let value = dim.value, value <= 0 || value > longest {
                throw node.unsupported("a transform of or to \(value) values, expected 1 to \(longest)")
            }
        }
    }

    // MARK: - DFT

    private static func transform(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(1...(node.opset < 20 ? 2 : 3))
        let shape = try node.shape(0)
        let rank = shape.count
        guard rank > 1, let parts = shape[rank - 1].value, parts == 1 || parts == 2 else {
            throw node.error(.invalidShape, "expected real or complex numbers in the last dimension, found \(shape)")
        }
        var given = try node.opset < 20 ? node.int("axis", 1) : -2
        if node.opset >= 20, node.has(2) {
            guard let known = try node.host(2)?.ints?.first else { return try alongComputed(node, shape) }
            given = known
        }
        let axis = try node.axis(given, rank: rank)
        guard axis < rank - 1 else {
            throw node.error(.invalidArgument, "axis \(given) is that of the parts of a number")
        }
        return [.operand(try transformed(node, try node.operand(0), shape, axis: axis).result)]
    }

    /// Along an axis that the run computes: what lies before and behind it are two dimensions meanwhile.
    private static func alongComputed(_ node: Node, _ shape: [Dim]) throws -> [ImportedValue] {
        let rank = shape.count
        func list(_ value: Int64) throws -> Operand { try node.list([value]) }
        let given = try node.reshape(try node.cast(try node.operand(2), .int64), [1])
        let isNegative = try node.call("less", [given, try list(0)])
        let counted = try node.call("add", [given, try list(Int64(rank))])
        let axis = try node.call("where", [isNegative, counted, given])
        let places = try node.list((0..<rank - 1).map { Int64($0) })
        let sizes = try node.sizes(of: Array(shape.dropLast()))
        func product(_ comparison: String) throws -> Operand {
            let isIn = try node.call(comparison, [places, axis])
            let factors = try node.call("where", [isIn, sizes, try list(1)])
            return try node.call("prod", [factors], ["axis": .ints([0]), "keepdims": true])
        }
        // An axis out of range has no size, and the reshape fails.
        let isAxis = try node.call("equal", [places, axis])
        let own = try node.call("where", [isAxis, sizes, try list(0)])
        let size = try node.call("sum", [own], ["axis": .ints([0]), "keepdims": true])
        let parts = try node.sizes(of: Array(shape.suffix(1)))
        let whole = try node.call(
            "concat", [.tuple([try product("less"), size, try product("greater"), parts])], ["axis": 0])
        let target = try node.shape(whole, count: 4, known: [nil, nil, nil, shape[rank - 1]])
        let flat = try node.call("reshape", [try node.operand(0), target])
        guard case .shape(let dims?) = node.graph.builder.type(of: target) else {
            throw node.unsupported("sizes that are not known")
        }
        let (result, length, fields) = try transformed(node, flat, dims, axis: 1)
        let changed = try node.call("where", [isAxis, try node.sizes(of: [length]), sizes])
        let vector = try node.call("concat", [.tuple([changed, try list(fields)])], ["axis": 0])
        var known = [Dim?](repeating: nil, count: rank)
        known[rank - 1] = .fixed(fields)
        return try node.result("reshape", [result, try node.shape(vector, count: rank, known: known)])
    }

    /// The transform of `x` along an axis, the size that the axis has then, and the parts of a number.
    private static func transformed(
        _ node: Node, _ x: Operand, _ shape: [Dim], axis: Int
    ) throws -> (result: Operand, length: Dim, fields: Int64) {
        let (isInverse, isOneSided) = (try node.bool("inverse", false), try node.bool("onesided", false))
        let (rank, size) = (shape.count, shape[axis])
        // A one-sided inverse gives real numbers back.
        let isReal = isInverse && isOneSided
        guard var length = isReal ? Dim.adding(size, -1).flatMap({ Dim.multiplying($0, 2) }) : size else {
            throw overflow(node)
        }
        if node.has(1) { length = try GeometryImporters.sizes(node, 1, count: 1)[0] }
        try checked(node, length, size)
        guard let half = Dim.floorDividing(length, by: Int64(2)).flatMap({ Dim.adding($0, 1) }),
            let used = Dim.minimum(size, isReal ? half : length)
        else { throw overflow(node) }
        let columns = isOneSided && !isInverse ? half : length
        let dtype = try node.type(0).dtype ?? .float32
        let (cosine, sine) = try Matrices(
            rows: used, columns: columns, length: length, isInverse: isInverse, isReal: isReal
        ).operands(node, dtype)
        // Numbers stand last, real and imaginary parts apart.
        var moved = (0..<rank - 1).filter { $0 != axis }
        moved.append(axis)
        let ordered = try node.call("permute_dims", [x], ["axes": .ints((moved + [rank - 1]).map { Int64($0) })])
        func part(_ index: Int64) throws -> Operand {
            let bounds: [Operand] = [
                .tuple([.int(Int64(rank - 2)), .int(Int64(rank - 1))]), .shape([0, .fixed(index)]),
                .shape([used, .fixed(index + 1)]),
            ]
            let column = try node.call("strided_slice", [ordered] + bounds, ["assume_inbound": true])
            return try node.call("squeeze", [column], ["axis": .ints([Int64(rank - 1)])])
        }
        let first = try part(0)
        // (a + bi)(c + si) with s negative on the way there.
        var real = try node.call("matmul", [first, cosine])
        var imaginary = try node.call("matmul", [first, sine])
        if shape[rank - 1].value == 2 {
            let second = try part(1)
            real = try node.call("subtract", [real, try node.call("matmul", [second, sine])])
            imaginary = try node.call("add", [imaginary, try node.call("matmul", [second, cosine])])
        }
        let fields = try (isReal ? [real] : [real, imaginary]).map {
            try node.call("expand_dims", [$0], ["axis": .ints([-1])])
        }
        let all = fields.count == 1 ? fields[0] : try node.call("concat", [.tuple(fields)], ["axis": -1])
        // Back to where the axis was.
        var order = [Int64](repeating: Int64(rank - 1), count: rank)
        for (place, source) in moved.enumerated() { order[source] = Int64(place) }
        return (try node.call("permute_dims", [all], ["axes": .ints(order)]), columns, Int64(fields.count))
    }

    // MARK: - STFT

    /// Frames of a signal, each multiplied by a window and transformed.
    private static func shortTimeTransform(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...4)
        let shape = try node.shape(0)
        guard shape.count == 3 || shape.count == 2, shape.count == 2 || shape[2].value == 1 else {
            throw node.unsupported("a signal of \(try node.type(0)), expected real numbers [batch, length, 1]")
        }
        let step = try GeometryImporters.sizes(node, 1, count: 1)[0]
        var length: Dim?
        if node.has(3) { length = try GeometryImporters.sizes(node, 3, count: 1)[0] }
        if node.has(2) {
            guard let own = try node.type(2).shape, own.count == 1 else {
                throw node.unsupported("a window of \(try node.type(2)), expected a vector")
            }
            if let length = length?.value, let found = own[0].value, length != found {
                throw node.error(.invalidShape, "window expects \(length) numbers, found \(found)")
            }
            // The run finds out where one of both is not known.
            length = own[0].isFixed ? own[0] : length ?? own[0]
        }
        guard let length, step.value.map({ $0 > 0 && $0 <= Int64(Int32.max) }) ?? true else {
            throw node.error(.invalidArgument, "frame_step and frame_length expect numbers from 1 to \(longest)")
        }
        try checked(node, length)
        guard let half = Dim.floorDividing(length, by: Int64(2)).flatMap({ Dim.adding($0, 1) }) else {
            throw overflow(node)
        }
        let bins = try node.bool("onesided", true) ? half : length
        let dtype = try node.type(0).dtype ?? .float32
        let matrices = Matrices(rows: length, columns: bins, length: length, isInverse: false, isReal: false)
        var window: Operand?
        if node.has(2) { window = try node.reshape(try node.cast(try node.operand(2), dtype), [length]) }
        guard let fixed = length.value, let bins = bins.value, let step = step.value else {
            return try framed(node, shape, step, length, matrices, window, dtype)
        }
        // A convolution with the rows of the transform.
        let (cosine, sine) = try matrices.constants(fixed, bins, fixed, dtype)
        // [bins × 2, 1, length].
        let rows = try [cosine, sine].map { Operand.constant(try ConstantTransform.transposed($0)) }
        var kernel = try node.reshape(
            try node.call("concat", [.tuple(rows)], ["axis": 0]), [.fixed(bins * 2), 1, length])
        if let window { kernel = try node.call("multiply", [kernel, try node.reshape(window, [1, 1, length])]) }
        let signal = try node.reshape(try node.operand(0), [shape[0], 1, shape[1]])
        let frames = try node.call("nn.conv1d", [signal, kernel], ["strides": .ints([step])])
        guard let found = try node.type(of: frames).shape else { throw node.unsupported("an unknown shape") }
        let apart = try node.reshape(frames, [shape[0], 2, .fixed(bins), found[2]])
        return try node.result("permute_dims", [apart], ["axes": .ints([0, 3, 2, 1])])
    }

    /// Frames whose length or distance only the run knows: read by position, then multiplied by the matrices.
    private static func framed(
        _ node: Node, _ shape: [Dim], _ step: Dim, _ length: Dim, _ matrices: Matrices, _ window: Operand?,
        _ dtype: DataType
    ) throws -> [ImportedValue] {
        guard let rest = Dim.subtracting(shape[1], length), let steps = Dim.floorDividing(rest, by: step),
            let count = Dim.adding(steps, 1)
        else { throw overflow(node) }
        let starts = try node.call(
            "multiply", [try Matrices.line(node, count), try node.sizes(of: [step])])
        let places = try node.call(
            "add",
            [try node.reshape(starts, [count, 1]), try node.reshape(try Matrices.line(node, length), [1, length])])
        let signal = try node.reshape(try node.operand(0), [shape[0], shape[1]])
        var frames = try node.call("take", [signal, places], ["axis": 1])
        if let window { frames = try node.call("multiply", [frames, window]) }
        let (cosine, sine) = try matrices.operands(node, dtype)
        let parts = try [cosine, sine].map { matrix in
            try node.call("expand_dims", [try node.call("matmul", [frames, matrix])], ["axis": .ints([-1])])
        }
        return try node.result("concat", [.tuple(parts)], ["axis": -1])
    }

    // MARK: - Matrices

    /// cos and ±sin of 2π r c / length, divided by length for an inverse.
    private struct Matrices {
        let rows: Dim
        let columns: Dim
        let length: Dim
        let isInverse: Bool
        /// From the first half of a real signal's frequencies, which the other half mirrors.
        let isReal: Bool

        /// As constants where the sizes are known.
        func operands(_ node: Node, _ dtype: DataType) throws -> (cosine: Operand, sine: Operand) {
            guard let rows = rows.value, let columns = columns.value, let length = length.value else {
                return try computed(node, dtype)
            }
            let (cosine, sine) = try constants(rows, columns, length, dtype)
            return (.constant(cosine), .constant(sine))
        }

        func constants(
            _ rows: Int64, _ columns: Int64, _ length: Int64, _ dtype: DataType
        ) throws -> (cosine: Constant, sine: Constant) {
            var (cosines, sines): ([Double], [Double]) = ([], [])
            for row in 0..<rows {
                let isAlone = row == 0 || 2 * row == length
                let scale = (isInverse ? 1 / Double(length) : 1) * (isReal && !isAlone ? 2 : 1)
                for column in 0..<columns {
                    let angle = 2 * Double.pi * Double(row * column % length) / Double(length)
                    cosines.append(cos(angle) * scale)
                    // The imaginary parts of frequencies that stand alone do not count.
                    sines.append(isReal && isAlone ? 0 : (isInverse ? sin(angle) : -sin(angle)) * scale)
                }
            }
            return (
                try Constant.from(doubles: cosines, dtype, [rows, columns]),
                try Constant.from(doubles: sines, dtype, [rows, columns])
            )
        }

        /// 0, 1, … as int64.
        static func line(_ node: Node, _ count: Dim) throws -> Operand {
            try node.call("arange", [.shape([0]), .shape([count]), .shape([1])])
        }

        private func computed(_ node: Node, _ dtype: DataType) throws -> (cosine: Operand, sine: Operand) {
            let whole = try node.sizes(of: [length])
            let real = try node.cast(whole, .float64)
            func number(_ value: Double) throws -> Operand { .constant(try Constant.scalar(.float64, value)) }
            let row = try node.reshape(try Matrices.line(node, rows), [rows, 1])
            let column = try node.reshape(try Matrices.line(node, columns), [1, columns])
            // Below the length, so that the angle is as exact as it can be.
            let turns = try node.call("floor_mod", [try node.call("multiply", [row, column]), whole])
            let angle = try node.call(
                "divide", [try node.call("multiply", [try node.cast(turns, .float64), try number(2 * .pi)]), real])
            var (cosine, sine) = (try node.call("cos", [angle]), try node.call("sin", [angle]))
            if !isInverse { sine = try node.call("negative", [sine]) }
            if isInverse {
                cosine = try node.call("divide", [cosine, real])
                sine = try node.call("divide", [sine, real])
            }
            if isReal {
                let isFirst = try node.call("equal", [row, .constant(try Constant.ints([], [0]))])
                let twice = try node.call("multiply", [row, .constant(try Constant.ints([], [2]))])
                let isAlone = try node.call("logical_or", [isFirst, try node.call("equal", [twice, whole])])
                let (one, two, none) = (try number(1), try number(2), try number(0))
                cosine = try node.call("multiply", [cosine, try node.call("where", [isAlone, one, two])])
                sine = try node.call("multiply", [sine, try node.call("where", [isAlone, none, two])])
            }
            return (try node.cast(cosine, dtype), try node.cast(sine, dtype))
        }
    }
}
