import TenonIR

/// Passes by name. A value: whoever assembles a library adds what it knows, and a host what it brings.
public struct PassRegistry: Sendable {
    private var makers: [String: @Sendable () -> any ModulePass] = [:]

    /// The passes of the rewriting layer itself.
    public init() {
        for pass in PassRegistry.own { register(pass) }
    }

    private static let own: [any ModulePass] = [
        AnnotateCodegen(),
        CanonicalizeBindings(),
        DecomposeConvTranspose(),
        EliminateCommonSubexpr(),
        EliminateDeadCode(),
        FoldBatchNorm(),
        FoldConstant(),
        FoldPadding(),
        MergeCompositeFunctions(),
        MoveNormalizedAxis(),
        RecomposeActivations(),
        RecomposeAttention(),
        RecomposeEmbedding(),
        RecomposeGlobalPooling(),
        RecomposeNormalization(),
        SimplifyExpressions(),
        SinkDataMovement(),
        SqueezeConvolution(),
    ]

    /// Adds a pass, or replaces the one of the same name.
    public mutating func register(_ pass: any ModulePass) { makers[pass.name] = { pass } }

    public var names: [String] { makers.keys.sorted() }

    public func named(_ name: String) throws -> any ModulePass {
        guard let make = makers[name] else {
            throw TenonError(.notFound, "unknown pass '\(name)'; expected one of \(names.joined(separator: ", "))")
        }
        return make()
    }
}
