import CKernels
import TenonIR

/// Matrix products of quantised numbers. A matrix that is known is packed once; sums are exact on every machine.
enum IntegerProductKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("matmul_integer", { call in try prepare(call, Operands(a: 0, b: 1, aZero: 2, bZero: 3)) }),
        (
            "quantized_matmul",
            { call in
                try prepare(call, Operands(a: 0, b: 3, aZero: 2, bZero: 5, aScale: 1, bScale: 4, bias: 6))
            }
        ),
    ]

    /// Where the operands stand among the inputs.
    private struct Operands {
        var a: Int
        var b: Int
        var aZero: Int
        var bZero: Int
        var aScale: Int?
        var bScale: Int?
        var bias: Int?
    }

    /// One product per matrix of the batch.
    private struct Geometry {
        var rows: Int
        var inputs: Int
        var outputs: Int
        /// Number of the matrix in a and in b.
        var matrices: [(a: Int, b: Int)]

        init(_ call: KernelCall, _ operands: Operands) throws {
            var (x, y) = (call.inputs[operands.a].shape, call.inputs[operands.b].shape)
            guard !x.isEmpty, !y.isEmpty else { throw call.error(.invalidShape, "operands need a dimension at least") }
            let (isRow, isColumn) = (x.count == 1, y.count == 1)
            if isRow { x.insert(1, at: 0) }
            if isColumn { y.append(1) }
            (rows, inputs, outputs) = (x[x.count - 2], x[x.count - 1], y[y.count - 1])
            guard y[y.count - 2] == inputs else {
                throw call.error(
                    .invalidShape, "input \(operands.b) expects \(inputs) rows, found \(call.inputs[operands.b].shape)")
            }
            let (left, right) = (Array(x.dropLast(2)), Array(y.dropLast(2)))
            let rank = max(left.count, right.count)
            let p = [Int](repeating: 1, count: rank - left.count) + left
            let q = [Int](repeating: 1, count: rank - right.count) + right
            var batch: [Int] = []
            for (m, n) in zip(p, q) {
                guard m == n || m == 1 || n == 1 else {
                    throw call.error(.invalidShape, "leading dimensions do not broadcast")
                }
                batch.append(m == 1 ? n : m)
            }
            try call.requireOutput(
                0, batch + (isRow ? [] : [rows]) + (isColumn ? [] : [outputs]))
            if right.allSatisfy({ $0 == 1 }) {
                // One matrix for all: their rows are one matrix's.
                matrices = [(0, 0)]
                rows = try CheckedSize(call: call).multiply(batch.reduce(1, *), rows)
                return
            }
            matrices = []
            for index in 0..<batch.reduce(1, *) {
                var (rest, a, b) = (index, 0, 0)
                var (stepA, stepB) = (1, 1)
                for place in batch.indices.reversed() {
                    let at = rest % batch[place]
                    rest /= batch[place]
                    if p[place] > 1 { a += at * stepA }
                    if q[place] > 1 { b += at * stepB }
                    stepA *= p[place]
                    stepB *= q[place]
                }
                matrices.append((a, b))
            }
        }
    }

    private static func prepare(_ call: KernelCall, _ operands: Operands) throws -> PreparedKernel {
        try call.require(inputs: operands.aScale == nil ? 2 : 6)
        let geometry = try Geometry(call, operands)
        let result: DataType = operands.aScale == nil ? .int32 : .float32
        guard call.outputs[0].dtype == result else { throw call.unsupported(call.outputs[0].dtype) }
        func given(_ index: Int?) -> Int? { index.flatMap { $0 < call.inputs.count ? $0 : nil } }
        let (aZero, bZero, bias) = (given(operands.aZero), given(operands.bZero), given(operands.bias))
        for (index, dtype) in [(aZero, operands.a), (bZero, operands.b)] {
            guard let index else { continue }
            guard call.inputs[index].dtype == call.inputs[dtype].dtype else {
                throw call.error(.invalidType, "input \(index) expects \(call.inputs[dtype].dtype.name)")
            }
        }
        for index in [operands.aScale, operands.bScale, bias] {
            if let index, call.inputs[index].dtype != .float32 { throw call.unsupported(call.inputs[index].dtype) }
        }
        let rowZeros = aZero.map { call.inputs[$0].count } ?? 1
        guard rowZeros == 1 || operands.aScale == nil && geometry.rows == rowZeros * (geometry.rows / max(rowZeros, 1))
        else { throw call.error(.invalidShape, "a zero point expects one value or one per row") }
        for index in [bZero, operands.bScale, bias] {
            guard let index else { continue }
            let count = call.inputs[index].count
            guard count == 1 || count == geometry.outputs else {
                throw call.error(.invalidShape, "input \(index) expects one value or one per column, found \(count)")
            }
        }
        let count = call.outputs[0].count
        if geometry.inputs == 0 || count == 0 {
            // Nothing to add up: zero, or the bias.
            guard geometry.inputs == 0, let bias else {
                return PreparedKernel { arguments in
                    arguments.output(0, Int32.self).update(repeating: 0, count: count)
                }
            }
            let each = call.inputs[bias].count > 1 ? geometry.outputs : 1
            return PreparedKernel { arguments in
                for index in 0..<count {
                    arguments.output(0, Float.self)[index] = arguments.input(bias, Float.self)[index % each]
                }
            }
        }
        let shape = try IntegerProduct(
            call, inputs: geometry.inputs, outputs: geometry.outputs, a: call.inputs[operands.a].dtype,
            b: call.inputs[operands.b].dtype)
        return try Prepared(
            shape: shape, geometry: geometry, operands: operands, aZero: aZero, bZero: bZero, bias: bias,
            rowZeros: rowZeros, columns: { index in index.map { call.inputs[$0].count > 1 } ?? false }
        ).kernel(call)
    }

    private struct Prepared: @unchecked Sendable {
        let shape: IntegerProduct
        let geometry: Geometry
        let operands: Operands
        let aZero: Int?
        let bZero: Int?
        let bias: Int?
        let rowZeros: Int
        let hasColumnZeros: Bool
        let hasColumnScales: Bool
        let hasColumnBias: Bool

        init(
            shape: IntegerProduct, geometry: Geometry, operands: Operands, aZero: Int?, bZero: Int?, bias: Int?,
            rowZeros: Int, columns: (Int?) -> Bool
        ) throws {
            self.shape = shape
            self.geometry = geometry
            self.operands = operands
            self.aZero = aZero
            self.bZero = bZero
            self.bias = bias
            self.rowZeros = rowZeros
            hasColumnZeros = columns(bZero)
            hasColumnScales = columns(operands.bScale)
            hasColumnBias = columns(bias)
        }

        func kernel(_ call: KernelCall) throws -> PreparedKernel {
            var packed: PackedConstant?
            let b = operands.b
            // Where everything is known the result is computed once, and packing would be most of the work.
            if call.constants.indices.contains(b), let constant = call.constants[b], geometry.matrices.count == 1,
                call.constants[operands.a] == nil, let base = constant.bytes.baseAddress
            {
                let recipe = PackedConstants.Recipe(
                    "integer_product", version: 1,
                    parameters: [geometry.inputs, geometry.outputs, shape.isUnsignedWeight ? 1 : 0])
                packed = try PackedConstants.shared.find([constant], recipe, bytes: shape.packedBytes) {
                    shape.pack(base, into: $0)
                }
            }
            let size = CheckedSize(call: call)
            let columnBytes = try size.multiply(shape.columns, 16)
            let ownBytes = packed == nil ? (shape.packedBytes + 63) / 64 * 64 : 0
            let scratch = try size.multiply(shape.scratchPerThread, Pieces.most) + columnBytes + ownBytes
            let known = packed
            var prepared = PreparedKernel(scratchBytes: scratch) { arguments in
                run(arguments, known, columnBytes, ownBytes)
            }
            let products = Double(geometry.matrices.count) * Double(geometry.rows) * Double(geometry.inputs)
            prepared.expectedNanoseconds =
                1000 + products * Double(geometry.outputs) * 2 / (tkernel_integer_is_fast() != 0 ? 350 : 90)
            if let packed {
                prepared.sharedWeights = [packed]
                prepared.absorbedInputs = [b]
            }
            return prepared
        }

        private static func value(_ pointer: UnsafeRawPointer, _ index: Int, isSigned: Bool) -> Int32 {
            isSigned
                ? Int32(pointer.loadUnaligned(fromByteOffset: index, as: Int8.self))
                : Int32(pointer.loadUnaligned(fromByteOffset: index, as: UInt8.self))
        }

        private func run(
            _ arguments: borrowing KernelArguments, _ packed: PackedConstant?, _ columnBytes: Int, _ ownBytes: Int
        ) {
            let (inputs, scratch) = (arguments.inputs, arguments.scratch)
            let (result, parallel) = (arguments.outputs[0], arguments.parallel)
            let columns = shape.columns
            let offsets = scratch.assumingMemoryBound(to: Int32.self)
            let zeros = offsets + columns
            let scales = (scratch + columns * 8).assumingMemoryBound(to: Float.self)
            let biases = scales + columns
            let own = scratch + columnBytes
            let threads = own + ownBytes
            let outputs = geometry.outputs
            var epilogue = tkernel_epilogue()
            epilogue.kind = operands.aScale == nil ? Int32(TKERNEL_S32.rawValue) : -1
            (epilogue.low, epilogue.high, epilogue.residual_kind) = (-.infinity, .infinity, -1)
            epilogue.offset = UnsafePointer(offsets)
            if let aScale = operands.aScale, let bScale = operands.bScale {
                let common = inputs[aScale].assumingMemoryBound(to: Float.self).pointee
                let given = inputs[bScale].assumingMemoryBound(to: Float.self)
                for column in 0..<columns {
                    scales[column] = column < outputs ? common * given[hasColumnScales ? column : 0] : 0
                }
                epilogue.scale = UnsafePointer(scales)
            }
            if let bias {
                let given = inputs[bias].assumingMemoryBound(to: Float.self)
                for column in 0..<columns { biases[column] = column < outputs ? given[hasColumnBias ? column : 0] : 0 }
                epilogue.bias = UnsafePointer(biases)
            }
            let bZeros = bZero.map { inputs[$0] }
            let isSignedWeight = !shape.isUnsignedWeight
            for (index, matrix) in geometry.matrices.enumerated() {
                let sums: UnsafePointer<Int32>
                let weights: UnsafePointer<Int8>
                if let packed {
                    weights = UnsafePointer(packed.base.assumingMemoryBound(to: Int8.self))
                    sums = UnsafePointer((packed.base + shape.weightBytes).assumingMemoryBound(to: Int32.self))
                } else {
                    shape.pack(inputs[operands.b] + matrix.b * geometry.inputs * outputs, into: own)
                    weights = UnsafePointer(own.assumingMemoryBound(to: Int8.self))
                    sums = UnsafePointer((own + shape.weightBytes).assumingMemoryBound(to: Int32.self))
                }
                let source = (inputs[operands.a] + matrix.a * geometry.rows * geometry.inputs)
                    .assumingMemoryBound(to: UInt8.self)
                let target = result + index * geometry.rows * outputs * 4
                // Zero points of rows are rare: a product for each.
                for row in 0..<(rowZeros == 1 ? 1 : geometry.rows) {
                    let zero =
                        aZero.map {
                            Self.value(inputs[$0], row % rowZeros, isSigned: shape.isSigned)
                        } ?? 0
                    let hasZeros = shape.centre(
                        sums, zero: zero,
                        weightZero: { column in
                            bZeros.map {
                                Self.value($0, hasColumnZeros ? column : 0, isSigned: isSignedWeight)
                            } ?? 0
                        }, offsets: offsets, zeros: zeros)
                    epilogue.weight_zero = hasZeros ? UnsafePointer(zeros) : nil
                    shape.run(
                        rows: rowZeros == 1 ? geometry.rows : 1, source: source + row * geometry.inputs,
                        weights: weights, epilogue: epilogue, target: target + row * outputs * 4, scratch: threads,
                        parallel: parallel)
                }
            }
        }
    }
}
