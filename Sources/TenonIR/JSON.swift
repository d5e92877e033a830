/// The little of JSON that is written by this library; values are given as JSON text.
package enum JSON {
    package static func object(_ entries: [(name: String, value: String)]) -> String {
        "{" + entries.map { "\(string($0.name)): \($0.value)" }.joined(separator: ", ") + "}"
    }

    package static func array(_ values: [String]) -> String { "[" + values.joined(separator: ", ") + "]" }

    package static func string(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            default:
                if scalar.value < 0x20 {
                    let digits = String(scalar.value, radix: 16)
                    result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }
}
