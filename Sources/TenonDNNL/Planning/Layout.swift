import CDNNL
import TenonIR

/// How the elements of an activation lie in memory.
enum Layout: UInt8, CaseIterable, Sendable {
    /// Row-major: nchw.
    case plain = 0
    /// nhwc.
    case channelsLast = 1
    /// Blocks of 8 or 16 channels, as wide as the machine's vectors: nChw16c.
    case blocked = 2

    var bit: UInt8 { 1 << rawValue }
}

/// What planning a region needs to know of its surroundings.
struct PlanContext {
    let engine: Engine
    var graph: RegionGraph
    let threads: Int
    /// Channels in a block.
    let blockSize: Int
    let costs: CostModel
    var numerics = NumericsPolicy.strict
    /// When only one layout is asked for: tensors that cannot have it keep all of theirs.
    var onlyLayout: Layout?
    /// Runs end within 50 ms when they are told to, whatever it costs.
    var endsEarly = false

    /// The layouts that such tensors may have.
    func layouts(_ dims: [Int], _ dtype: DataType) -> [Layout] {
        guard (3...5).contains(dims.count) else { return [.plain] }
        // Blocks of which more than half is padding cost more than they bring; small integers gain nothing from them.
        // Infinities times the zeros of the padding are NaN, which must not reach anything.
        let takesBlocks =
            dtype == .float32 && (numerics == .exact ? dims[1] % blockSize == 0 : dims[1] * 2 > blockSize)
        let all: [Layout] = takesBlocks ? [.plain, .channelsLast, .blocked] : [.plain, .channelsLast]
        guard let onlyLayout, all.contains(onlyLayout) else { return all }
        return [onlyLayout]
    }

    func descriptor(
        _ dims: [Int], _ dtype: DataType, _ layout: Layout
    ) throws(TenonError) -> MemoryDescriptor {
        switch (layout, dims.count) {
        case (.channelsLast, 3): return try .tagged(dims, dtype, TDNNL_TAG_acb)
        case (.channelsLast, 4): return try .tagged(dims, dtype, TDNNL_TAG_acdb)
        case (.channelsLast, 5): return try .tagged(dims, dtype, TDNNL_TAG_acdeb)
        case (.blocked, 3): return try .tagged(dims, dtype, blockSize == 16 ? TDNNL_TAG_aBc16b : TDNNL_TAG_aBc8b)
        case (.blocked, 4): return try .tagged(dims, dtype, blockSize == 16 ? TDNNL_TAG_aBcd16b : TDNNL_TAG_aBcd8b)
        case (.blocked, 5): return try .tagged(dims, dtype, blockSize == 16 ? TDNNL_TAG_aBcde16b : TDNNL_TAG_aBcde8b)
        default: return try .strided(dims.isEmpty ? [1] : dims, dtype)
        }
    }

    func descriptor(_ tensor: TensorID, _ layout: Layout) throws(TenonError) -> MemoryDescriptor {
        try descriptor(graph[tensor].dims, graph[tensor].dtype, layout)
    }

    /// Bytes in a layout, padding included.
    func byteCount(_ dims: [Int], _ dtype: DataType, _ layout: Layout) -> Int {
        let count = dims.reduce(1, *)
        guard layout == .blocked, dims.count >= 3, dims[1] > 0 else { return count * dtype.byteCount }
        return count / dims[1] * ((dims[1] + blockSize - 1) / blockSize * blockSize) * dtype.byteCount
    }

    func byteCount(_ tensor: TensorID, _ layout: Layout) -> Int {
        byteCount(graph[tensor].dims, graph[tensor].dtype, layout)
    }

    /// Whether two layouts put the elements of such a tensor in the same places.
    func coincide(_ a: Layout, _ b: Layout, _ dims: [Int]) -> Bool {
        if a == b { return true }
        guard (3...5).contains(dims.count) else { return false }
        let isPoint = dims.dropFirst(2).allSatisfy { $0 == 1 }
        switch (min(a.rawValue, b.rawValue), max(a.rawValue, b.rawValue)) {
        case (Layout.plain.rawValue, Layout.channelsLast.rawValue): return isPoint || dims[1] == 1
        case (Layout.plain.rawValue, Layout.blocked.rawValue): return isPoint && dims[1] % blockSize == 0
        default: return dims[1] == blockSize || (isPoint && dims[1] % blockSize == 0)
        }
    }

    /// The layouts in which a tensor that is there in `mask` can be read without moving anything.
    func closure(_ mask: UInt8, _ dims: [Int]) -> UInt8 {
        var closed = mask
        for layout in Layout.allCases where closed & layout.bit != 0 {
            for other in Layout.allCases where closed & other.bit == 0 && coincide(layout, other, dims) {
                closed |= other.bit
            }
        }
        return closed
    }

    /// 16 where oneDNN likes blocks of 16 for a convolution, else 8. Asked once.
    static func preferredBlockSize(_ engine: Engine) -> Int {
        func size() throws -> Int {
            let data = try MemoryDescriptor.any([1, 64, 14, 14], .float32)
            let weights = try MemoryDescriptor.any([64, 64, 3, 3], .float32)
            var handle: OpaquePointer?
            let status = tdnnl_convolution_create(
                &handle, engine.handle, Int32(TDNNL_CONVOLUTION_DIRECT.rawValue), data.handle, weights.handle, nil,
                data.handle, [1, 1], [1, 1], [1, 1], [1, 1], nil)
            guard let descriptor = try PrimitiveDescriptor.wrap(status, handle, "convolution"),
                let chosen = try descriptor.descriptor(TDNNL_QUERY_DST)
            else { return 16 }
            return chosen.layoutText().hasSuffix("8c") ? 8 : 16
        }
        return (try? size()) ?? 16
    }
}
