extension Operators {
    /// One line per file of this folder.
    static let families: [[OperatorSchema]] = [
        ConvolutionOperators.schemas,
        ElementwiseOperators.schemas,
        ManipulationOperators.schemas,
        LinearOperators.schemas,
        QuantizationOperators.schemas,
        QuantizedConvolutionOperators.schemas,
        NormalizationOperators.schemas,
        AttentionOperators.schemas,
        LinearAttentionOperators.schemas,
        LinearAlgebraOperators.schemas,
        PoolingOperators.schemas,
        ComparisonOperators.schemas,
        ReductionOperators.schemas,
        CreationOperators.schemas,
        RegroupingOperators.schemas,
        IndexingOperators.schemas,
        ImageOperators.schemas,
        VisionOperators.schemas,
        ShapeOperators.schemas,
        RecurrentOperators.schemas,
        ControlFlowOperators.schemas,
        ComposedOperators.schemas,
        ComposedIndexingOperators.schemas,
        LearningOperators.schemas,
    ]
}
