import CDNNL
import TenonIR

enum ResamplingLowering {
    static let rules: [(String, Lowering.Rule)] = (1...3).map { spatial in
        ("image.resize\(spatial)d", { op, graph in lower(op, graph) })
    }

    /// oneDNN samples at (i + 1/2) · input / output - 1/2, and takes the nearest of it or what lies linearly between its
    /// neighbours, the edges repeated.
    private static func lower(_ op: RegionOp, _ graph: RegionGraph) -> RegionNode.Operation? {
        let (x, y) = (graph[op.inputs[0]].dims, graph[op.outputs[0]].dims)
        guard x.count == y.count, (3...5).contains(x.count), x[0] == y[0], x[1] == y[1],
            let mode = op.attributes.string("coordinate_transformation_mode"),
            op.attributes.bool("antialias") != true || zip(x, y).allSatisfy({ $0 <= $1 })
        else { return nil }
        // A scale that is not the ratio of the sizes samples elsewhere.
        if case .floats(let scales)? = op.attributes["scales"] {
            guard scales.count == x.count - 2 else { return nil }
            for (axis, scale) in scales.enumerated() where scale * Double(x[axis + 2]) != Double(y[axis + 2]) {
                return nil
            }
        }
        let isCentred = mode == "half_pixel" || mode == "pytorch_half_pixel" && y.dropFirst(2).allSatisfy { $0 > 1 }
        switch op.attributes.string("method") {
        case "linear": return isCentred ? .resampling(TDNNL_RESAMPLING_LINEAR) : nil
        case "nearest_neighbor":
            // Between whole multiples no position lies half-way, and each of these ways takes the same neighbour.
            guard zip(x, y).allSatisfy({ $1 % $0 == 0 }) else { return nil }
            let rounding = op.attributes.string("rounding_method") ?? ""
            let isSame =
                isCentred && rounding.hasPrefix("round_prefer")
                || (mode == "asymmetric" || mode == "tf_half_pixel_for_nn") && rounding == "floor"
            return isSame ? .resampling(TDNNL_RESAMPLING_NEAREST) : nil
        default: return nil
        }
    }
}

extension CandidateMaker {
    func resampling(_ node: RegionNode, _ algorithm: tdnnl_algorithm) throws -> [Candidate] {
        try perLayout(node, "resampling") { source, target, attributes in
            var handle: OpaquePointer?
            let status = tdnnl_resampling_create(
                &handle, engine, Int32(algorithm.rawValue), source.handle, target.handle, nil, attributes)
            return (status, handle)
        }
    }
}
