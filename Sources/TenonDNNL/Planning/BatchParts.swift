import CDNNL
import TenonIR

/// A batch that is computed in equal parts, because nothing ends a primitive before it is done.
struct BatchParts {
    var count: Int
    /// Data and result of one part.
    var source: MemoryDescriptor
    var target: MemoryDescriptor
}

/// Which primitives are too long for runs that shall end when they are told to.
enum LongSteps {
    /// Half of what a run may pass its deadline by.
    static let limit = 25e6

    /// Operations per nanosecond that are not promised too much.
    private static func rate(_ threads: Int) -> Double { CostModel(threads: threads).peak * 0.5 }

    /// In how many parts a convolution runs; more than the batch gives are not to be had.
    static func parts(_ flops: Double, batch: Int, _ context: PlanContext) -> Int {
        guard let longest = context.longest, batch > 1 else { return 1 }
        let needed = flops / rate(context.threads) / longest
        guard needed > 1 else { return 1 }
        return stride(from: 1, through: batch, by: 1).first { batch % $0 == 0 && Double($0) >= needed } ?? batch
    }

    /// Elements per nanosecond that a primitive takes the largest or the mean of, and exponentials (short lines cost most);
    /// bytes that it reads or writes.
    private static let (windowRate, exponentialRate, byteRate) = (2.0, 0.2, 8.0)

    /// Whether an operator is a product, takes windows or is a softmax, and no primitive computes it in time, not even for one sample.
    static func isTooLong(_ op: RegionOp, _ graph: RegionGraph, longest: Double, threads: Int) -> Bool {
        guard let output = op.outputs.first, !op.inputs.isEmpty else { return false }
        if op.name.hasPrefix("nn.max_pool") || op.name.hasPrefix("nn.avg_pool") {
            let taps = (op.attributes.ints("pool_size") ?? []).reduce(Double(graph[output].count)) { $0 * Double($1) }
            return taps / windowRate / Double(max(1, threads)) > longest
        }
        if op.name == "nn.lrn" {
            let taps = Double(graph[output].count) * Double(op.attributes.int("size") ?? 1)
            return taps / windowRate / Double(max(1, threads)) > longest
        }
        if op.name == "nn.softmax" || op.name == "nn.log_softmax" {
            return Double(graph[output].count) / exponentialRate / Double(max(1, threads)) > longest
        }
        guard op.inputs.count >= 2 else { return false }
        let (x, w, y) = (graph[op.inputs[0]], graph[op.inputs[1]], graph[output])
        let flops: Double
        if op.name == "matmul" || op.name == "nn.dense" {
            flops = 2 * Double(y.count) * Double(x.dims.last ?? 1)
        } else if op.name.hasPrefix("nn.conv") {
            let (places, channels) = op.name.hasSuffix("transpose") ? (x, x) : (y, y)
            guard channels.dims.count > 2, places.dims[0] > 0, channels.dims[1] > 0 else { return false }
            flops = 2 * Double(places.count) * Double(w.count) / Double(channels.dims[1]) / Double(places.dims[0])
        } else {
            return false
        }
        // A product of a column and a row is more writing than computing.
        let bytes = [x, w, y].reduce(0.0) { $0 + Double($1.count) * Double($1.dtype.byteCount) }
        return flops / rate(threads) > longest || bytes / byteRate > longest
    }
}
