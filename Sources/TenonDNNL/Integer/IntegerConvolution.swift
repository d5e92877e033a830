import CKernels
import TenonIR
import TenonRuntime

/// A convolution or product of small integers by our kernel: exact sums, one multiplication, one addition, one rounding.
struct IntegerConvolution: Implementation {
    /// Weights as they are in the file, and where one lies: strides of outputs, inputs and taps.
    struct Weights {
        var tensor: TensorID
        var isUnsigned: Bool
        var outputStride: Int
        var inputStride: Int
        var tapStride: Int
    }

    /// What becomes of a sum, but for the values per output.
    struct Finish: Sendable {
        /// Of the result; -1 for floats.
        var kind: Int32 = -1
        var zero: Int32 = 0
        var low = -Float.infinity
        var high = Float.infinity

        /// As the kernel reads it, without arrays.
        var native: tkernel_epilogue {
            var epilogue = tkernel_epilogue()
            (epilogue.kind, epilogue.zero, epilogue.low, epilogue.high) = (kind, zero, low, high)
            epilogue.residual_kind = -1
            return epilogue
        }
    }

    var shape: tkernel_integer_convolution
    var weights: Weights
    /// One per output of all groups: what the sum is multiplied by, the bias in units of the sum, the weights' zero point.
    var scales: [Float]
    var biases: [Int32]
    var weightZeros: [Int32]
    /// Added behind the multiplication; for results that stay real numbers.
    var realBias: [Float]?
    var inputZero: Int32
    var finish: Finish
    /// Values that packing depends on besides the weights.
    var key: [Int64]

    /// A product of matrices, whose rows lie one behind the other.
    var isProduct = false

    var need: LayoutNeed { isProduct ? .rowMajor : .channelsInside }

    var operations: Double {
        let pixels = shape.batch * shape.target.0 * shape.target.1 * shape.target.2
        return 2 * Double(pixels) * Double(shape.groups * shape.outputs) * Double(product.taps * product.inputs)
    }

    private var outputs: Int { Int(shape.outputs) }
    private var groups: Int { Int(shape.groups) }

    var isDepthwise: Bool {
        var shape = shape
        return finish.kind >= 0 && weightZeros.allSatisfy { $0 == 0 }
            && weights.tapStride == 1 && weights.outputStride == Int(product.taps)
            && tkernel_integer_depthwise_is_supported(&shape) != 0
    }

    var name: String { (isDepthwise ? "int8_dw:" : "int8:") + IntegerKernels.level }
    var version: Int { 1 }
    var parameters: [Int64] {
        [shape.batch, shape.groups, shape.inputs, shape.outputs]
            + [shape.source, shape.target, shape.kernel, shape.stride, shape.dilation, shape.pad].flatMap {
                [$0.0, $0.1, $0.2]
            } + [Int64(shape.is_signed), Int64(shape.zero), Int64(finish.kind)]
    }

    /// Columns of a group in whole blocks.
    private var columns: Int {
        var product = product
        return Int(tkernel_integer_blocks(&product)) * Int(TKERNEL_INTEGER_COLUMNS)
    }

    private var product: tkernel_integer {
        var shape = shape
        return tkernel_integer_of(&shape)
    }

    private var weightBytes: Int {
        var product = product
        return Int(tkernel_integer_weights(&product))
    }

    /// Weights, then offsets, scales, zero points and real biases of all groups.
    private var arrayBytes: Int { columns * groups * 4 }

    var packedBytes: Int {
        if isDepthwise {
            var shape = shape
            return Int(tkernel_integer_depthwise_weights(&shape))
        }
        return weightBytes * groups + arrayBytes * 4
    }

    /// Whether sizes stay far from overflow.
    var isPossible: Bool {
        let (weights, overflow) = weightBytes.multipliedReportingOverflow(by: max(groups, 1))
        return weightBytes > 0 && !overflow && weights < 1 << 36
    }

    func pack(_ packer: WeightPacker, _ graph: RegionGraph) throws -> WeightMemory? {
        guard let constant = graph[weights.tensor].constant?.constant, let base = constant.source.baseAddress else {
            throw TenonError(.invalidType, "a constant without data cannot be an operand")
        }
        let words = ["\(name) \(version)"] + (parameters + key).map { String($0) }
        if let known = PackedWeights.shared.find([constant], words) { return known }
        let memory = try WeightMemory(bytes: packedBytes)
        if isDepthwise {
            packDepthwise(base, memory.address)
        } else {
            pack(base, memory.address)
        }
        constant.releasePages()
        PackedWeights.shared.add(memory, [constant], words)
        return memory
    }

    /// What is added to a sum so that zero points are allowed for.
    private func offset(_ output: Int, sum: Int32) -> Int32 {
        let zero = inputZero &+ (shape.is_signed != 0 ? 128 : 0)
        let taps = Int32(truncatingIfNeeded: product.taps &* product.inputs)
        return biases[output] &- zero &* sum &+ taps &* zero &* weightZeros[output]
    }

    private func pack(_ base: UnsafeRawPointer, _ memory: UnsafeMutableRawPointer) {
        var product = product
        let (columns, count) = (columns, columns * groups)
        let offsets = (memory + weightBytes * groups).assumingMemoryBound(to: Int32.self)
        let scales = UnsafeMutableRawPointer(offsets + count).assumingMemoryBound(to: Float.self)
        let zeros = UnsafeMutableRawPointer(scales + count).assumingMemoryBound(to: Int32.self)
        let reals = UnsafeMutableRawPointer(zeros + count).assumingMemoryBound(to: Float.self)
        for group in 0..<groups {
            tkernel_integer_pack(
                &product, base + group * outputs * weights.outputStride, weights.isUnsigned ? 1 : 0,
                Int64(weights.outputStride), Int64(weights.inputStride), Int64(weights.tapStride),
                memory.assumingMemoryBound(to: Int8.self) + group * weightBytes, offsets + group * columns)
            for column in 0..<columns {
                let (place, output) = (group * columns + column, group * outputs + column)
                let isThere = column < outputs
                scales[place] = isThere ? self.scales[output] : 0
                zeros[place] = isThere ? weightZeros[output] : 0
                reals[place] = isThere ? realBias?[output] ?? 0 : 0
                offsets[place] = isThere ? offset(output, sum: offsets[place]) : 0
            }
        }
    }

    private func packDepthwise(_ base: UnsafeRawPointer, _ memory: UnsafeMutableRawPointer) {
        var shape = shape
        let taps = Int(product.taps)
        let bytes = base.assumingMemoryBound(to: UInt8.self)
        let offsets = (0..<groups).map { channel in
            let sum = (0..<taps).reduce(Int32(0)) {
                $0 + Int32(Int8(bitPattern: bytes[channel * taps + $1] ^ (weights.isUnsigned ? 0x80 : 0)))
            }
            return offset(channel, sum: sum)
        }
        tkernel_integer_depthwise_pack(&shape, base, weights.isUnsigned ? 1 : 0, offsets, scales, memory)
    }

    func kernel(threads: Int, operands: Int, inPlace: Bool) throws -> PreparedKernel {
        var shape = shape
        let threads = max(threads, 1)
        if isDepthwise { return depthwiseKernel(threads) }
        let pieces = Int(tkernel_integer_convolution_pieces(&shape))
        let scratch = (Int(tkernel_integer_convolution_scratch(&shape)) + 63) / 64 * 64
        let (given, finish, weightBytes, count) = (shape, finish, weightBytes * groups, columns * groups)
        let hasZeros = weightZeros.contains { $0 != 0 }
        let hasBias = realBias != nil
        return PreparedKernel(scratchBytes: scratch * threads) { arguments in
            let source = arguments.input(0)
            let weights = arguments.inputs[1].assumingMemoryBound(to: Int8.self)
            let residual = operands > 1 ? arguments.inputs[2] : nil
            let target = arguments.outputs[0]
            let offsets = (arguments.inputs[1] + weightBytes).assumingMemoryBound(to: Int32.self)
            let scales = UnsafeRawPointer(offsets + count).assumingMemoryBound(to: Float.self)
            let zeros = UnsafeRawPointer(scales + count).assumingMemoryBound(to: Int32.self)
            let reals = UnsafeRawPointer(zeros + count).assumingMemoryBound(to: Float.self)
            let memory = arguments.scratch.assumingMemoryBound(to: UInt8.self)
            arguments.parallel.forEach(threads) { range in
                var (shape, epilogue) = (given, finish.native)
                epilogue.offset = offsets
                epilogue.scale = scales
                epilogue.weight_zero = hasZeros ? zeros : nil
                epilogue.bias = hasBias ? reals : nil
                for index in range {
                    tkernel_integer_convolution_run(
                        &shape, &epilogue, Int64(pieces * index / threads), Int64(pieces * (index + 1) / threads),
                        source, weights, residual, target, memory + scratch * index)
                }
            }
        }
    }

    private func depthwiseKernel(_ threads: Int) -> PreparedKernel {
        var shape = shape
        let rows = Int(shape.batch * shape.target.1)
        let scratch = (Int(tkernel_integer_depthwise_scratch(&shape)) + 63) / 64 * 64
        let (given, finish) = (shape, finish)
        return PreparedKernel(scratchBytes: scratch * threads) { arguments in
            let source = arguments.input(0)
            let weights = arguments.inputs[1]
            let target = arguments.outputs[0].assumingMemoryBound(to: UInt8.self)
            let memory = arguments.scratch.assumingMemoryBound(to: UInt8.self)
            arguments.parallel.forEach(threads) { range in
                var (shape, epilogue) = (given, finish.native)
                for index in range {
                    tkernel_integer_depthwise_run(
                        &shape, &epilogue, Int64(rows * index / threads), Int64(rows * (index + 1) / threads), source,
                        weights, target, memory + scratch * index)
                }
            }
        }
    }
}

extension KernelArguments {
    /// An operand of bytes.
    fileprivate func input(_ index: Int) -> UnsafePointer<UInt8> { inputs[index].assumingMemoryBound(to: UInt8.self) }
}

enum IntegerKernels {
    /// The instructions that the kernels use, for reports.
    static var level: String { tkernel_integer_is_fast() != 0 ? "vnni" : "exact16" }

    /// How many times single precision's peak.
    static var speed: Double { tkernel_integer_is_fast() != 0 ? 3.4 : 1.4 }
}
