import TenonIR

/// The pattern that a function describes.
struct FunctionPattern {
    /// By parameter name.
    let captures: [(name: String, node: Pattern)]
    /// One pattern per result.
    let results: [Pattern]

    /// Results of a function: the fields of a tuple that it returns, bound or not, or the one value.
    static func resultOperands(_ function: Function) -> [Operand] {
        var tuples: [ValueID: [Operand]] = [:]
        var aliases: [ValueID: Operand] = [:]
        function.forEachBinding { binding in
            switch binding.expression {
            case .tuple(let fields): tuples[binding.id] = fields
            case .operand(let operand): aliases[binding.id] = operand
            default: break
            }
        }
        var result = function.body.result
        while case .value(let id) = result, let named = aliases[id] { result = named }
        switch result {
        case .tuple(let fields): return fields
        case .value(let id): return tuples[id] ?? [result]
        default: return [result]
        }
    }

    /// Results as nodes of one block, related to what they use. The node of a call with attributes is the one that asks for them.
    func context() throws -> PatternContext {
        var context = PatternContext()
        var stack = Array(results.reversed())
        var seen: Set<ObjectIdentifier> = []
        while let node = stack.popLast() {
            guard seen.insert(ObjectIdentifier(node)).inserted else { continue }
            var uses: [Pattern] = []
            switch Self.withoutAttributes(node).kind {
            case .call(_, let arguments?, _, _): for argument in arguments { Self.collect(argument, &uses) }
            case .tupleGetItem(let tuple, _): uses = [tuple]
            case .tuple: Self.collect(node, &uses)
            default: break
            }
            for (place, used) in uses.enumerated() {
                try context.state(UseRelation(producer: used, consumer: node, operand: place))
            }
            stack.append(contentsOf: uses.reversed())
        }
        return context
    }

    /// The variables that an operand mentions, through tuples; literals are none.
    private static func collect(_ pattern: Pattern, _ uses: inout [Pattern]) {
        switch pattern.kind {
        case .tuple(let fields): for field in fields { collect(field, &uses) }
        case .constant, .shapeLiteral, .expression: break
        default: uses.append(pattern)
        }
    }

    private static func withoutAttributes(_ pattern: Pattern) -> Pattern {
        var current = pattern
        while case .attributes(let inner, _) = current.kind { current = inner }
        return current
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
        guard !results.isEmpty, results.allSatisfy(Self.computes) else {
            throw TenonError(
                .invalidArgument, "every result of 'before' must be that of a call, an item of one or a tuple of such")
        }
        self.captures = captures
    }

    /// Whether a result is more than what was given.
    private static func computes(_ pattern: Pattern) -> Bool {
        switch pattern.kind {
        case .call: true
        case .attributes(let inner, _), .tupleGetItem(let inner, _): computes(inner)
        case .tuple(let fields): !fields.isEmpty && fields.allSatisfy(computes)
        default: false
        }
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
