import TenonIR

extension Interpreter {
    /// The results of a call of known inputs, for folding it; nil where there is no kernel for it, and for a call that fails
    /// (an index out of range, say): then a run reports it, if it ever comes to that call.
    @Sendable public static func evaluate(_ call: Call, _ type: ValueType) throws -> [Constant]? {
        var function = Function()
        let result = function.addValue("", type)
        function.body = Body(
            blocks: [Block(isDataflow: false, bindings: [Binding(result, .call(call))])], result: .value(result))
        do {
            let module = try Module(functions: ["main": function]).expandingOperators()
            return try Interpreter(module: module).run([])
        } catch let error as TenonError where error.status != .outOfMemory {
            return nil
        }
    }
}
