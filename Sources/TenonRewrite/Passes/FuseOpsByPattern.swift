import TenonIR

/// Moves every match of the patterns, first pattern first, into a composite function.
///
/// A composite carries `Composite` (the pattern's name) and `Primitive`; equal composites are one function. Operators that
/// are in a composite are not seen by later patterns. An intermediate value that is used outside the match becomes a second
/// output unless the pattern's check refuses that.
public struct FuseOpsByPattern: ModulePass {
    public var patterns: [FusionPattern]
    /// Tensor literals stay inside the composites; otherwise they are passed at the call.
    public var bindConstants: Bool
    /// Wraps every composite in a function that carries `Codegen` and `global_symbol`.
    public var annotateCodegen: Bool
    /// Functions to look at; all that carry none of `Primitive`, `Composite`, `Codegen` when empty.
    public var entryFunctions: [String]

    public init(
        _ patterns: [FusionPattern], bindConstants: Bool = true, annotateCodegen: Bool = false,
        entryFunctions: [String] = []
    ) {
        self.patterns = patterns
        self.bindConstants = bindConstants
        self.annotateCodegen = annotateCodegen
        self.entryFunctions = entryFunctions
    }

    public var name: String { "FuseOpsByPattern" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        guard entryFunctions.isEmpty, !context.entryFunctions.isEmpty else { return try runAll(module, context) }
        var pass = self
        pass.entryFunctions = context.entryFunctions
        for function in pass.entryFunctions where module[function] == nil {
            throw TenonError(.notFound, "\(name): entry function '\(function)' is not in the module", node: function)
        }
        return try pass.runAll(module, context)
    }

    private func runAll(_ module: Module, _ context: PassContext) throws -> Module {
        var result = module
        for pattern in patterns where !context.isDisabled(rule: pattern.name) {
            result = try apply(pattern, to: result, context)
        }
        if annotateCodegen { result = try CodegenAnnotator.annotate(result, patterns.map(\.name)) }
        return result
    }

    func isEligible(_ name: String, _ function: Function) -> Bool {
        if !entryFunctions.isEmpty { return entryFunctions.contains(name) }
        return !function.isPrimitive && function.composite == nil && function.codegen == nil
    }

    private func apply(_ pattern: FusionPattern, to module: Module, _ context: PassContext) throws -> Module {
        let compiled = try CompiledPattern(pattern.pattern)
        var functions = FunctionTable(module)
        for (name, function) in module.functions where isEligible(name, function) {
            if let roots = compiled.roots, !Self.uses(function, roots) { continue }
            var rewriting = Rewriting(
                pass: self, pattern: pattern, compiled: compiled, function: function, module: module,
                functions: functions,
                context: context, where: "\(self.name): pattern '\(pattern.name)' in @\(name)")
            guard try rewriting.run() else { continue }
            functions = rewriting.functions
            functions.replace(name, with: rewriting.function.compacted())
        }
        return functions.module
    }

    private static func uses(_ function: Function, _ roots: OperatorSet) -> Bool {
        function.containsBinding {
            guard case .call(let call) = $0, case .op(let op) = call.callee else { return false }
            return roots.contains(op)
        }
    }

    /// One pattern applied to one function.
    private struct Rewriting {
        let pass: FuseOpsByPattern
        let pattern: FusionPattern
        let compiled: CompiledPattern
        var function: Function
        var functions: FunctionTable
        let context: PassContext
        let place: String
        private let table: BindingTable
        private var extractor: GroupExtractor

        init(
            pass: FuseOpsByPattern, pattern: FusionPattern, compiled: CompiledPattern, function: Function,
            module: Module, functions: FunctionTable, context: PassContext, where place: String
        ) {
            self.pass = pass
            self.pattern = pattern
            self.compiled = compiled
            self.function = function
            self.functions = functions
            self.context = context
            self.place = place
            table = BindingTable(function)
            extractor = GroupExtractor(
                function, table, module, .init(bindsConstants: pass.bindConstants, inlinesComposites: false))
        }

        mutating func run() throws -> Bool {
            var body = function.body
            let changed = try rewrite(&body)
            function.body = body
            return changed
        }

        /// A block before the branches in it: what is known of the values (`table`) then holds for every block, because the
        /// values that a match adds are mentioned in its own block only.
        private mutating func rewrite(_ body: inout Body) throws -> Bool {
            var changed = false
            for block in body.blocks.indices {
                if body.blocks[block].isDataflow, try rewrite(&body.blocks[block]) { changed = true }
                for index in body.blocks[block].bindings.indices {
                    guard
                        case .conditional(let condition, var thenBody, var elseBody) =
                            body.blocks[block].bindings[index].expression
                    else { continue }
                    let first = try rewrite(&thenBody)
                    let second = try rewrite(&elseBody)
                    if first || second {
                        changed = true
                        body.blocks[block].bindings[index].expression = .conditional(
                            condition, then: thenBody, else: elseBody)
                    }
                }
            }
            return changed
        }

        private mutating func rewrite(_ block: inout Block) throws -> Bool {
            var finder = GroupFinder(pattern, compiled, table)
            do {
                try finder.find(in: block)
            } catch let error as TenonError {
                throw TenonError(error.status, "\(place): \(error)")
            }
            guard finder.groupCount > 0 else { return false }
            var attributes: [Attributes] = []
            for candidate in finder.candidates {
                var made: Attributes = try pattern.attributes?(candidate) ?? Attributes()
                made["Composite"] = .string(pattern.name)
                made["Primitive"] = .bool(true)
                attributes.append(made)
            }
            let partitioner = Partitioner(
                options: extractor.options, describe: { (attributes[$0], "") }, context: place)
            try partitioner.apply(
                to: &block, of: &function, finder.grouping, groupCount: finder.groupCount, &extractor, &functions)
            return true
        }
    }
}
