import Glibc
import TenonIR

/// Copies elements into a dense result from a source that is walked with any steps: transposes, slices, repeats, reversals.
struct StridedCopy: Sendable {
    let loop: BroadcastLoop
    /// The element of the source that goes first, in elements.
    let start: Int
    let elementBytes: Int
    /// The dimensions outside of a transposition of the two innermost ones; nil when there is none.
    private let planes: BroadcastLoop?

    /// `sizes` in order of the result, `steps` of the source in elements.
    init(sizes: [Int], steps: [Int], start: Int = 0, elementBytes: Int) {
        let loop = BroadcastLoop(sizes: sizes, steps: [steps])
        let last = loop.sizes.count - 1
        // Neighbours in the source are one row apart in the result.
        let transposes =
            last > 0 && loop.steps[0][last - 1] == 1 && loop.steps[0][last] > 1 && loop.sizes[last - 1] >= 8
            && loop.sizes[last] >= 8
        planes =
            transposes
            ? BroadcastLoop(sizes: Array(loop.sizes[..<(last - 1)]), steps: [Array(loop.steps[0][..<(last - 1)])]) : nil
        self.loop = loop
        self.start = start
        self.elementBytes = elementBytes
    }

    /// Steps of a dense tensor.
    static func steps(_ shape: [Int]) -> [Int] {
        var steps = [Int](repeating: 1, count: shape.count)
        for dimension in stride(from: shape.count - 2, through: 0, by: -1) {
            steps[dimension] = steps[dimension + 1] * shape[dimension + 1]
        }
        return steps
    }

    func run(_ source: UnsafeRawPointer, _ result: UnsafeMutableRawPointer, _ parallel: Parallel) {
        switch elementBytes {
        case 1: run(source, result, parallel, UInt8.self)
        case 2: run(source, result, parallel, UInt16.self)
        case 4: run(source, result, parallel, UInt32.self)
        default: run(source, result, parallel, UInt64.self)
        }
    }

    /// Squares of 16 × 16, so that every cache line that is read is used up before it is lost.
    private func transpose<T: BitwiseCopyable>(
        _ planes: BroadcastLoop, _ source: UnsafePointer<T>, _ result: UnsafeMutablePointer<T>, _ parallel: Parallel
    ) {
        let last = loop.sizes.count - 1
        let (height, width, step) = (loop.sizes[last - 1], loop.sizes[last], loop.steps[0][last])
        let bands = (height + 15) / 16
        let count = planes.rows * planes.inner * bands
        parallel.forEach(count, grain: max(1, 1024 / width)) { range in
            for unit in range {
                let (plane, band) = (unit / bands, unit % bands)
                let from = source + offset(planes, plane) + band * 16
                let to = result + (plane * height + band * 16) * width
                StridedCopy.band(from, to, min(16, height - band * 16), width, step)
            }
        }
    }

    private func offset(_ loop: BroadcastLoop, _ index: Int) -> Int {
        var rest = index
        var offset = 0
        for dimension in stride(from: loop.sizes.count - 1, through: 0, by: -1) {
            offset += rest % loop.sizes[dimension] * loop.steps[0][dimension]
            rest /= loop.sizes[dimension]
        }
        return offset
    }

    @inline(never) private static func band<T: BitwiseCopyable>(
        _ from: UnsafePointer<T>, _ to: UnsafeMutablePointer<T>, _ height: Int, _ width: Int, _ step: Int
    ) {
        var first = 0
        while first < width {
            let last = min(first &+ 16, width)
            for row in 0..<height {
                for column in first..<last { to[row &* width &+ column] = from[column &* step &+ row] }
            }
            first = last
        }
    }

    private func run<T: BitwiseCopyable>(
        _ source: UnsafeRawPointer, _ result: UnsafeMutableRawPointer, _ parallel: Parallel, _: T.Type
    ) {
        let source = source.assumingMemoryBound(to: T.self) + start
        let result = result.assumingMemoryBound(to: T.self)
        let (inner, step) = (loop.inner, loop.innerStep(0))
        if let planes { return transpose(planes, source, result, parallel) }
        loop.forEachPart(parallel) { rows, elements in
            let (first, count) = (elements.lowerBound, elements.count)
            loop.forEachRow(rows) { row, offset, _, _ in
                let from = source + offset + first * step
                let to = result + row * inner + first
                switch step {
                case 1: to.update(from: from, count: count)
                case 0: to.update(repeating: from[0], count: count)
                default: for index in 0..<count { to[index] = from[index &* step] }
                }
            }
        }
    }
}

/// Copies by blocks of bytes.
enum BlockCopy {
    /// A dense tensor as it is, in parts.
    static func all(_ bytes: Int, _ source: UnsafeRawPointer, _ result: UnsafeMutableRawPointer, _ parallel: Parallel) {
        parallel.forEach(bytes, grain: 1 << 18) { range in
            (result + range.lowerBound).copyMemory(from: source + range.lowerBound, byteCount: range.count)
        }
    }

    /// `count` blocks of `bytes` bytes from and to places that are `from` and `to` bytes apart.
    static func blocks(
        _ count: Int, _ bytes: Int, _ source: UnsafeRawPointer, every from: Int, _ result: UnsafeMutableRawPointer,
        every to: Int, _ parallel: Parallel
    ) {
        guard bytes > 0 else { return }
        if count == 1 { return all(bytes, source, result, parallel) }
        parallel.forEach(count, grain: max(1, (1 << 17) / bytes)) { range in
            for index in range { (result + index * to).copyMemory(from: source + index * from, byteCount: bytes) }
        }
    }
}

/// Reads positions of any integer type.
struct IndexList {
    let base: UnsafeRawPointer
    let dtype: DataType

    @inline(__always) subscript(index: Int) -> Int {
        switch dtype {
        case .int64: Int(base.loadUnaligned(fromByteOffset: index &* 8, as: Int64.self))
        case .int32: Int(base.loadUnaligned(fromByteOffset: index &* 4, as: Int32.self))
        case .uint32: Int(base.loadUnaligned(fromByteOffset: index &* 4, as: UInt32.self))
        case .int16: Int(base.loadUnaligned(fromByteOffset: index &* 2, as: Int16.self))
        case .uint16: Int(base.loadUnaligned(fromByteOffset: index &* 2, as: UInt16.self))
        case .int8: Int(base.loadUnaligned(fromByteOffset: index, as: Int8.self))
        case .uint8, .bool: Int(base.loadUnaligned(fromByteOffset: index, as: UInt8.self))
        // Above the largest Int no index is in range anyway.
        case .uint64: Int(clamping: base.loadUnaligned(fromByteOffset: index &* 8, as: UInt64.self))
        default: 0
        }
    }
}
