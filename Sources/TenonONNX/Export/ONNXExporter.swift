import SwiftProtobuf
import TenonIR

/// Writes modules as ONNX models.
///
/// Calls of functions are written out in place, composites and regions too, so that an optimised module comes back as what it
/// computes. Layouts become transposes, operators that are written in terms of others those others. Types come from `main`; dimensions that are symbols are named. Operators without a form in ONNX are errors of
/// status `unsupported` that name the operator.
package enum ONNXExporter {
    /// The version of ONNX's operators that is written.
    static let opset: Int64 = 20
    /// What one protobuf message can hold.
    static let messageLimit = Int(Int32.max)
    /// More operators are not written, as none are read by default.
    static let nodeLimit = 1_000_000

    /// The bytes of a model whose graph is `main`, given to `body` in a buffer of their size that it fills.
    package static func export<Result>(
        _ module: Module, limit: Int = messageLimit, nodeLimit: Int = nodeLimit,
        into body: (Int, (UnsafeMutableRawBufferPointer) throws -> Void) throws -> Result
    ) throws -> Result {
        let (message, constants) = try message(module, nodeLimit)
        let encoded = try EncodedModel(message, constants, location: nil, sizeThreshold: 0)
        guard encoded.model.byteCount <= limit else {
            throw TenonError(
                .limitExceeded,
                "ONNX: the model has \(encoded.model.byteCount) bytes; one message holds \(limit). Saved as a file it gets external data"
            )
        }
        return try body(encoded.model.byteCount) { buffer in try copy(encoded.model, to: buffer) }
    }

    /// The bytes of a model whose graph is `main`.
    package static func export(_ module: Module) throws -> [UInt8] {
        try export(module) { count, fill in
            try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialised in
                try fill(UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count]))
                initialised = count
            }
        }
    }

    /// Writes the model to a file, and to one beside it what does not fit. Files of these names are replaced when everything is
    /// written; a call that fails leaves them as they were.
    package static func save(
        _ module: Module, path: String, options: ONNXExportOptions = ONNXExportOptions(), limit: Int = messageLimit
    ) throws {
        guard !path.utf8.contains(0), !path.isEmpty else { throw TenonError(.io, "path \(quoted(path)): no file name") }
        let name = path.split(separator: "/", omittingEmptySubsequences: false).last.map(String.init) ?? ""
        let location = options.location ?? name + ".data"
        guard !["", ".", "..", name].contains(location),
            !location.utf8.contains(where: { $0 == 0 || $0 == 0x2f || $0 == 0x5c })
        else {
            throw TenonError(
                .invalidArgument, "location \(quoted(location)): expected the name of another file beside the model")
        }
        let (message, constants) = try message(module, nodeLimit)
        func encoded(_ location: String?) throws -> EncodedModel {
            try EncodedModel(message, constants, location: location, sizeThreshold: options.sizeThreshold)
        }
        var model = try encoded(options.hasExternalData ? location : nil)
        if model.model.byteCount > limit { model = try encoded(location) }
        guard model.model.byteCount <= limit else {
            throw TenonError(
                .limitExceeded,
                "ONNX: the model has \(model.model.byteCount) bytes without its data; one message holds \(limit)"
            )
        }
        let file = try FileWriter(path: path)
        guard model.data.byteCount > 0 else {
            try file.write(model.model)
            try file.finish()
            return try file.commit()
        }
        let beside = try FileWriter(path: String(path.dropLast(name.count)) + location)
        try beside.write(model.data)
        try beside.finish()
        try file.write(model.model)
        try file.finish()
        try beside.commit()
        try file.commit()
    }

    private static func message(_ module: Module, _ nodeLimit: Int) throws -> (
        ONNXModelProto, [(name: String, constant: Constant)]
    ) {
        // ONNX has one layout, and operators that others are written in: in regions too, which are written out.
        let module = try module.expandingOperators(inRegions: true)
        guard let main = module.main else { throw TenonError(.notFound, "the module has no function 'main'") }
        let export = GraphExport(module, nodeLimit: nodeLimit)
        var model = ONNXModelProto()
        model.producerName = "tenon"
        model.graph = try export.graph(main)
        var version = ONNXOperatorSetIdProto()
        version.version = max(
            export.operatorSet, operatorSet(model.graph, export.initializers.map(\.constant.dtype)))
        model.opsetImport = [version]
        // The first format version that has the operator set.
        model.irVersion = [20: 9, 21: 10, 23: 11, 24: 12][version.version] ?? 13
        module.info.write(to: &model)
        return (model, export.initializers)
    }

    /// The first operator set from ours on that has the element types in use.
    private static func operatorSet(_ graph: ONNXGraphProto, _ constants: [DataType]) -> Int64 {
        var types = Set(constants.map { Int64($0.rawValue) })
        for value in graph.input + graph.output { types.insert(Int64(value.type.tensorType.elemType)) }
        for node in graph.node where node.opType == "Cast" {
            for attribute in node.attribute where attribute.name == "to" { types.insert(attribute.i) }
        }
        return types.reduce(opset) { least, type in
            max(least, UInt8(exactly: type).flatMap { DataType(rawValue: $0) }.map { operatorSet(of: $0) } ?? opset)
        }
    }

    /// The first operator set, from ours on, that has an element type.
    static func operatorSet(of dtype: DataType) -> Int64 {
        switch dtype {
        case .uint4, .int4: 21
        case .float4e2m1: 23
        case .float8e8m0: 24
        case .uint2, .int2: 25
        default: opset
        }
    }

    private static func copy(_ file: EncodedModel.File, to buffer: UnsafeMutableRawBufferPointer) throws {
        guard buffer.count >= file.byteCount else { throw TenonError(.internal, "ONNX: the buffer is too small") }
        var offset = 0
        func put(_ bytes: UnsafeRawBufferPointer) {
            UnsafeMutableRawBufferPointer(rebasing: buffer[offset...]).copyMemory(from: bytes)
            offset += bytes.count
        }
        for piece in file.pieces {
            switch piece {
            case .bytes(let bytes): bytes.withUnsafeBytes(put)
            case .elements(let constant):
                put(constant.source)
                constant.releasePages()
            case .zeros(let count): [UInt8](repeating: 0, count: count).withUnsafeBytes(put)
            }
        }
    }
}

/// Choices of an export.
package struct ONNXExportOptions: Sendable {
    /// Constants go to a file beside the model; otherwise only when the model would be more than one message can hold.
    package var hasExternalData = false
    /// The name of that file; nil for the model's with ".data" added.
    package var location: String?
    /// Constants of fewer bytes stay in the model.
    package var sizeThreshold = 1024

    package init() {}
}
