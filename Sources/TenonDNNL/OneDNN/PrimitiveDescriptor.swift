import CDNNL
import TenonIR

/// One implementation of one operation, not yet compiled. `moveToNext` changes it, so it is confined to one thread while
/// it is being chosen, and constant afterwards.
final class PrimitiveDescriptor: @unchecked Sendable {
    let handle: OpaquePointer

    init(owning handle: OpaquePointer) { self.handle = handle }

    deinit { tdnnl_pd_destroy(handle) }

    /// Wraps what a create function gave; nil when oneDNN has no implementation. Other failures throw.
    static func wrap(_ status: Int32, _ handle: OpaquePointer?, _ what: @autoclosure () -> String) throws(TenonError)
        -> PrimitiveDescriptor?
    {
        let code = DNNLStatus(rawValue: status)
        // oneDNN 2.6 calls some combinations that it cannot do invalid.
        if code == .unimplemented || code == .invalidArguments { return nil }
        try DNNLStatus.check(status, what())
        guard let handle else { throw TenonError(.backend, "\(what()): oneDNN gave no descriptor") }
        return PrimitiveDescriptor(owning: handle)
    }

    var implementation: String { String(cString: tdnnl_pd_implementation(handle)) }

    /// A plain loop nest, slower than any other implementation by far.
    var isReference: Bool { implementation.hasPrefix("ref") || implementation.hasPrefix("simple:any") }

    /// This implementation alone.
    func copy() throws(TenonError) -> PrimitiveDescriptor {
        var copy: OpaquePointer?
        try DNNLStatus.check(tdnnl_pd_clone(&copy, handle), "copy of a descriptor")
        guard let copy else { throw TenonError(.backend, "copy of a descriptor: oneDNN gave none") }
        return PrimitiveDescriptor(owning: copy)
    }

    /// Moves on to the next implementation; false when there is none.
    func moveToNext() -> Bool { tdnnl_pd_next(handle) == 0 }

    var scratchpadBytes: Int { Int(exactly: tdnnl_pd_scratchpad_size(handle)) ?? Int.max }

    /// The descriptor of an operand; nil when there is none.
    func descriptor(_ query: tdnnl_query, _ index: Int32 = 0) throws(TenonError) -> MemoryDescriptor? {
        var md: OpaquePointer?
        try DNNLStatus.check(
            tdnnl_pd_query_md(&md, handle, Int32(query.rawValue), index), "descriptor of an operand")
        return md.map { MemoryDescriptor(owning: $0) }
    }

    func postOpArgument(_ index: Int, _ base: tdnnl_argument) -> Int32 {
        tdnnl_pd_post_op_argument(handle, Int32(truncatingIfNeeded: index), Int32(base.rawValue))
    }
}

/// A compiled operation. Immutable; may run on several threads at once, each with its own scratchpad.
final class Primitive: @unchecked Sendable {
    let handle: OpaquePointer
    /// oneDNN's products take a lock of the process whenever they run; a child that is forked meanwhile would find it closed.
    let locksAsItRuns: Bool

    init(_ descriptor: PrimitiveDescriptor) throws(TenonError) {
        locksAsItRuns = descriptor.implementation.contains("gemm")
        var handle: OpaquePointer?
        let status = ForkBarrier.away { tdnnl_primitive_create(&handle, descriptor.handle) }
        try DNNLStatus.check(status, "primitive \(descriptor.implementation)")
        guard let handle else { throw TenonError(.backend, "primitive: oneDNN gave none") }
        self.handle = handle
    }

    deinit { tdnnl_primitive_destroy(handle) }
}

/// A descriptor and an address.
final class Memory {
    let handle: OpaquePointer

    init(_ descriptor: MemoryDescriptor, _ engine: Engine, _ address: UnsafeMutableRawPointer?) throws(TenonError) {
        var handle: OpaquePointer?
        try DNNLStatus.check(
            tdnnl_memory_create(&handle, descriptor.handle, engine.handle, address), "memory object")
        guard let handle else { throw TenonError(.backend, "memory object: oneDNN gave none") }
        self.handle = handle
    }

    deinit { tdnnl_memory_destroy(handle) }
}

/// The argument list of one execution; keeps its memory objects.
final class ArgumentList {
    let handle: OpaquePointer
    private let memories: [Memory]

    init(_ entries: [(argument: Int32, memory: Memory)]) throws(TenonError) {
        memories = entries.map(\.memory)
        let names = entries.map(\.argument)
        let handles: [OpaquePointer?] = entries.map(\.memory.handle)
        var handle: OpaquePointer?
        try DNNLStatus.check(
            tdnnl_arguments_create(&handle, names, handles, Int32(truncatingIfNeeded: entries.count)),
            "argument list")
        guard let handle else { throw TenonError(.backend, "argument list: oneDNN gave none") }
        self.handle = handle
    }

    deinit { tdnnl_arguments_destroy(handle) }
}
