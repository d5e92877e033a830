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
}
