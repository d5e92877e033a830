import TenonIR

/// A caller's tensor, borrowed for one call: where it is and how it lies there. Nothing is copied or kept.
public struct TensorView {
    public var dtype: DataType
    /// The first element; may be null when there are no elements.
    public var data: UnsafeMutableRawPointer?
    public var rank: Int
    /// `rank` sizes; may be null when `rank` is 0.
    public var shape: UnsafePointer<Int64>?
    /// `rank` steps in elements, which may be zero or negative; null for a dense row-major tensor.
    public var strides: UnsafePointer<Int64>?
    /// Bytes from `data` that belong to the tensor, checked against what it needs; nil when the caller did not say.
    public var byteCount: Int?

    public init(
        dtype: DataType, data: UnsafeMutableRawPointer?, rank: Int, shape: UnsafePointer<Int64>?,
        strides: UnsafePointer<Int64>? = nil, byteCount: Int? = nil
    ) {
        self.dtype = dtype
        self.data = data
        self.rank = rank
        self.shape = shape
        self.strides = strides
        self.byteCount = byteCount
    }

    /// Size of dimension `axis`; 0 outside the rank.
    @inlinable func dim(_ axis: Int) -> Int64 { axis < rank ? shape?[axis] ?? 0 : 0 }

    /// The sizes as text: `f32[1,3,224,224]`.
    var text: String {
        "\(dtype.name)[\((0..<max(rank, 0)).map { "\(dim($0))" }.joined(separator: ","))]"
    }

    /// Whether the elements lie row-major without gaps. Strides of dimensions of size 1 do not matter.
    var isDense: Bool {
        guard let strides else { return true }
        for axis in 0..<max(rank, 0) where dim(axis) == 0 { return true }
        var expected: Int64 = 1
        var axis = rank - 1
        while axis >= 0 {
            let size = dim(axis)
            if size != 1 {
                if strides[axis] != expected { return false }
                let (next, overflow) = expected.multipliedReportingOverflow(by: size)
                if overflow { return false }
                expected = next
            }
            axis -= 1
        }
        return true
    }

    /// Whether `data` is aligned as the element type wants it.
    var isAligned: Bool {
        let size = UInt(max(dtype.byteCount, 1))
        return UInt(bitPattern: data) % size == 0
    }

    /// Offsets in bytes of the first byte and past the last byte, relative to `data`; nil when a size overflows.
    func extent() -> (lower: Int, upper: Int)? {
        var (lower, upper): (Int64, Int64) = (0, 0)
        var dense: Int64 = 1
        var axis = rank - 1
        while axis >= 0 {
            let size = dim(axis)
            if size <= 0 { return size == 0 ? (0, 0) : nil }
            let stride = strides?[axis] ?? dense
            let (reach, overflow) = stride.multipliedReportingOverflow(by: size - 1)
            if overflow { return nil }
            let (next, denseOverflow) = dense.multipliedReportingOverflow(by: size)
            if denseOverflow { return nil }
            dense = next
            let (sum, sumOverflow) = (reach < 0 ? lower : upper).addingReportingOverflow(reach)
            if sumOverflow { return nil }
            if reach < 0 { lower = sum } else { upper = sum }
            axis -= 1
        }
        let width = Int64(dtype.byteCount)
        let (first, firstOverflow) = lower.multipliedReportingOverflow(by: width)
        let (last, lastOverflow) = upper.multipliedReportingOverflow(by: width)
        let (end, endOverflow) = last.addingReportingOverflow(width)
        if firstOverflow || lastOverflow || endOverflow { return nil }
        return (Int(first), Int(end))
    }

    /// Copies the elements row-major and without gaps to `destination`, which has room for them.
    /// What is left when the work is over is left out: the caller throws.
    func pack(to destination: UnsafeMutableRawPointer, _ limits: WorkLimits? = nil) {
        guard let data else { return }
        let width = dtype.byteCount
        var rest = Countdown(limits)
        var target = destination
        if isDense {
            var count = 1
            for axis in 0..<rank { count &*= Int(dim(axis)) }
            packLine(count, from: UnsafeRawPointer(data), to: &target, step: width, width, &rest)
        } else if let strides, rank > 0 {
            packAxis(0, from: UnsafeRawPointer(data), to: &target, strides, width, &rest)
        }
    }

    private func packAxis(
        _ axis: Int, from source: UnsafeRawPointer, to target: inout UnsafeMutableRawPointer,
        _ strides: UnsafePointer<Int64>, _ width: Int, _ rest: inout Countdown
    ) {
        let size = Int(dim(axis))
        let step = Int(strides[axis]) &* width
        guard axis < rank - 1 else { return packLine(size, from: source, to: &target, step: step, width, &rest) }
        var source = source
        for _ in 0..<size {
            packAxis(axis + 1, from: source, to: &target, strides, width, &rest)
            if rest.isOver { return }
            source += step
        }
    }

    private func packLine(
        _ size: Int, from source: UnsafeRawPointer, to target: inout UnsafeMutableRawPointer, step: Int, _ width: Int,
        _ rest: inout Countdown
    ) {
        var (source, left) = (source, size)
        while left > 0 {
            let count = min(left, Countdown.most)
            if rest.isOver(after: count) { return }
            func move<T: BitwiseCopyable>(_: T.Type) {
                for index in 0..<count {
                    target.storeBytes(
                        of: source.loadUnaligned(fromByteOffset: index &* step, as: T.self),
                        toByteOffset: index &* width,
                        as: T.self)
                }
            }
            if step == width {
                target.copyMemory(from: source, byteCount: count &* width)
            } else {
                switch width {
                case 1: move(UInt8.self)
                case 2: move(UInt16.self)
                case 4: move(UInt32.self)
                default: move(UInt64.self)
                }
            }
            target += count &* width
            source += count &* step
            left -= count
        }
    }
}
