extension Module {
    /// Checks that the module is well formed: every value defined once and before its use, dataflow values used only inside
    /// their block, types as inference gives them, calls as signatures say, attributes as schemas say, no recursion.
    /// - Throws: the first finding.
    public func verify() throws {
        if let first = findings(limit: 1).first { throw first }
    }

    /// Everything that is wrong, at most `limit` entries. Each says function and binding.
    public func findings(limit: Int = 100) -> [TenonError] {
        var verifier = ModuleVerifier(self, limit: limit)
        verifier.run()
        return verifier.findings
    }
}

/// Checks what concerns functions among each other, and each function.
private struct ModuleVerifier {
    private let module: Module
    private let limit: Int
    private(set) var findings: [TenonError] = []

    init(_ module: Module, limit: Int) {
        self.module = module
        self.limit = limit
    }

    mutating func run() {
        var symbols: [String: String] = [:]
        for (name, function) in module.functions {
            if name.isEmpty { report(TenonError(.invalidGraph, "a function has an empty name")) }
            checkAttributes(function, name, &symbols)
            var verifier = FunctionVerifier(function, in: module, limit: limit - findings.count)
            verifier.run()
            for finding in verifier.findings { report(finding, in: name) }
            if findings.count >= limit { return }
        }
        if let cycle = recursion() {
            report(TenonError(.invalidGraph, "calls itself, through \(cycle.joined(separator: " → "))"), in: cycle[0])
        }
    }

    private mutating func report(_ finding: TenonError, in function: String? = nil) {
        guard findings.count < limit else { return }
        var finding = finding
        if let function {
            finding.message = "function '\(function)'\(finding.node.isEmpty ? ": " : ", ")\(finding.message)"
        }
        findings.append(finding)
    }

    /// What passes and backends rely on.
    private mutating func checkAttributes(_ function: Function, _ name: String, _ symbols: inout [String: String]) {
        for key in ["Composite", "Codegen", "global_symbol"] {
            guard let value = function.attributes[key] else { continue }
            if value.kind != .string || function.attributes.string(key) == "" {
                report(
                    TenonError(.invalidGraph, "attribute '\(key)' expects a name, found \(Literals.text(value))"),
                    in: name)
            }
        }
        if function.composite != nil, function.codegen != nil {
            report(TenonError(.invalidGraph, "has both 'Composite' and 'Codegen'"), in: name)
        }
        if function.codegen != nil, function.globalSymbol == nil {
            report(TenonError(.invalidGraph, "has 'Codegen' but no 'global_symbol'"), in: name)
        }
        if let symbol = function.globalSymbol, let other = symbols.updateValue(name, forKey: symbol) {
            report(TenonError(.invalidGraph, "has the global_symbol '\(symbol)' of function '\(other)'"), in: name)
        }
    }

    /// The names of functions that call each other in a circle, the first one again at the end.
    private func recursion() -> [String]? {
        let names = Array(module.functions.keys)
        var callees: [[Int]] = []
        for function in module.functions.values {
            var called: [Int] = []
            Self.collectCallees(function) { name in
                if let index = module.functions.index(forKey: name) { called.append(index) }
            }
            callees.append(called)
        }
        /// 0: not seen, 1: on the path, 2: done.
        var state = [UInt8](repeating: 0, count: names.count)
        for root in names.indices where state[root] == 0 {
            var path: [(function: Int, next: Int)] = [(root, 0)]
            state[root] = 1
            while let (function, next) = path.last {
                guard next < callees[function].count else {
                    state[function] = 2
                    path.removeLast()
                    continue
                }
                path[path.count - 1].next += 1
                let callee = callees[function][next]
                if state[callee] == 1, let start = path.firstIndex(where: { $0.function == callee }) {
                    return path[start...].map { names[$0.function] } + [names[callee]]
                }
                if state[callee] == 0 {
                    state[callee] = 1
                    path.append((callee, 0))
                }
            }
        }
        return nil
    }

    private static func collectCallees(_ function: Function, depth: Int = 0, _ visit: (String) -> Void) {
        guard depth < TextForm.nestingLimit else { return }
        function.forEachBinding { binding in
            switch binding.expression {
            case .call(let call): if case .function(let name) = call.callee { visit(name) }
            case .function(let local): collectCallees(local, depth: depth + 1, visit)
            default: break
            }
        }
    }
}
