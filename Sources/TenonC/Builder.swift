import CTenon
import TenonIR
import TenonRewrite

/// A function under construction, or what a rewriter puts in place of a match. A host's value numbers stand for operands, so
/// that literals stand in place in calls.
final class BuilderHandle: HandleObject {
    static let tag: UInt64 = 0x7465_6e6f_6e62_6c64
    static let name: StaticString = "tenon_builder"

    private(set) var builder = FunctionBuilder()
    /// Valid while a rewriter runs.
    private let replacement: UnsafeMutablePointer<ReplacementBuilder>?
    private let numbers: OperandTable
    private var unknownDimensions = 0

    init() {
        replacement = nil
        numbers = OperandTable()
    }

    /// For one call of a rewriter; values have the numbers that the match gives them.
    init(_ replacement: UnsafeMutablePointer<ReplacementBuilder>, _ numbers: OperandTable) {
        self.replacement = replacement
        self.numbers = numbers
    }

    /// Gives an operand a number.
    func add(_ operand: Operand) throws -> tenon_value { try numbers.number(operand) }

    func operand(_ value: tenon_value, _ what: @autoclosure () -> String) throws -> Operand {
        try numbers.operand(value, what())
    }

    func operands(_ values: UnsafePointer<tenon_value>?, _ count: Int, _ what: StaticString) throws -> [Operand] {
        try array(values, count, what).enumerated().map { index, value in try operand(value, "\(what) \(index)") }
    }

    /// Sizes with a new symbol for each that is unknown.
    func dims(_ sizes: [Int64]) -> [Dim] {
        sizes.map { size in
            guard size < 0 else { return .fixed(size) }
            defer { unknownDimensions += 1 }
            return .symbol("d\(unknownDimensions)")
        }
    }

    // MARK: - Either kind

    func type(of operand: Operand) -> ValueType { replacement?.pointee.type(of: operand) ?? builder.type(of: operand) }

    func parameter(_ name: String, _ type: ValueType) throws -> Operand {
        try requireFunction("takes no parameters")
        return .value(builder.parameter(name, type))
    }

    func call(_ op: OperatorID, _ inputs: [Operand], _ attributes: Attributes, name: String) throws -> Operand {
        if let replacement { return try replacement.pointee.call(op, inputs, attributes, name: name) }
        return .value(try builder.call(op, inputs, attributes, name: name))
    }

    func bind(_ expression: Expression, _ type: ValueType, name: String) throws -> Operand {
        if let replacement { return try replacement.pointee.bind(expression, type, name: name) }
        return .value(builder.bind(expression, type, name: name))
    }

    func tuple(_ fields: [Operand], name: String) throws -> Operand {
        if let replacement {
            guard name.isEmpty else { return try replacement.pointee.tuple(fields, name: name) }
            // Without a name it stands where it is used, as in Relax, so that patterns see it there.
            _ = try ValueType.tuple(checking: fields.map { replacement.pointee.type(of: $0) })
            return .tuple(fields)
        }
        return .value(try builder.tuple(fields, name: name))
    }

    func tupleGetItem(_ tuple: Operand, _ index: Int, name: String) throws -> Operand {
        if let replacement { return try replacement.pointee.tupleGetItem(tuple, index, name: name) }
        return .value(try builder.tupleGetItem(tuple, index, name: name))
    }

    func requireFunction(_ what: StaticString) throws {
        guard replacement == nil else { throw TenonError(.invalidState, "the builder of a rewriter \(what)") }
    }
}

/// Runs `body` on a builder and stores the value that it gives. The builder is what it was when `body` throws.
private func add(
    _ pointer: OpaquePointer?, _ value: UnsafeMutablePointer<tenon_value>?, _ body: (BuilderHandle) throws -> Operand
) -> tenon_status {
    withStatus {
        guard let value else { throw invalid("value is NULL") }
        // The inputs may lie where the output goes, so it is written last.
        do {
            let handle = try Handle.object(pointer, BuilderHandle.self)
            value.pointee = try handle.add(try body(handle))
        } catch {
            value.pointee = UInt32.max
            throw error
        }
    }
}

@implementation @_cdecl("tenon_builder_create")
public func tenon_builder_create(_ builder: UnsafeMutablePointer<OpaquePointer?>!) -> tenon_status {
    withStatus {
        let result = try output(builder, "builder")
        result.pointee = try Handle.make(BuilderHandle())
    }
}

@implementation @_cdecl("tenon_builder_release")
public func tenon_builder_release(_ builder: OpaquePointer!) { Handle.release(builder, BuilderHandle.self) }

// MARK: - Parameters and literals

@implementation @_cdecl("tenon_builder_add_parameter")
public func tenon_builder_add_parameter(
    _ builder: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ type: tenon_dtype, _ rank: UInt32,
    _ shape: UnsafePointer<Int64>!, _ value: UnsafeMutablePointer<tenon_value>!
) -> tenon_status {
    add(builder, value) { handle in
        let name = optionalString(name)
        let dtype = try dtype(type.rawValue, "parameter '\(name)'")
        let sizes = try sizes(shape, rank, least: -1, "parameter '\(name)'")
        guard checkedElementCount(sizes.map { max($0, 1) }) != nil else {
            throw TenonError(.invalidShape, "parameter '\(name)': the number of elements does not fit 64 bits")
        }
        return try handle.parameter(name, .tensor(dtype, handle.dims(sizes)))
    }
}

@implementation @_cdecl("tenon_builder_add_typed_parameter")
public func tenon_builder_add_typed_parameter(
    _ builder: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ type: UnsafePointer<CChar>!,
    _ value: UnsafeMutablePointer<tenon_value>!
) -> tenon_status {
    add(builder, value) { handle in
        let type = try ValueType(text: try string(type, "type"))
        return try handle.parameter(optionalString(name), type)
    }
}

@implementation @_cdecl("tenon_builder_add_constant")
public func tenon_builder_add_constant(
    _ builder: OpaquePointer!, _ tensor: UnsafePointer<tenon_tensor>!, _ value: UnsafeMutablePointer<tenon_value>!
) -> tenon_status {
    add(builder, value) { _ in
        let elements = try DenseElements(tensor)
        return .constant(try Constant(dtype: elements.dtype, shape: elements.shape, copying: elements.bytes))
    }
}

/// Tells a host when its memory is used no more.
private final class HostMemory {
    private let notify: tenon_release_function?
    private let userData: UnsafeMutableRawPointer?

    init(_ notify: tenon_release_function?, _ userData: UnsafeMutableRawPointer?) {
        self.notify = notify
        self.userData = userData
    }

    deinit { notify?(userData) }
}

@implementation @_cdecl("tenon_builder_add_borrowed_constant")
public func tenon_builder_add_borrowed_constant(
    _ builder: OpaquePointer!, _ tensor: UnsafePointer<tenon_tensor>!, _ release: tenon_release_function!,
    _ user_data: UnsafeMutableRawPointer!, _ value: UnsafeMutablePointer<tenon_value>!
) -> tenon_status {
    add(builder, value) { handle in
        let elements = try DenseElements(tensor)
        // Everything that can fail has been done before the owner exists, whose end calls the host.
        let probe = try Constant(
            dtype: elements.dtype, shape: elements.shape, borrowing: elements.bytes, owner: handle)
        return .constant(
            try Constant(
                dtype: probe.dtype, shape: probe.shape, borrowing: probe.bytes, owner: HostMemory(release, user_data)))
    }
}

@implementation @_cdecl("tenon_builder_add_shape")
public func tenon_builder_add_shape(
    _ builder: OpaquePointer!, _ rank: UInt32, _ shape: UnsafePointer<Int64>!,
    _ value: UnsafeMutablePointer<tenon_value>!
) -> tenon_status {
    add(builder, value) { _ in .shape(try sizes(shape, rank, least: .min, "shape").map { .fixed($0) }) }
}

@implementation @_cdecl("tenon_builder_add_literal")
public func tenon_builder_add_literal(
    _ builder: OpaquePointer!, _ text: UnsafePointer<CChar>!, _ value: UnsafeMutablePointer<tenon_value>!
) -> tenon_status {
    add(builder, value) { _ in try Operand(text: try string(text, "text")) }
}

// MARK: - Calls

@implementation @_cdecl("tenon_builder_add_call")
public func tenon_builder_add_call(
    _ builder: OpaquePointer!, _ op: UnsafePointer<CChar>!, _ inputs: UnsafePointer<tenon_value>!, _ input_count: Int,
    _ attributes: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ value: UnsafeMutablePointer<tenon_value>!
) -> tenon_status {
    add(builder, value) { handle in
        let op = try Operators.require(try string(op, "op"))
        let inputs = try handle.operands(inputs, input_count, "input")
        let attributes = try AttributesHandle.attributes(attributes)
        return try handle.call(op, inputs, attributes, name: optionalString(name))
    }
}

@implementation @_cdecl("tenon_builder_add_function_call")
public func tenon_builder_add_function_call(
    _ builder: OpaquePointer!, _ module: OpaquePointer!, _ function: UnsafePointer<CChar>!,
    _ inputs: UnsafePointer<tenon_value>!, _ input_count: Int, _ name: UnsafePointer<CChar>!,
    _ value: UnsafeMutablePointer<tenon_value>!
) -> tenon_status {
    add(builder, value) { handle in
        let callee = try string(function, "function")
        let target = try Handle.object(module, ModuleHandle.self).function(callee)
        let inputs = try handle.operands(inputs, input_count, "input")
        let type = try CallSignature(
            name: "@" + callee, parameters: target.parameterTypes, result: target.resultType
        ).result(of: inputs.map { handle.type(of: $0) })
        return try handle.bind(.call(Call(.function(callee), inputs)), type, name: optionalString(name))
    }
}

@implementation @_cdecl("tenon_builder_add_tuple")
public func tenon_builder_add_tuple(
    _ builder: OpaquePointer!, _ fields: UnsafePointer<tenon_value>!, _ field_count: Int, _ name: UnsafePointer<CChar>!,
    _ value: UnsafeMutablePointer<tenon_value>!
) -> tenon_status {
    add(builder, value) { handle in
        let fields = try handle.operands(fields, field_count, "field")
        return try handle.tuple(fields, name: optionalString(name))
    }
}

@implementation @_cdecl("tenon_builder_add_tuple_get_item")
public func tenon_builder_add_tuple_get_item(
    _ builder: OpaquePointer!, _ tuple: tenon_value, _ index: Int, _ name: UnsafePointer<CChar>!,
    _ value: UnsafeMutablePointer<tenon_value>!
) -> tenon_status {
    add(builder, value) { handle in
        let tuple = try handle.operand(tuple, "tuple")
        return try handle.tupleGetItem(tuple, index, name: optionalString(name))
    }
}

// MARK: - Results

@implementation @_cdecl("tenon_builder_get_type")
public func tenon_builder_get_type(
    _ builder: OpaquePointer!, _ value: tenon_value, _ type: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>!
) -> tenon_status {
    withStatus {
        let result = try output(type, "type")
        let handle = try Handle.object(builder, BuilderHandle.self)
        result.pointee = try transferred(handle.type(of: try handle.operand(value, "value")).text)
    }
}

@implementation @_cdecl("tenon_module_add_function")
public func tenon_module_add_function(
    _ module: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ builder: OpaquePointer!,
    _ outputs: UnsafePointer<tenon_value>!, _ output_count: Int, _ attributes: OpaquePointer!
) -> tenon_status {
    withStatus {
        let handle = try Handle.object(module, ModuleHandle.self)
        let name = try string(name, "name")
        try handle.requireIdle()
        let source = try Handle.object(builder, BuilderHandle.self)
        try source.requireFunction("makes no function")
        let outputs = try source.operands(outputs, output_count, "output")
        var copy = source.builder
        var function = try copy.finish(outputs.count == 1 ? outputs[0] : .tuple(outputs))
        function.attributes = try AttributesHandle.attributes(attributes)
        var changed = handle.module
        changed[name] = function
        try changed.verify()
        handle.module = changed
    }
}
