import TenonIR

extension TenonError {
    /// Bytes or fields that contradict the ONNX format.
    static func malformedONNX(_ message: ErrorMessage) -> TenonError { TenonError(.invalidModel, "ONNX: \(message)") }

    /// Something larger or deeper than `ONNXLimits` allows.
    static func onnxLimit(_ message: ErrorMessage) -> TenonError {
        TenonError(.limitExceeded, "ONNX: \(message), more than the limits of this import allow")
    }
}

/// Text from a file, made fit for one line of a message: cut to 80 characters, control characters replaced.
func cleaned(_ text: String) -> String {
    var shown = ""
    var count = 0
    for scalar in text.unicodeScalars {
        if count == 80 { return shown + "…" }
        shown.unicodeScalars.append(scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value) ? "?" : scalar)
        count += 1
    }
    return shown
}

func quoted(_ text: String) -> String { "'\(cleaned(text))'" }
