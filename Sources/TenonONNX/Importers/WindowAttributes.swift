import TenonIR

/// Strides, dilations and padding of convolution and pooling nodes, with `auto_pad` resolved.
struct WindowAttributes {
    let strides: [Int64]
    let dilations: [Int64]
    /// All begins, then all ends.
    let pads: [Int64]
    /// Padding that depends on sizes which only a run knows, as begins and ends; `pads` are 0 then.
    let computedPads: [Dim]?
    /// Positions after the end that only the bias reaches, beyond `output_padding`: where `output_shape` asks for more.
    let excess: [Int64]

    /// - Parameter input: the spatial dimensions of the input, nil when they are not known.
    init(_ node: Node, kernel: [Int64], input: [Dim]?) throws {
        let lists = try Lists(node, kernel: kernel)
        strides = lists.strides
        dilations = lists.dilations
        excess = [Int64](repeating: 0, count: kernel.count)
        guard lists.mode.hasPrefix("SAME") else {
            pads = lists.pads
            computedPads = nil
            return
        }
        let totals = try kernel.indices.map { axis in
            try WindowAttributes.same(
                node, size: input?[axis], extent: lists.extent(axis), stride: lists.strides[axis])
        }
        let numbers = totals.compactMap(\.value)
        if numbers.count == totals.count {
            pads = lists.split(numbers)
            computedPads = nil
        } else {
            pads = [Int64](repeating: 0, count: kernel.count * 2)
            computedPads = try lists.split(node, totals)
        }
    }

    /// The input with the padding around it that the operator cannot be told of as numbers.
    func padded(_ node: Node, _ x: Operand, with value: Double = 0, filling: Operand? = nil) throws -> Operand {
        guard let computedPads else { return x }
        guard let shape = try node.type(of: x).shape, shape.count == kernelRank + 2 else {
            throw node.unsupported("auto_pad SAME over an input of unknown rank")
        }
        var widths: [Dim] = [0, 0, 0, 0]
        var result = Array(shape.prefix(2))
        for axis in 0..<kernelRank {
            let (before, after) = (computedPads[axis], computedPads[axis + kernelRank])
            widths += [before, after]
            guard let size = Dim.adding(before, after).flatMap({ Dim.adding($0, shape[axis + 2]) }) else {
                throw node.error(.invalidShape, "a padded size overflows")
            }
            result.append(size)
        }
        let padded = try node.dynamic(
            "nn.pad", [x], [try node.sizes(of: widths), try filling ?? node.scalar(value, like: x)],
            ["pad_mode": "constant"])
        return try node.sized(padded, TensorType(try node.type(of: x).dtype, result))
    }

    private var kernelRank: Int { strides.count }

    /// As above for a transposed convolution, where `output_shape` or SAME decide the size of the output.
    ///
    /// - Parameter extra: the node's `output_padding`.
    init(transposed node: Node, kernel: [Int64], extra: [Int64], input: [Dim]?) throws {
        let lists = try Lists(node, kernel: kernel)
        strides = lists.strides
        dilations = lists.dilations
        var beyond = [Int64](repeating: 0, count: kernel.count)
        var wanted = try node.ints("output_shape")
        if let shape = wanted, shape.count == kernel.count + 2 { wanted = Array(shape.dropFirst(2)) }
        computedPads = nil
        guard wanted != nil || lists.mode.hasPrefix("SAME") else {
            pads = lists.pads
            excess = beyond
            return
        }
        if let wanted, wanted.count != kernel.count {
            throw node.error(.invalidArgument, "output_shape expects \(kernel.count) numbers, found \(wanted)")
        }
        pads = lists.split(
            try kernel.indices.map { axis in
                // Without an output_shape, SAME makes the output stride times the input, whatever that is.
                guard let wanted else {
                    let surplus = lists.extent(axis) - lists.strides[axis] + extra[axis]
                    beyond[axis] = max(-surplus, 0)
                    return max(surplus, 0)
                }
                guard let size = input?[axis].value, size > 0, size <= Int64(Int32.max),
                    (0...Int64(Int32.max)).contains(wanted[axis])
                else { throw node.unsupported("output_shape \(wanted) over a size that is not known") }
                let full = lists.strides[axis] * (size - 1) + extra[axis] + lists.extent(axis)
                beyond[axis] = max(wanted[axis] - full, 0)
                return max(full - wanted[axis], 0)
            })
        excess = beyond
    }

    /// Padding such that the output has ⌈size / stride⌉ positions.
    private static func same(_ node: Node, size: Dim?, extent: Int64, stride: Int64) throws -> Dim {
        // With stride 1 the size does not matter.
        if stride == 1 { return .fixed(extent - 1) }
        guard let size else {
            throw node.unsupported("auto_pad SAME with stride \(stride) over an input of unknown rank")
        }
        if let number = size.value, number < 0 || number > Int64(Int32.max) {
            throw node.error(.invalidShape, "a size of \(number)")
        }
        guard
            let outputs = Dim.adding(size, .fixed(stride - 1)).flatMap({ Dim.floorDividing($0, by: stride) }),
            let covered = Dim.adding(outputs, -1).flatMap({ Dim.multiplying($0, .fixed(stride)) }),
            let total = Dim.adding(covered, .fixed(extent)).flatMap({ Dim.subtracting($0, size) }),
            let padding = Dim.maximum(total, 0)
        else { throw node.error(.invalidShape, "a padded size overflows") }
        return padding
    }
}

/// The attributes as they stand in the node, checked: every number is below 2^31, so sums of products fit.
private struct Lists {
    let kernel: [Int64]
    let strides: [Int64]
    let dilations: [Int64]
    let pads: [Int64]
    let mode: String

    init(_ node: Node, kernel: [Int64]) throws {
        func list(_ name: String, count: Int, fallback: Int64, least: Int64) throws -> [Int64] {
            guard let values = try node.ints(name) else { return [Int64](repeating: fallback, count: count) }
            guard values.count == count, values.allSatisfy({ $0 >= least && $0 <= Int64(Int32.max) }) else {
                throw node.error(.invalidArgument, "\(name) expects \(count) numbers from \(least), found \(values)")
            }
            return values
        }
        guard kernel.allSatisfy({ $0 > 0 && $0 <= Int64(Int32.max) }) else {
            throw node.error(.invalidShape, "kernel size \(kernel)")
        }
        self.kernel = kernel
        strides = try list("strides", count: kernel.count, fallback: 1, least: 1)
        dilations = try list("dilations", count: kernel.count, fallback: 1, least: 1)
        let explicit = try list("pads", count: kernel.count * 2, fallback: 0, least: 0)
        mode = try node.string("auto_pad", "NOTSET")
        guard ["", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"].contains(mode) else {
            throw node.error(.invalidArgument, "auto_pad is \(quoted(mode))")
        }
        pads = mode == "VALID" ? [Int64](repeating: 0, count: kernel.count * 2) : explicit
    }

    /// How many positions a dilated kernel covers.
    func extent(_ axis: Int) -> Int64 { dilations[axis] * (kernel[axis] - 1) + 1 }

    /// Padding per axis divided into begins and ends; the odd one goes to the end with SAME_UPPER, else to the beginning.
    func split(_ totals: [Int64]) -> [Int64] {
        let halves = totals.map { mode == "SAME_UPPER" ? $0 / 2 : $0 - $0 / 2 }
        return halves + zip(totals, halves).map { $0 - $1 }
    }

    /// As above, of sizes that only a run knows.
    func split(_ node: Node, _ totals: [Dim]) throws -> [Dim] {
        let halves = try totals.map { total -> Dim in
            let rounded = mode == "SAME_UPPER" ? total : Dim.adding(total, 1)
            guard let half = rounded.flatMap({ Dim.floorDividing($0, by: Int64(2)) }) else {
                throw node.error(.invalidShape, "a padded size overflows")
            }
            return half
        }
        let rest = try zip(totals, halves).map { total, half -> Dim in
            guard let rest = Dim.subtracting(total, half) else { throw node.error(.invalidShape, "a size overflows") }
            return rest
        }
        return halves + rest
    }
}
