import CDNNL
import TenonIR

/// Exchange of groups and members along a dimension.
struct Shuffle {
    var axis: Int
    /// Members of a group before, groups after.
    var groupSize: Int
}

extension CandidateMaker {
    func shuffle(_ node: RegionNode, _ shuffle: Shuffle) throws -> [Candidate] {
        try perLayout(node, "shuffle") { source, target, attributes in
            var handle: OpaquePointer?
            let status = tdnnl_shuffle_create(
                &handle, engine, source.handle, target.handle, Int32(truncatingIfNeeded: shuffle.axis),
                Int64(shuffle.groupSize), attributes)
            return (status, handle)
        }
    }
}
