import TenonIR

/// Puts what internal functions do in the place of their calls, and drops them. Recursive functions, composites and regions stay.
public struct InlinePrivateFunctions: ModulePass {
    public init() {}

    public var name: String { "InlinePrivateFunctions" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        try Self.inlining(module) { _ in true }
    }

    /// Only internal functions that `isWanted`.
    static func inlining(_ module: Module, _ isWanted: @escaping (Function) -> Bool) throws -> Module {
        var inliner = Inliner(module, isWanted)
        for name in module.functions.keys { try inliner.prepare(name) }
        guard !inliner.inlined.isEmpty else { return module }
        return inliner.module.removingUnreachable(besides: Array(inliner.inlined))
    }

    private struct Inliner {
        var module: Module
        var inlined: Set<String> = []
        private let effects: Effects
        private var isReady: Set<String> = []
        private let recursive: Set<String>
        private let isWanted: (Function) -> Bool

        init(_ module: Module, _ isWanted: @escaping (Function) -> Bool) {
            self.module = module
            self.isWanted = isWanted
            effects = Effects(module)
            recursive = module.recursiveFunctions()
        }

        private func mayInline(_ name: String) -> Bool {
            guard !recursive.contains(name), let function = module[name] else { return false }
            return function.isInternal(named: name) && isWanted(function)
        }

        /// Inlines into a function what it calls, callees first. Not recursive: calls may be chained as deep as a file says.
        mutating func prepare(_ first: String) throws {
            var stack = [(name: first, isOpened: false)]
            while let (name, isOpened) = stack.popLast() {
                guard !isReady.contains(name), let function = module[name] else { continue }
                if isOpened {
                    isReady.insert(name)
                    module[name] = try expanded(function)
                    continue
                }
                stack.append((name, true))
                function.forEachCalledFunction { callee in
                    if mayInline(callee), !isReady.contains(callee) { stack.append((callee, false)) }
                }
            }
        }

        private mutating func expanded(_ function: Function) throws -> Function {
            var target = function
            var changed = false
            let isTakenApart = function.valuesTakenApart()
            // Results of calls that are only taken apart.
            var fields: [ValueID: [Operand]] = [:]

            func expand(_ body: Body) throws -> Body {
                var blocks: [Block] = []
                for block in body.blocks {
                    // Pieces of one block; those of a kind that touch are one.
                    var pieces = [Block(isDataflow: block.isDataflow)]
                    func append(_ piece: Block) {
                        if pieces[pieces.count - 1].isDataflow == piece.isDataflow {
                            pieces[pieces.count - 1].bindings += piece.bindings
                        } else {
                            pieces.append(piece)
                        }
                    }
                    for var binding in block.bindings {
                        if case .conditional(let condition, let then, let other) = binding.expression {
                            binding.expression = .conditional(
                                condition, then: try expand(then), else: try expand(other))
                        }
                        if case .tupleGetItem(.value(let tuple), let index) = binding.expression,
                            let known = fields[tuple], known.indices.contains(index)
                        {
                            binding.expression = .operand(known[index])
                        }
                        guard case .call(let call) = binding.expression, case .function(let name) = call.callee,
                            mayInline(name), let callee = module[name], callee.parameters.count == call.arguments.count
                        else {
                            append(Block(isDataflow: block.isDataflow, bindings: [binding]))
                            continue
                        }
                        changed = true
                        inlined.insert(name)
                        var symbols: [String: Dim] = [:]
                        for (parameter, argument) in zip(callee.parameters, call.arguments) {
                            FunctionPattern.bind(callee.type(of: parameter), to: target.type(of: argument), &symbols)
                        }
                        var copier = BodyCopier(from: callee, into: target, symbols: symbols)
                        for (parameter, argument) in zip(callee.parameters, call.arguments) {
                            copier.set(parameter, argument)
                        }
                        let copy = try copier.copy(copier.body)
                        target = copier.target
                        for inner in copy.blocks {
                            let isPure =
                                inner.isDataflow || inner.bindings.allSatisfy { isPlain($0.expression, target) }
                            append(Block(isDataflow: block.isDataflow && isPure, bindings: inner.bindings))
                        }
                        if case .tuple(let known) = copy.result, isTakenApart.contains(binding.id) {
                            fields[binding.id] = known
                        } else {
                            append(
                                Block(
                                    isDataflow: block.isDataflow, bindings: [Binding(binding.id, .operand(copy.result))]
                                ))
                        }
                    }
                    blocks += pieces.filter { !$0.bindings.isEmpty }
                }
                return Body(blocks: blocks, result: body.result)
            }

            let body = try expand(function.body)
            guard changed else { return function }
            target.body = body
            target = target.withScopedValues(showing: true) ?? target
            for block in body.blocks where !block.isDataflow {
                for binding in block.bindings { target.values[binding.id.int].isDataflow = false }
            }
            target = target.withoutDataflowMarksOutside()
            return (Canonicalization.rewritten(target) ?? target).compacted()
        }

        private func isPlain(_ expression: Expression, _ function: Function) -> Bool {
            if case .conditional = expression { return false }
            return !effects.mayHave(expression, in: function)
        }
    }
}

extension Function {
    /// Values of which nothing but projections are used.
    fileprivate func valuesTakenApart() -> Set<ValueID> {
        var projections = [Int](repeating: 0, count: values.count)
        forEachBinding { binding in
            if case .tupleGetItem(.value(let tuple), _) = binding.expression { projections[tuple.int] += 1 }
        }
        body.forEachValue { projections[$0.int] -= 1 }
        forEachBinding { binding in
            if case .tupleGetItem(.value(let tuple), _) = binding.expression, projections[tuple.int] == 0 {
                projections[tuple.int] = .max
            }
        }
        return Set(projections.indices.filter { projections[$0] == .max }.map { ValueID($0) })
    }

    /// Values that no dataflow block binds are local to none.
    func withoutDataflowMarksOutside() -> Function {
        var result = self
        func visit(_ body: Body) {
            for block in body.blocks {
                for binding in block.bindings {
                    if !block.isDataflow { result.values[binding.id.int].isDataflow = false }
                    if case .conditional(_, let then, let other) = binding.expression {
                        visit(then)
                        visit(other)
                    }
                }
            }
        }
        visit(body)
        return result
    }
}

extension Module {
    /// Functions that call themselves, directly or through others.
    func recursiveFunctions() -> Set<String> {
        var callees: [String: [String]] = [:]
        for (name, function) in functions {
            var names: [String] = []
            function.forEachCalledFunction { if functions[$0] != nil, !names.contains($0) { names.append($0) } }
            callees[name] = names
        }
        var recursive: Set<String> = []
        for name in functions.keys {
            var seen: Set<String> = []
            var stack = callees[name] ?? []
            while let next = stack.popLast() {
                if next == name {
                    recursive.insert(name)
                    break
                }
                if seen.insert(next).inserted { stack += callees[next] ?? [] }
            }
        }
        return recursive
    }
}
