import Testing

@testable import TenonIR

@Suite struct TextFormTests {
    private static let seed = """
        fn @main(%x: f32[n,3,8,8], %b: f32[4]) -> f32[n,4,8,8] {
          dataflow {
            %0: f32[n,4,8,8] = nn.conv2d(%x, const#0: f32[4,3,3,3]) {padding=[1, 1, 1, 1]}
            %1: f32[1,4,1,1] = reshape(%b, shape[1,4,1,1])
            %2: f32[n,4,8,8] = add(%0, %1)
            %y: f32[n,4,8,8] = nn.relu(%2)
            output %y
          }
          return %y
        }

        """

    private static let weights = try? Constant.floats([4, 3, 3, 3], (0..<108).map { Float($0) / 7 })

    private func message(_ text: String) -> String {
        do {
            _ = try Module(text: text)
            return "no error"
        } catch let error as TenonError { return error.message } catch { return "\(error)" }
    }

    @Test func seedGraphReadsAndPrintsAlike() throws {
        let weights = try #require(Self.weights)
        let module = try Module(text: Self.seed, constants: [weights])
        #expect(module.text() == Self.seed)
        let withData = module.text(PrintOptions(constants: .data))
        let again = try Module(text: withData)
        #expect(again.isStructurallyEqual(to: module))
        #expect(again.text() == Self.seed)
    }

    @Test func attributesThatAreDefaultsNeedNotBeWritten() throws {
        let module = try Module(text: Self.seed, constants: [try #require(Self.weights)])
        let main = try #require(module.main)
        let conv = try #require(main.body.blocks[0].bindings[0].expression.asCall)
        #expect(conv.attributes.ints("strides") == [1, 1])
        #expect(conv.attributes.int("groups") == 1)
    }

    @Test func typesThatAreLeftOutAreInferred() throws {
        let typed = """
            fn @f(%x: f32[2,3]) -> (f32[2,3], f32[2,3]) {
              %a: f32[2,3] = nn.relu(%x)
              %t: (f32[2,3], f32[2,3]) = (%a, %x)
              %b: f32[2,3] = %t.1
              %u: (f32[2,3], f32[2,3]) = (%a, %b)
              return %u
            }
            """
        let bare = """
            fn f(%x: f32[2,3]) { // a comment
              %a = nn.relu(%x) %t = (%a, %x) %b = %t.1
              %u = (%a, %b)
              return %u
            }
            """
        #expect(try Module(text: bare).isStructurallyEqual(to: Module(text: typed)))
    }

    @Test func regionsConditionalsAndAliases() throws {
        let text = """
            module {version=3}

            fn @main(%c: bool[], %x: f32[2]) -> f32[2] {
              %r: f32[2] = if %c {
                %s: f32[2] = @"a region"(%x)
                yield %s
              } else {
                yield const f32[2](-0.0, nan)
              }
              block {
                %e: object = extern "log"(%r, "x\\ty", 3, 1.5, -inf, f16, @main, ((), (1,)))
              }
              return %r
            }

            fn @"a region"(%x: f32[2]) -> f32[2] {Codegen="dnnl", global_symbol="a region"} {
              %f: fn(f32[2]) -> f32[2] = fn(%p: f32[2]) -> f32[2] {Composite="dnnl.relu"} {
                dataflow {
                  %q: f32[2] = nn.relu(%p)
                  output %q
                }
                return %q
              }
              %y: f32[2] = %f(%x)
              %z: f32[2] = match_cast(%y, f32[2])
              %t: (f32[2],) = alias (%z,)
              %u: f32[2] = %t.0
              return %u
            }

            """
        #expect(try Module(text: text).text() == text)
    }

    @Test func namesAreMadeUniqueAndStayThatWay() throws {
        var builder = FunctionBuilder()
        let type = ValueType.tensor(.float32, [2] as [Int64])
        let x = builder.parameter("x", type)
        let y = try builder.call("nn.relu", [.value(x)], name: "x")
        let z = try builder.call("nn.relu", [.value(y)], name: "x_1")
        let module = Module(functions: ["main": try builder.finish(.value(z))])
        let text = module.text()
        #expect(text.contains("%x_1_1: f32[2] = nn.relu(%x_1)"))
        let read = try Module(text: text)
        #expect(read.text() == text)
        #expect(read.isStructurallyEqual(to: module))
    }

    @Test(arguments: 0..<400) func randomModulesRoundTrip(seed: Int) throws {
        var generator = RandomModules(seed: UInt64(seed + 1))
        let module = try generator.module()
        let text = module.text(PrintOptions(constants: .data))
        let read = try Module(text: text)
        #expect(read.isStructurallyEqual(to: module), "\(text)\n-----\n\(read)")
        #expect(read.structuralHash == module.structuralHash)
        #expect(read.text(PrintOptions(constants: .data)) == text)
        let (short, constants) = module.printed()
        #expect(try Module(text: short, constants: constants).isStructurallyEqual(to: module))
        for (name, function) in module.functions {
            let names = function.parameters.map { function.info($0)?.name ?? "" }
            if Set(names).count == names.count {
                let copy = try #require(read[name])
                #expect(copy.parameters.map { copy.info($0)?.name ?? "" } == names)
            }
        }
    }

    @Test func truncatedTextIsAnError() throws {
        let module = try Module(text: Self.seed, constants: [try #require(Self.weights)])
        let bytes = Array(module.text(PrintOptions(constants: .data)).utf8)
        for length in stride(from: 1, to: bytes.count - 4, by: 3) {
            let status = bytes[..<length].withUnsafeBufferPointer { prefix -> Status? in
                do {
                    _ = try Module(utf8: prefix)
                    return nil
                } catch { return (error as? TenonError)?.status }
            }
            #expect(status == .parseError || status == .invalidShape, "\(length)")
        }
    }

    @Test(arguments: 0..<100) func mutatedTextNeverTraps(seed: Int) throws {
        var generator = RandomModules(seed: UInt64(seed + 7))
        let bytes = Array(try generator.module().text(PrintOptions(constants: .data)).utf8)
        let marks = Array("{}()[],:=%@#\"-.0x9 n\n\\".utf8)
        for _ in 0..<50 {
            var changed = bytes
            for _ in 0...generator.below(3) {
                let index = generator.below(changed.count)
                switch generator.below(3) {
                case 0: changed[index] = UInt8(truncatingIfNeeded: generator.next())
                case 1: changed.insert(generator.pick(marks), at: index)
                default: changed.removeSubrange(index..<min(changed.count, index + 1 + generator.below(4)))
                }
                if changed.isEmpty { break }
            }
            changed.withUnsafeBufferPointer { text in
                guard let module = try? Module(utf8: text) else { return }
                #expect((try? Module(text: module.text(PrintOptions(constants: .data)))) != nil)
            }
        }
    }

    @Test func errorsSayWhereAndWhat() {
        #expect(message("fn @f() {\n  %a = nn.rely(1)\n") == "line 2, column 8: unknown operator 'nn.rely'")
        #expect(message("fn @f(%a: f32[2) ") == "line 1, column 16: expected ',', found ')'")
        #expect(message("fn @f(%x: f33[2]) {}").contains("line 1, column 11: expected a type, found 'f33'"))
        #expect(message("fn @f() { return %y }") == "line 1, column 19: '%y' is not defined before its use")
        #expect(message("fn @f() { return \"abc").contains("a string without end"))
        #expect(message("fn @f() { return const#0: f32[2] }").contains("constant #0 is neither in the text"))
        #expect(message("fn @f() { return const f32[2](1) }").contains("expected 2 elements, found 1"))
        #expect(message("fn @f() { return const f32[9223372036854775807,3](1) }").contains("must be 0 or more"))
        #expect(message("fn @f(%x: f32[99999999999999999999]) {}").contains("does not fit 64 bits"))
        #expect(
            message("fn @f(%x: f32[2]) { %y = nn.conv2d(%x) return %y }").hasPrefix("line 1, column 26: nn.conv2d:"))
        #expect(
            message("fn @f() -> f32[2] { return 1 }")
                == "line 1, column 12: the function returns scalar i64, not f32[2]")
        #expect(message("fn @f() { return 1 } fn @f() { return 1 }").contains("defined twice"))
    }

    @Test func nestingIsLimited() {
        let deep = String(repeating: "(", count: 100_000)
        #expect(message("fn @f() { return \(deep)").contains("nested deeper than"))
        #expect(message("fn @f(%x: \(deep)").contains("nested deeper than"))
        #expect(message("fn @f(%x: f32[\(deep)").contains("nested deeper than"))
        #expect(message("fn @f() { " + String(repeating: "%a = fn() { ", count: 1000)).contains("nested deeper than"))
    }

    @Test func floatsKeepTheirBits() throws {
        let patterns: [UInt32] = [
            0x7fc0_0000, 0x7fc0_0001, 0xffc0_0000, 0x0000_0001, 0x8000_0000, 0x7f7f_ffff, 0x3f80_0001,
        ]
        let constant = try Constant(.float32, [7], patterns)
        let module = Module(functions: ["f": Function(body: Body(blocks: [], result: .constant(constant)))])
        let read = try Module(text: module.text())
        #expect(read["f"]?.body.result == .constant(constant))
    }
}
