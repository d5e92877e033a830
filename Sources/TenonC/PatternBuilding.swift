import CTenon
import TenonIR
import TenonRewrite

/// Makes a pattern of what `body` gives, unless it nests too deep.
private func make(
    _ pattern: UnsafeMutablePointer<OpaquePointer?>?, _ body: () throws -> Pattern
) -> tenon_status {
    withStatus {
        let result = try output(pattern, "pattern")
        let made = try body()
        guard made.depth <= 256 else {
            throw TenonError(.limitExceeded, "pattern: nested \(made.depth) levels deep; expected at most 256")
        }
        result.pointee = try Handle.make(PatternHandle(made))
    }
}

private func node(_ pattern: OpaquePointer?) throws -> Pattern {
    try Handle.object(pattern, PatternHandle.self).pattern
}

func nodes(_ patterns: UnsafePointer<OpaquePointer?>?, _ count: Int, _ what: StaticString) throws -> [Pattern] {
    guard count <= 100_000 else { throw TenonError(.limitExceeded, "\(what): \(count) patterns") }
    return try array(patterns, count, what).enumerated().map { index, pattern in
        guard pattern != nil else { throw invalid("\(what) \(index) is NULL") }
        return try node(pattern)
    }
}

// MARK: - Leaves

@implementation @_cdecl("tenon_pattern_wildcard")
public func tenon_pattern_wildcard(_ pattern: UnsafeMutablePointer<OpaquePointer?>!) -> tenon_status {
    make(pattern) { wildcard() }
}

@implementation @_cdecl("tenon_pattern_variable")
public func tenon_pattern_variable(
    _ name: UnsafePointer<CChar>!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status { make(pattern) { isVar(name.map { String(cString: $0) }) } }

@implementation @_cdecl("tenon_pattern_dataflow_variable")
public func tenon_pattern_dataflow_variable(
    _ name: UnsafePointer<CChar>!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status { make(pattern) { isDataflowVar(name.map { String(cString: $0) }) } }

@implementation @_cdecl("tenon_pattern_global_variable")
public func tenon_pattern_global_variable(
    _ name: UnsafePointer<CChar>!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status { make(pattern) { isGlobalVar(name.map { String(cString: $0) }) } }

@implementation @_cdecl("tenon_pattern_constant")
public func tenon_pattern_constant(_ pattern: UnsafeMutablePointer<OpaquePointer?>!) -> tenon_status {
    make(pattern) { isConst() }
}

@implementation @_cdecl("tenon_pattern_constant_value")
public func tenon_pattern_constant_value(
    _ value: Double, _ tolerance: Double, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    make(pattern) {
        guard value.isFinite, tolerance.isFinite, tolerance >= 0 else {
            throw invalid("value \(value), tolerance \(tolerance); expected numbers, and a tolerance from 0")
        }
        return isConst(value, tolerance: tolerance)
    }
}

@implementation @_cdecl("tenon_pattern_literal")
public func tenon_pattern_literal(
    _ text: UnsafePointer<CChar>!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    make(pattern) {
        let literal = try Operand(text: try string(text, "text"))
        if case .shape(let dims) = literal { return isShape(dims) }
        return isExpr(literal)
    }
}

@implementation @_cdecl("tenon_pattern_operator")
public func tenon_pattern_operator(
    _ name: UnsafePointer<CChar>!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status { make(pattern) { try isOp(try string(name, "name")) } }

@implementation @_cdecl("tenon_pattern_external")
public func tenon_pattern_external(
    _ name: UnsafePointer<CChar>!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status { make(pattern) { Pattern(.external(name.map { String(cString: $0) })) } }

// MARK: - Calls and tuples

@implementation @_cdecl("tenon_pattern_call")
public func tenon_pattern_call(
    _ callee: OpaquePointer!, _ arguments: UnsafePointer<OpaquePointer?>!, _ count: Int, _ flags: UInt32,
    _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    make(pattern) {
        let callee = try node(callee)
        let arguments = try nodes(arguments, count, "arguments")
        let (commutes, ordered) = (
            flags & TENON_CALL_COMMUTATIVE.rawValue != 0, flags & TENON_CALL_ORDERED.rawValue != 0
        )
        guard flags < 8, !(commutes && ordered) else {
            throw invalid("flags is \(flags); expected a sum of tenon_call_flags, commutative or ordered")
        }
        let isVariadic = flags & TENON_CALL_VARIADIC.rawValue != 0
        return callee.call(
            isVariadic && arguments.isEmpty ? nil : arguments, variadic: isVariadic,
            commutes: commutes ? true : ordered ? false : nil)
    }
}

@implementation @_cdecl("tenon_pattern_tuple")
public func tenon_pattern_tuple(
    _ fields: UnsafePointer<OpaquePointer?>!, _ count: Int, _ unordered: Int32,
    _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status { make(pattern) { isTuple(try nodes(fields, count, "fields"), unordered: unordered != 0) } }

@implementation @_cdecl("tenon_pattern_tuple_get_item")
public func tenon_pattern_tuple_get_item(
    _ tuple: OpaquePointer!, _ index: Int64, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    make(pattern) {
        let tuple = try node(tuple)
        if index == -1 { return tuple.anyItem() }
        guard let index = Int(exactly: index), index >= 0, index <= Int(Int32.max) else {
            throw invalid("index is \(index); expected -1 for any, or an index")
        }
        return try tuple.item(index)
    }
}

@implementation @_cdecl("tenon_pattern_function")
public func tenon_pattern_function(
    _ parameters: UnsafePointer<OpaquePointer?>!, _ count: Int, _ body: OpaquePointer!,
    _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    make(pattern) {
        Pattern(.function(parameters: try nodes(parameters, count, "parameters"), body: try node(body)))
    }
}

// MARK: - Choice, conjunction, negation

@implementation @_cdecl("tenon_pattern_or")
public func tenon_pattern_or(
    _ a: OpaquePointer!, _ b: OpaquePointer!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status { make(pattern) { try node(a) | node(b) } }

@implementation @_cdecl("tenon_pattern_and")
public func tenon_pattern_and(
    _ a: OpaquePointer!, _ b: OpaquePointer!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status { make(pattern) { try node(a) & node(b) } }

@implementation @_cdecl("tenon_pattern_not")
public func tenon_pattern_not(
    _ a: OpaquePointer!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status { make(pattern) { !(try node(a)) } }

// MARK: - Constraints

@implementation @_cdecl("tenon_pattern_has_attributes")
public func tenon_pattern_has_attributes(
    _ inner: OpaquePointer!, _ attributes: OpaquePointer!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    make(pattern) {
        let (inner, attributes) = (try node(inner), try Handle.object(attributes, AttributesHandle.self).attributes)
        try inner.checkNames(attributes)
        return inner.hasAttributes(attributes)
    }
}

@implementation @_cdecl("tenon_pattern_has_dtype")
public func tenon_pattern_has_dtype(
    _ inner: OpaquePointer!, _ type: tenon_dtype, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status { make(pattern) { try node(inner).hasDType(try dtype(type.rawValue, "dtype")) } }

@implementation @_cdecl("tenon_pattern_has_shape")
public func tenon_pattern_has_shape(
    _ inner: OpaquePointer!, _ rank: UInt32, _ shape: UnsafePointer<Int64>!,
    _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    make(pattern) { try node(inner).hasShape(try sizes(shape, rank, least: 0, "shape").map { .fixed($0) }) }
}

@implementation @_cdecl("tenon_pattern_has_type")
public func tenon_pattern_has_type(
    _ inner: OpaquePointer!, _ type: UnsafePointer<CChar>!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status { make(pattern) { try node(inner).hasType(try ValueType(text: try string(type, "type"))) } }

// MARK: - Chains and names

@implementation @_cdecl("tenon_pattern_step_init")
public func tenon_pattern_step_init(_ step: UnsafeMutablePointer<tenon_pattern_step>!, _ struct_size: UInt32) {
    Sized.initialise(step, struct_size)
}

@implementation @_cdecl("tenon_pattern_chain")
public func tenon_pattern_chain(
    _ base: OpaquePointer!, _ steps: UnsafePointer<tenon_pattern_step>!, _ count: Int, _ minimum: Int, _ maximum: Int,
    _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    make(pattern) {
        // A size_t beyond what Swift counts means as many as there are.
        let maximum = maximum < 0 ? Int.max : maximum
        guard minimum >= 0, minimum <= maximum else {
            throw invalid("minimum is more than maximum")
        }
        let steps = try Sized.array(steps, count, tenon_pattern_step(), "steps")
        guard !steps.isEmpty else { throw invalid("a chain needs at least one kind of step") }
        return Pattern(
            .chain(
                base: try node(base), steps: try steps.map { try step($0) }, minimum: minimum, maximum: maximum))
    }
}

private func step(_ given: tenon_pattern_step) throws -> ChainStep {
    guard given.chain_operand < 256, given.reserved == 0 else {
        throw invalid("a step's chain_operand is \(given.chain_operand), reserved \(given.reserved)")
    }
    return ChainStep(
        try Operators.require(try string(given.op, "op")), other: try given.other.map { try node($0) },
        chainOperand: given.commutative != 0 ? nil : Int(given.chain_operand),
        attributes: try AttributesHandle.attributes(given.attributes))
}

@implementation @_cdecl("tenon_pattern_named")
public func tenon_pattern_named(
    _ inner: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    make(pattern) {
        let name = try string(name, "name")
        guard !name.isEmpty else { throw invalid("the name of a pattern is empty") }
        return try node(inner).named(name)
    }
}

@implementation @_cdecl("tenon_pattern_duplicate")
public func tenon_pattern_duplicate(
    _ inner: OpaquePointer!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status { make(pattern) { try node(inner).duplicated() } }

@implementation @_cdecl("tenon_pattern_find")
public func tenon_pattern_find(
    _ inner: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    make(pattern) {
        let name = try string(name, "name")
        guard let found = try node(inner).node(named: name) else {
            throw TenonError(.notFound, "the pattern has no node '\(name)'", node: name)
        }
        return found
    }
}

// MARK: - Contexts

@implementation @_cdecl("tenon_pattern_context_create")
public func tenon_pattern_context_create(_ context: UnsafeMutablePointer<OpaquePointer?>!) -> tenon_status {
    withStatus {
        let result = try output(context, "context")
        result.pointee = try Handle.make(PatternContextHandle(PatternContext()))
    }
}

/// Changes a context, or leaves it when `body` throws.
private func change(_ context: OpaquePointer?, _ body: (inout PatternContext) throws -> Void) -> tenon_status {
    withStatus {
        let handle = try Handle.object(context, PatternContextHandle.self)
        var changed = handle.context
        try body(&changed)
        handle.context = changed
    }
}

@implementation @_cdecl("tenon_pattern_context_add")
public func tenon_pattern_context_add(_ context: OpaquePointer!, _ pattern: OpaquePointer!) -> tenon_status {
    change(context) { try $0.add(try node(pattern)) }
}

@implementation @_cdecl("tenon_pattern_context_used_by")
public func tenon_pattern_context_used_by(
    _ context: OpaquePointer!, _ producer: OpaquePointer!, _ consumer: OpaquePointer!, _ operand: Int64, _ only: Int32
) -> tenon_status {
    change(context) { context in
        guard operand >= -1, operand < 1 << 20 else {
            throw invalid("operand is \(operand); expected -1 for any, or an index")
        }
        try context.state(
            UseRelation(
                producer: try node(producer), consumer: try node(consumer), isOnlyUser: only != 0,
                operand: operand < 0 ? nil : Int(operand)))
    }
}

@implementation @_cdecl("tenon_pattern_context_same_shape")
public func tenon_pattern_context_same_shape(
    _ context: OpaquePointer!, _ patterns: UnsafePointer<OpaquePointer?>!, _ count: Int
) -> tenon_status { change(context) { try $0.sameShape(try nodes(patterns, count, "patterns")) } }
