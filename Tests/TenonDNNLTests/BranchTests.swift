import TenonIR
import TenonRewrite
import TenonRuntime
import Testing

@testable import TenonDNNL

/// What stands in the branches of an `if` runs on primitives too.
struct BranchTests {
    private static let text = """
        fn @main(%x: f32[3,8], %flag: bool[], %other: bool[]) {
          %r: f32[3,8] = if %flag {
            dataflow {
              %a = tanh(%x)
              %b = multiply(%a, %x)
              %c = nn.relu(%b)
              output %c
            }
            yield %c
          } else {
            %inner: f32[3,8] = if %other {
              dataflow {
                %d = exp(%x)
                %e = add(%d, %x)
                output %e
              }
              yield %e
            } else {
              dataflow {
                %f = sigmoid(%x)
                output %f
              }
              yield %f
            }
            yield %inner
          }
          return %r
        }
        """

    private func called(_ body: Body) -> [String] {
        body.blocks.flatMap(\.bindings).flatMap { binding -> [String] in
            switch binding.expression {
            case .call(let call):
                if case .function(let name) = call.callee { return [name] }
                return []
            case .conditional(_, let then, let other): return called(then) + called(other)
            default: return []
            }
        }
    }

    @Test func compositesInBranchesBecomeRegions() throws {
        let module = try Module(text: Self.text)
        let merged = try DefaultPipeline.make().apply(to: module)
        let names = called(try #require(merged.main).body)
        #expect(names.count == 3)
        for name in names { #expect(merged[name]?.codegen == "dnnl") }
        let x = try Constant.floats([3, 8], (0..<24).map { Float($0) / 8 - 1.5 })
        let executable = try Executable(
            module: merged, backends: [DNNLBackend()], options: CompileOptions(threads: 2))
        for flag in [true, false] {
            for other in [true, false] {
                let inputs = [x] + (try [flag, other].map { try Constant(.bool, [], [$0]) })
                let wanted = try Interpreter(module: module).run(inputs)[0].doubleElements ?? []
                let found = try executable.run(inputs)[0].doubleElements ?? []
                #expect(found.count == 24 && zip(found, wanted).allSatisfy { abs($0 - $1) < 1e-5 })
            }
        }
    }
}
