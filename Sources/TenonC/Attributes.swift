import CTenon
import TenonIR

final class AttributesHandle: HandleObject {
    static let tag: UInt64 = 0x7465_6e6f_6e61_7474
    static let name: StaticString = "tenon_attributes"

    var attributes: Attributes
    let pool = Pool()

    init(_ attributes: Attributes) { self.attributes = attributes }

    /// Attributes of an optional handle; none for NULL.
    static func attributes(_ pointer: OpaquePointer?) throws -> Attributes {
        pointer == nil ? Attributes() : try Handle.object(pointer, AttributesHandle.self).attributes
    }
}

@implementation @_cdecl("tenon_attributes_create")
public func tenon_attributes_create(_ attributes: UnsafeMutablePointer<OpaquePointer?>!) -> tenon_status {
    withStatus {
        let result = try output(attributes, "attributes")
        result.pointee = try Handle.make(AttributesHandle(Attributes()))
    }
}

@implementation @_cdecl("tenon_attributes_parse")
public func tenon_attributes_parse(
    _ text: UnsafePointer<CChar>!, _ attributes: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus {
        let result = try output(attributes, "attributes")
        result.pointee = try Handle.make(AttributesHandle(try Attributes(text: try string(text, "text"))))
    }
}

@implementation @_cdecl("tenon_attributes_release")
public func tenon_attributes_release(_ attributes: OpaquePointer!) { Handle.release(attributes, AttributesHandle.self) }

// MARK: - Setters

private func set(
    _ pointer: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ value: () throws -> AttributeValue
) -> tenon_status {
    withStatus {
        let handle = try Handle.object(pointer, AttributesHandle.self)
        let name = try string(name, "name")
        guard !name.isEmpty else { throw invalid("the name of an attribute is empty") }
        handle.attributes[name] = try value()
    }
}

@implementation @_cdecl("tenon_attributes_set_int")
public func tenon_attributes_set_int(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ value: Int64
) -> tenon_status { set(attributes, name) { .int(value) } }

@implementation @_cdecl("tenon_attributes_set_float")
public func tenon_attributes_set_float(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ value: Double
) -> tenon_status { set(attributes, name) { .float(value) } }

@implementation @_cdecl("tenon_attributes_set_bool")
public func tenon_attributes_set_bool(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ value: Int32
) -> tenon_status { set(attributes, name) { .bool(value != 0) } }

@implementation @_cdecl("tenon_attributes_set_string")
public func tenon_attributes_set_string(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ value: UnsafePointer<CChar>!
) -> tenon_status { set(attributes, name) { .string(try string(value, "value")) } }

@implementation @_cdecl("tenon_attributes_set_dtype")
public func tenon_attributes_set_dtype(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ value: tenon_dtype
) -> tenon_status { set(attributes, name) { .dtype(try dtype(value.rawValue, "value")) } }

@implementation @_cdecl("tenon_attributes_set_ints")
public func tenon_attributes_set_ints(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ values: UnsafePointer<Int64>!, _ count: Int
) -> tenon_status { set(attributes, name) { .ints(Array(try array(values, count, "values"))) } }

@implementation @_cdecl("tenon_attributes_set_floats")
public func tenon_attributes_set_floats(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ values: UnsafePointer<Double>!, _ count: Int
) -> tenon_status { set(attributes, name) { .floats(Array(try array(values, count, "values"))) } }

@implementation @_cdecl("tenon_attributes_set_strings")
public func tenon_attributes_set_strings(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!,
    _ values: UnsafePointer<UnsafePointer<CChar>?>!, _ count: Int
) -> tenon_status { set(attributes, name) { .strings(try strings(values, count, "values")) } }

// MARK: - Getters

@implementation @_cdecl("tenon_attributes_count")
public func tenon_attributes_count(_ attributes: OpaquePointer!) -> Int {
    Handle.optional(attributes, AttributesHandle.self)?.attributes.count ?? 0
}

@implementation @_cdecl("tenon_attributes_name")
public func tenon_attributes_name(_ attributes: OpaquePointer!, _ index: Int) -> UnsafePointer<CChar>! {
    withFloats {
        guard let handle = Handle.optional(attributes, AttributesHandle.self),
            handle.attributes.entries.indices.contains(index)
        else { return nil }
        return try? handle.pool.text(handle.attributes.entries[index].name)
    }
}

@implementation @_cdecl("tenon_attributes_kind")
public func tenon_attributes_kind(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!
) -> tenon_attribute_kind {
    withFloats {
        guard let name, let handle = Handle.optional(attributes, AttributesHandle.self),
            let value = handle.attributes[String(cString: name)]
        else { return TENON_ATTRIBUTE_NONE }
        return tenon_attribute_kind(rawValue: value.kind.rawValue)
    }
}

/// The value of an attribute that is there.
private func value(_ handle: AttributesHandle, _ name: UnsafePointer<CChar>?) throws -> AttributeValue {
    let name = try string(name, "name")
    guard let value = handle.attributes[name] else { throw TenonError(.notFound, "there is no attribute '\(name)'") }
    return value
}

private func mismatch(_ value: AttributeValue, _ expected: AttributeValue.Kind) -> TenonError {
    TenonError(.invalidType, "the attribute is \(value.kind.name), not \(expected.name)")
}

@implementation @_cdecl("tenon_attributes_get_int")
public func tenon_attributes_get_int(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ result: UnsafeMutablePointer<Int64>!
) -> tenon_status {
    withStatus {
        let result = try output(result, 0, "value")
        let found = try value(try Handle.object(attributes), name)
        guard case .int(let number) = found else { throw mismatch(found, .int) }
        result.pointee = number
    }
}

@implementation @_cdecl("tenon_attributes_get_float")
public func tenon_attributes_get_float(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ result: UnsafeMutablePointer<Double>!
) -> tenon_status {
    withStatus {
        let result = try output(result, 0, "value")
        let found = try value(try Handle.object(attributes), name)
        guard case .float(let number) = found else { throw mismatch(found, .float) }
        result.pointee = number
    }
}

@implementation @_cdecl("tenon_attributes_get_bool")
public func tenon_attributes_get_bool(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ result: UnsafeMutablePointer<Int32>!
) -> tenon_status {
    withStatus {
        let result = try output(result, 0, "value")
        let found = try value(try Handle.object(attributes), name)
        guard case .bool(let flag) = found else { throw mismatch(found, .bool) }
        result.pointee = flag ? 1 : 0
    }
}

@implementation @_cdecl("tenon_attributes_get_string")
public func tenon_attributes_get_string(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ result: UnsafeMutablePointer<UnsafePointer<CChar>?>!
) -> tenon_status {
    withStatus {
        let result = try output(result, "value")
        let handle = try Handle.object(attributes, AttributesHandle.self)
        let found = try value(handle, name)
        guard case .string(let text) = found else { throw mismatch(found, .string) }
        result.pointee = try handle.pool.text(text)
    }
}

@implementation @_cdecl("tenon_attributes_get_dtype")
public func tenon_attributes_get_dtype(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ result: UnsafeMutablePointer<tenon_dtype>!
) -> tenon_status {
    withStatus {
        let result = try output(result, TENON_DTYPE_NONE, "value")
        let found = try value(try Handle.object(attributes), name)
        guard case .dtype(let dtype) = found else { throw mismatch(found, .dtype) }
        result.pointee = tenon_dtype(rawValue: UInt32(dtype.rawValue))
    }
}

@implementation @_cdecl("tenon_attributes_get_ints")
public func tenon_attributes_get_ints(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!,
    _ result: UnsafeMutablePointer<UnsafePointer<Int64>?>!, _ count: UnsafeMutablePointer<Int>!
) -> tenon_status {
    withStatus {
        let result = try output(result, "values")
        let count = try output(count, 0, "count")
        let handle = try Handle.object(attributes, AttributesHandle.self)
        let found = try value(handle, name)
        guard case .ints(let numbers) = found else { throw mismatch(found, .ints) }
        result.pointee = try handle.pool.list(found, numbers)
        count.pointee = numbers.count
    }
}

@implementation @_cdecl("tenon_attributes_get_floats")
public func tenon_attributes_get_floats(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!,
    _ result: UnsafeMutablePointer<UnsafePointer<Double>?>!, _ count: UnsafeMutablePointer<Int>!
) -> tenon_status {
    withStatus {
        let result = try output(result, "values")
        let count = try output(count, 0, "count")
        let handle = try Handle.object(attributes, AttributesHandle.self)
        let found = try value(handle, name)
        guard case .floats(let numbers) = found else { throw mismatch(found, .floats) }
        result.pointee = try handle.pool.list(found, numbers)
        count.pointee = numbers.count
    }
}

@implementation @_cdecl("tenon_attributes_get_strings")
public func tenon_attributes_get_strings(
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!,
    _ result: UnsafeMutablePointer<UnsafePointer<UnsafePointer<CChar>?>?>!, _ count: UnsafeMutablePointer<Int>!
) -> tenon_status {
    withStatus {
        let result = try output(result, "values")
        let count = try output(count, 0, "count")
        let handle = try Handle.object(attributes, AttributesHandle.self)
        let found = try value(handle, name)
        guard case .strings(let texts) = found else { throw mismatch(found, .strings) }
        let pointers: [UnsafePointer<CChar>?] = try texts.map { try handle.pool.text($0) }
        result.pointee = try handle.pool.list(found, pointers)
        count.pointee = texts.count
    }
}
