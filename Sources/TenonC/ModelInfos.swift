import CTenon
import TenonIR

/// TENON_NO_MODEL_VERSION, which Swift does not see because it is INT64_MAX.
private let noModelVersion = Int64.max

@implementation @_cdecl("tenon_model_info_init")
public func tenon_model_info_init(_ info: UnsafeMutablePointer<tenon_model_info>!, _ struct_size: UInt32) {
    Sized.initialise(info, struct_size)
    guard let info, Int(struct_size) >= MemoryLayout<tenon_model_info>.size else { return }
    info.pointee.version = noModelVersion
}

extension ModuleHandle {
    /// The C form of what the model says about itself, made once for what it says now.
    fileprivate func modelInfo() throws -> tenon_model_info {
        if let cachedInfo, cachedInfo.source == module.info { return cachedInfo.made }
        let source = module.info
        var made = tenon_model_info()
        made.producer_name = try pool.text(source.producerName)
        made.producer_version = try pool.text(source.producerVersion)
        made.domain = try pool.text(source.domain)
        made.description = try pool.text(source.description)
        made.graph_name = try pool.text(source.graphName)
        made.graph_description = try pool.text(source.graphDescription)
        made.version = source.version ?? noModelVersion
        made.ir_version = source.irVersion
        made.opset_domains = try pool.array(source.operatorSets.map { try pool.text($0.domain) as UnsafePointer? })
        made.opset_versions = try pool.array(source.operatorSets.map(\.version))
        made.opset_count = source.operatorSets.count
        made.metadata_keys = try pool.array(source.metadata.map { try pool.text($0.key) as UnsafePointer? })
        made.metadata_values = try pool.array(source.metadata.map { try pool.text($0.value) as UnsafePointer? })
        made.metadata_count = source.metadata.count
        cachedInfo = (source, made)
        return made
    }
}

@implementation @_cdecl("tenon_module_get_info")
public func tenon_module_get_info(
    _ module: OpaquePointer!, _ info: UnsafeMutablePointer<tenon_model_info>!
) -> tenon_status {
    withStatus {
        try Sized.write(
            try Handle.object(module, ModuleHandle.self).modelInfo(), to: info, "tenon_model_info")
    }
}

@implementation @_cdecl("tenon_module_set_info")
public func tenon_module_set_info(
    _ module: OpaquePointer!, _ info: UnsafePointer<tenon_model_info>!
) -> tenon_status {
    withStatus {
        let handle = try Handle.object(module, ModuleHandle.self)
        try handle.requireIdle()
        guard let info else { throw invalid("tenon_model_info is NULL") }
        let given = try Sized.read(info, tenon_model_info(), "tenon_model_info")
        var result = ModelInfo()
        result.producerName = optionalString(given.producer_name)
        result.producerVersion = optionalString(given.producer_version)
        result.domain = optionalString(given.domain)
        result.description = optionalString(given.description)
        result.graphName = optionalString(given.graph_name)
        result.graphDescription = optionalString(given.graph_description)
        result.version = given.version == noModelVersion ? nil : given.version
        result.irVersion = given.ir_version
        let domains = try array(given.opset_domains, given.opset_count, "opset_domains")
        let versions = try array(given.opset_versions, given.opset_count, "opset_versions")
        result.operatorSets = zip(domains, versions).map {
            ModelInfo.OperatorSet(domain: optionalString($0), version: $1)
        }
        let keys = try strings(given.metadata_keys, given.metadata_count, "metadata_keys")
        let values = try strings(given.metadata_values, given.metadata_count, "metadata_values")
        var known: Set<String> = []
        for key in keys where !known.insert(key).inserted { throw invalid("metadata '\(key)' is given twice") }
        result.metadata = zip(keys, values).map { ModelInfo.Entry(key: $0, value: $1) }
        handle.module.info = result
    }
}

@implementation @_cdecl("tenon_module_metadata")
public func tenon_module_metadata(_ module: OpaquePointer!, _ key: UnsafePointer<CChar>!) -> UnsafePointer<CChar>! {
    withFloats {
        guard let handle = Handle.optional(module, ModuleHandle.self), let key else { return nil }
        let name = String(cString: key)
        guard let entry = handle.module.info.metadata.first(where: { $0.key == name }) else { return nil }
        return try? handle.pool.text(entry.value)
    }
}
