import TenonIR

/// A rewrite rule as two functions in text: whatever computes what `before` does becomes what `after` does.
///
/// Parameters of `before` are captures: a type other than `object` constrains them, symbols in types are captured too, and
/// the attribute `constants=["w"]` of `before` asks that a captured value be a tensor literal. Operators, attributes
/// (defaults included) and literals must be there as written; `add` and `multiply` commute. `after` takes parameters by
/// the same names and gives as many results.
public struct TextRewriter: ModulePass {
    public let name: String
    private let pattern: FunctionPattern
    private let after: Function
    /// Looks at what `before` met, by the names of its parameters and bindings, and says why it must stay, or nil. A refusal
    /// of several results together ends the search in their block.
    public var check: (@Sendable (RuleMatch) throws -> Refusal?)?
    public var blockCheck: (@Sendable (BlockMatch) throws -> Refusal?)?

    /// `text` holds two functions, `before` and `after`.
    public init(name: String, text: String) throws { try self.init(name: name, module: try Module(text: text)) }

    public init(name: String, module: Module) throws {
        guard let before = module["before"], let after = module["after"], module.functions.count == 2 else {
            throw TenonError(.invalidArgument, "rule '\(name)': expected the functions 'before' and 'after'")
        }
        do {
            self.name = name
            pattern = try FunctionPattern(before)
            self.after = after
            try checkAfter(before)
        } catch let error as TenonError {
            throw TenonError(error.status, "rule '\(name)': \(error)", operatorName: error.operatorName)
        }
    }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        if context.isDisabled(rule: name) { return module }
        var result = module
        for (name, function) in module.functions
        where !function.isPrimitive && function.composite == nil && function.codegen == nil {
            do {
                result[name] = try rewrite(function)
            } catch let error as TenonError {
                throw TenonError(
                    error.status, "\(self.name): @\(name): \(error)", operatorName: error.operatorName)
            }
        }
        return result
    }

    /// Applies the rule to one function until nothing changes.
    public func rewrite(_ function: Function, roundLimit: Int = 1000) throws -> Function {
        if pattern.results.count == 1 {
            return try rewriteCall(pattern.results[0], in: function, roundLimit: roundLimit) { match, builder in
                if let refusal = try check?(match) { throw refusal }
                var captures: [String: Operand] = [:]
                for (name, node) in pattern.captures { captures[name] = match.operand(node) }
                return try instantiate(captures, &builder)?.first
            }
        }
        var context = PatternContext()
        for result in pattern.results { try context.add(result) }
        return try rewriteBindings(context, in: function, roundLimit: roundLimit) { match, builder in
            if let refusal = try blockCheck?(match) { throw refusal }
            var captures: [String: Operand] = [:]
            for (name, node) in pattern.captures { captures[name] = match[node].map { .value($0) } }
            guard let results = try instantiate(captures, &builder) else { return nil }
            var replacements: [ValueID: Operand] = [:]
            for (node, operand) in zip(pattern.results, results) {
                guard let id = match[node] else { return nil }
                replacements[id] = operand
            }
            return replacements
        }
    }

    private func checkAfter(_ before: Function) throws {
        for id in after.parameters {
            let name = after.info(id)?.name ?? ""
            guard pattern.captures.contains(where: { $0.name == name }) else {
                throw TenonError(.invalidArgument, "'after' takes '%\(name)', which is no parameter of 'before'")
            }
        }
        let count = FunctionPattern.resultOperands(after).count
        guard count == pattern.results.count else {
            throw TenonError(
                .invalidArgument,
                "'before' gives \(pattern.results.count) results and 'after' \(count); expected as many")
        }
        try after.forEachBinding { binding in
            switch binding.expression {
            case .call(let call):
                if case .local = call.callee { throw Self.unsupported(binding, after) }
            case .tuple, .tupleGetItem, .operand: return
            case .matchCast, .function, .conditional: throw Self.unsupported(binding, after)
            }
        }
    }

    static func unsupported(_ binding: Binding, _ function: Function) -> TenonError {
        TenonError(
            .unsupported,
            "%\(function.info(binding.id)?.name ?? "") is neither a call of an operator or function, nor a tuple, a projection or an alias"
        )
    }

    /// Builds what `after` computes; nil when a captured symbol has no value.
    private func instantiate(
        _ captures: [String: Operand], _ builder: inout ReplacementBuilder
    ) throws -> [Operand]? {
        var symbols: [String: Dim] = [:]
        for (name, node) in pattern.captures {
            guard let operand = captures[name], case .type(_, let type) = node.kind else { continue }
            FunctionPattern.bind(type, to: builder.type(of: operand), &symbols)
        }
        var values: [ValueID: Operand] = [:]
        for id in after.parameters {
            guard let operand = captures[after.info(id)?.name ?? ""] else { return nil }
            values[id] = operand
        }
        func mapped(_ operand: Operand) -> Operand? {
            switch operand {
            case .value(let id): return values[id]
            case .shape(let dims): return dims.substituting(symbols).map { .shape($0) }
            case .tuple(let fields):
                let all = fields.compactMap { mapped($0) }
                return all.count == fields.count ? .tuple(all) : nil
            default: return operand
            }
        }
        for block in after.body.blocks {
            for binding in block.bindings {
                let name = after.info(binding.id)?.name ?? ""
                switch binding.expression {
                case .call(var call):
                    let arguments = call.arguments.compactMap { mapped($0) }
                    guard arguments.count == call.arguments.count else { return nil }
                    if case .op(let op) = call.callee {
                        values[binding.id] = try builder.call(op, arguments, call.attributes, name: name)
                    } else {
                        call.arguments = arguments
                        guard let type = after.type(of: binding.id).substituting(symbols) else { return nil }
                        values[binding.id] = try builder.bind(.call(call), type, name: name)
                    }
                case .tuple(let fields):
                    guard let tuple = mapped(.tuple(fields)) else { return nil }
                    values[binding.id] = tuple
                case .tupleGetItem(let tuple, let index):
                    guard let operand = mapped(tuple) else { return nil }
                    if case .tuple(let fields) = operand, fields.indices.contains(index) {
                        values[binding.id] = fields[index]
                    } else {
                        values[binding.id] = try builder.tupleGetItem(operand, index, name: name)
                    }
                case .operand(let operand):
                    guard let target = mapped(operand) else { return nil }
                    values[binding.id] = target
                case .matchCast, .function, .conditional: return nil
                }
            }
        }
        let results = FunctionPattern.resultOperands(after)
        let operands = results.compactMap { mapped($0) }
        return operands.count == results.count ? operands : nil
    }
}

/// The pattern that a function describes.
struct FunctionPattern {
    /// By parameter name.
    let captures: [(name: String, node: Pattern)]
    /// One pattern per result.
    let results: [Pattern]

    /// Results of a function: the fields of a tuple that it returns, or the one value.
    static func resultOperands(_ function: Function) -> [Operand] {
        if case .tuple(let fields) = function.body.result { return fields }
        return [function.body.result]
    }

    init(_ function: Function) throws {
        var constants: [String] = []
        if case .strings(let names)? = function.attributes["constants"] { constants = names }
        var nodes: [ValueID: Pattern] = [:]
        var captures: [(name: String, node: Pattern)] = []
        for id in function.parameters {
            let (name, type) = (function.info(id)?.name ?? "", function.type(of: id))
            let leaf = Pattern(constants.contains(name) ? .constant(nil) : .wildcard, name: name)
            let node = type == .object ? leaf : Pattern(.type(leaf, type), name: name)
            nodes[id] = node
            captures.append((name, node))
        }
        for name in constants where !captures.contains(where: { $0.name == name }) {
            throw TenonError(.invalidArgument, "'constants' names '%\(name)', which is no parameter of 'before'")
        }
        func node(_ operand: Operand) throws -> Pattern {
            switch operand {
            case .value(let id):
                guard let node = nodes[id] else { throw TenonError(.invalidGraph, "'before' uses an undefined value") }
                return node
            case .tuple(let fields): return isTuple(try fields.map { try node($0) })
            case .shape(let dims): return isShape(dims)
            default: return isExpr(operand)
            }
        }
        var used: Set<ValueID> = []
        for block in function.body.blocks {
            for binding in block.bindings {
                binding.expression.forEachValue { used.insert($0) }
                nodes[binding.id] = try Self.pattern(binding, function, node)
            }
        }
        function.body.result.forEachValue { used.insert($0) }
        for block in function.body.blocks {
            for binding in block.bindings where !used.contains(binding.id) {
                throw TenonError(.invalidArgument, "'before' does not use %\(function.info(binding.id)?.name ?? "")")
            }
        }
        results = try Self.resultOperands(function).map { try node($0) }
        for result in results {
            guard case .call = Self.withoutConstraints(result).kind else {
                throw TenonError(.invalidArgument, "every result of 'before' must be that of a call")
            }
        }
        self.captures = captures
    }

    private static func withoutConstraints(_ pattern: Pattern) -> Pattern {
        var current = pattern
        while case .attributes(let inner, _) = current.kind { current = inner }
        return current
    }

    private static func pattern(
        _ binding: Binding, _ function: Function, _ node: (Operand) throws -> Pattern
    ) throws -> Pattern {
        let name = function.info(binding.id)?.name ?? ""
        switch binding.expression {
        case .call(let call):
            let callee: Pattern
            switch call.callee {
            case .op(let id): callee = Pattern(.op(id))
            case .external(let name): callee = Pattern(.external(name))
            case .function(let name): callee = Pattern(.globalVariable(name))
            case .local: throw TextRewriter.unsupported(binding, function)
            }
            let made = callee.call(try call.arguments.map(node))
            if call.attributes.isEmpty { return made.named(name) }
            return made.hasAttributes(call.attributes)
        case .tuple(let fields): return isTuple(try fields.map(node)).named(name)
        case .tupleGetItem(let tuple, let index): return try node(tuple).item(index).named(name)
        case .operand(let operand): return try node(operand)
        case .matchCast, .function, .conditional: throw TextRewriter.unsupported(binding, function)
        }
    }

    /// Finds what the symbols of a constraint stand for.
    static func bind(_ constraint: ValueType, to type: ValueType, _ symbols: inout [String: Dim]) {
        func dims(_ wanted: [Dim], _ found: [Dim]) {
            for (dim, value) in zip(wanted, found) {
                if let name = dim.plainSymbol, symbols[name] == nil { symbols[name] = value }
            }
        }
        switch (constraint, type) {
        case (.tensor(let wanted), .tensor(let found)): dims(wanted.shape ?? [], found.shape ?? [])
        case (.shape(let wanted), .shape(let found)): dims(wanted ?? [], found ?? [])
        case (.tuple(let wanted), .tuple(let found)):
            for (a, b) in zip(wanted, found) { bind(a, to: b, &symbols) }
        default: break
        }
    }
}
