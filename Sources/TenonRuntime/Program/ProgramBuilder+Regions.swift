import TenonIR

extension ProgramBuilder {
    /// A call of a function with `Codegen` as one node that its backend compiles for the sizes of a stage. Nil when a size
    /// of its arguments or results is not known before a run; then the function is inlined.
    mutating func region(
        _ function: Function, _ name: String, _ codegen: String, _ arguments: [Lowered], _ id: ValueID, _ scope: Scope
    ) throws -> Lowered? {
        guard backends[codegen] != nil else {
            let known = backends.keys.sorted().joined(separator: ", ")
            throw TenonError(
                .notFound, "region '\(name)': no backend '\(codegen)'; known: \(known.isEmpty ? "none" : known)")
        }
        guard arguments.count == function.parameters.count, arguments.allSatisfy(isPlanned) else { return nil }
        var symbols: [String: Dim] = [:]
        for (parameter, argument) in zip(function.parameters, arguments) {
            match(function.type(of: parameter), type(of: argument), &symbols)
        }
        guard let result = known(function.resultType, symbols), isSized(result) else { return nil }
        // Types that say what the body checks: what they say of sizes must hold.
        for (parameter, argument) in zip(function.parameters, arguments) {
            let text = function.info(parameter)?.name ?? "parameter"
            _ = try meet(argument, function.type(of: parameter), text, &symbols)
        }
        var inputs: [Int] = []
        for argument in arguments where !isKnown(argument) { try flatten(argument, into: &inputs) }
        let work = Program.Region(
            name: name, codegen: codegen, function: function, arguments: try arguments.map { try self.argument($0) })
        var outputs: [Int] = []
        let lowered = try newResult(result, scope.name(id), into: &outputs)
        open.nodes.append(
            Program.Node(
                work: .region(work), inputs: inputs, outputs: outputs, name: scope.name(id), composite: name))
        return lowered
    }

    private func isPlanned(_ value: Lowered) -> Bool {
        switch value {
        case .tensor(let tensor): program.tensors[tensor].isPlanned
        case .tuple(let fields): fields.allSatisfy(isPlanned)
        case .literal: true
        case .shapeTensor, .function: false
        }
    }

    /// Whether an argument says everything: a literal, a constant, or a tuple of nothing else.
    private func isKnown(_ value: Lowered) -> Bool {
        switch value {
        case .tensor: constant(value) != nil
        case .literal: true
        case .tuple(let fields): !fields.isEmpty && fields.allSatisfy(isKnown)
        case .shapeTensor, .function: false
        }
    }

    /// Symbols of a declared type that stand alone and are new, in the program's.
    func match(_ declared: ValueType, _ actual: ValueType, _ symbols: inout [String: Dim]) {
        func match(_ dims: [Dim]?, _ found: [Dim]?) {
            for (dim, size) in zip(dims ?? [], found ?? []) {
                if let symbol = dim.symbols.first, dim == .symbol(symbol), symbols[symbol] == nil {
                    symbols[symbol] = size
                }
            }
        }
        switch (declared, actual) {
        case (.tensor(let type), .tensor(let found)): match(type.shape, found.shape)
        case (.shape(let dims), .shape(let found)): match(dims, found)
        case (.tuple(let fields), .tuple(let found)):
            for (field, type) in zip(fields, found) { self.match(field, type, &symbols) }
        default: break
        }
    }
}
