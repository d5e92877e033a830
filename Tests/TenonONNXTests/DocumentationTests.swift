import TenonIR
import Testing

@testable import TenonONNX

/// The page about ONNX lists what the importer knows.
@Suite struct DocumentationTests {
    @Test func everyOperatorIsListed() throws {
        let root = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }
        let file = try MappedFile(path: root + "/docs/onnx.md", limit: 1 << 20)
        let text = withExtendedLifetime(file) { String(decoding: file.bytes, as: UTF8.self) }
        let words = Set(text.split { !($0.isLetter || $0.isNumber) }.map(String.init))
        for name in OperatorImporters.table.keys.sorted() {
            // Without its domain.
            let op = name.split(separator: ".").last.map(String.init) ?? name
            #expect(words.contains(op), "\(name) is not on the page")
        }
    }

    @Test func onlyTheDomainOfONNXIsKnown() {
        #expect(OperatorImporters.find("NoSuchOperator", domain: "") == nil)
        #expect(OperatorImporters.find("Conv", domain: "ai.onnx") != nil)
        #expect(OperatorImporters.find("Conv", domain: "com.example") == nil)
    }
}
