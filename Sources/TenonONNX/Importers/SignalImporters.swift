import TenonIR

/// Windows and the matrix of a mel scale; the transforms are `FourierImporters`.
enum SignalImporters {
    static let table: [String: OperatorImporter] = [
        "HannWindow": window([0.5, -0.5]),
        "HammingWindow": window([25.0 / 46, -21.0 / 46]),
        "BlackmanWindow": window([0.42, -0.5, 0.08]),
        "MelWeightMatrix": OperatorImporter(since: 17, melWeights),
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

    // MARK: - Mel scale

    /// Triangles over the bins of a spectrum, [bins, triangles], with peaks of 1 that lie evenly on the mel scale.
    private static func melWeights(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(5...5)
        let dtype = try node.dtype("output_datatype") ?? .float32
        let (triangles, length) = (
            try GeometryImporters.sizes(node, 0, count: 1)[0], try GeometryImporters.sizes(node, 1, count: 1)[0]
        )
        guard let edges = Dim.adding(triangles, 2), let half = Dim.floorDividing(length, by: Int64(2)),
            let bins = Dim.adding(half, 1), let last = Dim.adding(triangles, 1)
        else { throw node.error(.invalidShape, "a size overflows") }
        func real(_ index: Int) throws -> Operand { try node.reshape(node.cast(node.operand(index), .float64), []) }
        func number(_ value: Double) throws -> Operand { .constant(try Constant.scalar(.float64, value)) }
        func of(_ op: String, _ operands: Operand...) throws -> Operand { try node.call(op, operands) }
        func count(_ dim: Dim) throws -> Operand {
            try node.call("arange", [.shape([0]), .shape([dim]), .shape([1])])
        }
        // mel(f) = 2595 × log10(1 + f / 700), and back.
        let factor = 2595 / 2.302585092994046
        func mel(_ frequency: Operand) throws -> Operand {
            let grown = try of("add", try of("divide", frequency, number(700)), number(1))
            return try of("multiply", try of("log", grown), number(factor))
        }
        let low = try mel(real(3))
        let all = try of("subtract", try mel(real(4)), low)
        let step = try of("divide", all, try node.cast(node.sizes(of: [edges]), .float64))
        let scale = try of("add", try of("multiply", try node.cast(count(edges), .float64), step), low)
        let grown = try of("exp", try of("divide", scale, number(factor)))
        let frequencies = try of("multiply", try of("subtract", grown, number(1)), number(700))
        guard let whole = Dim.adding(length, 1) else { throw node.error(.invalidShape, "a size overflows") }
        let scaled = try of("multiply", frequencies, try node.cast(node.sizes(of: [whole]), .float64))
        let places = try of("floor", try of("divide", scaled, try real(2)))
        func edge(_ first: Int64) throws -> Operand {
            let end: Dim = first == 0 ? triangles : first == 1 ? last : edges
            let part = try node.call(
                "strided_slice", [places, .tuple([.int(0)]), .shape([.fixed(first)]), .shape([end])],
                ["assume_inbound": true])
            return try node.reshape(part, [1, triangles])
        }
        let (left, centre, right) = (try edge(0), try edge(1), try edge(2))
        let bin = try node.reshape(node.cast(count(bins), .float64), [bins, 1])
        let (rise, fall) = (try of("subtract", centre, left), try of("subtract", right, centre))
        // A side without width has its peak only.
        func part(_ distance: Operand, _ width: Operand) throws -> Operand {
            let isFlat = try of("equal", width, number(0))
            return try of("where", isFlat, number(1), try of("divide", distance, width))
        }
        let rises = try of(
            "logical_and", try of("greater_equal", bin, left), try of("less_equal", bin, centre))
        let falls = try of("logical_and", try of("greater_equal", bin, centre), try of("less", bin, right))
        let rising = try of("where", rises, try part(try of("subtract", bin, left), rise), number(0))
        let weights = try of("where", falls, try part(try of("subtract", right, bin), fall), rising)
        return [.operand(try node.cast(weights, dtype))]
    }
}
