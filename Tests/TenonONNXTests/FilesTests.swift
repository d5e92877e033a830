import Glibc
import SwiftProtobuf
import TenonIR
import Testing

@testable import TenonONNX

/// Tensors in a file beside the model.
@Suite struct ExternalDataTests {
    /// A folder of its own that is removed afterwards.
    private final class Folder {
        let path: String

        init() throws {
            var template = Array("/tmp/tenon-onnx-XXXXXX".utf8CString)
            guard mkdtemp(&template) != nil else { throw TenonError(.io, "mkdtemp") }
            path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }

        deinit {
            for name in ["model/weights.bin", "model/link.bin", "model/deep", "model/model.onnx", "secret.bin"] {
                unlink(path + "/" + name)
            }
            unlink(path + "/model/sub/weights.bin")
            rmdir(path + "/model/sub")
            rmdir(path + "/model")
            rmdir(path)
        }

        func write(_ name: String, _ bytes: [UInt8]) throws {
            let file = open(path + "/" + name, O_CREAT | O_WRONLY | O_TRUNC, 0o600)
            guard file >= 0, Glibc.write(file, bytes, bytes.count) == bytes.count else {
                throw TenonError(.io, "\(name)")
            }
            close(file)
        }
    }

    private func model(location: String, extra: [(String, String)] = []) throws -> [UInt8] {
        var builder = ModelBuilder()
        builder.input("x", [4])
        var tensor = ModelBuilder.floats("w", [4])
        tensor.floatData = []
        tensor.dataLocation = .external
        tensor.externalData = ([("location", location)] + extra).map { key, value in
            var entry = ONNXStringStringEntryProto()
            entry.key = key
            entry.value = value
            return entry
        }
        builder.constant(tensor)
        builder.node("Add", ["x", "w"], ["y"])
        builder.output("y")
        return try builder.bytes()
    }

    private func folder() throws -> Folder {
        let folder = try Folder()
        mkdir(folder.path + "/model", 0o700)
        mkdir(folder.path + "/model/sub", 0o700)
        let floats: [Float] = [9, 1, 2, 3, 4]
        let bytes = floats.withUnsafeBytes { Array($0) }
        try folder.write("model/weights.bin", bytes)
        try folder.write("model/sub/weights.bin", bytes)
        try folder.write("secret.bin", bytes)
        symlink("../secret.bin", folder.path + "/model/link.bin")
        symlink("..", folder.path + "/model/deep")
        return folder
    }

    private func load(_ folder: Folder, _ location: String, _ extra: [(String, String)] = []) throws -> [Double] {
        try folder.write("model/model.onnx", try model(location: location, extra: extra))
        let module = try ONNXImporter.load(path: folder.path + "/model/model.onnx")
        return module.main?.call("add")?.arguments[1].constant?.doubleElements ?? []
    }

    @Test func valuesComeFromTheFile() throws {
        let folder = try folder()
        #expect(try load(folder, "weights.bin", [("offset", "4")]) == [1, 2, 3, 4])
        #expect(try load(folder, "sub/weights.bin", [("offset", "0"), ("length", "16")]) == [9, 1, 2, 3])
        #expect(try load(folder, "./weights.bin") == [9, 1, 2, 3])
        // Two bytes further no element is aligned, so that the values are copied.
        #expect(try load(folder, "weights.bin", [("offset", "2")]).count == 4)
    }

    @Test(arguments: [
        "../secret.bin", "link.bin", "deep/secret.bin", "/etc/passwd", "sub/../../secret.bin", "sub/..", "..", ".", "",
        "sub", "missing.bin", "a\\b", "sub/../weights.bin",
    ]) func nothingOutsideTheFolderIsRead(location: String) throws {
        let folder = try folder()
        let error = try #require(failure { _ = try load(folder, location) })
        #expect(error.status == .io || error.status == .invalidModel)
        #expect(error.message.contains("'w'") && error.message.contains(location))
    }

    @Test(arguments: [
        ("offset", "8"), ("offset", "-4"), ("offset", "18446744073709551615"), ("offset", "9223372036854775807"),
        ("offset", "four"), ("length", "12"), ("length", "20"), ("length", "-16"),
    ]) func rangesOutsideTheFileAreErrors(key: String, value: String) throws {
        let folder = try folder()
        let error = try #require(failure { _ = try load(folder, "weights.bin", [(key, value)]) })
        #expect(error.status == .invalidModel && error.message.contains("'w'"))
    }

    @Test func aModelInMemoryHasAFolderOnlyWhenOneIsGiven() throws {
        let folder = try folder()
        let bytes = try model(location: "weights.bin")
        #expect(failure { _ = try importBytes(bytes) }?.status == .io)
        let module = try bytes.withUnsafeBytes {
            try ONNXImporter.load(bytes: $0, directory: folder.path + "/model")
        }
        #expect(module.main?.call("add")?.arguments[1].constant?.doubleElements == [9, 1, 2, 3])
    }
}
