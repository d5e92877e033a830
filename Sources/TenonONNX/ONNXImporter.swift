import SwiftProtobuf
import TenonIR

/// Choices of an import; the defaults suit a file that is trusted as far as any file is.
package struct ONNXImportOptions: Sendable {
    package var limits = ONNXLimits()
    /// Sizes for named dimensions (`dim_param`), so that a dynamic model imports with fixed shapes.
    package var dimensions: [String: Int64] = [:]
    /// Shapes for inputs by name; they replace what the file declares.
    package var inputShapes: [String: [Int64]] = [:]
    /// Contents for inputs by name, which become constants: what a model takes as data but never changes (a sampling
    /// rate, axes, a target shape) is then folded.
    package var inputValues: [String: Constant] = [:]
    /// Told how many nodes of the graph are imported.
    package var progress: ProgressReport?

    package init() {}
}

/// Reads ONNX models into modules.
///
/// The module has one function, `main`: parameters are the graph's inputs without initialisers, the result is its
/// output, or a tuple of several. The function's attributes `input_names` and `output_names` carry the names as the
/// file spells them. Operators are judged by the version of their own operator set, never by the file's IR version.
/// Errors are `TenonError`s that name node, operator and tensor; unsupported operators are reported all at once.
package enum ONNXImporter {
    /// Imports the file at `path`. Large weights stay in the mapped file where alignment allows.
    package static func load(path: String, options: ONNXImportOptions = ONNXImportOptions()) throws -> Module {
        try load(try ModelSource.file(path, limits: options.limits), options: options)
    }

    /// Imports a model from memory, which is borrowed for the call.
    ///
    /// - Parameter directory: the folder that external data is confined to; nil refuses external data.
    package static func load(
        bytes: UnsafeRawBufferPointer, directory: String? = nil, options: ONNXImportOptions = ONNXImportOptions()
    ) throws -> Module {
        try load(try ModelSource.memory(bytes, directory: directory, limits: options.limits), options: options)
    }

    private static func load(_ source: ModelSource, options: ONNXImportOptions) throws -> Module {
        let model = try parse(source.bytes, limits: options.limits)
        guard model.hasGraph else { throw TenonError.malformedONNX("the model has no graph") }
        let importer = try GraphImport(model, source: source, options: options)
        var module = try importer.module(model.graph)
        module.info = ModelInfo(model)
        try options.progress?("import", model.graph.node.count, model.graph.node.count)
        return module
    }

    /// The messages of a model with the large payloads left in the file.
    static func parse(_ bytes: UnsafeRawBufferPointer, limits: ONNXLimits) throws -> ONNXModelProto {
        guard bytes.count > 0 else { throw TenonError.malformedONNX("the file is empty") }
        let stripped = try WireScanner.strip(bytes, limits: limits)
        var decoding = BinaryDecodingOptions()
        decoding.discardUnknownFields = true
        decoding.messageDepthLimit = min(max(limits.nesting, 1), 1000) * 4 + 8
        do {
            return try ONNXModelProto(serializedBytes: stripped, extensions: nil, partial: true, options: decoding)
        } catch let error as BinaryDecodingError {
            throw TenonError.malformedONNX("the bytes are no ONNX model (\(error))")
        }
    }
}
