import TenonIR
import TenonRewrite

/// The rules of the oneDNN backend, first rule first. Each makes composites that one primitive computes; oneDNN itself is
/// asked for all but the first two.
public enum DNNLPatternTable {
    public static func rules() throws -> [FusionPattern] {
        try [FuseConv2dReshapeAddRelu.rule(), FuseConv2dReshapeAddRelu.foldedRule()]
            + rules(longestChain: PostOperations.longest)
    }

    /// The rules with at most so many post-operations per primitive; with 0, each operator is a primitive of its own.
    static func rules(longestChain: Int) throws -> [FusionPattern] {
        let rules =
            // While the layers beside it are still to be seen.
            try [StandaloneRules.transposition()] + ConvolutionRules.rules(longestChain)
            + LinearRules.rules(longestChain) + PoolingRules.rules()
            + StandaloneRules.rules() + ElementwiseRules.rules(longestChain)
        return rules.map(BackendSupport.asking)
    }
}

/// Everything that is fused for oneDNN, in one pass; regions are left to `MergeCompositeFunctions`.
public struct FuseOpsForDNNL: ModulePass {
    public init() {}

    public var name: String { "FuseOpsForDNNL" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        try FuseOpsByPattern(try DNNLPatternTable.rules()).run(on: module, context)
    }
}

/// Gives each operator that oneDNN knows to oneDNN, one primitive per operator: what fusion is measured against.
public struct OffloadOpsToDNNL: ModulePass {
    public init() {}

    public var name: String { "OffloadOpsToDNNL" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        try FuseOpsByPattern(try DNNLPatternTable.rules(longestChain: 0)).run(on: module, context)
    }
}

/// What `optimize` runs: make spelling uniform, fold what is known, fuse for oneDNN, collect regions.
public enum DefaultPipeline {
    public static func make() -> Sequential {
        Sequential(
            [
                ConvertToDataflow(minimumSize: 1), ExpandOperators(), CanonicalizeBindings(),
                FoldConstant(keepsQuantized: true), RecomposeIntegerProducts(), MoveTransposes(), SimplifyExpressions(),
                RecomposeActivations(),
                // A normalised axis that is moved may meet other movements.
                RecomposeNormalization(), MoveNormalizedAxis(), SimplifyExpressions(), SqueezeConvolution(),
                RecomposeAttention(), RecomposeEmbedding(),
                RecomposeGlobalPooling(), FoldPadding(), FoldBatchNorm(),
                // Behind moved data stand more normalisations that can be folded.
                DecomposeConvTranspose(), SinkDataMovement(), FoldBatchNorm(), CanonicalizeQuantization(),
                FoldConstant(keepsQuantized: true), EliminateDeadCode(), FuseQuantizedOpsForDNNL(),
                // What stays in single precision has its numbers once for all.
                FoldConstant(), EliminateDeadCode(),
                FuseOpsForDNNL(),
                MergeCompositeFunctions(),
            ], name: "DefaultPipeline")
    }
}
