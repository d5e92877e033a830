import CTenon
import TenonIR
import TenonRuntime

final class ProfileHandle: HandleObject {
    static let tag: UInt64 = 0x7465_6e6f_6e70_726f
    static let name: StaticString = "tenon_profile"

    let profile: RunProfile
    let steps: [tenon_step]
    private let pool: Pool

    init(_ profile: RunProfile) throws {
        let pool = Pool()
        steps = try profile.steps.enumerated().map { index, source in
            var step = tenon_step()
            step.binding = try pool.text(source.binding)
            step.region = try pool.text(source.region)
            step.composite = try pool.text(source.composite)
            step.implementation = try pool.text(source.implementation)
            step.layouts = try pool.text(source.layouts)
            step.bytes = UInt64(clamping: source.bytes)
            step.flops = UInt64(clamping: source.flops)
            step.note = try pool.text(source.note)
            step.nanoseconds = profile.nanoseconds.indices.contains(index) ? profile.nanoseconds[index] : 0
            return step
        }
        self.profile = profile
        self.pool = pool
    }
}

@implementation @_cdecl("tenon_step_init")
public func tenon_step_init(_ step: UnsafeMutablePointer<tenon_step>!, _ struct_size: UInt32) {
    Sized.initialise(step, struct_size)
}

@implementation @_cdecl("tenon_executable_report")
public func tenon_executable_report(
    _ executable: OpaquePointer!, _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>!
) -> tenon_status {
    withStatus {
        let result = try output(text, "text")
        let executable = try Handle.object(executable, ExecutableHandle.self).executable
        result.pointee = try transferred(Report.table(executable.profile))
    }
}

@implementation @_cdecl("tenon_executable_get_digest")
public func tenon_executable_get_digest(
    _ executable: OpaquePointer!, _ digest: UnsafeMutablePointer<UInt64>!
) -> tenon_status {
    withStatus {
        let result = try output(digest, 0, "digest")
        result.pointee = try Handle.object(executable, ExecutableHandle.self).executable.digest
    }
}

@implementation @_cdecl("tenon_executable_get_profile")
public func tenon_executable_get_profile(
    _ executable: OpaquePointer!, _ profile: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus {
        let result = try output(profile, "profile")
        let executable = try Handle.object(executable, ExecutableHandle.self).executable
        result.pointee = try Handle.make(try ProfileHandle(executable.profile))
    }
}

@implementation @_cdecl("tenon_profile_count")
public func tenon_profile_count(_ profile: OpaquePointer!) -> Int {
    Handle.optional(profile, ProfileHandle.self)?.steps.count ?? 0
}

@implementation @_cdecl("tenon_profile_total")
public func tenon_profile_total(_ profile: OpaquePointer!) -> UInt64 {
    Handle.optional(profile, ProfileHandle.self)?.profile.totalNanoseconds ?? 0
}

@implementation @_cdecl("tenon_profile_get")
public func tenon_profile_get(
    _ profile: OpaquePointer!, _ index: Int, _ step: UnsafeMutablePointer<tenon_step>!
) -> tenon_status {
    withStatus {
        let steps = try Handle.object(profile, ProfileHandle.self).steps
        guard steps.indices.contains(index) else {
            throw invalid("index \(index) is out of range; there are \(steps.count)")
        }
        try Sized.write(steps[index], to: step, "tenon_step", first: MemoryLayout<tenon_step>.offset(of: \.note))
    }
}

@implementation @_cdecl("tenon_profile_print")
public func tenon_profile_print(
    _ profile: OpaquePointer!, _ format: UInt32, _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>!
) -> tenon_status {
    withStatus {
        let result = try output(text, "text")
        let profile = try Handle.object(profile, ProfileHandle.self).profile
        switch format {
        case TENON_PROFILE_TABLE.rawValue: result.pointee = try transferred(Report.table(profile))
        case TENON_PROFILE_TRACE.rawValue: result.pointee = try transferred(Report.trace(profile))
        default: throw invalid("format is \(format); expected one of tenon_profile_format")
        }
    }
}

@implementation @_cdecl("tenon_profile_release")
public func tenon_profile_release(_ profile: OpaquePointer!) { Handle.release(profile, ProfileHandle.self) }

@implementation @_cdecl("tenon_module_draw")
public func tenon_module_draw(
    _ module: OpaquePointer!, _ profile: OpaquePointer!, _ format: UInt32,
    _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>!
) -> tenon_status {
    withStatus {
        let result = try output(text, "text")
        let module = try Handle.object(module, ModuleHandle.self).module
        let known = try profile.map { try Handle.object($0, ProfileHandle.self).profile }
        guard format <= TENON_DRAW_JSON.rawValue else {
            throw invalid("format is \(format); expected one of tenon_draw_format")
        }
        let drawing = try GraphDrawing(module, profile: known)
        result.pointee = try transferred(format == TENON_DRAW_JSON.rawValue ? drawing.json() : drawing.dot())
    }
}
