import CKernels
import TenonIR
import TenonRuntime

/// A function of one quantised tensor: a table of 256 values.
struct IntegerTable: Implementation {
    var table: [UInt8]
    var count: Int

    var name: String { "int8_table" }
    var version: Int { 1 }
    var parameters: [Int64] { table.map { Int64($0) } }
    var packedBytes: Int { 0 }

    func pack(_ packer: WeightPacker, _ graph: RegionGraph) throws -> WeightMemory? { nil }

    func kernel(threads: Int, operands: Int, inPlace: Bool) throws -> PreparedKernel {
        let (table, count) = (table, count)
        return PreparedKernel { arguments in
            let source = arguments.inputs[0].assumingMemoryBound(to: UInt8.self)
            let target = arguments.outputs[0].assumingMemoryBound(to: UInt8.self)
            table.withUnsafeBufferPointer { table in
                guard let base = table.baseAddress else { return }
                arguments.parallel.forEach((count + 63) / 64, grain: 128) { range in
                    let begin = range.lowerBound * 64
                    tkernel_table(
                        Int64(min(range.upperBound * 64, count) - begin), base, source + begin, target + begin)
                }
            }
        }
    }
}

/// A sum or product of two quantised tensors of one shape.
struct IntegerPair: Implementation {
    var pair: tkernel_integer_pair
    var isProduct: Bool
    var count: Int

    var name: String { isProduct ? "int8_multiply" : "int8_add" }
    var version: Int { 1 }
    var parameters: [Int64] {
        [pair.zero.0, pair.zero.1, pair.result_zero].map { Int64($0) }
            + [pair.scale.0, pair.scale.1, pair.low, pair.high].map { Int64($0.bitPattern) }
    }
    var packedBytes: Int { 0 }

    func pack(_ packer: WeightPacker, _ graph: RegionGraph) throws -> WeightMemory? { nil }

    func kernel(threads: Int, operands: Int, inPlace: Bool) throws -> PreparedKernel {
        let (given, isProduct, count) = (pair, isProduct, count)
        return PreparedKernel { arguments in
            let a = arguments.inputs[0].assumingMemoryBound(to: UInt8.self)
            let b = arguments.inputs[1].assumingMemoryBound(to: UInt8.self)
            let target = arguments.outputs[0].assumingMemoryBound(to: UInt8.self)
            arguments.parallel.forEach((count + 63) / 64, grain: 128) { range in
                var pair = given
                let begin = range.lowerBound * 64
                let size = Int64(min(range.upperBound * 64, count) - begin)
                if isProduct {
                    tkernel_integer_multiply(&pair, size, a + begin, b + begin, target + begin)
                } else {
                    tkernel_integer_sum(&pair, size, a + begin, b + begin, target + begin)
                }
            }
        }
    }
}

/// Pooling of a quantised tensor whose channels lie inside.
struct IntegerPooling: Implementation {
    var shape: tkernel_integer_convolution
    var pair: tkernel_integer_pair
    var isMax: Bool
    var countsPadding: Bool

    var need: LayoutNeed { .channelsInside }
    var name: String { isMax ? "int8_max_pool" : "int8_avg_pool" }
    var version: Int { 1 }
    var parameters: [Int64] {
        [shape.batch, shape.groups]
            + [shape.source, shape.target, shape.kernel, shape.stride, shape.dilation, shape.pad].flatMap {
                [$0.0, $0.1, $0.2]
            }
    }
    var packedBytes: Int { 0 }

    func pack(_ packer: WeightPacker, _ graph: RegionGraph) throws -> WeightMemory? { nil }

    func kernel(threads: Int, operands: Int, inPlace: Bool) throws -> PreparedKernel {
        var shape = shape
        let threads = max(threads, 1)
        let pixels = Int(shape.batch * shape.target.0 * shape.target.1 * shape.target.2)
        let scratch = Int(tkernel_integer_pool_scratch(&shape))
        let (given, givenPair, isMax, countsPadding) = (shape, pair, isMax, countsPadding)
        return PreparedKernel(scratchBytes: scratch * threads) { arguments in
            let source = arguments.inputs[0].assumingMemoryBound(to: UInt8.self)
            let target = arguments.outputs[0].assumingMemoryBound(to: UInt8.self)
            let memory = arguments.scratch.assumingMemoryBound(to: UInt8.self)
            arguments.parallel.forEach(threads) { range in
                var (shape, pair) = (given, givenPair)
                for index in range {
                    tkernel_integer_pool_run(
                        &shape, &pair, isMax ? 1 : 0, countsPadding ? 1 : 0, Int64(pixels * index / threads),
                        Int64(pixels * (index + 1) / threads), source, target, memory + scratch * index)
                }
            }
        }
    }
}

/// `quantize` or `dequantize` alone, with one scale.
struct IntegerConversion: Implementation {
    var isQuantize: Bool
    var scale: Float
    var zero: Int32
    var kind: Int32
    var count: Int

    var name: String { isQuantize ? "quantize" : "dequantize" }
    var version: Int { 1 }
    var parameters: [Int64] { [Int64(scale.bitPattern), Int64(zero), Int64(kind)] }
    var packedBytes: Int { 0 }

    func pack(_ packer: WeightPacker, _ graph: RegionGraph) throws -> WeightMemory? { nil }

    func kernel(threads: Int, operands: Int, inPlace: Bool) throws -> PreparedKernel {
        let given = self
        return PreparedKernel { arguments in
            let (source, target) = (arguments.inputs[0], arguments.outputs[0])
            arguments.parallel.forEach((given.count + 63) / 64, grain: 128) { range in
                var (scale, zero) = (given.scale, given.zero)
                let begin = range.lowerBound * 64
                let size = Int64(min(range.upperBound * 64, given.count) - begin)
                if given.isQuantize {
                    tkernel_quantize(
                        given.kind, size, source.assumingMemoryBound(to: Float.self) + begin, &scale, &zero, 0,
                        target + begin)
                } else {
                    tkernel_dequantize(
                        given.kind, size, source + begin, &scale, &zero, 0,
                        target.assumingMemoryBound(to: Float.self) + begin)
                }
            }
        }
    }
}
