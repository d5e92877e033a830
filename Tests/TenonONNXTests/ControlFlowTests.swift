import TenonIR
import Testing

@testable import TenonONNX

/// Branches and bodies that become part of the module.
@Suite struct ControlFlowTests {
    private func graph(_ name: String, _ build: (inout ModelBuilder) -> Void) -> ONNXAttributeProto {
        var inner = ModelBuilder()
        build(&inner)
        var attribute = ONNXAttributeProto()
        attribute.name = name
        attribute.type = .graph
        attribute.g = inner.model.graph
        return attribute
    }

    private func branches(then: String, other: String) -> [ONNXAttributeProto] {
        [("then_branch", then), ("else_branch", other)].map { name, op in
            graph(name) { inner in
                inner.node(op, ["x"], [name + "_y"])
                inner.output(name + "_y")
            }
        }
    }

    private func conditional(then: String = "Relu", other: String = "Neg") throws -> Module {
        var model = ModelBuilder()
        model.input("c", [], .bool)
        model.input("x", ["n", 4])
        model.node("Abs", ["x"], ["a"])
        model.node("If", ["c"], ["y"], branches(then: then, other: other))
        model.node("Add", ["y", "a"], ["z"])
        model.output("z")
        return try model.load()
    }

    @Test func aConditionOfTheRunKeepsBothBranches() throws {
        let module = try conditional()
        #expect(module.main?.operators == ["abs", "other", "nn.relu", "negative", "other", "add"])
        #expect(module.findings().isEmpty)
        // What both branches leave as it is keeps its symbol.
        #expect(module.main?.resultType == module.main.flatMap { $0.parameterTypes.last })
        #expect(try Module(text: module.text()).isStructurallyEqual(to: module))
    }

    @Test func differentRanksAreNotKnown() throws {
        var model = ModelBuilder()
        model.input("c", [], .bool)
        model.input("x", [2, 4])
        let flat = graph("then_branch") { inner in
            inner.node("Flatten", ["x"], ["f"], [attribute("axis", 0)])
            inner.output("f")
        }
        let sum = graph("else_branch") { inner in
            inner.node("ReduceSum", ["x"], ["s"], [attribute("keepdims", 0)])
            inner.output("s")
        }
        model.node("If", ["c"], ["y"], [flat, sum])
        model.output("y")
        #expect(try model.function().resultType == .tensor(TensorType(dtype: .float32, rank: nil)))
    }

    /// What follows branches of different ranks stands in both.
    @Test func nodesAfterDifferentRanksAreInBothBranches() throws {
        var model = ModelBuilder()
        model.input("c", [], .bool)
        model.input("x", [1, 4])
        let squeezed = graph("then_branch") { inner in
            inner.constant(ModelBuilder.ints("axes", [0]))
            inner.node("Squeeze", ["x", "axes"], ["f"])
            inner.output("f")
        }
        let same = graph("else_branch") { inner in
            inner.node("Identity", ["x"], ["g"])
            inner.output("g")
        }
        model.node("If", ["c"], ["y"], [squeezed, same])
        model.node("Softmax", ["y"], ["s"])
        model.node("ReduceSum", ["s"], ["z"], [attribute("keepdims", 0)])
        model.output("z")
        let module = try model.load()
        #expect(module.findings().isEmpty)
        #expect(module.main?.operators == ["other", "squeeze", "nn.softmax", "sum", "nn.softmax", "sum", "other"])
        #expect(module.main?.resultType == .tensor(TensorType(.float32, [])))
    }

    /// PyTorch writes both ways of `squeeze` where it does not know a size; only one of them fits what follows.
    ///
    /// A matrix follows: `x` as it is, or what the branch makes of it.
    @Test(arguments: [("Unsqueeze", Int64(0)), ("Squeeze", 1)])
    func aBranchThatContradictsWhatFollowsIsNotThere(op: String, holds: Int64) throws {
        var model = ModelBuilder()
        model.input("c", [], .bool)
        model.input("x", op == "Squeeze" ? ["n", 4, 1] : ["n", 4])
        let changed = graph("then_branch") { inner in
            inner.constant(ModelBuilder.ints("axes", [2]))
            inner.node(op, ["x", "axes"], ["f"])
            inner.output("f")
        }
        let same = graph("else_branch") { inner in
            inner.node("Identity", ["x"], ["g"])
            inner.output("g")
        }
        model.node("If", ["c"], ["y"], [changed, same])
        model.constant(ModelBuilder.floats("w", [4, 2]))
        model.node("Gemm", ["y", "w"], ["z"])
        model.output("z")
        let module = try model.load()
        let main = try #require(module.main)
        #expect(module.findings().isEmpty)
        #expect(main.resultType == .tensor(TensorType(.float32, [.symbol("n"), 2])))
        var required: [ValueType] = []
        main.forEachBinding { binding in
            if case .conditional = binding.expression { Issue.record("a conditional is left") }
            if case .matchCast(_, let type) = binding.expression { required.append(type) }
        }
        // A run that takes the other branch fails.
        #expect(required == [.shape([.fixed(holds)])])
        #expect(try Module(text: module.text()).isStructurallyEqual(to: module))
    }

    @Test func whatABranchLacksIsReportedOnce() throws {
        let error = failure { _ = try conditional(then: "Mystery", other: "Enigma") }
        #expect(error?.status == .unsupported)
        #expect(error?.message.contains("Mystery") == true && error?.message.contains("Enigma") == true)
    }

    /// Adds `step`, a value of the graph around, to the state.
    private func loop(_ grow: Bool = false) throws -> Module {
        var model = ModelBuilder()
        model.input("n", [], .int64)
        model.input("start", [2])
        model.input("step", [2])
        let body = graph("body") { inner in
            inner.input("i", [], .int64)
            inner.input("go", [], .bool)
            inner.input("s", [2])
            inner.node("Identity", ["go"], ["again"])
            if grow {
                inner.node("Concat", ["s", "step"], ["next"], [attribute("axis", 0)])
            } else {
                inner.node("Add", ["s", "step"], ["next"])
            }
            inner.node("Neg", ["s"], ["seen"])
            for name in ["again", "next", "seen"] { inner.output(name) }
        }
        model.node("Loop", ["n", "", "start"], ["last", "all"], [body])
        model.output("last")
        model.output("all")
        return try model.load()
    }

    @Test func aBodyIsAFunctionThatTakesWhatItCaptures() throws {
        let module = try loop()
        let body = try #require(module["loop_body"])
        #expect(body.parameters.count == 4)
        #expect(module.findings().isEmpty)
        guard case .tuple(let types) = module.main?.resultType else {
            Issue.record("no tuple")
            return
        }
        #expect(types[0] == .tensor(TensorType(.float32, [2])))
        #expect(types[1].asTensor?.rank == 2)
        #expect(try Module(text: module.text()).isStructurallyEqual(to: module))
    }

    @Test func stateThatGrowsHasASizeOfTheRun() throws {
        let module = try loop(true)
        #expect(module.functions.count == 2)
        guard case .tuple(let types) = module.main?.resultType else {
            Issue.record("no tuple")
            return
        }
        #expect(types[0].asTensor?.shape?.first?.isFixed == false)
    }

    @Test func bodiesThatDoNotFitAreErrors() throws {
        for count in 0..<3 {
            var model = ModelBuilder()
            model.input("x", [2])
            let body = graph("body") { inner in
                for index in 0..<count { inner.input("i\(index)", []) }
                inner.output("x")
            }
            model.node("Loop", ["", "", "x"], ["y"], [body])
            model.output("y")
            #expect(failure { _ = try model.load() }?.status == .invalidGraph)
        }
    }

    @Test func scansTakeSlices() throws {
        var model = ModelBuilder()
        model.input("s", [4])
        model.input("x", [3, 4])
        let body = graph("body") { inner in
            inner.input("t", [4])
            inner.input("e", [4])
            inner.node("Add", ["t", "e"], ["u"])
            inner.node("Identity", ["u"], ["v"])
            inner.output("u")
            inner.output("v")
        }
        model.node("Scan", ["s", "x"], ["last", "all"], [body, attribute("num_scan_inputs", 1)])
        model.output("last")
        model.output("all")
        let module = try model.load()
        guard case .tuple(let types) = module.main?.resultType else {
            Issue.record("no tuple")
            return
        }
        #expect(types == [.tensor(TensorType(.float32, [4])), .tensor(TensorType(.float32, [3, 4]))])
        for count in [-1, 0, 3] as [Int64] {
            var broken = model
            broken.model.graph.node[0].attribute[1].i = count
            #expect(failure { _ = try broken.load() } != nil)
        }
    }
}
