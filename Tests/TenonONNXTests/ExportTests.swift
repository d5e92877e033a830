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
            ("dyn.sum(%x, %axes)", "dyn.sum"),
            ("nn.adaptive_avg_pool1d(%x) {output_size=[2]}", "nn.adaptive_avg_pool1d"),
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
