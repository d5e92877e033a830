import TenonIR

/// Matches a pattern of a function against a local or module-level function.
enum FunctionMatcher {
    /// Parameter counts agree, and parameter patterns met again in the body meet the parameters themselves.
    static func matches(_ function: Function, _ parameters: [Pattern], _ body: Pattern) -> Bool {
        guard function.parameters.count == parameters.count else { return false }
        // The parameters are matched first, in one match with the body, as fields of a tuple would be.
        guard let compiled = try? CompiledPattern(isTuple(parameters + [body])) else { return false }
        var matcher = Matcher(compiled, BindingTable(function))
        let fields: [Operand] = function.parameters.map { .value($0) } + [function.body.result]
        return matcher.match(.operand(.tuple(fields))) != nil
    }
}
