import CTenon
import TenonIR
import TenonRewrite

final class PatternHandle: HandleObject {
    static let tag: UInt64 = 0x7465_6e6f_6e70_6174
    static let name: StaticString = "tenon_pattern"

    let pattern: Pattern

    init(_ pattern: Pattern) { self.pattern = pattern }
}

final class PatternContextHandle: HandleObject {
    static let tag: UInt64 = 0x7465_6e6f_6e70_6374
    static let name: StaticString = "tenon_pattern_context"

    var context: PatternContext

    init(_ context: PatternContext) { self.context = context }
}

@implementation @_cdecl("tenon_pattern_parse")
public func tenon_pattern_parse(
    _ text: UnsafePointer<CChar>!, _ pattern: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus {
        let result = try output(pattern, "pattern")
        result.pointee = try Handle.make(PatternHandle(try Pattern.parse(try string(text, "text"))))
    }
}

@implementation @_cdecl("tenon_pattern_print")
public func tenon_pattern_print(
    _ pattern: OpaquePointer!, _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>!
) -> tenon_status {
    withStatus {
        let result = try output(text, "text")
        result.pointee = try transferred(try Handle.object(pattern, PatternHandle.self).pattern.text())
    }
}

@implementation @_cdecl("tenon_pattern_release")
public func tenon_pattern_release(_ pattern: OpaquePointer!) { Handle.release(pattern, PatternHandle.self) }

@implementation @_cdecl("tenon_pattern_context_parse")
public func tenon_pattern_context_parse(
    _ text: UnsafePointer<CChar>!, _ context: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus {
        let result = try output(context, "context")
        let parsed = try PatternContext.parse(try string(text, "text"))
        result.pointee = try Handle.make(PatternContextHandle(parsed.context))
    }
}

@implementation @_cdecl("tenon_pattern_context_print")
public func tenon_pattern_context_print(
    _ context: OpaquePointer!, _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>!
) -> tenon_status {
    withStatus {
        let result = try output(text, "text")
        result.pointee = try transferred(try Handle.object(context, PatternContextHandle.self).context.text())
    }
}

@implementation @_cdecl("tenon_pattern_context_release")
public func tenon_pattern_context_release(_ context: OpaquePointer!) {
    Handle.release(context, PatternContextHandle.self)
}
