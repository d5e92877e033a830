import CTenon
import Glibc
import TenonIR

@implementation @_cdecl("tenon_version")
public func tenon_version() -> UnsafePointer<CChar>! { VersionText.version.pointer }

@implementation @_cdecl("tenon_abi_version")
public func tenon_abi_version() -> UInt32 { UInt32(TENON_ABI_VERSION) }

private enum VersionText {
    static let version = StaticText(TENON_VERSION_STRING)
}

// MARK: - Status

@implementation @_cdecl("tenon_status_name")
public func tenon_status_name(_ status: tenon_status) -> UnsafePointer<CChar>! {
    withFloats {
        StatusText.name(status).pointer
    }
}

private enum StatusText {
    static let unknown = StaticText("TENON_ERROR_UNKNOWN")
    static let names: [(status: tenon_status, text: StaticText)] = [
        (TENON_OK, "TENON_OK"), (TENON_ERROR_INVALID_ARGUMENT, "TENON_ERROR_INVALID_ARGUMENT"),
        (TENON_ERROR_NOT_FOUND, "TENON_ERROR_NOT_FOUND"), (TENON_ERROR_INVALID_STATE, "TENON_ERROR_INVALID_STATE"),
        (TENON_ERROR_INVALID_GRAPH, "TENON_ERROR_INVALID_GRAPH"), (TENON_ERROR_PARSE, "TENON_ERROR_PARSE"),
        (TENON_ERROR_INVALID_MODEL, "TENON_ERROR_INVALID_MODEL"),
        (TENON_ERROR_INVALID_SHAPE, "TENON_ERROR_INVALID_SHAPE"),
        (TENON_ERROR_INVALID_TYPE, "TENON_ERROR_INVALID_TYPE"), (TENON_ERROR_UNSUPPORTED, "TENON_ERROR_UNSUPPORTED"),
        (TENON_ERROR_OUT_OF_MEMORY, "TENON_ERROR_OUT_OF_MEMORY"),
        (TENON_ERROR_LIMIT_EXCEEDED, "TENON_ERROR_LIMIT_EXCEEDED"), (TENON_ERROR_IO, "TENON_ERROR_IO"),
        (TENON_ERROR_CANCELLED, "TENON_ERROR_CANCELLED"),
        (TENON_ERROR_DEADLINE_EXCEEDED, "TENON_ERROR_DEADLINE_EXCEEDED"),
        (TENON_ERROR_BACKEND, "TENON_ERROR_BACKEND"), (TENON_ERROR_CALLBACK, "TENON_ERROR_CALLBACK"),
        (TENON_ERROR_INTERNAL, "TENON_ERROR_INTERNAL"),
    ].map { ($0.0, StaticText($0.1)) }

    static func name(_ status: tenon_status) -> StaticText {
        for entry in names where entry.status == status { return entry.text }
        return unknown
    }
}

@implementation @_cdecl("tenon_last_error_message")
public func tenon_last_error_message() -> UnsafePointer<CChar>! { LastError.message }

@implementation @_cdecl("tenon_last_error_copy")
public func tenon_last_error_copy(_ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int) -> Int {
    let message = LastError.message
    let length = strlen(message)
    if let buffer, capacity > 0 {
        let copied = min(length, capacity - 1)
        memcpy(buffer, message, copied)
        buffer[copied] = 0
    }
    return length
}

@implementation @_cdecl("tenon_last_error_operator")
public func tenon_last_error_operator() -> UnsafePointer<CChar>! { LastError.operatorName }

@implementation @_cdecl("tenon_last_error_node")
public func tenon_last_error_node() -> UnsafePointer<CChar>! { LastError.node }

@implementation @_cdecl("tenon_last_error_expectation")
public func tenon_last_error_expectation() -> UnsafePointer<CChar>! { LastError.expectation }

@implementation @_cdecl("tenon_last_error_found")
public func tenon_last_error_found() -> UnsafePointer<CChar>! { LastError.found }

// MARK: - Types

@implementation @_cdecl("tenon_dtype_name")
public func tenon_dtype_name(_ dtype: tenon_dtype) -> UnsafePointer<CChar>! {
    withFloats {
        guard let raw = UInt8(exactly: dtype.rawValue), let known = DataType(rawValue: raw) else {
            return StaticText.empty
        }
        return DTypeText.names[known]?.pointer ?? StaticText.empty
    }
}

private enum DTypeText {
    static let names = Dictionary(uniqueKeysWithValues: DataType.allCases.map { ($0, StaticText($0.name)) })
}

@implementation @_cdecl("tenon_dtype_size")
public func tenon_dtype_size(_ dtype: tenon_dtype) -> Int {
    UInt8(exactly: dtype.rawValue).flatMap { DataType(rawValue: $0) }?.byteCount ?? 0
}

@implementation @_cdecl("tenon_tensor_init")
public func tenon_tensor_init(_ tensor: UnsafeMutablePointer<tenon_tensor>!, _ struct_size: UInt32) {
    Sized.initialise(tensor, struct_size)
}

@implementation @_cdecl("tenon_string_release")
public func tenon_string_release(_ text: UnsafeMutablePointer<CChar>!) { free(text) }
