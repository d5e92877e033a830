import CKernels
import TenonIR

/// Convolutions of small integers whose scales and zero points a run brings. Weights that are known are packed once; sums are exact
/// on every machine. The kernel wants channels inside, so that data and result are turned.
enum IntegerConvolutionKernels {
    static let table: [(String, Kernels.Prepare)] = (1...3).flatMap { spatial -> [(String, Kernels.Prepare)] in
        [
            (
                "nn.conv\(spatial)d_integer",
                { call in try prepare(call, Operands(dataZero: 2, weightZero: 3)) }
            ),
            (
                "nn.quantized_conv\(spatial)d",
                { call in
                    try prepare(
                        call, Operands(dataZero: 3, weightZero: 5, dataScale: 2, weightScale: 4, bias: 6))
                }
            ),
        ]
    }

    /// Where the operands stand behind data and weight.
    private struct Operands {
        var dataZero: Int
        var weightZero: Int
        var dataScale: Int?
        var weightScale: Int?
        var bias: Int?
    }

    private static func prepare(_ call: KernelCall, _ operands: Operands) throws -> PreparedKernel {
        try call.require(inputs: operands.dataScale == nil ? 2 : 6)
        let types = call.inputs.prefix(2).map(\.dtype)
        guard types.allSatisfy({ $0 == .uint8 || $0 == .int8 }) else {
            throw call.error(.invalidType, "data and weight expect u8 or i8")
        }
        guard call.outputs[0].dtype == (operands.dataScale == nil ? .int32 : .float32) else {
            throw call.unsupported(call.outputs[0].dtype)
        }
        // Data and weight of one type, as the rule of convolutions has it.
        var alike = call
        alike.inputs = call.inputs.prefix(2).map { TensorSpec(types[0], $0.shape) }
        let geometry = try ConvolutionGeometry(alike, transposed: false)
        for (index, dtype) in [(operands.dataZero, types[0]), (operands.weightZero, types[1])]
        where index < call.inputs.count {
            guard call.inputs[index].dtype == dtype else {
                throw call.error(.invalidType, "input \(index) expects \(dtype.name)")
            }
        }
        let outputs = try CheckedSize(call: call).multiply(geometry.outputs, geometry.groups)
        for index in call.inputs.indices.dropFirst(2) {
            let isData = index == operands.dataZero || index == operands.dataScale
            let count = call.inputs[index].count
            guard count == 1 || !isData && count == outputs else {
                throw call.error(.invalidShape, "input \(index) expects one value\(isData ? "" : " or one per output")")
            }
        }
        for index in [operands.dataScale, operands.weightScale, operands.bias] {
            if let index, index < call.inputs.count, call.inputs[index].dtype != .float32 {
                throw call.unsupported(call.inputs[index].dtype)
            }
        }
        return try Prepared(call, operands, geometry).kernel(call)
    }

    private struct Prepared: @unchecked Sendable {
        let operands: Operands
        let geometry: ConvolutionGeometry
        let shape: tkernel_integer_convolution
        let isUnsignedWeight: Bool
        /// Operands that are there, and whether each has one value per output.
        let isThere: [Bool]
        let isMany: [Bool]
        /// Bytes of a group's weights, outputs of a group in whole blocks, bytes of each thread.
        let weightBytes: Int
        let columns: Int
        let threadBytes: Int
        let count: Int

        init(_ call: KernelCall, _ operands: Operands, _ geometry: ConvolutionGeometry) throws {
            self.operands = operands
            self.geometry = geometry
            isUnsignedWeight = call.inputs[1].dtype == .uint8
            isThere = (0..<7).map { $0 < call.inputs.count }
            isMany = (0..<7).map { $0 < call.inputs.count && call.inputs[$0].count > 1 }
            func three(_ sizes: (d: Int, h: Int, w: Int)) -> (Int64, Int64, Int64) {
                (Int64(sizes.d), Int64(sizes.h), Int64(sizes.w))
            }
            var shape = tkernel_integer_convolution()
            shape.batch = Int64(geometry.batch)
            shape.groups = Int64(geometry.groups)
            shape.inputs = Int64(geometry.inputs)
            shape.outputs = Int64(geometry.outputs)
            shape.source = three(geometry.source)
            shape.target = three(geometry.result)
            shape.kernel = three(geometry.kernel)
            shape.stride = three(geometry.stride)
            shape.dilation = three(geometry.dilation)
            shape.pad = three(geometry.begin)
            shape.is_signed = call.inputs[0].dtype == .int8 ? 1 : 0
            count = call.outputs[0].count
            if count == 0 || geometry.inputs == 0 {
                (weightBytes, columns, threadBytes) = (0, 0, 0)
            } else {
                var product = tkernel_integer_of(&shape)
                weightBytes = Int(tkernel_integer_weights(&product))
                guard weightBytes > 0 else { throw call.error(.limitExceeded, "its weights need too much memory") }
                columns = Int(tkernel_integer_blocks(&product)) * Int(TKERNEL_INTEGER_COLUMNS)
                threadBytes = (Int(tkernel_integer_convolution_scratch(&shape)) + 63) / 64 * 64
            }
            self.shape = shape
        }

        /// All groups' weights, then the sums of each output's.
        private func packedBytes(_ size: CheckedSize) throws -> Int {
            try size.multiply(geometry.groups, weightBytes + columns * 4)
        }

        func pack(_ source: UnsafeRawPointer, into: UnsafeMutableRawPointer) {
            var shape = shape
            var product = tkernel_integer_of(&shape)
            let sums = (into + weightBytes * geometry.groups).assumingMemoryBound(to: Int32.self)
            for group in 0..<geometry.groups {
                tkernel_integer_pack(
                    &product, source + group * geometry.outputs * geometry.depth, isUnsignedWeight ? 1 : 0,
                    Int64(geometry.depth), Int64(geometry.taps), 1,
                    (into + group * weightBytes).assumingMemoryBound(to: Int8.self), sums + group * columns)
            }
        }

        func kernel(_ call: KernelCall) throws -> PreparedKernel {
            guard count > 0, geometry.inputs > 0 else { return withoutInputs() }
            let size = CheckedSize(call: call)
            let packedBytes = try packedBytes(size)
            var packed: PackedConstant?
            if call.constants.indices.contains(1), let constant = call.constants[1], call.constants[0] == nil,
                let base = constant.bytes.baseAddress
            {
                let recipe = PackedConstants.Recipe(
                    "integer_convolution", version: 1,
                    parameters: [
                        geometry.groups, geometry.outputs, geometry.inputs, geometry.taps, isUnsignedWeight ? 1 : 0,
                    ])
                packed = try PackedConstants.shared.find([constant], recipe, bytes: packedBytes) {
                    pack(base, into: $0)
                }
            }
            func whole(_ bytes: Int) -> Int { (bytes + 63) / 64 * 64 }
            let arrays = try size.multiply(geometry.groups, columns, 16)
            let source = whole(call.inputs[0].count + 64)
            let target = whole(try size.multiply(count, 4))
            let own = packed == nil ? whole(packedBytes) : 0
            func ends(_ begin: Int, _ bytes: Int) throws -> Int {
                let (end, overflow) = begin.addingReportingOverflow(bytes)
                guard !overflow else { throw call.error(.invalidShape, "a size overflows") }
                return end
            }
            let targetPlace = try ends(arrays, source)
            let places = (source: arrays, target: targetPlace, own: try ends(targetPlace, target))
            let threads = try ends(places.own, own)
            let scratch = try ends(threads, try size.multiply(threadBytes, Pieces.most))
            let known = packed
            var prepared = PreparedKernel(scratchBytes: scratch) { arguments in
                let scratch = arguments.scratch
                let weights = known?.base ?? UnsafeMutableRawPointer(scratch + places.own)
                if known == nil { pack(arguments.inputs[1], into: weights) }
                run(
                    arguments, UnsafeRawPointer(weights), (scratch + places.source).assumingMemoryBound(to: UInt8.self),
                    (scratch + places.target).assumingMemoryBound(to: UInt32.self), scratch + threads)
            }
            prepared.expectedNanoseconds =
                2000 + Double(count) * Double(geometry.depth) * 2 / (tkernel_integer_is_fast() != 0 ? 350 : 90)
            if let packed {
                prepared.sharedWeights = [packed]
                prepared.absorbedInputs = [1]
            }
            return prepared
        }

        /// Nothing to add up: zero, or the bias.
        private func withoutInputs() -> PreparedKernel {
            PreparedKernel { arguments in
                guard let bias = operands.bias, isThere[bias], count > 0 else {
                    arguments.output(0, UInt32.self).update(repeating: 0, count: count)
                    return
                }
                let outputs = geometry.outputs * geometry.groups
                for index in 0..<count {
                    arguments.output(0, Float.self)[index] =
                        arguments.input(bias, Float.self)[isMany[bias] ? index / geometry.resultArea % outputs : 0]
                }
            }
        }

        private func byte(_ pointer: UnsafeRawPointer, _ index: Int, isSigned: Bool) -> Int32 {
            isSigned
                ? Int32(pointer.loadUnaligned(fromByteOffset: index, as: Int8.self))
                : Int32(pointer.loadUnaligned(fromByteOffset: index, as: UInt8.self))
        }

        private func run(
            _ arguments: borrowing KernelArguments, _ weights: UnsafeRawPointer, _ source: UnsafeMutablePointer<UInt8>,
            _ target: UnsafeMutablePointer<UInt32>, _ threads: UnsafeMutableRawPointer
        ) {
            let (inputs, parallel) = (arguments.inputs, arguments.parallel)
            let total = geometry.groups * columns
            let offsets = arguments.scratch.assumingMemoryBound(to: Int32.self)
            let zeros = offsets + total
            let scales = UnsafeMutableRawPointer(zeros + total).assumingMemoryBound(to: Float.self)
            let biases = scales + total
            let sums = (weights + weightBytes * geometry.groups).assumingMemoryBound(to: Int32.self)
            let isSigned = shape.is_signed != 0
            let zero = isThere[operands.dataZero] ? byte(inputs[operands.dataZero], 0, isSigned: isSigned) : 0
            let centre = zero &+ (isSigned ? 128 : 0)
            let taps = Int32(truncatingIfNeeded: geometry.depth)
            var hasZeros = false
            func value(_ index: Int?, _ output: Int) -> Float {
                guard let index, isThere[index] else { return 0 }
                return inputs[index].assumingMemoryBound(to: Float.self)[isMany[index] ? output : 0]
            }
            for place in 0..<total {
                let (group, column) = (place / columns, place % columns)
                let output = group * geometry.outputs + column
                let isOutput = column < geometry.outputs
                var own =
                    isOutput && isThere[operands.weightZero]
                    ? byte(
                        inputs[operands.weightZero], isMany[operands.weightZero] ? output : 0,
                        isSigned: !isUnsignedWeight) : 0
                if isOutput, isUnsignedWeight { own &-= 128 }
                zeros[place] = own
                hasZeros = hasZeros || own != 0
                offsets[place] = taps &* centre &* own &- centre &* sums[place]
                scales[place] =
                    isOutput ? value(operands.dataScale, 0) * value(operands.weightScale, output) : 0
                biases[place] = isOutput ? value(operands.bias, output) : 0
            }
            turn(
                inputs[0].assumingMemoryBound(to: UInt8.self), source, rows: geometry.inputs * geometry.groups,
                columns: geometry.sourceArea, parallel)
            var given = shape
            given.zero = zero
            let convolution = given
            let hasAll = (hasZeros, operands.dataScale != nil, operands.bias.map { isThere[$0] } ?? false)
            let pieces = Int(tkernel_integer_convolution_pieces(&given))
            Pieces.forEach(parallel, pieces) { piece, range in
                var (shape, epilogue) = (convolution, tkernel_epilogue())
                epilogue.kind = hasAll.1 ? -1 : Int32(TKERNEL_S32.rawValue)
                (epilogue.low, epilogue.high, epilogue.residual_kind) = (-.infinity, .infinity, -1)
                epilogue.offset = UnsafePointer(offsets)
                epilogue.weight_zero = hasAll.0 ? UnsafePointer(zeros) : nil
                epilogue.scale = hasAll.1 ? UnsafePointer(scales) : nil
                epilogue.bias = hasAll.2 ? UnsafePointer(biases) : nil
                tkernel_integer_convolution_run(
                    &shape, &epilogue, Int64(range.lowerBound), Int64(range.upperBound), source,
                    weights.assumingMemoryBound(to: Int8.self), nil, target,
                    (threads + piece * threadBytes).assumingMemoryBound(to: UInt8.self))
            }
            turn(
                target, arguments.outputs[0].assumingMemoryBound(to: UInt32.self), rows: geometry.resultArea,
                columns: geometry.outputs * geometry.groups, parallel)
        }

        /// Exchanges rows and columns of each sample.
        private func turn<T: BitwiseCopyable>(
            _ from: UnsafePointer<T>, _ to: UnsafeMutablePointer<T>, rows: Int, columns: Int, _ parallel: Parallel
        ) {
            parallel.forEach(geometry.batch * columns, grain: max(1, 4096 / max(rows, 1))) { range in
                for index in range {
                    let (sample, column) = (index / columns, index % columns)
                    let (source, target) = (from + sample * rows * columns + column, to + index * rows)
                    for row in 0..<rows { target[row] = source[row * columns] }
                }
            }
        }
    }
}
