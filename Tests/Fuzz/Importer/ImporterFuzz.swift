import FuzzDriver
import Glibc
import TenonIR
import TenonONNX

@main enum Program {
    static func main() { exit(fuzz_run(CommandLine.argc, CommandLine.unsafeArgv, fuzzImporter)) }
}

/// Bytes as an ONNX model: an error, or a module that the verifier accepts; the same of what it is exported to.
private func fuzzImporter(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    var options = ONNXImportOptions()
    options.limits.nodes = 1000
    options.limits.tensorBytes = 1 << 20
    options.limits.structureBytes = 1 << 20
    options.limits.nesting = 8
    let bytes = UnsafeRawBufferPointer(start: data, count: size)
    guard let module = try? ONNXImporter.load(bytes: bytes, options: options) else { return 0 }
    if let finding = module.findings(limit: 1).first { fatalError("\(finding.message)\n\(module)") }
    if let again = try? ONNXExporter.export(module).withUnsafeBytes({
        try ONNXImporter.load(bytes: $0, options: options)
    }),
        let finding = again.findings(limit: 1).first
    {
        fatalError("exported: \(finding.message)\n\(again)")
    }
    return 0
}
