import TenonIR

/// Rough times of primitives in nanoseconds, good enough to rank layouts and implementations. Rates are those of one
/// thread; measurement replaces them where tuning is on.
struct CostModel: Sendable {
    var threads: Int

    /// What starting a primitive costs.
    let start = 1500.0

    /// Operations per nanosecond of a fused multiply-add unit kept busy.
    var peak: Double { 140.0 * Double(threads) }

    /// Bytes per nanosecond from the outer caches.
    var bandwidth: Double { 12.0 * Double(threads) }

    func streaming(bytes: Int, isReference: Bool) -> Double {
        let time = Double(bytes) / bandwidth
        return start + (isReference ? time * 20 : time)
    }

    func reorder(bytes: Int) -> Double { start + Double(bytes) * 2 / (bandwidth * 0.7) }

    func copy(bytes: Int) -> Double { 300 + Double(bytes) * 2 / bandwidth }

    func compute(flops: Double, bytes: Int, efficiency: Double) -> Double {
        start + max(flops / (peak * efficiency), Double(bytes) / bandwidth)
    }
}
