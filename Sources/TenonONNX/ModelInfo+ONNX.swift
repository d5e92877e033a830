import TenonIR

extension ModelInfo {
    /// What a file says.
    init(_ model: ONNXModelProto) {
        self.init()
        producerName = model.producerName
        producerVersion = model.producerVersion
        domain = model.domain
        description = model.docString
        graphName = model.graph.name
        graphDescription = model.graph.docString
        version = model.hasModelVersion ? model.modelVersion : nil
        irVersion = model.irVersion
        operatorSets = model.opsetImport.map { OperatorSet(domain: $0.domain, version: $0.version) }
        metadata = model.metadataProps.map { Entry(key: $0.key, value: $0.value) }
    }

    /// Writes it to a file that is being made; the file's format and operator sets are the writer's own.
    func write(to model: inout ONNXModelProto) {
        // Who exported the graph, as other tools keep it that optimise what others have made.
        if !producerName.isEmpty { model.producerName = producerName }
        if !producerVersion.isEmpty { model.producerVersion = producerVersion }
        if !domain.isEmpty { model.domain = domain }
        if !description.isEmpty { model.docString = description }
        if !graphName.isEmpty { model.graph.name = graphName }
        if !graphDescription.isEmpty { model.graph.docString = graphDescription }
        if let version { model.modelVersion = version }
        model.metadataProps = metadata.map { entry in
            var property = ONNXStringStringEntryProto()
            property.key = entry.key
            property.value = entry.value
            return property
        }
    }
}
