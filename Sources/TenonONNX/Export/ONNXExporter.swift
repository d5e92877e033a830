import SwiftProtobuf
import TenonIR

/// Writes modules as ONNX models.
///
/// Calls of functions are written out in place, composites and regions too, so that an optimised module comes back as what it
/// computes. Types come from `main`; dimensions that are symbols are named. Operators without a form in ONNX, control flow
/// and dynamic forms are errors of status `unsupported` that name the operator.
package enum ONNXExporter {
    /// The version of ONNX's operators that is written.
    static let opset: Int64 = 20
    /// What one protobuf message can hold.
    private static let byteLimit = Int(Int32.max)

    /// The bytes of a model whose graph is `main`.
    package static func export(_ module: Module) throws -> [UInt8] {
        guard let main = module.main else { throw TenonError(.notFound, "the module has no function 'main'") }
        let export = GraphExport(module)
        var model = ONNXModelProto()
        model.irVersion = 9
        model.producerName = "tenon"
        var version = ONNXOperatorSetIdProto()
        version.version = opset
        model.opsetImport = [version]
        model.graph = try export.graph(main)
        guard export.constantBytes < byteLimit else {
            throw TenonError(.limitExceeded, "ONNX: \(export.constantBytes) bytes of constants do not fit one file")
        }
        do {
            return try model.serializedBytes()
        } catch {
            throw TenonError(.limitExceeded, "ONNX: the model cannot be written (\(error))")
        }
    }
}
