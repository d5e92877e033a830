import TenonIR

/// Rough times of primitives in nanoseconds, good enough to rank layouts and implementations; measurement replaces them
/// where tuning is on. The rates are those of Debian's oneDNN on one AVX-512 core; other machines differ in all of them
/// alike.
struct CostModel: Sendable {
    var threads: Int

    /// What starting a primitive costs.
    var start: Double { threads == 1 ? 800 : 3000 }

    /// Operations per nanosecond of a direct convolution that keeps the multiply-add units busy.
    var peak: Double { 120 * Double(threads) }

    /// Bytes per nanosecond from the caches.
    var bandwidth: Double { 60 * Double(threads) }

    func streaming(bytes: Int, isReference: Bool) -> Double {
        let time = Double(bytes) / bandwidth
        return start + (isReference ? time * 40 : time)
    }

    /// Between blocks and anything else memory moves in whole vectors; between the other two it does not.
    func reorder(bytes: Int, from: Layout, to: Layout) -> Double {
        let rate = from == .blocked || to == .blocked ? 1.0 : 0.4
        return start + Double(bytes) * 2 / (bandwidth * rate)
    }

    func copy(bytes: Int) -> Double { 300 + Double(bytes) * 2 / 20 }

    func compute(flops: Double, bytes: Int, efficiency: Double) -> Double {
        start + max(flops / (peak * efficiency), Double(bytes) / (bandwidth * 0.5))
    }
}

extension CostModel {
    /// What a convolution is, for its time.
    struct ConvolutionShape {
        var flops: Double
        var bytes: Int
        var weightBytes: Int
        /// Elements of source and result, both of the result's height and width.
        var elements: Double
        /// Rows and columns of the result.
        var output: [Int]
        var isDepthwise: Bool
        var layout: Layout
    }

    func convolution(_ implementation: String, _ shape: ConvolutionShape) -> Double {
        if implementation.contains("wino") { return winograd(implementation, shape) }
        let efficiency: Double
        if implementation.hasPrefix("ref") {
            efficiency = 0.005
        } else if shape.isDepthwise {
            efficiency =
                implementation.hasPrefix("brdgmm")
                ? 0.52
                : !implementation.contains("dw")
                    ? 0.1
                    : shape.layout == .blocked ? 0.55 : 0.7
        } else if implementation.hasPrefix("brg") {
            efficiency = 0.98
        } else if implementation.contains("gemm") {
            efficiency = 0.5
        } else if implementation.contains("1x1:avx512") {
            efficiency = shape.layout == .blocked ? 0.97 : 0.95
        } else if implementation.contains("avx512") {
            // Rows shorter than the register block leave it idle.
            efficiency = (shape.output.last ?? 0) <= 7 ? 0.86 : 0.94
        } else if implementation.contains("avx2") {
            efficiency = 0.5
        } else {
            efficiency = 0.25
        }
        return compute(flops: shape.flops, bytes: shape.bytes, efficiency: efficiency)
    }

    /// A 3×3 convolution in tiles of 4×4 results.
    struct WinogradShape {
        var tiles: Double
        var inputs: Double
        /// In whole blocks.
        var outputs: Double
    }

    /// Our own Winograd kernel: products in 36 points per tile, transforms of 16 channels each, weights that stream past.
    func winograd(_ shape: WinogradShape) -> Double {
        // Starting and ending a product takes as long as a few channels.
        let products = 72 * shape.tiles * (shape.inputs + 3) * shape.outputs / (peak * 0.95)
        // With few tiles, threads have outputs of their own and transform the same tiles.
        let sharing = shape.tiles < 32 * Double(threads) ? 1 : Double(threads)
        let sources = shape.tiles * (shape.inputs / 16).rounded(.up) * 50 / sharing
        let targets = shape.tiles * shape.outputs / 16 * 65 / Double(threads)
        // What the third cache does not hold comes from memory.
        let bytes = 144 * shape.inputs * shape.outputs
        let weights = bytes / ((bytes > Double(16 << 20) ? 20 : 35) * Double(threads))
        return start + products + sources + targets + weights
    }

    /// Fewer multiplications by 2.25 (tiles of 2) or 4 (tiles of 4), of which transforms take a part; tiles that reach over
    /// the edge are computed in full, and the transformed weights, larger than the originals, come from far away.
    private func winograd(_ implementation: String, _ shape: ConvolutionShape) -> Double {
        let isLarge = implementation.contains("4x3")
        let tile = isLarge ? 4 : 2
        var waste = 1.0
        for size in shape.output { waste *= Double((size + tile - 1) / tile * tile) / Double(max(size, 1)) }
        let products = shape.flops * waste / (peak * (isLarge ? 3.8 : 2.1))
        // Transforms of 16 channels of a tile.
        let blocks = shape.elements * waste / Double(16 * tile * tile)
        let transforms = blocks * (isLarge ? 250 : 80) / Double(threads)
        let weights = Double(shape.weightBytes) / ((isLarge ? 17 : 50) * Double(threads))
        return start + max(products + transforms + weights, Double(shape.bytes) / (bandwidth * 0.5))
    }
}
