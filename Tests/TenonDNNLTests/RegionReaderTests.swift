import TenonIR
import TenonRuntime
import Testing

@testable import TenonDNNL

/// Regions come from texts too, which may say `object` where they mean anything at all.
struct RegionReaderTests {
    private func compile(_ text: String) throws {
        let module = try Module(text: text)
        let region = try #require(module["region"])
        _ = try DNNLBackend().compile(region, name: "region", options: CompileOptions(threads: 1))
        _ = try Executable(module: module, backends: [DNNLBackend()], options: CompileOptions(threads: 1))
    }

    private func region(_ lines: String, result: String = "f32[2,3]") -> String {
        """
        fn @main(%x: f32[2,3]) {
          %y: \(result) = @region(%x)
          return %y
        }
        fn @region(%x: f32[2,3]) {Codegen="dnnl", global_symbol="region"} {
          %gelu = fn(%x: f32[2,3]) {Composite="dnnl.eltwise_post_ops"} {
            dataflow {
              %y = nn.gelu(%x)
              output %y
            }
            return %y
          }
        \(lines)
          return %y
        }
        """
    }

    @Test func elementTypeForATensor() {
        #expect(throws: TenonError.self) { try compile(region("  %y = %gelu(i8)")) }
    }

    @Test func functionForATensor() {
        #expect(throws: TenonError.self) { try compile(region("  %y = %gelu(@main)")) }
        #expect(throws: TenonError.self) { try compile(region("  %y: f32[2,3] = nn.gelu(@main)")) }
    }

    @Test func numberUnderAnotherName() {
        #expect(throws: TenonError.self) { try compile(region("  %n: object = 3\n  %y: f32[2,3] = nn.gelu(%n)")) }
        #expect(throws: TenonError.self) { try compile(region("  %n: object = 3\n  %y = %gelu(%n)")) }
    }

    /// A primitive made for the sizes declared would read past the end of those that are there.
    @Test func sizesHiddenByObject() {
        let small = "  %o: object = const f32[1](2.0)\n"
        #expect(throws: TenonError.self) { try compile(region(small + "  %y: f32[2,3] = nn.gelu(%o)")) }
        #expect(throws: TenonError.self) { try compile(region(small + "  %y = %gelu(%o)")) }
        #expect(throws: TenonError.self) { try compile(region(small + "  %c: f32[2,3] = %o\n  %y = %gelu(%c)")) }
    }

    @Test func whatObjectHidesMayBeRight() throws {
        try compile(region("  %o: object = %x\n  %y = %gelu(%o)"))
        try compile(region("  %o: object = %x\n  %y: f32[2,3] = nn.gelu(%o)"))
    }

    @Test func literalsUnderANameAreTheLiterals() throws {
        try compile(region("  %low = -1.0\n  %y = clip(%x, %low, 1.0)"))
    }
}
