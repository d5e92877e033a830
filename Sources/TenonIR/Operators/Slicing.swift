/// The shape rule of `strided_slice`, also where sizes and positions are symbols.
package enum Slicing {
    static func infer(_ site: CallSite) throws -> ValueType {
        let x = try site.tensor(0)
        guard let axes = try site.integers(1) else { return .tensor(TensorType(dtype: x.dtype, rank: x.rank)) }
        let begin = try site.integers(2, count: axes.count)
        let end = try site.integers(3, count: axes.count)
        let ones = [Dim](repeating: 1, count: axes.count)
        let strides = site.has(4) ? try site.integers(4, count: axes.count) : ones
        guard let rank = x.rank else { return .tensor(x) }
        let positions = try axes.map { axis -> Int in
            guard let axis = axis.value else { throw site.inputError(1, expects: "numbers") }
            return try site.axis(axis, rank: rank, attribute: "axis")
        }
        guard Set(positions).count == positions.count else { throw site.inputError(1, expects: "different axes") }
        guard var shape = x.shape, let begin, let end, let strides else {
            return .tensor(TensorType(dtype: x.dtype, rank: rank))
        }
        for (index, axis) in positions.enumerated() {
            guard let stride = strides[index].value, stride != 0, stride != .min else {
                throw site.inputError(4, expects: "known numbers other than 0")
            }
            guard let size = size(shape[axis], begin[index], end[index], stride, inBounds: site.bool("assume_inbound"))
            else { return .tensor(TensorType(dtype: x.dtype, rank: rank)) }
            shape[axis] = size
        }
        return .tensor(TensorType(x.dtype, shape))
    }

    /// First position and number of elements for an axis of known size.
    package static func resolve(size: Int64, begin: Int64, end: Int64, stride: Int64) -> (first: Int64, count: Int64) {
        let (least, most): (Int64, Int64) = stride > 0 ? (0, size) : (-1, size - 1)
        // Positions far below -size stay negative after the addition, which cannot overflow for a size from 0.
        let first = min(max(begin < 0 ? begin + size : begin, least), most)
        let last = min(max(end < 0 ? end + size : end, least), most)
        let span = stride > 0 ? last - first : first - last
        return (first, span <= 0 ? 0 : (span - 1) / Int64(clamping: stride.magnitude) + 1)
    }

    /// The number of elements, or nil where it depends on more than can be told from the expressions.
    private static func size(_ size: Dim, _ begin: Dim, _ end: Dim, _ stride: Int64, inBounds: Bool) -> Dim? {
        if let size = size.value, let begin = begin.value, let end = end.value {
            return .fixed(resolve(size: size, begin: begin, end: end, stride: stride).count)
        }
        if stride > 0 {
            guard let first = clamped(begin, 0, size, size, inBounds), let last = clamped(end, 0, size, size, inBounds),
                let span = Dim.subtracting(last, first)
            else { return nil }
            return count(span, stride, inBounds)
        }
        guard let top = Dim.subtracting(size, 1), let first = clamped(begin, -1, top, size, inBounds),
            let last = clamped(end, -1, top, size, inBounds), let span = Dim.subtracting(first, last)
        else { return nil }
        return count(span, -stride, inBounds)
    }

    /// How many steps a span has; none when it is negative.
    private static func count(_ span: Dim, _ stride: Int64, _ inBounds: Bool) -> Dim? {
        guard let length = inBounds ? span : Dim.maximum(span, 0) else { return nil }
        return Dim.adding(length, .fixed(stride - 1)).flatMap { Dim.floorDividing($0, by: stride) }
    }

    /// A position counted from the start, from `least` to `most`. A negative one counts from the end.
    private static func clamped(_ position: Dim, _ least: Dim, _ most: Dim, _ size: Dim, _ inBounds: Bool) -> Dim? {
        if position == size { return most }
        if let value = position.value {
            // No size is so large: what is meant is "to the end".
            if value >= Int64(Int32.max) { return most }
            if value <= -Int64(Int32.max) { return least }
        }
        func within(_ position: Dim) -> Dim? {
            inBounds ? position : Dim.minimum(position, most).flatMap { Dim.maximum($0, least) }
        }
        if position.isNonNegative { return within(position) }
        // A position of unknown sign counts from the start where the caller says that it lies within.
        if inBounds, position.value == nil { return position }
        guard let moved = Dim.adding(position, size).flatMap(within) else { return nil }
        if Dim.subtracting(-1, position)?.isNonNegative ?? false { return moved }
        guard let isNegative = Dim.less(position, 0), let kept = within(position) else { return nil }
        return Dim.select(isNegative, moved, kept)
    }
}

extension CallSite {
    /// The integers of a shape literal, of a tuple of numbers or of a tensor of known contents; nil when they are not known.
    func integers(_ index: Int, count: Int? = nil) throws -> [Dim]? {
        guard let values = try integers(of: index) else { return nil }
        if let count, values.count != count { throw inputError(index, expects: "\(count) numbers") }
        return values
    }

    private func integers(of index: Int) throws -> [Dim]? {
        guard has(index) else { throw inputError(index, .invalidArgument, expects: "integers") }
        if let dims = dims(index) { return dims }
        if constants.indices.contains(index), let constant = constants[index], let elements = constant.intElements {
            return elements.map { .fixed($0) }
        }
        switch types[index] {
        case .shape, .object: return nil
        case .tensor(let type) where type.dtype?.isInteger ?? true: return nil
        default: break
        }
        guard arguments.indices.contains(index), case .tuple(let fields) = arguments[index] else {
            throw inputError(index, .invalidType, expects: "integers")
        }
        return try fields.map { field in
            guard case .int(let number) = field else { throw inputError(index, .invalidType, expects: "integers") }
            return .fixed(number)
        }
    }
}
