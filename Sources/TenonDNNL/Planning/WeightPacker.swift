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

    /// Pieces of a constant that begin so many bytes one behind the other.
    struct Slices: Equatable {
        var count = 1
        var step = 0
    }

    /// The constant's own memory where `source` and `target` are the same. With `slices` both describe one of them; each is
    /// packed `MemoryPlanner.rounded` bytes behind the last.
    func pack(
        _ constant: Constant, from source: MemoryDescriptor, to target: MemoryDescriptor, slices: Slices = Slices()
    ) throws(TenonError) -> WeightMemory {
        let step = try MemoryPlanner.rounded(target.byteCount)
        let isDense = slices.count == 1 || slices.step == step
        if isDense, source.isEqual(to: target) {
            return try WeightMemory(borrowing: constant)
        }
        if let known = PackedWeights.shared.find(constant, source, target, slices) { return known }
        let packed = try newlyPacked(constant, source, target, slices)
        PackedWeights.shared.add(packed, constant, source, target, slices)
        return packed
    }

    /// The weights and biases of a depthwise convolution and of the 1×1 convolution in front of it, if there is one.
    func pack(
        _ pointwise: Convolution?, _ depthwise: Convolution, _ block: tkernel_block, _ graph: RegionGraph
    ) throws(TenonError) -> WeightMemory {
        var block = block
        return try pack(
            [depthwise.weights, depthwise.bias, pointwise?.weights, pointwise?.bias], graph,
            algorithm: "block 1", floats: tkernel_block_weights(&block)
        ) { data, into in
            guard let kernel = data[0], (data[2] == nil) == (pointwise == nil) else { return false }
            tkernel_block_pack(&block, data[2], data[3], kernel, data[1], into)
            return true
        }
    }

    /// The weights and biases of both products of a gate.
    func pack(
        _ gate: SqueezeExcitation, _ squeeze: tkernel_squeeze, _ graph: RegionGraph
    ) throws(TenonError) -> WeightMemory {
        var squeeze = squeeze
        return try pack(
            [gate.squeeze.weights, gate.squeeze.bias, gate.excite.weights, gate.excite.bias], graph,
            algorithm: "squeeze 1", floats: tkernel_squeeze_weights(&squeeze)
        ) { data, into in
            guard let first = data[0], let second = data[2] else { return false }
            tkernel_squeeze_pack(&squeeze, first, data[1], second, data[3], into)
            return true
        }
    }

    /// Constants that a kernel of ours wants in one piece of memory. `fill` says whether all that it needs is there.
    private func pack(
        _ tensors: [TensorID?], _ graph: RegionGraph, algorithm: String, floats: Int64,
        _ fill: ([UnsafePointer<Float>?], UnsafeMutablePointer<Float>) -> Bool
    ) throws(TenonError) -> WeightMemory {
        let operands = tensors.map { $0.flatMap { graph[$0].constant?.constant } }
        if let known = PackedWeights.shared.find(operands, [algorithm]) { return known }
        let bytes = Int(floats).multipliedReportingOverflow(by: 4)
        let data = operands.map {
            ($0?.source.baseAddress?.assumingMemoryBound(to: Float.self)).map { UnsafePointer($0) }
        }
        guard !bytes.overflow, bytes.partialValue > 0 else {
            throw TenonError(.limitExceeded, "packed weights need more memory than there is")
        }
        let packed = try WeightMemory(bytes: bytes.partialValue)
        guard fill(data, packed.address.assumingMemoryBound(to: Float.self)) else {
            throw TenonError(.invalidType, "a constant without data cannot be an operand")
        }
        for operand in operands { operand?.releasePages() }
        PackedWeights.shared.add(packed, operands, [algorithm])
        return packed
    }

    /// The weights and bias of a convolution for our Winograd kernel.
    func pack(
        _ convolution: Convolution, _ shape: tkernel_winograd, _ graph: RegionGraph
    ) throws(TenonError) -> WeightMemory {
        let operands = [convolution.weights, convolution.bias].map { $0.flatMap { graph[$0].constant?.constant } }
        if let known = PackedWeights.shared.find(operands, ["winograd 1"]) { return known }
        var shape = shape
        let bytes = Int(tkernel_winograd_weights(&shape)).multipliedReportingOverflow(by: 4)
        let data = operands.map { $0?.source.baseAddress?.assumingMemoryBound(to: Float.self) }
        guard let weights = data[0], !bytes.overflow, bytes.partialValue > 0 else {
            throw TenonError(.invalidType, "a constant without data cannot be an operand")
        }
        let packed = try WeightMemory(bytes: bytes.partialValue)
        let into = packed.address.assumingMemoryBound(to: Float.self)
        let given = shape
        parallel.forEach(Int(tkernel_winograd_packs(&shape))) { range in
            var shape = given
            tkernel_winograd_pack(&shape, weights, data[1], into, Int64(range.lowerBound), Int64(range.upperBound))
        }
        for operand in operands { operand?.releasePages() }
        PackedWeights.shared.add(packed, operands, ["winograd 1"])
        return packed
    }

    private func newlyPacked(
        _ constant: Constant, _ source: MemoryDescriptor, _ target: MemoryDescriptor, _ slices: Slices
    ) throws(TenonError) -> WeightMemory {
        let step = slices.count > 1 ? try MemoryPlanner.rounded(target.byteCount) : target.byteCount
        let bytes = step.multipliedReportingOverflow(by: slices.count)
        guard let base = constant.source.baseAddress, !bytes.overflow else {
            throw TenonError(.invalidType, "a constant without data cannot be an operand")
        }
        let packed = try WeightMemory(bytes: bytes.partialValue)
        for slice in 0..<slices.count {
            let data = UnsafeMutableRawPointer(mutating: base + slice &* slices.step)
            try pack(constant, data, source, target, packed.address + slice &* step)
        }
        constant.releasePages()
        return packed
    }

    private func pack(
        _ constant: Constant, _ data: UnsafeMutableRawPointer, _ source: MemoryDescriptor, _ target: MemoryDescriptor,
        _ packed: UnsafeMutableRawPointer
    ) throws(TenonError) {
        if packedForWinograd(data, source, target, packed) { return }
        let reorder = try descriptor(source, target)
        // oneDNN transforms weights for Winograd one number at a time, unless the output channels lie next to each other.
        if reorder.implementation.hasPrefix("wino"), source.isRowMajor, let dims = source.dims, dims.count == 4 {
            let channelsInside = try MemoryDescriptor.strided(
                dims, constant.dtype, [1, dims[0], dims[0] * dims[1] * dims[3], dims[0] * dims[1]])
            let staged = try memory(&staging, channelsInside.byteCount)
            try run(try descriptor(source, channelsInside), source, data, channelsInside, staged)
            try run(try descriptor(channelsInside, target), channelsInside, staged, target, packed)
        } else {
            try run(reorder, source, data, target, packed)
        }
    }

    /// Transforms weights ourselves where the layout is known.
    private func packedForWinograd(
        _ data: UnsafeMutableRawPointer, _ source: MemoryDescriptor, _ target: MemoryDescriptor,
        _ packed: UnsafeMutableRawPointer
    ) -> Bool {
        let pieces = Int(tdnnl_winograd_pieces(target.handle))
        guard pieces > 0, source.isRowMajor, source.dims == target.dims else { return false }
        let into = packed.assumingMemoryBound(to: Float.self)
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
