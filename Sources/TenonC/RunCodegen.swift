import Synchronization
import TenonIR
import TenonRewrite
import TenonRuntime

/// Offers every function that carries `Codegen` to the backend of that name, as compiling the module would.
///
/// What a backend refuses loses `Codegen`, gets the reason as `Refused`, and runs on the library's kernels; an unknown or failing backend fails the pass. The
/// module stays data: what backends made is let go, and made again when the module is compiled. With symbolic sizes only the
/// names of the backends are checked. `main` is compiled, or the context's entry functions.
struct RunCodegen: ModulePass {
    let backends: [any Backend]

    var name: String { "RunCodegen" }

    func run(on module: Module, _ context: PassContext) throws -> Module {
        let recorders = backends.map { RecordingBackend($0) }
        let known = Set(backends.map(\.name))
        for (name, function) in module.functions {
            guard let codegen = function.codegen, !known.contains(codegen) else { continue }
            throw TenonError(
                .notFound,
                "RunCodegen: @\(name): no backend '\(codegen)'; known: \(known.sorted().joined(separator: ", "))",
                node: name)
        }
        for entry in context.entryFunctions.isEmpty ? ["main"] : context.entryFunctions {
            guard let function = module[entry] else {
                if context.entryFunctions.isEmpty { return module }
                throw TenonError(.notFound, "RunCodegen: entry function '\(entry)' is not in the module", node: entry)
            }
            var entered = module
            entered["main"] = function
            do {
                _ = try Executable(module: entered, backends: recorders)
            } catch let error as TenonError {
                throw TenonError(
                    error.status, "RunCodegen: \(error)", operatorName: error.operatorName, node: error.node)
            }
        }
        var result = module
        for (name, reason) in recorders.flatMap(\.refused) {
            result[name]?.attributes["Codegen"] = nil
            result[name]?.attributes[Explanation.refusalAttribute] = .string(reason)
        }
        return result
    }
}

/// Notes which regions a backend takes and which it refuses.
private final class RecordingBackend: Backend {
    private struct Record {
        var taken: Set<String> = []
        var refused: [String: String] = [:]
    }

    private let inner: any Backend
    private let record = Mutex(Record())

    init(_ inner: any Backend) { self.inner = inner }

    var name: String { inner.name }

    /// What was refused whatever it was called with, and why.
    var refused: [String: String] {
        record.withLock { record in record.refused.filter { !record.taken.contains($0.key) } }
    }

    func compile(_ region: Function, name: String, options: CompileOptions) throws -> any CompiledRegion {
        do {
            let compiled = try inner.compile(region, name: name, options: options)
            record.withLock { _ = $0.taken.insert(name) }
            return compiled
        } catch let error as TenonError where error.status == .unsupported {
            record.withLock { $0.refused[name] = $0.refused[name] ?? "\(error)" }
            throw error
        }
    }
}
