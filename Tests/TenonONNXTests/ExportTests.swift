import Glibc
import TenonIR
import Testing

@testable import TenonONNX

/// Modules as ONNX models, and back.
@Suite struct ExportTests {
    private func again(_ text: String) throws -> (before: Function, after: Function) {
        let module = try Module(text: text)
        #expect(module.findings().isEmpty)
        let bytes = try ONNXExporter.export(module)
        let imported = try importBytes(bytes)
        #expect(imported.findings().isEmpty)
        return (try #require(module.main), try #require(imported.main))
    }

    /// What comes back has the same calls.
    @Test(arguments: [
        """
        fn @main(%x: f32[1,3,8,8], %w: f32[4,3,3,3], %b: f32[4]) {
          dataflow {
            %c = nn.conv2d(%x, %w) {padding=[1, 1, 1, 1], strides=[2, 2]}
            %r = reshape(%b, shape[1,4,1,1])
            %s = add(%c, %r)
            %y = nn.relu(%s)
            output %y
          }
          return %y
        }
        """,
        """
        fn @main(%x: f32[2,3,4]) {
          dataflow {
            %t = permute_dims(%x) {axes=[0, 2, 1]}
            %m = matmul(%x, %t)
            %p = nn.softmax(%m) {axis=2}
            %r = sum(%p) {axis=[1], keepdims=true}
            %q = squeeze(%r) {axis=[1]}
            %u = expand_dims(%q) {axis=[0]}
            %y = concat((%u, %u)) {axis=2}
            output %y
          }
          return %y
        }
        """,
        """
        fn @main(%x: f32[n,6,8], %i: i64[2]) {
          dataflow {
            %a = nn.max_pool1d(%x) {pool_size=[2], strides=[2], padding=[0, 1]}
            %b = take(%a, %i) {axis=1}
            %d = nn.leakyrelu(%b) {alpha=0.25}
            %e = nn.pad(%d) {pad_width=[0, 0, 0, 0, 1, 2], pad_mode="reflect"}
            %y = argmax(%e) {axis=2}
            output %y
          }
          return %y
        }
        """,
    ]) func aRoundTripKeepsTheCalls(text: String) throws {
        let (before, after) = try again(text)
        #expect(after.operators == before.operators)
        #expect(after.resultType == before.resultType)
        #expect(after.parameterTypes == before.parameterTypes)
        var calls: [Attributes] = []
        before.forEachBinding { if let call = $0.expression.asCall { calls.append(call.attributes) } }
        var found: [Attributes] = []
        after.forEachBinding { if let call = $0.expression.asCall { found.append(call.attributes) } }
        #expect(found == calls)
    }

    @Test func compositesAreWrittenOut() throws {
        let (_, after) = try again(
            """
            fn @main(%x: f32[2,4]) {
              dataflow {
                %y: f32[2,4] = @fused(%x, %x)
                %z: f32[2,4] = @fused(%y, %x)
                output %z
              }
              return %z
            }
            fn @fused(%a: f32[2,4], %b: f32[2,4]) {Composite="dnnl.add_relu", Primitive=1} {
              dataflow {
                %s = add(%a, %b)
                %r = nn.relu(%s)
                output %r
              }
              return %r
            }
            """)
        #expect(after.operators == ["add", "nn.relu", "add", "nn.relu"])
    }

    @Test func namesOfInputsAndOutputsStay() throws {
        var model = ModelBuilder()
        model.input("the input", ["batch", 4])
        model.constant(ModelBuilder.floats("w", [4, 2]))
        model.node("MatMul", ["the input", "w"], ["the output"])
        model.output("the output")
        let imported = try importBytes(try ONNXExporter.export(try model.load()))
        let main = try #require(imported.main)
        #expect(main.attributes["input_names"] == .strings(["the input"]))
        #expect(main.attributes["output_names"] == .strings(["the output"]))
        #expect(main.call("matmul")?.arguments.last?.constant?.doubleElements?.first == -3)
        #expect(main.resultType.asTensor?.shape?.first == main.parameterTypes.first?.asTensor?.shape?.first)
    }

    @Test func whatHasNoFormIsNamed() throws {
        for (call, name) in [
            ("atan2(%x, %x)", "atan2"),
            ("nn.adaptive_avg_pool1d(%x) {output_size=[3]}", "nn.adaptive_avg_pool1d"),
        ] {
            let text = """
                fn @main(%x: f32[2,3,4], %axes: i64[1]) {
                  %y = \(call)
                  return %y
                }
                """
            let error = failure { _ = try ONNXExporter.export(try Module(text: text)) }
            #expect(error?.status == .unsupported && error?.message.contains(name) == true)
        }
        #expect(failure { _ = try ONNXExporter.export(Module()) }?.status == .notFound)
    }

    @Test func functionsThatCallThemselvesAreErrors() throws {
        let text = """
            fn @main(%x: f32[2]) {
              %y = @main(%x)
              return %y
            }
            """
        let module = try? Module(text: text)
        if let module { #expect(failure { _ = try ONNXExporter.export(module) } != nil) }
    }
}

/// Files that an export writes.
@Suite struct ExportFileTests {
    private final class Folder {
        let path: String

        init() throws {
            var template = Array("/tmp/tenon-export-XXXXXX".utf8CString)
            guard mkdtemp(&template) != nil else { throw TenonError(.io, "mkdtemp") }
            path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }

        deinit {
            for name in entries() { unlink(path + "/" + name) }
            rmdir(path)
        }

        func entries() -> [String] {
            var names: [String] = []
            guard let folder = opendir(path) else { return names }
            defer { closedir(folder) }
            while let entry = readdir(folder) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != "." && name != ".." { names.append(name) }
            }
            return names.sorted()
        }
    }

    private func module(weights: Int64) throws -> Module {
        var model = ModelBuilder()
        model.input("x", [2, Int(weights)])
        model.constant(ModelBuilder.floats("w", [weights, 3]))
        model.constant(ModelBuilder.floats("b", [3]))
        model.node("MatMul", ["x", "w"], ["m"])
        model.node("Add", ["m", "b"], ["y"])
        model.output("y")
        return try model.load()
    }

    /// A model that one message cannot hold gets a file beside it, and is refused where there is none.
    @Test func whatDoesNotFitOneMessageGoesBesideIt() throws {
        let folder = try Folder()
        let module = try module(weights: 1000)
        try ONNXExporter.save(module, path: folder.path + "/m.onnx", limit: 4000)
        #expect(folder.entries() == ["m.onnx", "m.onnx.data"])
        let again = try ONNXImporter.load(path: folder.path + "/m.onnx")
        #expect(again.isStructurallyEqual(to: module))
        let error = failure { _ = try ONNXExporter.export(module, limit: 4000) { count, _ in count } }
        #expect(error?.status == .limitExceeded && error?.message.contains("4000") == true)
        // Not even the structure fits: nothing is left.
        let other = try Folder()
        let refused = failure { try ONNXExporter.save(module, path: other.path + "/m.onnx", limit: 100) }
        #expect(refused?.status == .limitExceeded)
        #expect(other.entries().isEmpty)
    }

    @Test func smallConstantsStayInTheModel() throws {
        let folder = try Folder()
        var options = ONNXExportOptions()
        options.hasExternalData = true
        options.location = "weights"
        try ONNXExporter.save(try module(weights: 10), path: folder.path + "/m.onnx", options: options)
        #expect(folder.entries() == ["m.onnx"])
        options.sizeThreshold = 100
        try ONNXExporter.save(try module(weights: 10), path: folder.path + "/m.onnx", options: options)
        #expect(folder.entries() == ["m.onnx", "weights"])
    }

    @Test(arguments: ["", ".", "..", "a/b", "/a", "m.onnx", "a\\b"]) func placesOtherThanBesideTheModelAreRefused(
        location: String
    ) throws {
        let folder = try Folder()
        var options = ONNXExportOptions()
        options.location = location
        let error = failure {
            try ONNXExporter.save(try module(weights: 10), path: folder.path + "/m.onnx", options: options)
        }
        #expect(error?.status == .invalidArgument && error?.message.contains("location") == true)
        #expect(folder.entries().isEmpty)
    }

    /// Functions that call others twice, which call others twice: an error before memory is full.
    @Test func callsThatMultiplyAreBounded() throws {
        var text = "fn @main(%x: f32[2]) {\n  %y: f32[2] = @f0(%x)\n  return %y\n}\n"
        for level in 0..<40 {
            text += "fn @f\(level)(%x: f32[2]) {\n"
            text += "  %a: f32[2] = @f\(level + 1)(%x)\n  %b: f32[2] = @f\(level + 1)(%a)\n  return %b\n}\n"
        }
        text += "fn @f40(%x: f32[2]) {\n  %y = nn.relu(%x)\n  return %y\n}\n"
        let module = try Module(text: text)
        let error = failure { _ = try ONNXExporter.export(module, nodeLimit: 2000) { count, _ in count } }
        #expect(error?.status == .limitExceeded && error?.message.contains("2000") == true)
    }
}
