import TenonIR
import Testing

@testable import TenonONNX

/// The trained network of Tests/Fixtures.
enum Digits {
    static let path =
        #filePath.split(separator: "/").dropLast(2).reduce("") { $0 + "/" + $1 } + "/Fixtures/digits/digits.onnx"

    static func bytes() throws -> [UInt8] {
        let file = try MappedFile(path: path, limit: 1 << 20)
        return withExtendedLifetime(file) { Array(file.bytes) }
    }
}

@Suite struct DigitsTests {
    @Test func becomesTheSequenceThatEveryFrontendGives() throws {
        let main = try #require(try ONNXImporter.load(path: Digits.path).main)
        #expect(
            main.operators == [
                "nn.conv2d", "reshape", "add", "nn.relu", "nn.max_pool2d", "nn.conv2d", "reshape", "add", "nn.relu",
                "reshape", "nn.dense", "add", "nn.softmax",
            ])
        #expect(main.parameterTypes == [.tensor(.float32, [1, 1, 8, 8] as [Int64])])
        #expect(main.resultType == .tensor(.float32, [1, 10] as [Int64]))
        #expect(main.attributes["input_names"] == .strings(["image"]))
        #expect(main.attributes["output_names"] == .strings(["probabilities"]))
        #expect(main.call("nn.conv2d")?.attributes.ints("padding") == [1, 1, 1, 1])
    }

    @Test func fileAndMemoryGiveEqualModules() throws {
        let fromFile = try #require(try ONNXImporter.load(path: Digits.path).main)
        let fromMemory = try #require(try importBytes(try Digits.bytes()).main)
        #expect(fromFile == fromMemory)
        let weight = try #require(fromFile.call("nn.conv2d")?.arguments[1].constant)
        #expect(weight.shape == [16, 1, 3, 3])
        let values = try #require(weight.doubleElements)
        #expect(values.contains { $0 > 0.1 } && values.contains { $0 < -0.1 } && values.allSatisfy { abs($0) < 10 })
    }

    @Test func missingAndUnreadableFilesAreErrors() {
        #expect(failure { _ = try ONNXImporter.load(path: Digits.path + ".missing") }?.status == .io)
        #expect(failure { _ = try ONNXImporter.load(path: "/") }?.status == .io)
        #expect(failure { _ = try ONNXImporter.load(path: "/dev/zero") }?.status == .io)
        #expect(failure { _ = try ONNXImporter.load(path: "") }?.status == .io)
        #expect(failure { _ = try ONNXImporter.load(path: "a\0b") }?.status == .io)
        var options = ONNXImportOptions()
        options.limits.fileBytes = 1000
        #expect(failure { _ = try ONNXImporter.load(path: Digits.path, options: options) }?.status == .limitExceeded)
    }
}
