import CTenon
import TenonIR
import TenonRewrite

/// What a host is shown of a match.
final class MatchHandle: HandleObject {
    static let tag: UInt64 = 0x7465_6e6f_6e6d_6174
    static let name: StaticString = "tenon_match"

    let view: FunctionHandle
    let function: OpaquePointer
    let root: tenon_value
    let captures: [(name: String, subject: Subject)]
    /// A callback's: released by the library when the callback returns.
    let isBorrowed: Bool
    private let interior: [ValueID]
    private var interiorList: (start: UnsafePointer<tenon_value>, count: Int)?

    init(
        _ view: FunctionHandle, root: Operand?, captures: [(name: String, subject: Subject)], interior: [ValueID],
        isBorrowed: Bool = true
    ) throws {
        self.isBorrowed = isBorrowed
        self.view = view
        self.root = try root.map { try view.numbers.number($0) } ?? noValue
        self.captures = captures
        self.interior = interior
        function = try Handle.make(view)
    }

    deinit { Handle.release(function, FunctionHandle.self) }

    func capture(_ name: String) throws -> Subject {
        guard let found = captures.first(where: { $0.name == name }) else {
            let known = captures.map(\.name).joined(separator: ", ")
            throw TenonError(.notFound, "'\(name)' met nothing; captures: \(known.isEmpty ? "none" : known)")
        }
        return found.subject
    }

    func bindings() throws -> (start: UnsafePointer<tenon_value>, count: Int) {
        if let interiorList { return interiorList }
        let values = try interior.sorted().map { try view.numbers.number(.value($0)) }
        let made = (start: try view.pool.array(values), count: values.count)
        interiorList = made
        return made
    }

    /// The operator that a capture met, or called.
    func operatorName(_ name: String) throws -> String {
        switch try capture(name) {
        case .callee(.op(let op)): return op.name
        case .bound(let id):
            let info = try view.info(try view.numbers.number(.value(id)))
            if info.kind == TENON_VALUE_CALL.rawValue { return String(cString: info.callee) }
        default: break
        }
        throw TenonError(.notFound, "'\(name)' met no operator and no call of one")
    }
}

/// What a callback answers with. Released when it returns.
final class ReplyHandle: HandleObject {
    static let tag: UInt64 = 0x7465_6e6f_6e72_706c
    static let name: StaticString = "tenon_reply"

    var found: String?
    var expected: String?
    var replacements: [(value: tenon_value, by: tenon_value)] = []
    /// Whether the callback may replace values.
    let rewrites: Bool

    init(rewrites: Bool = false) { self.rewrites = rewrites }

    /// Both texts as one.
    var reason: String {
        switch (found, expected) {
        case (let found?, let expected?): "found \(found), expected \(expected)"
        case (let text?, nil), (nil, let text?): text
        case (nil, nil): "no reason given"
        }
    }
}

/// A function of the host with its data. What it points to is the host's business, on whatever thread it is called.
struct HostCallback<Function>: @unchecked Sendable {
    let function: Function
    let userData: UnsafeMutableRawPointer?
}

enum Verdict {
    /// Asks the host, with a reply and what `body` needs besides.
    /// - Returns: whether the host accepts, and its reply.
    /// - Throws: `.callback` when it fails, or answers with a number that means nothing.
    static func ask(
        _ what: String, rewrites: Bool = false, _ body: (OpaquePointer) throws -> Int32
    ) throws -> (accepts: Bool, reply: ReplyHandle) {
        let reply = ReplyHandle(rewrites: rewrites)
        let pointer = try Handle.make(reply)
        defer { Handle.release(pointer, ReplyHandle.self) }
        let answer = try body(pointer)
        switch UInt32(bitPattern: answer) {
        case TENON_ACCEPT.rawValue: return (true, reply)
        case TENON_REFUSE.rawValue: return (false, reply)
        case TENON_FAIL.rawValue: throw TenonError(.callback, "\(what) failed: \(reply.reason)")
        default:
            throw TenonError(
                .callback, "\(what) returned \(answer); expected TENON_REFUSE (0), TENON_ACCEPT (1) or TENON_FAIL (2)")
        }
    }

    /// Asks about a match.
    static func ask(
        _ what: String, _ match: MatchHandle, rewrites: Bool = false,
        _ body: (_ match: OpaquePointer, _ reply: OpaquePointer) throws -> Int32
    ) throws -> (accepts: Bool, reply: ReplyHandle) {
        let pointer = try Handle.make(match)
        defer { Handle.release(pointer, MatchHandle.self) }
        return try ask(what, rewrites: rewrites) { try body(pointer, $0) }
    }
}

extension ReplyHandle {
    /// The reason as fusion reports it.
    var refusal: Refusal {
        Refusal(
            .checkRefused, found: found ?? "a match that the check refused", expected: expected ?? "one that it accepts"
        )
    }
}

// MARK: - What callbacks call

@implementation @_cdecl("tenon_reply_set_reason")
public func tenon_reply_set_reason(
    _ reply: OpaquePointer!, _ found: UnsafePointer<CChar>!, _ expected: UnsafePointer<CChar>!
) -> tenon_status {
    withStatus {
        let handle = try Handle.object(reply, ReplyHandle.self)
        handle.found = found.map { String(cString: $0) }
        handle.expected = expected.map { String(cString: $0) }
    }
}

@implementation @_cdecl("tenon_reply_replace")
public func tenon_reply_replace(_ reply: OpaquePointer!, _ value: tenon_value, _ by: tenon_value) -> tenon_status {
    withStatus {
        let handle = try Handle.object(reply, ReplyHandle.self)
        guard handle.rewrites else {
            throw TenonError(.invalidState, "only a rewriter replaces values")
        }
        handle.replacements.append((value, by))
    }
}

@implementation @_cdecl("tenon_match_function")
public func tenon_match_function(_ match: OpaquePointer!) -> OpaquePointer! {
    Handle.optional(match, MatchHandle.self)?.function
}

@implementation @_cdecl("tenon_match_root")
public func tenon_match_root(_ match: OpaquePointer!) -> tenon_value {
    withFloats {
        Handle.optional(match, MatchHandle.self)?.root ?? noValue
    }
}

@implementation @_cdecl("tenon_match_capture_count")
public func tenon_match_capture_count(_ match: OpaquePointer!) -> Int {
    withFloats {
        Handle.optional(match, MatchHandle.self)?.captures.count ?? 0
    }
}

@implementation @_cdecl("tenon_match_capture_name")
public func tenon_match_capture_name(_ match: OpaquePointer!, _ index: Int) -> UnsafePointer<CChar>! {
    withFloats {
        guard let handle = Handle.optional(match, MatchHandle.self), handle.captures.indices.contains(index) else {
            return nil
        }
        return try? handle.view.pool.text(handle.captures[index].name)
    }
}

@implementation @_cdecl("tenon_match_get")
public func tenon_match_get(
    _ match: OpaquePointer!, _ capture: UnsafePointer<CChar>!, _ value: UnsafeMutablePointer<tenon_value>!
) -> tenon_status {
    withStatus {
        let result = try output(value, noValue, "value")
        let handle = try Handle.object(match, MatchHandle.self)
        let name = try string(capture, "capture")
        guard let operand = try handle.capture(name).asOperand else {
            throw TenonError(.invalidType, "'\(name)' met an operator, which is no value")
        }
        result.pointee = try handle.view.numbers.number(operand)
    }
}

@implementation @_cdecl("tenon_match_get_operator")
public func tenon_match_get_operator(
    _ match: OpaquePointer!, _ capture: UnsafePointer<CChar>!, _ op: UnsafeMutablePointer<UnsafePointer<CChar>?>!
) -> tenon_status {
    withStatus {
        let result = try output(op, "op")
        let handle = try Handle.object(match, MatchHandle.self)
        result.pointee = try handle.view.pool.text(try handle.operatorName(try string(capture, "capture")))
    }
}

@implementation @_cdecl("tenon_match_get_bindings")
public func tenon_match_get_bindings(
    _ match: OpaquePointer!, _ values: UnsafeMutablePointer<UnsafePointer<tenon_value>?>!,
    _ count: UnsafeMutablePointer<Int>!
) -> tenon_status { list(values, count) { try Handle.object(match, MatchHandle.self).bindings() } }

// MARK: - Matching on demand

@implementation @_cdecl("tenon_match_release")
public func tenon_match_release(_ match: OpaquePointer!) {
    guard Handle.optional(match, MatchHandle.self)?.isBorrowed == false else { return }
    Handle.release(match, MatchHandle.self)
}

private func match(
    _ pattern: OpaquePointer?, _ function: OpaquePointer?, _ value: tenon_value,
    _ match: UnsafeMutablePointer<OpaquePointer?>?, seesThrough: Bool
) -> tenon_status {
    withStatus {
        let result = try output(match, "match")
        let pattern = try Handle.object(pattern, PatternHandle.self).pattern
        let view = try Handle.object(function, FunctionHandle.self)
        let operand = try view.numbers.operand(value, "value")
        var table = view.bindings
        if !seesThrough {
            table = BindingTable(opaque: view.bindings.function)
            if case .value(let id) = operand { table = BindingTable(view.bindings.function, only: id) }
        }
        guard let found = try pattern.match(operand, in: table) else { return }
        result.pointee = try Handle.make(
            try MatchHandle(
                view, root: operand, captures: found.captures, interior: Array(Set(found.interior)), isBorrowed: false))
    }
}

@implementation @_cdecl("tenon_pattern_match")
public func tenon_pattern_match(
    _ pattern: OpaquePointer!, _ function: OpaquePointer!, _ value: tenon_value,
    _ found: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status { match(pattern, function, value, found, seesThrough: true) }

@implementation @_cdecl("tenon_pattern_match_binding")
public func tenon_pattern_match_binding(
    _ pattern: OpaquePointer!, _ function: OpaquePointer!, _ value: tenon_value,
    _ found: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status { match(pattern, function, value, found, seesThrough: false) }

@implementation @_cdecl("tenon_pattern_context_match")
public func tenon_pattern_context_match(
    _ context: OpaquePointer!, _ function: OpaquePointer!, _ match: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus {
        let result = try output(match, "match")
        let context = try Handle.object(context, PatternContextHandle.self).context
        let view = try Handle.object(function, FunctionHandle.self)
        for block in view.bindings.function.body.blocks where block.isDataflow {
            guard let found = try matchDataflowBlock(context, block, of: view.bindings.function) else { continue }
            result.pointee = try Handle.make(
                try MatchHandle(
                    view, root: nil, captures: found.captures,
                    interior: found.assigned.filter { found.table.definition($0) != nil }, isBorrowed: false))
            return
        }
    }
}
