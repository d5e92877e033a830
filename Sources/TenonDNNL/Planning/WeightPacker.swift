import CDNNL
import CKernels
import TenonIR
import TenonRuntime

/// Brings constant data into the layouts that primitives read. Keeps its working memory from one tensor to the next: with
/// Winograd that is several times the weights, and touching fresh pages would take as long as the transformation.
final class WeightPacker {
    private let engine: Engine
    private let parallel: Parallel
    private var scratch: WeightMemory?
    private var staging: WeightMemory?

    /// Works on `threads` threads; to be used on one thread.
    init(_ engine: Engine, threads: Int) {
        self.engine = engine
        parallel = .openMP(threads: threads)
    }

    /// The constant's own memory where `source` and `target` are the same.
    func pack(
        _ constant: Constant, from source: MemoryDescriptor, to target: MemoryDescriptor
    ) throws(TenonError) -> WeightMemory {
        if source.isEqual(to: target) { return try WeightMemory(borrowing: constant) }
        if let known = PackedWeights.shared.find(constant, source, target) { return known }
        let packed = try newlyPacked(constant, source, target)
        PackedWeights.shared.add(packed, constant, source, target)
        return packed
    }

    /// The weights and biases of a depthwise convolution and of the 1×1 convolution in front of it, if there is one.
    func pack(
        _ pointwise: Convolution?, _ depthwise: Convolution, _ block: tkernel_block, _ graph: RegionGraph
    ) throws(TenonError) -> WeightMemory {
        let operands = [
            depthwise.weights, depthwise.bias, pointwise?.weights, pointwise?.bias,
        ].map { $0.flatMap { graph[$0].constant?.constant } }
        if let known = PackedWeights.shared.find(operands) { return known }
        var block = block
        let bytes = Int(tkernel_block_weights(&block)).multipliedReportingOverflow(by: 4)
        let data = operands.map { $0?.source.baseAddress?.assumingMemoryBound(to: Float.self) }
        guard let kernel = data[0], (data[2] == nil) == (pointwise == nil), !bytes.overflow, bytes.partialValue > 0
        else {
            throw TenonError(.invalidType, "a constant without data cannot be an operand")
        }
        let packed = try WeightMemory(bytes: bytes.partialValue)
        tkernel_block_pack(
            &block, data[2], data[3], kernel, data[1], packed.address.assumingMemoryBound(to: Float.self))
        for operand in operands { operand?.releasePages() }
        PackedWeights.shared.add(packed, operands)
        return packed
    }

    private func newlyPacked(
        _ constant: Constant, _ source: MemoryDescriptor, _ target: MemoryDescriptor
    ) throws(TenonError) -> WeightMemory {
        guard let base = constant.source.baseAddress else {
            throw TenonError(.invalidType, "a constant without data cannot be an operand")
        }
        let packed = try WeightMemory(bytes: target.byteCount)
        let data = UnsafeMutableRawPointer(mutating: base)
        if packedForWinograd(data, source, target, packed) {
            constant.releasePages()
            return packed
        }
        let reorder = try descriptor(source, target)
        // oneDNN transforms weights for Winograd one number at a time, unless the output channels lie next to each other.
        if reorder.implementation.hasPrefix("wino"), source.isRowMajor, let dims = source.dims, dims.count == 4 {
            let channelsInside = try MemoryDescriptor.strided(
                dims, [1, dims[0], dims[0] * dims[1] * dims[3], dims[0] * dims[1]])
            let staged = try memory(&staging, channelsInside.byteCount)
            try run(try descriptor(source, channelsInside), source, data, channelsInside, staged)
            try run(try descriptor(channelsInside, target), channelsInside, staged, target, packed.address)
        } else {
            try run(reorder, source, data, target, packed.address)
        }
        constant.releasePages()
        return packed
    }

    /// Transforms weights ourselves where the layout is known.
    private func packedForWinograd(
        _ data: UnsafeMutableRawPointer, _ source: MemoryDescriptor, _ target: MemoryDescriptor, _ packed: WeightMemory
    ) -> Bool {
        let pieces = Int(tdnnl_winograd_pieces(target.handle))
        guard pieces > 0, source.isRowMajor, source.dims == target.dims else { return false }
        let into = packed.address.assumingMemoryBound(to: Float.self)
        parallel.forEach(pieces, grain: 4) { range in
            tdnnl_winograd_pack(target.handle, data, into, Int64(range.lowerBound), Int64(range.upperBound))
        }
        return true
    }

    private func descriptor(
        _ source: MemoryDescriptor, _ target: MemoryDescriptor
    ) throws(TenonError) -> PrimitiveDescriptor {
        var handle: OpaquePointer?
        let status = tdnnl_reorder_create(&handle, engine.handle, source.handle, target.handle, nil)
        guard let descriptor = try PrimitiveDescriptor.wrap(status, handle, "packing weights") else {
            throw TenonError(
                .unsupported,
                "packing weights: oneDNN has no reorder from \(source.layoutText(.plain)) to \(target.layoutText(.plain))"
            )
        }
        return descriptor
    }

    private func memory(_ kept: inout WeightMemory?, _ bytes: Int) throws(TenonError) -> UnsafeMutableRawPointer {
        if let kept, kept.bytes >= bytes { return kept.address }
        kept = nil
        let made = try WeightMemory(bytes: bytes)
        kept = made
        return made.address
    }

    private func run(
        _ descriptor: PrimitiveDescriptor, _ source: MemoryDescriptor, _ from: UnsafeMutableRawPointer,
        _ target: MemoryDescriptor, _ into: UnsafeMutableRawPointer
    ) throws(TenonError) {
        let primitive = try Primitive(descriptor)
        var entries = [
            (Int32(TDNNL_ARG_SRC.rawValue), try Memory(source, engine, from)),
            (Int32(TDNNL_ARG_DST.rawValue), try Memory(target, engine, into)),
        ]
        if let needed = try descriptor.descriptor(TDNNL_QUERY_SCRATCHPAD) {
            entries.append(
                (
                    Int32(TDNNL_ARG_SCRATCHPAD.rawValue),
                    try Memory(needed, engine, try memory(&scratch, needed.byteCount))
                ))
        }
        let list = try ArgumentList(entries)
        let stream = try Stream(engine)
        try DNNLStatus.check(tdnnl_execute(primitive.handle, stream.handle, list.handle), "packing weights")
    }
}
