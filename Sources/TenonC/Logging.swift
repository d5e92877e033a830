import CTenon
import TenonIR

/// A host's listener and what it wants back.
private struct LogData: @unchecked Sendable {
    let function: tenon_log_function
    let pointer: UnsafeMutableRawPointer?
}

@implementation @_cdecl("tenon_set_log")
public func tenon_set_log(
    _ function: tenon_log_function!, _ user_data: UnsafeMutableRawPointer!, _ level: UInt32
) -> tenon_status {
    withStatus {
        guard let level = Log.Level(rawValue: level) else {
            throw invalid("level is \(level); expected one of TENON_LOG_…")
        }
        guard let function else { return Log.listen(level, nil) }
        let data = LogData(function: function, pointer: user_data)
        Log.listen(level) { level, message in
            let line = String(decoding: message.utf8.map { $0 < 0x20 || $0 == 0x7f ? 0x20 : $0 }, as: UTF8.self)
            line.withCString { data.function(level.rawValue, $0, data.pointer) }
        }
    }
}
