import TenonIR

extension TenonError {
    /// Bytes or fields that contradict the ONNX format.
    static func malformedONNX(_ message: String) -> TenonError { TenonError(.invalidModel, "ONNX: \(message)") }

    /// Something larger or deeper than `ONNXLimits` allows.
    static func onnxLimit(_ message: String) -> TenonError {
        TenonError(.limitExceeded, "ONNX: \(message), more than the limits of this import allow")
    }
}

/// Text from a file, made fit for one line of a message: cut to 80 characters, control characters replaced.
func quoted(_ text: String) -> String {
    var shown = ""
    for scalar in text.unicodeScalars {
        if shown.unicodeScalars.count >= 80 {
            shown += "…"
            break
        }
        shown.unicodeScalars.append(scalar.value < 0x20 || scalar.value == 0x7f ? "?" : scalar)
    }
    return "'\(shown)'"
}
