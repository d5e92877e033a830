import CTenon
import Glibc
import TenonIR
import TenonONNX

// MARK: - Reading

@implementation @_cdecl("tenon_onnx_options_init")
public func tenon_onnx_options_init(_ options: UnsafeMutablePointer<tenon_onnx_options>!, _ struct_size: UInt32) {
    Sized.initialise(options, struct_size)
}

func onnxOptions(_ options: UnsafePointer<tenon_onnx_options>?) throws -> tenon_onnx_options {
    let given = try Sized.options(
        options, tenon_onnx_options(), "tenon_onnx_options",
        first: MemoryLayout<tenon_onnx_options>.offset(of: \.timeout_nanoseconds))
    try requireToken(given.cancel)
    return given
}

private func importOptions(_ given: tenon_onnx_options) throws -> ONNXImportOptions {
    var options = ONNXImportOptions()
    if given.max_rank > 0 { options.limits.rank = Int(given.max_rank) }
    if given.max_nesting > 0 { options.limits.nesting = Int(given.max_nesting) }
    if given.max_nodes > 0 { options.limits.nodes = Int(given.max_nodes) }
    if given.max_file_bytes > 0 { options.limits.fileBytes = given.max_file_bytes }
    if given.max_structure_bytes > 0 { options.limits.structureBytes = Int(clamping: given.max_structure_bytes) }
    if given.max_tensor_bytes > 0 { options.limits.tensorBytes = Int(clamping: given.max_tensor_bytes) }
    let names = try strings(given.dimension_names, given.dimension_count, "dimension_names")
    let values = try array(given.dimension_values, given.dimension_count, "dimension_values")
    for (name, value) in zip(names, values) {
        guard value >= 0 else { throw invalid("dimension '\(name)' is \(value); expected at least 0") }
        options.dimensions[name] = value
    }
    let inputs = try strings(given.input_names, given.input_count, "input_names")
    let shapes = try array(given.input_shapes, given.input_count, "input_shapes")
    let ranks = try array(given.input_ranks, given.input_count, "input_ranks")
    for (index, name) in inputs.enumerated() {
        options.inputShapes[name] = try sizes(shapes[index], ranks[index], least: 0, "input '\(name)'")
    }
    options.progress = progress(given.progress, given.progress_data)
    return options
}

@implementation @_cdecl("tenon_module_load_onnx")
public func tenon_module_load_onnx(
    _ path: UnsafePointer<CChar>!, _ options: UnsafePointer<tenon_onnx_options>!,
    _ module: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let result = try output(module, "module")
        let given = try onnxOptions(options)
        let loaded = try ONNXImporter.load(path: try string(path, "path"), options: try importOptions(given))
        result.pointee = try ModuleHandle.make(verifying: loaded)
    }
}

@implementation @_cdecl("tenon_module_parse_onnx")
public func tenon_module_parse_onnx(
    _ data: UnsafeRawPointer!, _ size: Int, _ options: UnsafePointer<tenon_onnx_options>!,
    _ module: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let result = try output(module, "module")
        let given = try onnxOptions(options)
        guard data != nil || size == 0, size >= 0 else { throw invalid("data is NULL, or its size is out of range") }
        let loaded = try ONNXImporter.load(
            bytes: UnsafeRawBufferPointer(start: data, count: size),
            directory: given.directory.map { String(cString: $0) }, options: try importOptions(given))
        result.pointee = try ModuleHandle.make(verifying: loaded)
    }
}

// MARK: - Writing

@implementation @_cdecl("tenon_onnx_save_options_init")
public func tenon_onnx_save_options_init(
    _ options: UnsafeMutablePointer<tenon_onnx_save_options>!, _ struct_size: UInt32
) {
    Sized.initialise(options, struct_size)
}

func saveOptions(_ options: UnsafePointer<tenon_onnx_save_options>?) throws -> tenon_onnx_save_options {
    let given = try Sized.options(
        options, tenon_onnx_save_options(), "tenon_onnx_save_options",
        first: MemoryLayout<tenon_onnx_save_options>.offset(of: \.timeout_nanoseconds))
    try requireToken(given.cancel)
    return given
}

@implementation @_cdecl("tenon_module_save_onnx")
public func tenon_module_save_onnx(
    _ module: OpaquePointer!, _ path: UnsafePointer<CChar>!, _ options: UnsafePointer<tenon_onnx_save_options>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let handle = try Handle.object(module, ModuleHandle.self)
        let given = try saveOptions(options)
        var options = ONNXExportOptions()
        options.hasExternalData = given.external_data != 0
        if given.size_threshold > 0 { options.sizeThreshold = Int(clamping: given.size_threshold) }
        options.location = given.location.map { String(cString: $0) }
        try ONNXExporter.save(handle.module, path: try string(path, "path"), options: options)
    }
}

@implementation @_cdecl("tenon_module_serialize_onnx")
public func tenon_module_serialize_onnx(
    _ module: OpaquePointer!, _ data: UnsafeMutablePointer<UnsafeMutableRawPointer?>!,
    _ size: UnsafeMutablePointer<Int>!
) -> tenon_status {
    withStatus {
        let data = try output(data, "data")
        let size = try output(size, 0, "size")
        let handle = try Handle.object(module, ModuleHandle.self)
        try ONNXExporter.export(handle.module) { count, fill in
            guard let memory = malloc(max(count, 1)) else {
                throw TenonError(.outOfMemory, "no memory for a model of \(count) bytes")
            }
            do {
                try fill(UnsafeMutableRawBufferPointer(start: memory, count: count))
            } catch {
                free(memory)
                throw error
            }
            data.pointee = memory
            size.pointee = count
        }
    }
}

@implementation @_cdecl("tenon_bytes_release")
public func tenon_bytes_release(_ data: UnsafeMutableRawPointer!) { free(data) }
