extension Kernels {
    /// One line per file of this folder: operators by name and how to prepare them.
    static let families: [[(String, Prepare)]] = [
        BinaryKernels.table,
        UnaryKernels.table,
        CopyKernels.table,
        MatMulKernels.table,
        ConvolutionKernels.table,
        PoolingKernels.table,
        SoftmaxKernels.table,
        ReductionKernels.table,
        NormalizationKernels.table,
        BatchNormKernels.table,
        CastKernels.table,
        PadKernels.table,
        CreationKernels.table,
        TakeKernels.table,
        ResizeKernels.table,
        LineKernels.table,
        GatherKernels.table,
        ScatterKernels.table,
        TopKKernels.table,
        SortKernels.table,
        SequenceKernels.table,
        GridSampleKernels.table,
        RegionKernels.table,
        RecurrentKernels.table,
    ]
}
