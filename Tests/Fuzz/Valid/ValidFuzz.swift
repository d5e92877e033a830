import FuzzDriver
import Glibc
import TenonDNNL
import TenonIR
import TenonONNX
import TenonRewrite
import TenonRuntime

@main enum Main {
    static func main() { exit(fuzz_run(CommandLine.argc, CommandLine.unsafeArgv, fuzzValid)) }
}

/// Bytes as choices of which a valid module is made: it prints to what parses back equal, and each way to run it, bounded in time and
/// memory, ends with an error or with what the reference gives.
private func fuzzValid(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    guard var program = try? Program(UnsafeBufferPointer(start: data, count: size)),
        let module = try? program.module()
    else { return 0 }
    if let finding = module.findings(limit: 1).first { fatalError("\(finding.message)\n\(module)") }
    let printed = module.text(PrintOptions(constants: .data))
    do {
        let again = try Module(text: printed)
        if !again.isStructurallyEqual(to: module) { fatalError("another module comes of\n\(printed)") }
    } catch {
        fatalError("\(error)\n\(printed)")
    }
    let inputs = program.inputs
    let reference = results(printed, "reference") { try run(module, inputs, reference: true) }
    for (name, ways) in [("plain", { try run(module, inputs) }), ("optimised", { try run(optimised(module), inputs) })]
        as [(String, () throws -> [Constant])]
    {
        guard let found = results(printed, name, ways), let reference else { continue }
        if let difference = difference(found, reference) { fatalError("\(name): \(difference)\n\(printed)") }
    }
    _ = results(printed, "export") {
        _ = try ONNXExporter.export(module)
        return []
    }
    return 0
}

/// What work within bounds gives; nil where it ends with an error, which must not be one of the library's own.
private func results(_ printed: String, _ name: String, _ body: () throws -> [Constant]) -> [Constant]? {
    do {
        let limits = WorkLimits.make(cancel: nil, deadline: MonotonicClock.now + 1_000_000_000)
        return try Work.with(limits) { try Work.with(memory: MemoryBudget(limit: 1 << 26)) { try body() } }
    } catch let error as TenonError {
        if error.status == .internal { fatalError("\(name): \(error)\n\(printed)") }
        return nil
    } catch {
        return nil
    }
}

private func optimised(_ module: Module) throws -> Module {
    try DefaultPipeline.make().run(on: module, PassContext(evaluate: Interpreter.evaluate))
}

private func run(_ module: Module, _ inputs: [Constant], reference: Bool = false) throws -> [Constant] {
    var options = CompileOptions()
    options.threads = 1
    options.memoryLimit = 1 << 26
    options.usesReferenceKernels = reference
    let executable = try Executable(module: module, backends: [DNNLBackend()], options: options)
    return try executable.run(inputs, options: RunOptions(deadline: MonotonicClock.now + 1_000_000_000))
}

/// What two ways to run one module gave otherwise; nil where rounding explains it.
private func difference(_ found: [Constant], _ reference: [Constant]) -> String? {
    guard found.count == reference.count else { return "\(found.count) results instead of \(reference.count)" }
    for (x, y) in zip(found, reference) {
        guard x.type == y.type else { return "\(x.type) instead of \(y.type)" }
        guard x.dtype.isFloatingPoint, let p = x.doubleElements, let q = y.doubleElements else { continue }
        // Programs of arbitrary numbers cancel and overflow; what is told is what no rounding does.
        let pairs = zip(p, q).filter { $0.isFinite && $1.isFinite }
        let scale = pairs.reduce(1e-3) { max($0, abs($1.1)) }
        let most = pairs.reduce(0.0) { max($0, abs($1.0 - $1.1)) }
        if scale < 1e6, most > 0.05 * scale { return "up to \(most) of \(scale)" }
    }
    return nil
}
