import TenonIR

/// The frame of both kinds of rewriting: finds the runs of bindings that are rewritten as units, puts replacements in
/// place, cleans up, and goes on until nothing changes.
struct FunctionRewriter {
    /// A run of bindings as callbacks change it.
    struct Unit {
        let bindings: [Binding]
        /// By position: what the binding is replaced by.
        var replaced: [Expression?]
        /// By position: new bindings that go in front of it.
        var added: [Int: [Binding]] = [:]

        init(_ bindings: [Binding]) {
            self.bindings = bindings
            replaced = [Expression?](repeating: nil, count: bindings.count)
        }
    }

    typealias UnitAction = (inout Unit, inout ReplacementBuilder) throws -> Void
    typealias ResultAction = (Operand, inout ReplacementBuilder) throws -> Operand?

    /// Rounds after which a rule that still fires is taken for one that never stops.
    static let roundLimit = 1000
    /// A function that has become so many times as large is taken for one whose rule grows without end.
    static let growthLimit = 64

    private var builder: ReplacementBuilder
    private var changed = false
    private let onUnit: UnitAction
    private let onResult: ResultAction

    /// Rewrites until a round changes nothing. Nil when already the first one did not.
    static func rewrite(
        _ function: Function, roundLimit: Int = roundLimit, onUnit: UnitAction, onResult: ResultAction = { _, _ in nil }
    ) throws -> Function? {
        try withoutActuallyEscaping(onUnit) { onUnit in
            try withoutActuallyEscaping(onResult) { onResult in
                var current = function
                var rounds = 0
                let sizeLimit = function.bindingCount * growthLimit + 2_000
                while let next = try round(current, onUnit, onResult) {
                    rounds += 1
                    guard rounds <= roundLimit else {
                        throw TenonError(
                            .limitExceeded, "rewriting still finds something to do after \(roundLimit) rounds")
                    }
                    try Work.check()
                    current = next.cleanedUp()
                    guard current.bindingCount <= sizeLimit else {
                        throw TenonError(
                            .limitExceeded,
                            "rewriting has made \(current.bindingCount) bindings of \(function.bindingCount), and still finds something to do"
                        )
                    }
                }
                return rounds == 0 ? nil : current
            }
        }
    }

    private static func round(
        _ function: Function, _ onUnit: @escaping UnitAction, _ onResult: @escaping ResultAction
    ) throws -> Function? {
        var rewriter = FunctionRewriter(builder: ReplacementBuilder(function), onUnit: onUnit, onResult: onResult)
        let body = try rewriter.rewrite(function.body)
        guard rewriter.changed else { return nil }
        var result = rewriter.builder.function
        result.body = body
        return result.compacted()
    }

    private init(builder: ReplacementBuilder, onUnit: @escaping UnitAction, onResult: @escaping ResultAction) {
        self.builder = builder
        self.onUnit = onUnit
        self.onResult = onResult
    }

    private mutating func rewrite(_ body: Body) throws -> Body {
        var body = body
        var shown: [ValueID] = []
        for index in body.blocks.indices {
            let block = body.blocks[index]
            body.blocks[index].bindings = try rewrite(block)
            for binding in body.blocks[index].bindings {
                let info = builder.function.values[binding.id.int]
                builder.isVisible[binding.id.int] = !info.isDataflow
                shown.append(binding.id)
            }
        }
        builder.isDataflow = false
        if case .value = body.result {
        } else if let result = try onResult(body.result, &builder), result != body.result {
            try builder.check(result)
            let (new, old) = (builder.type(of: result), builder.type(of: body.result))
            guard new.canReplace(old) else {
                throw TenonError(.invalidType, "the replacement of the result has type \(new), not \(old)")
            }
            changed = true
            if !builder.pending.isEmpty { body.blocks.append(Block(isDataflow: false, bindings: builder.pending)) }
            body.result = result
        }
        builder.discard(to: 0)
        for id in shown { builder.isVisible[id.int] = false }
        return body
    }

    /// A dataflow block is one unit; elsewhere control flow and calls that may have effects separate them.
    private mutating func rewrite(_ block: Block) throws -> [Binding] {
        if block.isDataflow { return try rewrite(unit: block.bindings, isDataflow: true) }
        var result: [Binding] = []
        var run: [Binding] = []
        func isBarrier(_ expression: Expression) -> Bool {
            switch expression {
            case .conditional: return true
            case .call(let call):
                if case .op = call.callee { return false }
                return true
            default: return false
            }
        }
        for var binding in block.bindings {
            guard isBarrier(binding.expression) else {
                run.append(binding)
                continue
            }
            result += try rewrite(unit: run, isDataflow: false)
            run = []
            if case .conditional(let condition, let thenBody, let elseBody) = binding.expression {
                let (first, second) = (try rewrite(thenBody), try rewrite(elseBody))
                binding.expression = .conditional(condition, then: first, else: second)
            }
            builder.isVisible[binding.id.int] = true
            result.append(binding)
        }
        return result + (try rewrite(unit: run, isDataflow: false))
    }

    private mutating func rewrite(unit bindings: [Binding], isDataflow: Bool) throws -> [Binding] {
        guard !bindings.isEmpty else { return [] }
        builder.isDataflow = isDataflow
        for binding in bindings {
            builder.isVisible[binding.id.int] = true
            builder.note(binding)
        }
        var unit = Unit(bindings)
        for (position, binding) in bindings.enumerated() {
            guard case .function(let local) = binding.expression else { continue }
            if let rewritten = try Self.rewriteLocal(local, onUnit, onResult) {
                unit.replaced[position] = .function(rewritten)
            }
        }
        try onUnit(&unit, &builder)
        guard unit.replaced.contains(where: { $0 != nil }) else { return bindings }
        changed = true
        var result: [Binding] = []
        for (position, binding) in bindings.enumerated() {
            result += unit.added[position] ?? []
            result.append(Binding(binding.id, unit.replaced[position] ?? binding.expression))
        }
        return try BindingOrder.sorted(result, valueCount: builder.function.values.count)
    }

    /// A local function captures nothing: it is rewritten by itself, one round at a time like everything else.
    private static func rewriteLocal(
        _ function: Function, _ onUnit: @escaping UnitAction, _ onResult: @escaping ResultAction
    ) throws -> Function? {
        try round(function, onUnit, onResult)?.cleanedUp()
    }
}

extension Function {
    /// Without aliases, known projections, repeated expressions and unused bindings.
    func cleanedUp() -> Function {
        var current = self
        // Each step can make work for the others, but every one of them removes something.
        while true {
            var next = current
            next = Canonicalization.rewritten(next) ?? next
            next = CommonSubexpressions.rewritten(next) ?? next
            guard let smaller = next.removingUnusedBindings(.unknown) else {
                guard next.bindingCount < current.bindingCount else { return next }
                current = next
                continue
            }
            current = smaller
        }
    }

    var bindingCount: Int {
        var count = 0
        forEachBinding { _ in count += 1 }
        return count
    }
}

/// Puts bindings in an order in which each comes after what it needs.
enum BindingOrder {
    /// Stable: a binding that needs a later one is delayed until that is there, and no further.
    static func sorted(_ bindings: [Binding], valueCount: Int) throws -> [Binding] {
        var position = [Int32](repeating: -1, count: valueCount)
        for (index, binding) in bindings.enumerated() { position[binding.id.int] = Int32(index) }
        var isEmitted = [Bool](repeating: false, count: bindings.count)
        var missing = [Int32](repeating: 0, count: bindings.count)
        var waiting: [Int32: [Int]] = [:]
        var result: [Binding] = []
        result.reserveCapacity(bindings.count)
        func emit(_ first: Int) {
            var queue = [first]
            var next = 0
            while next < queue.count {
                let index = queue[next]
                next += 1
                isEmitted[index] = true
                result.append(bindings[index])
                for other in waiting.removeValue(forKey: Int32(index)) ?? [] {
                    missing[other] -= 1
                    if missing[other] == 0 { queue.append(other) }
                }
            }
        }
        for (index, binding) in bindings.enumerated() {
            var needs: [Int32] = []
            binding.expression.forEachValue { id in
                let need = position[id.int]
                if need >= 0, !isEmitted[Int(need)], !needs.contains(need) { needs.append(need) }
            }
            if needs.isEmpty {
                emit(index)
            } else {
                missing[index] = Int32(needs.count)
                for need in needs { waiting[need, default: []].append(index) }
            }
        }
        guard result.count == bindings.count else {
            throw TenonError(.invalidGraph, "a replacement needs a value that depends on its own result")
        }
        return result
    }
}
