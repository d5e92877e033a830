import TenonIR

/// What a list of fusion patterns did to a module, and what it nearly did. Bindings are named as the module prints.
public struct Explanation: Sendable, Hashable {
    /// The attribute of a function that says why a backend refused it.
    public static let refusalAttribute = "Refused"

    /// A binding that became part of a composite.
    public struct Member: Sendable, Hashable {
        /// As printed, without the sigil.
        public var binding: String
        /// The operator; "tuple" or "projection" for what calls none.
        public var operatorName: String
    }

    /// Bindings that one rule fused.
    public struct Fusion: Sendable, Hashable {
        public var function: String
        /// The name of the pattern, which is the composite's.
        public var rule: String
        /// The binding of the root call.
        public var root: String
        /// In program order, the root among them.
        public var members: [Member]
    }

    /// A rule whose root and at least one further operator matched, or whose match the backend refused, and which did not
    /// fuse.
    public struct NearMiss: Sendable, Hashable {
        public var function: String
        public var rule: String
        /// The binding of the root call.
        public var root: String
        /// The binding at which the first thing failed; empty when it concerns the match as a whole.
        public var place: String
        /// How many operators had matched by then.
        public var matchedOperators: Int
        public var kind: Refusal.Kind
        public var found: String
        public var expected: String
        /// The rule that fused the root after all; empty when none did.
        public var fusedBy: String
    }

    /// Calls that a rule might have begun with, had they stood in a dataflow block.
    public struct Outside: Sendable, Hashable {
        public var function: String
        public var calls: Int
    }

    /// A region that the backend it was made for has refused (the pass RunCodegen asks), and why.
    public struct RefusedRegion: Sendable, Hashable {
        public var function: String
        public var reason: String
    }

    public var fusions: [Fusion] = []
    public var refusedRegions: [RefusedRegion] = []
    public var nearMisses: [NearMiss] = []
    public var outside: [Outside] = []
}

/// Applies the pass's patterns one after another, as the pass does, and tells what fused and what nearly did.
///
/// A pattern that would make the pass fail, because a group would depend on itself, is reported as a near miss of kind
/// `convexity` and otherwise left out. Nothing is changed.
public func explain(
    _ module: Module, _ pass: FuseOpsByPattern, _ context: PassContext = PassContext()
) throws -> Explanation {
    var explanation = Explanation()
    var current = module
    for (name, function) in module.functions { current[name] = function.withPrintedNames() }
    for pattern in pass.patterns where !context.isDisabled(rule: pattern.name) {
        var explainer = try Explainer(pattern, pass)
        try explainer.look(at: current)
        var single = pass
        single.patterns = [pattern]
        single.annotateCodegen = false
        if explainer.isConvex {
            current = try single.run(on: current, context)
            explanation.fusions += explainer.explanation.fusions
        }
        explanation.nearMisses += explainer.explanation.nearMisses
    }
    explanation.noteFusedRoots()
    try explanation.noteOutside(module, pass, context)
    for (name, function) in module.functions {
        guard case .string(let reason) = function.attributes[Explanation.refusalAttribute] else { continue }
        explanation.refusedRegions.append(Explanation.RefusedRegion(function: name, reason: reason))
    }
    return explanation
}

extension Explanation {
    /// Counts what no rule looked at because it stands in no dataflow block.
    fileprivate mutating func noteOutside(
        _ module: Module, _ pass: FuseOpsByPattern, _ context: PassContext
    ) throws {
        var isAny = false
        var roots: Set<OperatorID> = []
        for pattern in pass.patterns where !context.isDisabled(rule: pattern.name) {
            if let operators = try CompiledPattern(pattern.pattern).rootOperators {
                roots.formUnion(operators)
            } else {
                isAny = true
            }
        }
        for (name, function) in module.functions where pass.isEligible(name, function) {
            var calls = 0
            func count(_ body: Body) {
                for block in body.blocks where !block.isDataflow {
                    for binding in block.bindings {
                        switch binding.expression {
                        case .call(let call):
                            if case .op(let op) = call.callee, isAny || roots.contains(op) { calls += 1 }
                        case .conditional(_, let then, let other):
                            count(then)
                            count(other)
                        default: break
                        }
                    }
                }
            }
            count(function.body)
            if calls > 0 { outside.append(Outside(function: name, calls: calls)) }
        }
    }

    fileprivate mutating func noteFusedRoots() {
        struct Place: Hashable {
            var function: String
            var binding: String
        }
        var found: [Place: (rule: String, members: Int)] = [:]
        for fusion in fusions {
            for member in fusion.members {
                found[Place(function: fusion.function, binding: member.binding)] = (fusion.rule, fusion.members.count)
            }
        }
        // What another rule has taken as well or better is no miss.
        nearMisses = nearMisses.compactMap { miss in
            guard let fusion = found[Place(function: miss.function, binding: miss.root)] else { return miss }
            if fusion.members >= miss.matchedOperators, miss.kind != .backendRefused { return nil }
            var miss = miss
            miss.fusedBy = fusion.rule
            return miss
        }
    }
}

extension Function {
    /// The function with every value called what the printer calls it, so that names survive passes.
    func withPrintedNames() -> Function {
        var names = ValueNames(count: values.count)
        var result = self
        func define(_ id: ValueID) {
            guard values.indices.contains(id.int) else { return }
            result.values[id.int].name = String(names.define(id, values[id.int].name).dropFirst())
        }
        for id in parameters { define(id) }
        forEachBinding { define($0.id) }
        return result
    }
}

/// One pattern against all functions.
private struct Explainer {
    private let pattern: FusionPattern
    private let pass: FuseOpsByPattern
    private let compiled: CompiledPattern
    var explanation = Explanation()
    var isConvex = true

    init(_ pattern: FusionPattern, _ pass: FuseOpsByPattern) throws {
        self.pattern = pattern
        self.pass = pass
        compiled = try CompiledPattern(pattern.pattern)
    }

    mutating func look(at module: Module) throws {
        for (name, function) in module.functions where pass.isEligible(name, function) {
            let table = BindingTable(function)
            try look(at: function.body, of: function, name, table)
        }
    }

    private mutating func look(
        at body: Body, of function: Function, _ name: String, _ table: BindingTable
    ) throws {
        for block in body.blocks {
            for binding in block.bindings {
                guard case .conditional(_, let thenBody, let elseBody) = binding.expression else { continue }
                try look(at: thenBody, of: function, name, table)
                try look(at: elseBody, of: function, name, table)
            }
            if block.isDataflow { try look(at: block, of: function, name, table) }
        }
    }

    private mutating func look(
        at block: Block, of function: Function, _ name: String, _ table: BindingTable
    ) throws {
        var misses: [Explanation.NearMiss] = []
        func label(_ id: ValueID?) -> String { id.flatMap { function.info($0)?.name } ?? "" }
        func miss(_ root: ValueID, _ place: ValueID?, _ refusal: Refusal, _ operators: Int) {
            misses.append(
                Explanation.NearMiss(
                    function: name, rule: pattern.name, root: label(root), place: label(place),
                    matchedOperators: operators, kind: refusal.kind, found: refusal.found, expected: refusal.expected,
                    fusedBy: ""))
        }
        var finder = GroupFinder(pattern, compiled, table)
        finder.recordsFailures = true
        try finder.find(in: block)
        // What a backend refuses had matched altogether, be it one operator.
        for failure in finder.failures
        where failure.matchedOperators >= 2 || failure.refusal.kind == .backendRefused {
            miss(failure.root, failure.place, failure.refusal, failure.matchedOperators)
        }
        var members = [[Explanation.Member]](repeating: [], count: finder.groupCount)
        for binding in block.bindings {
            let group = finder.grouping.group(binding.id)
            if group >= 0 { members[group].append(member(binding, label(binding.id))) }
        }
        // Takes as long as the block, so once for all groups.
        let together = try isConvex(block, function, finder.grouping, finder.groupCount)
        for group in 0..<finder.groupCount where !members[group].isEmpty {
            try Work.check()
            let root = finder.candidates[group].root
            if !together, let refusal = try cycle(of: group, finder, block, function) {
                isConvex = false
                miss(root, nil, refusal, members[group].count)
            } else {
                explanation.fusions.append(
                    Explanation.Fusion(
                        function: name, rule: pattern.name, root: label(root), members: members[group]))
            }
        }
        explanation.nearMisses += misses
    }

    private func member(_ binding: Binding, _ name: String) -> Explanation.Member {
        let operatorName: String
        switch binding.expression {
        case .call(let call):
            switch call.callee {
            case .op(let op): operatorName = op.name
            case .function(let function), .external(let function): operatorName = function
            case .local: operatorName = "local function"
            }
        case .tuple: operatorName = "tuple"
        case .tupleGetItem: operatorName = "projection"
        default: operatorName = "alias"
        }
        return Explanation.Member(binding: name, operatorName: operatorName)
    }

    /// Whether the group alone would depend on its own result.
    private func cycle(
        of group: Int, _ finder: GroupFinder, _ block: Block, _ function: Function
    ) throws -> Refusal? {
        var alone = Grouping(valueCount: function.values.count)
        for binding in block.bindings where finder.grouping.group(binding.id) == group {
            alone.groupOf[binding.id.int] = 0
        }
        if try isConvex(block, function, alone, 1) { return nil }
        return Refusal(
            .convexity, found: "a value outside the match that needs one inside and is needed by one inside",
            expected: "operators that can run as one")
    }

    private func isConvex(_ block: Block, _ function: Function, _ grouping: Grouping, _ groups: Int) throws -> Bool {
        do {
            _ = try BlockPlan(block, function, grouping, groupCount: groups, context: "")
            return true
        } catch let error as TenonError where error.status == .invalidGraph {
            return false
        }
    }
}
