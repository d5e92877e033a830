import CDNNL
import TenonIR

/// A primitive that is too long for a run that may be told to end: it is computed in equal pieces of the batch or of rows, and of
/// the output channels where one sample is too long. Nothing ends a primitive before it is done.
struct Pieces {
    /// Computes one piece.
    var descriptor: PrimitiveDescriptor
    /// In how many pieces the batch and the channels are cut.
    var cut: Cut
    /// The operands of the whole as a piece reads them, in the same order; packed ones have the memory of a piece.
    var operands: [Operand]
    var result: Operand

    struct Cut {
        /// The batch, or the rows of a product, and how many of them are a piece. The last piece ends with the batch and may have
        /// some of the one before it once more.
        var batch: Int
        var samples: Int
        var channels = 1

        var samplePieces: Int { samples > 0 ? (batch + samples - 1) / samples : 1 }
        var count: Int { samplePieces * channels }

        /// The sample that a piece begins with.
        func start(_ piece: Int) -> Int { min(piece * samples, batch - samples) }

        /// The dimensions of a piece of a tensor that broadcasts to `shape`.
        func piece(_ dims: [Int], of shape: [Int]) -> [Int] {
            var dims = dims
            if let first = dims.first, first == shape.first { dims[0] = samples }
            if channels > 1, dims.count > 1, dims[1] == shape[1] { dims[1] /= channels }
            return dims
        }
    }

    struct Operand {
        var bound: BoundOperand
        /// Bytes of one sample; 0 where all have the same.
        var sampleBytes = 0
        /// Bytes from one piece of the channels to the next.
        var channelStep = 0
    }
}

extension Pieces.Cut {
    /// Where the pieces of an operand that broadcasts to `shape` lie.
    func operand(_ operand: BoundOperand, _ dims: [Int], of shape: [Int]) -> Pieces.Operand {
        let bytes = operand.descriptor.byteCount
        let hasChannels = channels > 1 && dims.count > 1 && dims[1] == shape[1]
        let hasSamples = batch > 1 && dims.first == batch
        return Pieces.Operand(
            bound: operand, sampleBytes: hasSamples ? bytes / samples &* (hasChannels ? channels : 1) : 0,
            channelStep: hasChannels ? bytes : 0)
    }
}

/// Which primitives are too long for runs that shall end when they are told to.
enum LongSteps {
    /// Half of what a run may pass its deadline by, in nanoseconds.
    static let limit = 25e6

    /// Operations per nanosecond that are not promised too much.
    private static func rate(_ threads: Int) -> Double { CostModel(threads: threads).peak * 0.5 }

    /// How many times the limit so many operations take, or the time that is expected.
    static func excess(_ flops: Double, expected: Double = 0, threads: Int) -> Double {
        max(flops / rate(threads), expected) / limit
    }

    /// Kernels compute so many blocks of channels at a time: pieces of fewer take up to twice as long together.
    static let goodBlocks = 4

    /// How a convolution is cut into pieces that are short enough, or as short as they get; nil where one is.
    static func cut(_ excess: Double, batch: Int, channels: Int) -> Pieces.Cut? {
        guard excess > 1, batch > 0 else { return nil }
        let pieces = divisor(of: batch, atLeast: excess)
        let rest = excess / Double(pieces)
        let cut = Pieces.Cut(
            batch: batch, samples: batch / pieces, channels: rest > 1 ? divisor(of: channels, atLeast: rest) : 1)
        return cut.count > 1 ? cut : nil
    }

    /// The least divisor that is large enough, else the number itself.
    private static func divisor(of number: Int, atLeast least: Double) -> Int {
        guard number > 1, least < Double(number) else { return max(number, 1) }
        return (max(1, Int(least.rounded(.up)))..<number).first { number % $0 == 0 } ?? number
    }

    /// Fewer rows of a product are not worth bringing its other operand into the caches for.
    static func fewestRows(_ endsEarly: Bool) -> Int { endsEarly ? 64 : 256 }

    /// How the rows of a product are cut, no piece having less than the fewest.
    static func cut(_ excess: Double, rows: Int, fewest: Int) -> Pieces.Cut? {
        guard excess > 1, fewest > 0, rows > fewest else { return nil }
        let samples = max(fewest, Int(Double(rows) / excess))
        return samples < rows ? Pieces.Cut(batch: rows, samples: samples) : nil
    }

    /// Elements per nanosecond that a primitive takes the largest or the mean of, and exponentials (short lines cost most).
    private static let (windowRate, exponentialRate) = (2.0, 0.2)

    /// Bytes per nanosecond that are read or written at least.
    static let byteRate = 8.0

    /// Whether an operator is a convolution, takes windows or is a softmax, and no piece of a primitive computes it in time.
    static func isTooLong(_ op: RegionOp, _ graph: RegionGraph, threads: Int) -> Bool {
        if let time = nanoseconds(op, graph) { return time / Double(max(1, threads)) > limit }
        guard op.op.has([.convolution, .transposedConvolution]), op.inputs.count >= 2, let output = op.outputs.first
        else { return false }
        let (x, w, y) = (graph[op.inputs[0]], graph[op.inputs[1]], graph[output])
        // Each weight is used once for each place of the result, or of the source of a transposed one.
        let places = op.op.has(.transposedConvolution) ? x : y
        guard places.dims.count > 2, places.dims[0] > 0, places.dims[1] > 0 else { return false }
        let sample = 2 * Double(places.count) * Double(w.count) / Double(places.dims[1]) / Double(places.dims[0])
        let groups = Int(clamping: op.attributes.int("groups") ?? 1)
        // Blocks of channels, or whole groups of them.
        let channels = groups == 1 ? [y.dims[1]] : [x.dims[1], y.dims[1]].map { $0 / max(groups, 1) }
        let isCut = w.isConstant && channels.allSatisfy { $0 % 16 == 0 }
        let pieces = isCut ? (groups == 1 ? y.dims[1] / 16 : groups) : 1
        return excess(sample / Double(max(pieces, 1)), threads: threads) > 1
    }

    /// What one thread takes for windows or a softmax; nil for other operators.
    private static func nanoseconds(_ op: RegionOp, _ graph: RegionGraph) -> Double? {
        guard let output = op.outputs.first else { return nil }
        let count = Double(graph[output].count)
        if op.op.has([.maxPooling, .averagePooling]) {
            return (op.attributes.ints("pool_size") ?? []).reduce(count) { $0 * Double($1) } / windowRate
        }
        switch op.name {
        case "nn.lrn": return count * Double(op.attributes.int("size") ?? 1) / windowRate
        case "nn.softmax", "nn.log_softmax": return count / exponentialRate
        default: return nil
        }
    }
}
