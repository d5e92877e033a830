import CDNNL
import Glibc
import TenonIR

/// Constant data in the layout that a primitive reads. Immutable once made.
final class WeightMemory: @unchecked Sendable {
    let address: UnsafeMutableRawPointer
    let bytes: Int
    /// Set when the data are a constant's own.
    private let constant: Constant?

    /// The constant's own data, which already lie right.
    init(borrowing constant: Constant) throws(TenonError) {
        guard let base = constant.bytes.baseAddress else {
            throw TenonError(.invalidType, "a constant without data cannot be an operand")
        }
        address = UnsafeMutableRawPointer(mutating: base)
        bytes = 0
        self.constant = constant
    }

    private init(bytes: Int) throws(TenonError) {
        var memory: UnsafeMutableRawPointer?
        guard posix_memalign(&memory, 64, max(bytes, 64)) == 0, let memory else {
            throw TenonError(.outOfMemory, "\(bytes) bytes for packed weights are not available")
        }
        address = memory
        self.bytes = bytes
        constant = nil
    }

    deinit {
        if constant == nil { free(address) }
    }

    /// Brings constant data from one descriptor to another; borrows where they are the same.
    static func pack(
        _ constant: Constant, from source: MemoryDescriptor, to target: MemoryDescriptor, _ engine: Engine
    ) throws(TenonError) -> WeightMemory {
        if source.isEqual(to: target) { return try WeightMemory(borrowing: constant) }
        guard let base = constant.bytes.baseAddress else {
            throw TenonError(.invalidType, "a constant without data cannot be an operand")
        }
        let packed = try WeightMemory(bytes: target.byteCount)
        var handle: OpaquePointer?
        let status = tdnnl_reorder_create(&handle, engine.handle, source.handle, target.handle, nil)
        guard let descriptor = try PrimitiveDescriptor.wrap(status, handle, "packing weights") else {
            throw TenonError(
                .unsupported,
                "packing weights: oneDNN has no reorder from \(source.layoutText(.plain)) to \(target.layoutText(.plain))"
            )
        }
        let primitive = try Primitive(descriptor)
        var entries = [
            (Int32(TDNNL_ARG_SRC.rawValue), try Memory(source, engine, UnsafeMutableRawPointer(mutating: base))),
            (Int32(TDNNL_ARG_DST.rawValue), try Memory(target, engine, packed.address)),
        ]
        var scratch: WeightMemory?
        if let needed = try descriptor.descriptor(TDNNL_QUERY_SCRATCHPAD) {
            let memory = try WeightMemory(bytes: needed.byteCount)
            entries.append((Int32(TDNNL_ARG_SCRATCHPAD.rawValue), try Memory(needed, engine, memory.address)))
            scratch = memory
        }
        let list = try ArgumentList(entries)
        let stream = try Stream(engine)
        try DNNLStatus.check(tdnnl_execute(primitive.handle, stream.handle, list.handle), "packing weights")
        withExtendedLifetime(scratch) {}
        return packed
    }
}
