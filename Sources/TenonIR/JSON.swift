/// The little of JSON that is written by this library; values are given as JSON text.
package enum JSON {
    package static func object(_ entries: [(name: String, value: String)]) -> String {
        "{" + entries.map { "\(string($0.name)): \($0.value)" }.joined(separator: ", ") + "}"
    }

    package static func array(_ values: [String]) -> String { "[" + values.joined(separator: ", ") + "]" }

    package static func string(_ text: String) -> String {
        TextForm.quoted(text) { $0 < 0x20 ? "\\u" + hex($0, digits: 4) : nil }
    }

    /// A character's number in at least so many hexadecimal digits.
    static func hex(_ number: UInt32, digits: Int) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}
