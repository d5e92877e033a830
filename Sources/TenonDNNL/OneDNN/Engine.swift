import CDNNL
import TenonIR

/// oneDNN's CPU engine. One for the process; immutable.
final class Engine: @unchecked Sendable {
    let handle: OpaquePointer

    private init() throws(TenonError) {
        guard tdnnl_version() / 10000 == tdnnl_compiled_major() else {
            throw TenonError(
                .backend, "oneDNN \(tdnnl_version() / 10000) is loaded, expected \(tdnnl_compiled_major())")
        }
        var handle: OpaquePointer?
        try DNNLStatus.check(tdnnl_engine_create(&handle), "CPU engine")
        guard let handle else { throw TenonError(.backend, "CPU engine: oneDNN gave none") }
        self.handle = handle
    }

    deinit { tdnnl_engine_destroy(handle) }

    private static let made: Result<Engine, TenonError> = Result { () throws(TenonError) in try Engine() }

    static func shared() throws(TenonError) -> Engine { try made.get() }
}

/// Where primitives run; used by one thread at a time.
final class Stream {
    let handle: OpaquePointer
    private let engine: Engine

    init(_ engine: Engine) throws(TenonError) {
        var handle: OpaquePointer?
        try DNNLStatus.check(tdnnl_stream_create(&handle, engine.handle), "stream")
        guard let handle else { throw TenonError(.backend, "stream: oneDNN gave none") }
        self.handle = handle
        self.engine = engine
    }

    deinit { tdnnl_stream_destroy(handle) }
}

/// The loaded library in words, part of the key of everything that was measured with it.
enum DNNLLibrary {
    static var version: String {
        let number = tdnnl_version()
        return "\(number / 10000).\(number / 100 % 100).\(number % 100)"
    }

    /// oneDNN 3 and later.
    static var isVersion3: Bool { tdnnl_compiled_major() >= 3 }

    static var isa: Int32 { tdnnl_effective_isa() }
    /// The same by name.
    static var instructionSet: String { String(cString: tdnnl_effective_isa_name()) }
}
