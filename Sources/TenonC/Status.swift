import CKernels
import CMemory
import CParallel
import CTenon
import Glibc
import TenonIR

/// Runs the inside of an exported function: turns what it throws into a status and the thread's last error.
///
/// Numbers are computed under one floating-point environment, whatever the host has set; it finds its own again.
func withStatus(_ body: () throws -> Void) -> tenon_status {
    tenon_memory_begin()
    _ = isListeningToMemory
    return withFloats {
        do {
            guard isProcessorSupported else {
                throw TenonError(.unsupported, "the processor has no x86-64-v2 (SSE4.2), which the library needs")
            }
            try body()
            return TENON_OK
        } catch let error as TenonError {
            LastError.set(error)
            return tenon_status(rawValue: UInt32(bitPattern: error.status.rawValue))
        } catch {
            LastError.set(TenonError(.internal, "unexpected error: \(error)"))
            return TENON_ERROR_INTERNAL
        }
    }
}

/// The inside of an exported function without a status. Swift's dictionaries compute with floats too, and a host may let
/// inexact results trap.
@inline(__always) func withFloats<T>(_ body: () -> T) -> T {
    let float = tenon_parallel_enter_float(0)
    defer { tenon_parallel_leave_float(float) }
    return body()
}

private let isProcessorSupported = tkernel_cpu_is_supported() != 0

/// Work under way asks whether memory has run short, and ends then.
private let isListeningToMemory: Bool = {
    Work.isMemoryShort = { tenon_memory_is_short() }
    return true
}()

func invalid(_ message: ErrorMessage) -> TenonError { TenonError(.invalidArgument, message) }

/// What went wrong last on each thread.
enum LastError {
    /// C strings in memory of their own.
    private struct Texts {
        var message: UnsafeMutablePointer<CChar>?
        var operatorName: UnsafeMutablePointer<CChar>?
        var node: UnsafeMutablePointer<CChar>?
        var expectation: UnsafeMutablePointer<CChar>?
        var found: UnsafeMutablePointer<CChar>?
    }

    private static let key: pthread_key_t? = {
        var key = pthread_key_t()
        let result = pthread_key_create(&key) { memory in
            guard let memory else { return }
            LastError.clear(memory.assumingMemoryBound(to: Texts.self))
            free(memory)
        }
        return result == 0 ? key : nil
    }()

    private static func clear(_ texts: UnsafeMutablePointer<Texts>) {
        free(texts.pointee.message)
        free(texts.pointee.operatorName)
        free(texts.pointee.node)
        free(texts.pointee.expectation)
        free(texts.pointee.found)
    }

    static func set(_ error: TenonError) {
        guard let key else { return }
        let texts: UnsafeMutablePointer<Texts>
        if let memory = pthread_getspecific(key) {
            texts = memory.assumingMemoryBound(to: Texts.self)
            clear(texts)
        } else {
            guard let memory = malloc(MemoryLayout<Texts>.size) else { return }
            texts = memory.bindMemory(to: Texts.self, capacity: 1)
            pthread_setspecific(key, memory)
        }
        texts.initialize(
            to: Texts(
                message: line(error.message), operatorName: line(error.operatorName), node: line(error.node),
                expectation: line(error.expectation), found: line(error.found)))
    }

    /// A C string of one line; nil when memory is short.
    private static func line(_ text: String) -> UnsafeMutablePointer<CChar>? {
        let bytes = text.utf8.map { $0 == 0x0a || $0 == 0x0d || $0 == 0 ? 0x20 : $0 }
        guard let memory = malloc(bytes.count + 1) else { return nil }
        let result = memory.bindMemory(to: CChar.self, capacity: bytes.count + 1)
        for (index, byte) in bytes.enumerated() { result[index] = CChar(bitPattern: byte) }
        result[bytes.count] = 0
        return result
    }

    private static var texts: Texts? {
        guard let key, let memory = pthread_getspecific(key) else { return nil }
        return memory.assumingMemoryBound(to: Texts.self).pointee
    }

    static var message: UnsafePointer<CChar> { UnsafePointer(texts?.message) ?? StaticText.empty }
    static var operatorName: UnsafePointer<CChar> { UnsafePointer(texts?.operatorName) ?? StaticText.empty }
    static var node: UnsafePointer<CChar> { UnsafePointer(texts?.node) ?? StaticText.empty }
    static var expectation: UnsafePointer<CChar> { UnsafePointer(texts?.expectation) ?? StaticText.empty }
    static var found: UnsafePointer<CChar> { UnsafePointer(texts?.found) ?? StaticText.empty }
}
