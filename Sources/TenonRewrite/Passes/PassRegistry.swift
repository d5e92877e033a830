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
        AttachGlobalSymbol(),
        CanonicalizeBindings(),
        CombineParallelMatmul(),
        ConvertLayout(),
        ConvertToDataflow(),
        CanonicalizeQuantization(),
        DecomposeConvTranspose(),
        DecomposeOpsForInference(),
        EliminateCommonSubexpr(),
        EliminateDeadCode(),
        ExpandOperators(),
        FoldBatchNorm(),
        FoldConstant(),
        FoldPadding(),
        InlineDataflowBlocks(),
        InlinePrivateFunctions(),
        LambdaLift(),
        LiftTransformParams(),
        MergeCompositeFunctions(),
        MoveNormalizedAxis(),
        MoveTransposes(),
        Normalize(),
        OutlineDataflowBlocks(),
        RecomposeActivations(),
        RecomposeAttention(),
        RecomposeEmbedding(),
        RecomposeGlobalPooling(),
        RecomposeIntegerProducts(),
        RecomposeNormalization(),
        RemoveUnusedOutputs(),
        RemoveUnusedParameters(),
        SimplifyExpressions(),
        SinkDataMovement(),
        SqueezeConvolution(),
        ToNonDataflow(),
    ]

    /// Adds a pass, or replaces the one of the same name.
    public mutating func register(_ pass: any ModulePass) { makers[pass.name] = { pass } }

    public var names: [String] { makers.keys.sorted() }

    /// The pass of that name, told what `arguments` say.
    public func named(_ name: String, arguments: Attributes) throws -> any ModulePass {
        let pass = try named(name)
        guard let kind = type(of: pass) as? any ConfigurablePass.Type else {
            if arguments.isEmpty { return pass }
            throw TenonError(.invalidArgument, "pass '\(name)' takes no arguments")
        }
        // The schema of an operator checks names, kinds and defaults; a pass's is one that has no inputs.
        let schema = OperatorSchema(name, "", inputs: [], attributes: kind.arguments) { _ in .object }
        return try kind.init(arguments: try schema.normalised(arguments))
    }

    public func named(_ name: String) throws -> any ModulePass {
        guard let make = makers[name] else {
            throw TenonError(.notFound, "unknown pass '\(name)'; expected one of \(names.joined(separator: ", "))")
        }
        return make()
    }
}
