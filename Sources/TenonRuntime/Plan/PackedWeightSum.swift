/// The packed weights of a plan, those apart that other plans may hold too.
struct PackedWeightSum: Sendable {
    /// Bytes that only this plan holds.
    private(set) var own = 0
    /// Bytes of the others, by identity. The plan keeps the objects.
    private(set) var shared: [ObjectIdentifier: Int] = [:]

    init(_ regions: [any CompiledRegion], kernels: [PreparedKernel] = []) {
        for kernel in kernels {
            own = own &+ kernel.packedBytes
            for weights in kernel.sharedWeights { shared[ObjectIdentifier(weights)] = weights.bytes }
        }
        // A region called twice is there twice and holds its weights once.
        var seen: Set<ObjectIdentifier> = []
        for region in regions where seen.insert(ObjectIdentifier(region)).inserted {
            own = own &+ region.packedWeightBytes
            for weights in region.sharedWeights {
                own = own &- weights.bytes
                shared[ObjectIdentifier(weights)] = weights.bytes
            }
        }
    }

    var bytes: Int { shared.values.reduce(own) { $0 &+ $1 } }

    /// Bytes of several plans together.
    static func bytes(_ sums: some Sequence<PackedWeightSum>) -> Int {
        var seen: Set<ObjectIdentifier> = []
        return sums.reduce(0) { total, sum in
            sum.shared.reduce(total &+ sum.own) { seen.insert($1.key).inserted ? $0 &+ $1.value : $0 }
        }
    }
}
