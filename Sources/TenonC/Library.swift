import TenonDNNL
import TenonIR
import TenonRewrite
import TenonRuntime

/// What this library is assembled of.
enum Library {
    /// Passes that a host can name.
    static let passes: PassRegistry = {
        var registry = PassRegistry()
        registry.register(FuseConv2dReshapeAddRelu())
        registry.register(FuseOpsForDNNL())
        registry.register(FuseQuantizedOpsForDNNL())
        registry.register(OffloadOpsToDNNL())
        registry.register(pipeline)
        registry.register(RunCodegen(backends: backends))
        return registry
    }()

    /// What `tenon_module_optimize` applies.
    static let pipeline = DefaultPipeline.make()

    static let passNames = StaticText.table(passes.names)

    static let operatorNames = StaticText.table(Operators.all.map(\.name))

    /// What runs functions that carry `Codegen`, by the name there.
    static let backends: [any Backend] = [DNNLBackend(), ReferenceBackend()]

    /// Folds a call of known inputs with the Swift kernels; nil where there is none for it, and for a call that fails (an
    /// index out of range, say): then a run reports it, if it ever comes to that call.
    @Sendable static func evaluate(_ call: Call, _ type: ValueType) throws -> [Constant]? {
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
