import CTenon
import TenonIR

// Every call that may take long has options with a timeout and a token, which end it with TENON_ERROR_DEADLINE_EXCEEDED or
// TENON_ERROR_CANCELLED. What is wrong with the options themselves the call says when it reads them.

private func limits(_ timeout: UInt64, _ cancel: OpaquePointer?) -> WorkLimits? {
    WorkLimits.make(
        cancel: Handle.optional(cancel, CancelToken.self), deadline: timeout == 0 ? nil : MonotonicClock.after(timeout))
}

/// That a token is one, or NULL.
func requireToken(_ cancel: OpaquePointer?) throws {
    if cancel != nil { _ = try Handle.object(cancel, CancelToken.self) }
}

func withStatus(
    limitedBy options: UnsafePointer<tenon_pass_options>?, _ body: () throws -> Void
) -> tenon_status {
    withStatus {
        let given = try? passOptions(options)
        try Work.with(given.flatMap { limits($0.timeout_nanoseconds, $0.cancel) }) { try body() }
    }
}

func withStatus(
    limitedBy options: UnsafePointer<tenon_executable_options>?, _ body: () throws -> Void
) -> tenon_status {
    withStatus {
        let given = try? givenOptions(options)
        try Work.with(given.flatMap { limits($0.timeout_nanoseconds, $0.cancel) }) { try body() }
    }
}

func withStatus(
    limitedBy options: UnsafePointer<tenon_onnx_options>?, _ body: () throws -> Void
) -> tenon_status {
    withStatus {
        let given = try? onnxOptions(options)
        try Work.with(given.flatMap { limits($0.timeout_nanoseconds, $0.cancel) }) { try body() }
    }
}

func withStatus(
    limitedBy options: UnsafePointer<tenon_onnx_save_options>?, _ body: () throws -> Void
) -> tenon_status {
    withStatus {
        let given = try? saveOptions(options)
        try Work.with(given.flatMap { limits($0.timeout_nanoseconds, $0.cancel) }) { try body() }
    }
}

func withStatus(
    limitedBy options: UnsafePointer<tenon_print_options>?, _ body: () throws -> Void
) -> tenon_status {
    withStatus {
        let given = try? givenPrintOptions(options)
        try Work.with(given.flatMap { limits($0.timeout_nanoseconds, $0.cancel) }) { try body() }
    }
}

func withStatus(
    limitedBy options: UnsafePointer<tenon_quantize_options>?, _ body: () throws -> Void
) -> tenon_status {
    withStatus {
        let given = try? quantizeOptions(options)
        try Work.with(given.flatMap { limits($0.timeout_nanoseconds, $0.cancel) }) { try body() }
    }
}
