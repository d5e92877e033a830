import CTenon
import TenonIR

/// What a host wants to be told with its progress function; used while the call that it was given to lasts.
private struct ProgressData: @unchecked Sendable {
    let function: tenon_progress_function
    let pointer: UnsafeMutableRawPointer?
}

/// Calls a host's progress function; nil when it has none.
func progress(_ function: tenon_progress_function?, _ pointer: UnsafeMutableRawPointer?) -> ProgressReport? {
    guard let function else { return nil }
    let data = ProgressData(function: function, pointer: pointer)
    return { stage, done, total in
        let stop = stage.utf8Start.withMemoryRebound(to: CChar.self, capacity: stage.utf8CodeUnitCount + 1) {
            data.function($0, UInt64(clamping: done), UInt64(clamping: total), data.pointer)
        }
        guard stop == 0 else {
            throw TenonError(.cancelled, "the progress function ended the work at \(done) of \(total) of '\(stage)'")
        }
    }
}
