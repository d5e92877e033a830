import TenonIR

/// A rewrite rule as two functions in text: whatever computes what `before` does becomes what `after` does.
///
/// Parameters of `before` are captures: a type other than `object` constrains them, symbols in types are captured too, and
/// the attribute `constants=["w"]` of `before` asks that a captured value be a tensor literal. Operators, attributes
/// (defaults included) and literals must be there as written; `add` and `multiply` commute. `after` takes parameters by
/// the same names and of the same types, and gives as many results; functions beside the two are its own, which it may call.
/// Where the types met do not suit `after`, or a value would come to need itself, nothing is changed.
public struct TextRewriter: ModulePass {
    public let name: String
    private let pattern: FunctionPattern
    private var after: Function
    /// What `after` may call.
    private let helpers: [(name: String, function: Function)]
    /// Looks at what `before` met, by the names of its parameters and bindings, and says why it must stay, or nil.
    public var check: (@Sendable (RuleMatch) throws -> Refusal?)?
    public var blockCheck: (@Sendable (BlockMatch) throws -> Refusal?)?
    /// The one function that is rewritten; nil for all.
    public var only: String?

    /// `text` holds the functions `before` and `after`, and those that `after` calls.
    public init(name: String, text: String) throws { try self.init(name: name, module: try Module(text: text)) }

    public init(name: String, module: Module) throws {
        guard let before = module["before"], let after = module["after"] else {
            throw TenonError(.invalidArgument, "rule '\(name)': expected the functions 'before' and 'after'")
        }
        helpers = module.functions.filter { $0.key != "before" && $0.key != "after" }.map { ($0.key, $0.value) }
        do {
            self.name = name
            pattern = try FunctionPattern(before)
            self.after = Self.itemised(after, pattern.results.count)
            try checkAfter(before)
        } catch let error as TenonError {
            throw TenonError(error.status, "rule '\(name)': \(error)", operatorName: error.operatorName)
        }
    }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        if context.isDisabled(rule: name) { return module }
        var result = module
        var rule = self
        let added = rule.adoptHelpers(into: module)
        let effects = Effects(module)
        var changed = false
        for (name, function) in module.functions
        where (only ?? name) == name && !function.isPrimitive && function.composite == nil && function.codegen == nil {
            do {
                let rewritten = try rule.rewrite(function)
                if rewritten == function { continue }
                changed = true
                result[name] = rewritten.removingUnusedBindings(effects) ?? rewritten
            } catch let error as TenonError {
                throw TenonError(
                    error.status, "\(self.name): @\(name): \(error)", operatorName: error.operatorName)
            }
        }
        guard changed else { return module }
        for (name, function) in added { result[name] = function }
        return added.isEmpty ? result.removingUnreachable() : result.removingUnreachable(besides: added.map(\.name))
    }

    /// Gives the helpers names that are free in the module, or those that equal functions have there, and lets `after` and the
    /// helpers call them so. Returns what has to be added.
    private mutating func adoptHelpers(into module: Module) -> [(name: String, function: Function)] {
        var names: [String: String] = [:]
        var taken = module
        var added: [(name: String, function: Function)] = []
        for (name, function) in helpers {
            if let known = module[name], known.isStructurallyEqual(to: function) {
                names[name] = name
                continue
            }
            let free = taken.uniqueName(name)
            names[name] = free
            taken[free] = function
            added.append((free, function))
        }
        after = after.callingFunctions(names)
        return added.map { ($0.name, $0.function.callingFunctions(names)) }
    }

    /// Applies the rule to one function until nothing changes.
    public func rewrite(_ function: Function, roundLimit: Int = 1000) throws -> Function {
        if pattern.results.count == 1 {
            return try rewriteCall(pattern.results[0], in: function, roundLimit: roundLimit) { match, builder in
                if let refusal = try check?(match) { throw refusal }
                var captures: [String: Operand] = [:]
                for (name, node) in pattern.captures { captures[name] = match.operand(node) }
                guard let operand = try instantiate(captures, &builder)?.first, let root = match.root,
                    builder.type(of: operand).canReplace(builder.type(of: root))
                else { return nil }
                return operand
            }
        }
        let context = try pattern.context()
        return try rewriteBindings(context, in: function, roundLimit: roundLimit, skipsInapplicable: true) {
            match, builder in
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

    /// A function that returns a tuple of `count` that it does not make itself, as one that returns the items.
    private static func itemised(_ function: Function, _ count: Int) -> Function {
        let results = FunctionPattern.resultOperands(function)
        guard count > 1, results.count == 1, let tuple = results.first,
            case .tuple(let fields) = function.type(of: tuple), fields.count == count
        else { return function }
        var result = function
        var block = Block(isDataflow: false)
        for (index, type) in fields.enumerated() {
            block.bindings.append(Binding(result.addValue("", type), .tupleGetItem(tuple, index)))
        }
        result.body.blocks.append(block)
        result.body.result = .tuple(block.bindings.map { .value($0.id) })
        return result
    }

    private func checkAfter(_ before: Function) throws {
        for id in after.parameters {
            let name = after.info(id)?.name ?? ""
            guard let given = before.parameters.first(where: { before.info($0)?.name == name }) else {
                throw TenonError(.invalidArgument, "'after' takes '%\(name)', which is no parameter of 'before'")
            }
            let (wanted, found) = (before.type(of: given), after.type(of: id))
            guard wanted == found else {
                throw TenonError(
                    .invalidType,
                    "'before' and 'after' must have the same signature: '%\(name)' expects \(wanted), found \(found)")
            }
        }
        let (old, new) = (FunctionPattern.resultOperands(before), FunctionPattern.resultOperands(after))
        guard new.count == pattern.results.count else {
            throw TenonError(
                .invalidArgument,
                "'before' gives \(pattern.results.count) results and 'after' \(new.count); expected as many")
        }
        for (index, (old, new)) in zip(old, new).enumerated() {
            let (wanted, found) = (before.type(of: old), after.type(of: new))
            guard wanted.mayEqual(found) else {
                throw TenonError(
                    .invalidType,
                    "'before' and 'after' must have the same signature: result \(index) expects \(wanted), found \(found)"
                )
            }
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

    /// Builds what `after` computes; nil when a captured symbol has no value, or an operator does not take what was met.
    private func instantiate(
        _ captures: [String: Operand], _ builder: inout ReplacementBuilder
    ) throws -> [Operand]? {
        do {
            return try build(captures, &builder)
        } catch let error as TenonError where error.status == .invalidShape || error.status == .invalidType {
            return nil
        }
    }

    private func build(_ captures: [String: Operand], _ builder: inout ReplacementBuilder) throws -> [Operand]? {
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
