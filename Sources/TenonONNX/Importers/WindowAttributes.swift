import TenonIR

/// Strides, dilations and padding of convolution and pooling nodes, with `auto_pad` resolved.
struct WindowAttributes {
    let strides: [Int64]
    let dilations: [Int64]
    /// All begins, then all ends.
    let pads: [Int64]

    /// - Parameter input: the spatial dimensions of the input, nil when they are not known.
    init(_ node: Node, kernel: [Int64], input: [Dim]?) throws {
        let spatial = kernel.count
        func list(_ name: String, count: Int, fallback: Int64, least: Int64) throws -> [Int64] {
            guard let values = try node.ints(name) else { return [Int64](repeating: fallback, count: count) }
            guard values.count == count, values.allSatisfy({ $0 >= least && $0 <= Int64(Int32.max) }) else {
                // Negative padding crops, which only a few exporters write.
                throw node.error(.invalidArgument, "\(name) expects \(count) numbers from \(least), found \(values)")
            }
            return values
        }
        guard kernel.allSatisfy({ $0 > 0 && $0 <= Int64(Int32.max) }) else {
            throw node.error(.invalidShape, "kernel size \(kernel)")
        }
        strides = try list("strides", count: spatial, fallback: 1, least: 1)
        dilations = try list("dilations", count: spatial, fallback: 1, least: 1)
        let explicit = try list("pads", count: spatial * 2, fallback: 0, least: 0)
        let mode = try node.string("auto_pad", "NOTSET")
        switch mode {
        case "NOTSET", "": pads = explicit
        case "VALID": pads = [Int64](repeating: 0, count: spatial * 2)
        case "SAME_UPPER", "SAME_LOWER":
            var pads = [Int64](repeating: 0, count: spatial * 2)
            for axis in 0..<spatial {
                let total = try WindowAttributes.same(
                    node, size: input?[axis], extent: dilations[axis] * (kernel[axis] - 1) + 1, stride: strides[axis])
                let (small, large) = (total / 2, total - total / 2)
                pads[axis] = mode == "SAME_UPPER" ? small : large
                pads[axis + spatial] = mode == "SAME_UPPER" ? large : small
            }
            self.pads = pads
        default: throw node.error(.invalidArgument, "auto_pad is \(quoted(mode))")
        }
    }

    /// Padding such that the output has ⌈size / stride⌉ positions.
    private static func same(_ node: Node, size: Dim?, extent: Int64, stride: Int64) throws -> Int64 {
        // With stride 1 the size does not matter.
        if stride == 1 { return extent - 1 }
        guard let size = size?.value, size <= Int64(Int32.max) else {
            throw node.unsupported("auto_pad SAME with stride \(stride) over a size that is not known")
        }
        let outputs = (size + stride - 1) / stride
        return max((outputs - 1) * stride + extent - size, 0)
    }
}
