import TenonIR
import Testing

@testable import TenonRuntime

/// Sizes that only the data tells, in a function that goes on with them.
@Suite struct KernelDependentTests {
    /// The values of x other than 0, times 2.
    private func module() throws -> Module {
        try Sample.module { builder in
            let x = builder.parameter("x", Sample.f32([6]))
            let places = try builder.call("nonzero", [.value(x)], name: "places")
            let type = ValueType.tensor(.int64, [1, .symbol("found")])
            let sized = builder.bind(.matchCast(.value(places), type), type, name: "sized")
            let flat = try builder.call("squeeze", [.value(sized)], ["axis": .ints([0])], name: "flat")
            let values = try builder.call("take", [.value(x), .value(flat)], ["axis": 0], name: "values")
            return .value(try builder.call("add", [.value(values), .value(values)], name: "twice"))
        }
    }

    @Test(arguments: [[0, 3, 0, 0, 5, 1], [0, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6]] as [[Float]])
    func theInterpreterBindsTheSize(values: [Float]) throws {
        let found = try Interpreter(module: try module()).run([try Constant(.float32, [6], values)])
        #expect(found.first?.floats == values.filter { $0 != 0 }.map { 2 * $0 })
    }

    @Test func theExecutableFallsBackToIt() throws {
        let executable = try Executable(module: try module(), backends: [])
        let found = try executable.run([try Constant(.float32, [6], [0, 3, 0, 0, 5, 1] as [Float])])
        #expect(found.first?.floats == [6, 10, 2])
    }
}
