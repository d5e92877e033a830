/// Imports the nodes of one ONNX operator.
struct OperatorImporter: Sendable {
    /// The first operator-set version whose definition the importer follows; older nodes are not supported.
    let since: Int64
    /// Adds the node's calls and returns its outputs in order; fewer than the node names are an error.
    let run: @Sendable (Node) throws -> [ImportedValue]

    init(since: Int64 = 1, _ run: @escaping @Sendable (Node) throws -> [ImportedValue]) {
        self.since = since
        self.run = run
    }
}

/// All importers by operator name, with the domain in front for operators outside ONNX's own.
enum OperatorImporters {
    static let table: [String: OperatorImporter] = {
        var table: [String: OperatorImporter] = [:]
        for family in families { table.merge(family) { first, _ in first } }
        return table
    }()

    /// One line per table of the folder Importers.
    private static let families: [[String: OperatorImporter]] = [
        ActivationImporters.table,
        ArithmeticImporters.table,
        AttentionImporter.table,
        BlockedImporters.table,
        ComparisonImporters.table,
        ContribActivations.table,
        ContribAttention.table,
        ContribImages.table,
        ContribNormalizations.table,
        ContribProducts.table,
        ControlFlowImporters.table,
        ConvolutionImporters.table,
        DataDependentImporters.table,
        EinsumImporter.table,
        FlexAttentionImporter.table,
        GeometryImporters.table,
        GroupQueryAttention.table,
        LinearImporters.table,
        LossImporters.table,
        ManipulationImporters.table,
        NormalizationImporters.table,
        PoolingImporters.table,
        QuantizationImporters.table,
        QuantizedContribImporters.table,
        QuantizedConvolutionImporters.table,
        QuantizedOperatorImporters.table,
        RecurrentImporters.table,
        ReductionImporters.table,
        RotaryImporter.table,
        RegroupingImporters.table,
        ResizeImporters.table,
        SelectionImporters.table,
        SequenceImporters.table,
        SignalImporters.table,
        FourierImporters.table,
        StateImporters.table,
        TrainingImporters.table,
        VisionImporters.table,
        ConstantImporters.table,
        LearningImporters.table,
        SVMImporters.table,
        TreeImporters.table,
    ]

    static func find(_ op: String, domain: String) -> OperatorImporter? {
        table[domain.isEmpty || domain == "ai.onnx" ? op : "\(domain).\(op)"]
    }
}
