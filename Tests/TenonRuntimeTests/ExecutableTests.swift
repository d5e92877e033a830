import TenonIR
import Testing

@testable import TenonRuntime

/// Whole modules on the Swift kernels.
@Suite struct ExecutableTests {
    private func run(_ module: Module, _ inputs: [Constant], _ options: CompileOptions = CompileOptions()) throws
        -> [[Float]]
    {
        let planned = try Executable(module: module, backends: [], options: options).run(inputs)
        // Every module also gives the same through the interpreter.
        let interpreted = try Interpreter(module: module).run(inputs)
        #expect(planned.map(\.shape) == interpreted.map(\.shape))
        #expect(planned.map(\.floats) == interpreted.map(\.floats))
        return planned.map(\.floats)
    }

    @Test(arguments: [1, 2]) func chainsRun(threads: Int) throws {
        let module = try Sample.addRelu([2, 3])
        let result = try run(
            module, [try Sample.ramp([2, 3], from: -3), try Sample.ramp([2, 3], from: 0, step: 0)],
            CompileOptions(threads: threads))
        #expect(result == [[0, 0, 0, 0, 1, 2]])
    }

    @Test func symbolicSizesAreSpecialised() throws {
        let executable = try Executable(module: try Sample.addRelu([.symbol("n"), 2]), backends: [])
        for n in [1, 3, 1] as [Int64] {
            let sum = try executable.run([try Sample.ramp([n, 2]), try Sample.ramp([n, 2])])
            #expect(sum.first?.shape == [n, 2])
            #expect(sum.first?.floats == (0..<(n * 2)).map { Float($0 * 2) })
        }
    }

    @Test func reshapesAreViews() throws {
        let module = try Sample.module { builder in
            let x = builder.parameter("x", Sample.f32([2, 3]))
            let y = try builder.call("nn.relu", [.value(x)])
            let flat = try builder.call("reshape", [.value(y), .shape([6])])
            let tall = try builder.call("expand_dims", [.value(flat)], ["axis": .ints([1])])
            let z = try builder.call("add", [.value(tall), .value(tall)])
            return .value(try builder.call("squeeze", [.value(z)], ["axis": .ints([1])]))
        }
        let executable = try Executable(module: module, backends: [])
        #expect(executable.steps.map(\.composite) == ["nn.relu", "add"])
        // The sum goes straight into the caller's memory, so only relu's result needs room.
        #expect(executable.memory.arena == 64)
        #expect(try run(module, [try Sample.ramp([2, 3], from: -1)]) == [[0, 0, 2, 4, 6, 8]])
    }

    @Test func outputsMayBeInputsConstantsViewsAndRepeated() throws {
        let module = try Sample.module { builder in
            let x = builder.parameter("x", Sample.f32([2]))
            let y = try builder.call("nn.relu", [.value(x)])
            let again = try builder.call("reshape", [.value(y), .shape([1, 2])])
            let z = try builder.call("add", [.value(y), .value(x)])
            let three = Operand.constant(try Constant.floats([1], [3]))
            return .tuple([.value(x), .value(y), .value(again), three, .value(z), .tuple([.value(z)])])
        }
        let result = try run(module, [try Constant.floats([2], [-1, 2])])
        #expect(result == [[-1, 2], [0, 2], [0, 2], [3], [-1, 4], [-1, 4]])
    }

    @Test func emptyTensorsRun() throws {
        let module = try Sample.addRelu([0, 3])
        #expect(try run(module, [try Sample.ramp([0, 3]), try Sample.ramp([0, 3])]) == [[]])
    }

    @Test func whatNobodyUsesIsNotRun() throws {
        let module = try Sample.module { builder in
            let x = builder.parameter("x", Sample.f32([2]))
            _ = builder.bind(.call(Call(.external("mystery"), [.value(x)])), Sample.f32([2]))
            return .value(try builder.call("nn.relu", [.value(x)]))
        }
        #expect(try Executable(module: module, backends: []).steps.count == 1)
    }

    @Test func constantCallsAreComputedOnce() throws {
        let module = try Sample.module { builder in
            let x = builder.parameter("x", Sample.f32([2]))
            let one = Operand.constant(try Constant.floats([2], [1, 2]))
            let two = try builder.call("add", [one, one])
            return .value(try builder.call("add", [.value(x), .value(two)]))
        }
        #expect(try Executable(module: module, backends: []).steps.count == 1)
        #expect(try run(module, [try Constant.floats([2], [10, 20])]) == [[12, 24]])
    }

    @Test func functionsCompositesAndLocalsAreInlined() throws {
        var composite = FunctionBuilder(attributes: ["Composite": "test.twice", "Primitive": true])
        let p = composite.parameter("p", Sample.f32([2]))
        let twice = try composite.finish(.value(try composite.call("add", [.value(p), .value(p)])))
        var module = try Sample.module { builder in
            let x = builder.parameter("x", Sample.f32([2]))
            let type = ValueType.function(parameters: [Sample.f32([2])], result: Sample.f32([2]))
            let local = builder.bind(.function(twice), type)
            let y = builder.bind(.call(Call(.local(local), [.value(x)])), Sample.f32([2]))
            let pair = try builder.tuple([.value(x), .value(y)])
            let second = try builder.tupleGetItem(.value(pair), 1)
            return .value(builder.bind(.call(Call(.function("twice"), [.value(second)])), Sample.f32([2])))
        }
        module["twice"] = twice
        #expect(try run(module, [try Constant.floats([2], [1, 2])]) == [[4, 8]])
        #expect(try Executable(module: module, backends: []).steps.map(\.composite) == ["test.twice", "test.twice"])
    }

    @Test func regionsWithSymbolsAreSpecialisedWithTheirLocals() throws {
        var composite = FunctionBuilder(attributes: ["Composite": "reference.twice"])
        let p = composite.parameter("p", .tensor(.float32, [.symbol("k"), 2]))
        let twice = try composite.finish(.value(try composite.call("add", [.value(p), .value(p)])))
        let type = ValueType.tensor(.float32, [.symbol("m"), 2])
        var region = FunctionBuilder(attributes: ["Codegen": "reference"])
        let q = region.parameter("q", type)
        let local = region.bind(.function(twice), .function(parameters: [type], result: type))
        let inner = region.bind(.call(Call(.local(local), [.value(q)])), type)
        let outer = region.bind(.call(Call(.local(local), [.value(inner)])), type)
        var main = FunctionBuilder()
        let x = main.parameter("x", .tensor(.float32, [.symbol("n"), 2]))
        let y = main.bind(.call(Call(.function("region"), [.value(x)])), .tensor(.float32, [.symbol("n"), 2]))
        let module = Module(functions: [
            "region": try region.finish(.value(outer)), "main": try main.finish(.value(y)),
        ])
        let executable = try Executable(module: module, backends: [ReferenceBackend()])
        for n in [1, 2] as [Int64] {
            let result = try executable.run([try Sample.ramp([n, 2])])
            #expect(result.first?.floats == (0..<(n * 2)).map { Float($0 * 4) })
        }
    }

    @Test func literalsReachKernelsAndRegions() throws {
        // Tuples of numbers as arguments of operators; shapes as arguments of regions, and of composites in regions.
        let axes = Operand.tuple([.int(1)])
        let type = ValueType.tensor(.float32, [.symbol("k"), 3])
        var composite = FunctionBuilder(attributes: ["Composite": "reference.slice"])
        let p = composite.parameter("p", type)
        let size = composite.parameter("size", .shape([.symbol("m")]))
        let part = try composite.call(
            "strided_slice", [.value(p), axes, .tuple([.int(1)]), .tuple([.int(3)])], name: "part")
        let flat = try composite.call("reshape", [.value(part), .value(size)], name: "flat")
        let cut = try composite.finish(.value(flat))

        var region = FunctionBuilder(attributes: ["Codegen": "reference"])
        let q = region.parameter("q", type)
        let count = region.parameter("count", .shape([.symbol("m")]))
        let result = ValueType.tensor(.float32, [.symbol("m")])
        let local = region.bind(.function(cut), .function(parameters: cut.parameterTypes, result: result))
        let out = region.bind(.call(Call(.local(local), [.value(q), .value(count)])), result)
        var main = FunctionBuilder()
        let x = main.parameter("x", .tensor(.float32, [.symbol("n"), 3]))
        let double = try #require(Dim.multiplying(.symbol("n"), 2))
        let y = main.bind(
            .call(Call(.function("region"), [.value(x), .shape([double])])),
            .tensor(.float32, [double]))
        let module = Module(functions: [
            "region": try region.finish(.value(out)), "main": try main.finish(.value(y)),
        ])
        let input = [try Sample.ramp([2, 3])]
        for reference in [false, true] {
            let executable = try Executable(
                module: module, backends: [ReferenceBackend()],
                options: CompileOptions(usesReferenceKernels: reference))
            #expect(try executable.run(input).first?.floats == [1, 2, 4, 5])
        }
        #expect(try Interpreter(module: module).run(input).first?.floats == [1, 2, 4, 5])
    }

    @Test func weightsThatARegionIsGivenBecomeConstantsInIt() throws {
        final class Seen: Backend, @unchecked Sendable {
            let name = "reference"
            var parameters = -1
            func compile(_ region: Function, name: String, options: CompileOptions) throws -> any CompiledRegion {
                parameters = region.parameters.count
                return try ReferenceBackend().compile(region, name: name, options: options)
            }
        }
        var module = try Sample.region("reference", [2])
        var main = FunctionBuilder()
        let a = main.parameter("a", Sample.f32([2]))
        let weights = Operand.constant(try Constant.floats([2], [10, 20]))
        let y = main.bind(.call(Call(.function("region0"), [.value(a), weights])), Sample.f32([2]))
        module["main"] = try main.finish(.value(y))
        let backend = Seen()
        let executable = try Executable(module: module, backends: [backend])
        #expect(backend.parameters == 1)
        #expect(try executable.run([try Constant.floats([2], [1, 2])]).first?.floats == [11, 22])
    }

    @Test func regionsThatABackendRefusesRunOnKernels() throws {
        final class Refusing: Backend, Sendable {
            let name = "reference"
            let status: Status
            init(_ status: Status) { self.status = status }
            func compile(_ region: Function, name: String, options: CompileOptions) throws -> any CompiledRegion {
                throw TenonError(status, "not today")
            }
        }
        let module = try Sample.region("reference", [4])
        let executable = try Executable(module: module, backends: [Refusing(.unsupported)])
        #expect(executable.steps.map(\.implementation) == ["tenon:add"])
        #expect(try executable.run([try Sample.ramp([4]), try Sample.ramp([4])]).first?.floats == [0, 2, 4, 6])
        // A failure is not a refusal.
        #expect(throws: TenonError.self) { try Executable(module: module, backends: [Refusing(.backend)]) }
    }

    @Test func conditionalsAreInterpreted() throws {
        var builder = FunctionBuilder(dataflow: false)
        let flag = builder.parameter("flag", .tensor(.bool, [] as [Int64]))
        let x = builder.parameter("x", Sample.f32([2]))
        var function = try builder.finish(.value(x))
        let add = try Operators.require("add")
        func branch(_ operand: Operand) -> Body {
            let id = function.addValue("branch", Sample.f32([2]))
            return Body(
                blocks: [
                    Block(isDataflow: false, bindings: [Binding(id, .call(Call(.op(add), [.value(x), operand])))])
                ],
                result: .value(id))
        }
        let (yes, no) = (branch(.value(x)), branch(.constant(try Constant.floats([2], [100, 100]))))
        let chosen = function.addValue("chosen", Sample.f32([2]))
        function.body = Body(
            blocks: [
                Block(isDataflow: false, bindings: [Binding(chosen, .conditional(.value(flag), then: yes, else: no))])
            ],
            result: .value(chosen))
        let executable = try Executable(module: Module(functions: ["main": function]), backends: [])
        let input = try Constant.floats([2], [1, 2])
        #expect(try executable.run([try Constant.scalar(.bool, 1), input]).first?.floats == [2, 4])
        #expect(try executable.run([try Constant.scalar(.bool, 0), input]).first?.floats == [101, 102])
        // Into the caller's memory, too.
        let (t, out) = (TestTensor([2], [5, 6]), TestTensor([2], [0, 0]))
        var byte: UInt8 = 1
        try withUnsafeMutableBytes(of: &byte) { bytes in
            let view = TensorView(dtype: .bool, data: bytes.baseAddress, rank: 0, shape: nil)
            try executable.runViews([view, t.view()], [out.view()])
        }
        #expect(out.elements == [10, 12])
    }

    @Test func matchCastChecksAndBinds() throws {
        let module = try Sample.module { builder in
            let x = builder.parameter("x", .tensor(TensorType(dtype: .float32, rank: 1)))
            let cast = builder.bind(
                .matchCast(.value(x), .tensor(.float32, [.symbol("n")])), .tensor(.float32, [.symbol("n")]),
                name: "cast")
            return .value(try builder.call("reshape", [.value(cast), .shape([1, .symbol("n")])]))
        }
        #expect(try run(module, [try Constant.floats([3], [1, 2, 3])]) == [[1, 2, 3]])
        let narrow = try Sample.module { builder in
            let x = builder.parameter("x", .tensor(TensorType(dtype: .float32, rank: 1)))
            return .value(builder.bind(.matchCast(.value(x), Sample.f32([2])), Sample.f32([2]), name: "cast"))
        }
        let error = #expect(throws: TenonError.self) {
            try Executable(module: narrow, backends: []).run([try Constant.floats([3], [1, 2, 3])])
        }
        #expect(error?.status == .invalidShape)
    }

    @Test func namesOfTheModelAreUsed() throws {
        var module = try Sample.addRelu([2])
        module["main"]?.attributes["input_names"] = .strings(["left:0", "right:0"])
        module["main"]?.attributes["output_names"] = .strings(["sum:0"])
        let executable = try Executable(module: module, backends: [])
        #expect(executable.signature.inputs.map(\.name) == ["left:0", "right:0"])
        #expect(executable.signature.outputs.map(\.name) == ["sum:0"])
    }

    @Test func theReferenceBackendTakesAnyRegion() throws {
        let executable = try Executable(module: try Sample.region("reference", [4]), backends: [ReferenceBackend()])
        let result = try executable.run([try Sample.ramp([4]), try Sample.ramp([4])])
        #expect(result.first?.floats == [0, 2, 4, 6])
    }

    @Test func missingBackendIsAnError() throws {
        let module = try Sample.region("tpu", [4])
        let error = #expect(throws: TenonError.self) { try Executable(module: module, backends: [ProbeBackend()]) }
        #expect(error?.status == .notFound)
        #expect(error?.message == "joined: region 'region0': no backend 'tpu'; known: probe")
        // The kernels do instead, when asked for.
        let reference = try Executable(
            module: module, backends: [], options: CompileOptions(usesReferenceKernels: true))
        #expect(try reference.run([try Sample.ramp([4]), try Sample.ramp([4])]).first?.floats == [0, 2, 4, 6])
    }

    @Test func kernelsUseTheTeamOfTheRun() throws {
        let threads = 2
        let count = 1 << 20
        let executable = try Executable(
            module: try Sample.addRelu([Dim.fixed(Int64(count))]), backends: [],
            options: CompileOptions(threads: threads))
        let x = try Sample.ramp([Int64(count)], from: -4)
        let result = try executable.run([x, x])
        let floats = result.first?.floats ?? []
        #expect(floats.count == count)
        #expect(floats.indices.allSatisfy { floats[$0] == max(0, (Float($0) - 4) * 2) })
    }

    @Test func verificationFindsTheFirstWrongValue() throws {
        let module = try Sample.module { builder in
            let x = builder.parameter("x", Sample.f32([2]))
            let y = try builder.call("nn.relu", [.value(x)], name: "y")
            let joined = builder.bind(
                .call(Call(.function("region0"), [.value(y), .value(y)])), Sample.f32([2]), name: "joined")
            return .value(try builder.call("add", [.value(joined), .value(x)], name: "z"))
        }
        var whole = try Sample.region("probe", [2])
        whole["main"] = module.main
        let inputs = [try Constant.floats([2], [1, 2])]
        let good = try Verification.run(
            module: whole, backends: [ProbeBackend()], options: CompileOptions(), inputs: inputs)
        #expect(good.map(\.name) == ["y", "joined", "z"])
        #expect(good.allSatisfy { $0.isWithinTolerance && $0.absolute == 0 })
        let bad = try Verification.run(
            module: whole, backends: [ProbeBackend(.init(offset: 0.5))], options: CompileOptions(), inputs: inputs)
        #expect(bad.map(\.isWithinTolerance) == [true, false, false])
        #expect(bad.map(\.absolute) == [0, 0.5, 0.5])
        #expect(bad[1].relative == 0.125)
    }
}
