import FuzzDriver
import Glibc
import TenonDNNL
import TenonIR
import TenonONNX
import TenonRewrite
import TenonRuntime

@main enum Program {
    static func main() { exit(fuzz_run(CommandLine.argc, CommandLine.unsafeArgv, fuzzRun)) }
}

/// Bytes as a model or as text, through optimising, compiling and running: errors, but nothing worse.
private func fuzzRun(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    guard let module = load(UnsafeRawBufferPointer(start: data, count: size)), isSmall(module) else { return 0 }
    _ = try? run(module)
    if let optimized = try? DefaultPipeline.make().run(on: module, PassContext(evaluate: Interpreter.evaluate)),
        isSmall(optimized)
    {
        _ = try? run(optimized)
    }
    return 0
}

private func load(_ bytes: UnsafeRawBufferPointer) -> Module? {
    if bytes.starts(with: "fn".utf8) { return try? Module(text: String(decoding: bytes, as: UTF8.self)) }
    var options = ONNXImportOptions()
    options.limits.nodes = 200
    options.limits.tensorBytes = 1 << 16
    options.limits.structureBytes = 1 << 16
    options.limits.nesting = 8
    return try? ONNXImporter.load(bytes: bytes, options: options)
}

/// Whether no value has more elements than a run in no time computes.
private func isSmall(_ module: Module) -> Bool {
    guard module.findings(limit: 1).isEmpty else { return false }
    return module.functions.values.allSatisfy { function in
        function.values.allSatisfy { value in
            guard case .tensor(let type) = value.type, let shape = type.shape else { return true }
            return (checkedElementCount(shape.map { $0.value ?? 2 }) ?? .max) <= 1 << 12
        }
    }
}

private func run(_ module: Module) throws {
    var options = CompileOptions()
    options.threads = 1
    options.memoryLimit = 1 << 26
    let executable = try Executable(module: module, backends: [DNNLBackend()], options: options)
    let inputs = try executable.signature.inputs.map { port in
        let dims = port.type.shape ?? [Dim](repeating: 2, count: min(port.type.rank ?? 1, 4))
        return try Constant.filled(port.type.dtype ?? .float32, dims.map { $0.value ?? 2 }, 1)
    }
    _ = try executable.run(inputs, options: RunOptions(deadline: MonotonicClock.now + 200_000_000))
}
