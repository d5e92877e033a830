import CKernels
import TenonIR

/// The shape of a product of rows of bytes with a matrix [inputs, outputs] of bytes, at any number of rows.
struct IntegerProduct: Sendable {
    let kernel: tkernel_integer
    let isSigned: Bool
    let isUnsignedWeight: Bool
    let weightBytes: Int
    /// Outputs in whole blocks.
    let columns: Int
    let blocks: Int
    let scratchPerThread: Int
    let rowBytes: Int

    init(_ call: KernelCall, inputs: Int, outputs: Int, a: DataType, b: DataType) throws {
        guard a == .uint8 || a == .int8 else { throw call.unsupported(a) }
        guard b == .uint8 || b == .int8 else { throw call.unsupported(b) }
        var kernel = tkernel_integer(inputs: Int64(max(inputs, 1)), taps: 1, outputs: Int64(max(outputs, 1)))
        weightBytes = Int(tkernel_integer_weights(&kernel))
        guard weightBytes > 0 else { throw call.error(.limitExceeded, "its weights need too much memory") }
        blocks = Int(tkernel_integer_blocks(&kernel))
        columns = blocks * Int(TKERNEL_INTEGER_COLUMNS)
        rowBytes = (max(inputs, 1) + 63) / 64 * 64
        scratchPerThread =
            (Int(TKERNEL_INTEGER_ROWS) * MemoryLayout<UnsafeRawPointer>.size + 63) / 64 * 64 + rowBytes
            + (Int(tkernel_integer_scratch(&kernel)) + 63) / 64 * 64
        self.kernel = kernel
        isSigned = a == .int8
        isUnsignedWeight = b == .uint8
    }

    var packedBytes: Int { weightBytes + columns * 4 }

    func pack(_ source: UnsafeRawPointer, into: UnsafeMutableRawPointer) {
        var kernel = kernel
        tkernel_integer_pack(
            &kernel, source, isUnsignedWeight ? 1 : 0, 1, kernel.outputs, 1, into.assumingMemoryBound(to: Int8.self),
            (into + weightBytes).assumingMemoryBound(to: Int32.self))
    }

    /// What is added to the sum of each column, and the zero points that rows' sums are multiplied by, as the kernel counts;
    /// says whether there are any.
    func centre(
        _ sums: UnsafePointer<Int32>, zero: Int32, weightZero: (Int) -> Int32, offsets: UnsafeMutablePointer<Int32>,
        zeros: UnsafeMutablePointer<Int32>
    ) -> Bool {
        let zero = isSigned ? zero &+ 128 : zero
        let all = Int32(truncatingIfNeeded: kernel.inputs)
        var isCentred = true
        for column in 0..<columns {
            let weight = column < Int(kernel.outputs) ? weightZero(column) &- (isUnsignedWeight ? 128 : 0) : 0
            zeros[column] = weight
            if weight != 0 { isCentred = false }
            offsets[column] = (all &* zero &* weight) &- zero &* sums[column]
        }
        return !isCentred
    }

    /// Multiplies `rows` rows that lie `inputs` bytes apart. `scratch` has `scratchPerThread` bytes for each piece.
    func run(
        rows: Int, source: UnsafePointer<UInt8>, weights: UnsafePointer<Int8>, epilogue: tkernel_epilogue,
        target: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer, parallel: Parallel
    ) {
        let most = Int(TKERNEL_INTEGER_ROWS)
        let (inputs, outputs) = (Int(kernel.inputs), Int(kernel.outputs))
        let groups = (rows + most - 1) / most
        let size = epilogue.kind == Int32(TKERNEL_S32.rawValue) || epilogue.kind < 0 ? 4 : 1
        let isCut = inputs % 4 != 0
        let work = min(rows, most) * inputs * 32
        Pieces.forEach(parallel, groups * blocks, grain: max(1, 400_000 / max(work, 1))) { piece, range in
            var (kernel, epilogue) = (kernel, epilogue)
            let own = scratch + piece * scratchPerThread
            let pointers = own.assumingMemoryBound(to: UnsafePointer<UInt8>.self)
            let pointerBytes = (most * MemoryLayout<UnsafeRawPointer>.size + 63) / 64 * 64
            let last = (own + pointerBytes).assumingMemoryBound(to: UInt8.self)
            var next = range.lowerBound
            while next < range.upperBound {
                let (group, block) = (next / blocks, next % blocks)
                let end = min(blocks, block + range.upperBound - next)
                let first = group * most
                let count = min(most, rows - first)
                for row in 0..<count { pointers[row] = source + (first + row) * inputs }
                // Up to three bytes behind a row are read, and behind the last one there may be none.
                if isCut, first + count == rows {
                    last.update(from: source + (rows - 1) * inputs, count: inputs)
                    pointers[count - 1] = UnsafePointer(last)
                }
                tkernel_integer_run(
                    &kernel, &epilogue, isSigned ? 1 : 0, pointers, Int64(count), weights, Int64(block), Int64(end),
                    nil,
                    target + first * outputs * size, Int64(outputs), own + pointerBytes + rowBytes)
                next += end - block
            }
        }
    }
}
