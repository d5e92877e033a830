import TenonIR
import Testing

@testable import TenonRuntime

/// Every operator against results of NumPy and of ONNX's reference.
@Suite struct KernelOracleTests {
    @Test(arguments: [1, 3]) func casesAgree(threads: Int) throws {
        let fixtures = try KernelCases.all.get()
        let runner = KernelRunner(parallel: threads == 1 ? .serial : Parallel(threads: threads, fork: inTurn))
        #expect(fixtures.cases.count > 1000)
        for item in fixtures.cases {
            do {
                var attributes = Attributes()
                for (name, attribute) in item.attrs { attributes[name] = attribute.value }
                let found = try runner.run(item.op, try item.args.map { try fixtures.operand($0) }, attributes)
                #expect(found.count == item.outputs.count, "\(item.name)")
                for (found, tensor) in zip(found, item.outputs) {
                    let difference = disagreement(
                        found, try fixtures.constant(tensor), rtol: item.rtol, atol: item.atol)
                    #expect(difference == nil, "\(item.name)")
                }
            } catch {
                Issue.record("\(item.name): \(error)")
            }
        }
    }

    @Test func everyKernelHasACase() throws {
        // These are held against other libraries with whole models, in Tests/Python.
        let withModels = [
            "ml.tree_ensemble", "ml.lookup", "ml.pairwise_coupling", "linalg.det", "linalg.inv", "arange",
        ]
        let covered = Set(try KernelCases.all.get().cases.map(\.op) + withModels)
        for (index, schema) in Operators.all.enumerated()
        where Kernels.isAvailable(OperatorID(index: UInt16(index))) {
            #expect(covered.contains(schema.name), "\(schema.name) has no case")
        }
    }
}

/// Runs the pieces of a parallel loop one after the other, as a pool would cut them.
func inTurn(
    threads: Int32, count: Int, body: Parallel.Body, context: UnsafeMutableRawPointer?
) {
    let pieces = Int(threads)
    for piece in 0..<pieces { body(context, count * piece / pieces, count * (piece + 1) / pieces) }
}
