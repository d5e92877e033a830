import Glibc
import TenonIR

/// An object that a host holds by an opaque pointer.
protocol HandleObject: AnyObject {
    /// Tells kinds of handles apart.
    static var tag: UInt64 { get }
    /// What messages call it.
    static var name: StaticString { get }
}

/// What an opaque pointer points to. The tag catches a handle of another kind, and most that were released.
private struct HandleHeader {
    var tag: UInt64
    var object: Unmanaged<AnyObject>
}

enum Handle {
    static func make<T: HandleObject>(_ object: T) throws -> OpaquePointer {
        guard let memory = malloc(MemoryLayout<HandleHeader>.size) else {
            throw TenonError(.outOfMemory, "no memory for a \(T.name)")
        }
        let header = memory.bindMemory(to: HandleHeader.self, capacity: 1)
        header.initialize(to: HandleHeader(tag: T.tag, object: Unmanaged.passRetained(object)))
        return OpaquePointer(header)
    }

    private static func header<T: HandleObject>(_ pointer: OpaquePointer, _: T.Type) -> UnsafeMutablePointer<
        HandleHeader
    >? {
        guard UInt(bitPattern: pointer) % UInt(MemoryLayout<HandleHeader>.alignment) == 0 else { return nil }
        let header = UnsafeMutablePointer<HandleHeader>(pointer)
        return header.pointee.tag == T.tag ? header : nil
    }

    /// The object behind a required handle.
    static func object<T: HandleObject>(_ pointer: OpaquePointer?, _: T.Type = T.self) throws -> T {
        guard let pointer else { throw invalid("the \(T.name) is NULL") }
        guard let header = header(pointer, T.self), let object = header.pointee.object.takeUnretainedValue() as? T
        else {
            throw invalid("the \(T.name) is a handle of another kind, or was released")
        }
        return object
    }

    /// The object, or nil for NULL and for what is no such handle.
    static func optional<T: HandleObject>(_ pointer: OpaquePointer?, _: T.Type = T.self) -> T? {
        guard let pointer, let header = header(pointer, T.self) else { return nil }
        return header.pointee.object.takeUnretainedValue() as? T
    }

    static func release<T: HandleObject>(_ pointer: OpaquePointer?, _: T.Type) {
        guard let pointer, let header = header(pointer, T.self) else { return }
        let object = header.pointee.object
        header.pointee.tag = 0
        free(header)
        withFloats { object.release() }
    }
}
