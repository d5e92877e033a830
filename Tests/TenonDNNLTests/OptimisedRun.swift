import TenonIR
import TenonRewrite
import TenonRuntime
import Testing

@testable import TenonDNNL

/// Texts through the default pipeline and the backend, compared with the reference kernels.
enum OptimisedRun {
    /// Evaluates calls of known inputs by the Swift kernels.
    static let context = PassContext(
        verifies: true,
        evaluate: { call, type in
            var function = Function()
            let result = function.addValue("", type)
            function.body = Body(
                blocks: [Block(isDataflow: false, bindings: [Binding(result, .call(call))])], result: .value(result))
            return try Interpreter(module: Module(functions: ["main": function])).run([])
        })

    /// A `main` of one dataflow block. `R[2,3]` stands for a constant of that shape with random elements, `P[2,3]` for
    /// positive ones.
    static func module(_ parameters: String, _ body: String, results: String = "%y") throws -> Module {
        var numbers = Numbers(17)
        let text = """
            fn @main(\(parameters)) {
              dataflow {
                \(body)
                output \(results)
              }
              return \(results.contains(",") ? "(\(results))" : results)
            }
            """
        return try Module(
            text: text.replacing(#/([RP])\[([0-9,]*)\]/#) { match in
                let count = match.2.split(separator: ",").reduce(1) { $0 * (Int($1) ?? 0) }
                let values = numbers.list(count).map { match.1 == "P" ? abs($0) + 0.5 : $0 }
                return "const f32[\(match.2)](\(values.map { "\($0)" }.joined(separator: ", ")))"
            })
    }

    /// The operators that passes leave of `main`, after a comparison of what it computes before and after them. Integers are
    /// from -4 to 8.
    static func rewritten(
        _ parameters: String, _ body: String, _ passes: [any ModulePass], results: String = "%y"
    ) throws -> [String] {
        let module = try module(parameters, body, results: results)
        let rewritten = try Sequential(passes + [EliminateDeadCode()]).apply(to: module, context)
        var numbers = Numbers(3)
        let given = try (try #require(module.main)).parameterTypes.map { type in
            let shape = try #require(type.asTensor?.staticShape)
            let values = numbers.list(Int(shape.reduce(1, *)))
            if type.asTensor?.dtype == .float32 { return try Constant.floats(shape, values) }
            let whole = values.indices.map { Double(($0 * 7 + 3) % 13) - 4 }
            return try Constant.from(doubles: whole, try #require(type.asTensor?.dtype), shape)
        }
        let before = try Interpreter(module: module).run(given)
        let after = try Interpreter(module: rewritten).run(given)
        #expect(before.count == after.count)
        for (x, y) in zip(before, after) {
            #expect(x.shape == y.shape)
            let (p, q) = (try #require(x.doubleElements), try #require(y.doubleElements))
            #expect(zip(p, q).allSatisfy { $0 == $1 || abs($0 - $1) < 1e-4 || $0.isNaN && $1.isNaN })
        }
        var names: [String] = []
        rewritten.main?.forEachBinding { binding in
            if case .call(let call) = binding.expression, case .op(let op) = call.callee { names.append(op.name) }
        }
        return names
    }

    /// The primitives that `main` becomes, after a comparison with the reference kernels; with kernels, all that runs.
    static func primitives(
        _ parameters: String, _ body: String, results: String = "%y", withKernels: Bool = false,
        tolerance: Double = 2e-5
    ) throws -> [String] {
        let module = try module(parameters, body, results: results)
        var numbers = Numbers(5)
        let inputs = try (try #require(module.main)).parameterTypes.map { type in
            let shape = try #require(type.asTensor?.staticShape)
            return try Constant.floats(shape, numbers.list(Int(shape.reduce(1, *))))
        }
        let expected = try Interpreter(module: module).run(inputs)
        let executable = try Executable(
            module: try DefaultPipeline.make().apply(to: module, context), backends: [DNNLBackend()],
            options: CompileOptions(threads: 2))
        // The second run meets memory as the first one left it.
        for _ in 0..<2 {
            let found = try executable.run(inputs)
            #expect(found.count == expected.count)
            for (a, b) in zip(found, expected) {
                #expect(a.shape == b.shape)
                let (values, wanted) = (a.doubleElements ?? [], b.doubleElements ?? [])
                let largest = max(wanted.map(abs).max() ?? 0, 1e-6)
                #expect(
                    zip(values, wanted).allSatisfy { abs($0 - $1) <= tolerance * largest }, "\(executable.composites)")
            }
        }
        return executable.composites.filter { withKernels || $0.hasPrefix("dnnl.") }
    }
}
