import TenonIR

/// Collects neighbouring composites of one backend in `main` into region functions that carry `Codegen` and
/// `global_symbol`; inside, each composite is a local function that keeps `Composite`.
public struct MergeCompositeFunctions: ModulePass {
    public init() {}

    public var name: String { "MergeCompositeFunctions" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        guard var main = module.main else {
            throw TenonError(.notFound, "\(name): the module has no function 'main'")
        }
        var merging = Merging(main, module, name)
        var body = main.body
        try merging.merge(&body)
        main = merging.main
        main.body = body
        var functions = merging.functions
        // What main does not need goes, regions and all; other functions stay as they are.
        let effects = Effects(module)
        functions.replace("main", with: main.removingUnusedBindings(effects) ?? main.compacted())
        return Self.cleaned(functions.module, effects)
    }

    /// The blocks of one function, those of branches included: what runs in a branch runs on a backend too.
    private struct Merging {
        var main: Function
        var functions: FunctionTable
        private let source: Function
        private let module: Module
        private let name: String
        private let options = GroupExtractor.Options(bindsConstants: false, inlinesComposites: true)
        private var extractor: GroupExtractor

        init(_ main: Function, _ module: Module, _ name: String) {
            self.main = main
            source = main
            self.module = module
            self.name = name
            extractor = GroupExtractor(main, BindingTable(main), module, options)
            functions = FunctionTable(module, ignoring: ["global_symbol"])
        }

        /// A block before the branches in it: what is known of the values (`source`) then holds for every block, because the
        /// values that a merge adds are mentioned in its own block only.
        mutating func merge(_ body: inout Body) throws {
            for index in body.blocks.indices {
                try merge(&body.blocks[index])
                for position in body.blocks[index].bindings.indices {
                    guard
                        case .conditional(let condition, var then, var other) =
                            body.blocks[index].bindings[position].expression
                    else { continue }
                    try merge(&then)
                    try merge(&other)
                    body.blocks[index].bindings[position].expression = .conditional(condition, then: then, else: other)
                }
            }
        }

        private mutating func merge(_ block: inout Block) throws {
            let regions = RegionGroups(block, source) { [module] function in
                module[function]?.composite.map { composite in
                    composite.firstIndex(of: ".").map { String(composite[..<$0]) } ?? composite
                }
            }
            var grouping = Grouping(valueCount: source.values.count)
            var compilers: [String] = []
            var numbering: [Int: Int] = [:]
            for binding in block.bindings {
                guard let region = regions.region(of: binding.id) else { continue }
                let number = numbering[region.group] ?? compilers.count
                if number == compilers.count {
                    numbering[region.group] = number
                    compilers.append(region.compiler)
                }
                grouping.groupOf[binding.id.int] = Int32(number)
            }
            guard !compilers.isEmpty else { return }
            let partitioner = Partitioner(
                options: options,
                describe: { (["Codegen": .string(compilers[$0])], "_" + compilers[$0]) },
                context: "\(name): @main")
            try partitioner.apply(
                to: &block, of: &main, grouping, groupCount: compilers.count, &extractor, &functions)
        }
    }

    /// Gives regions their symbols, and drops what they compute in vain and private functions that nothing calls any more.
    private static func cleaned(_ module: Module, _ effects: Effects) -> Module {
        var result = module
        for (name, function) in module.functions where function.codegen != nil && function.globalSymbol == nil {
            result.functions[name] = function.removingUnusedBindings(effects) ?? function
            result.functions[name]?.attributes["global_symbol"] = .string(name)
        }
        return result.removingUnreachable()
    }
}

extension Module {
    /// Without the private functions (those that carry no `global_symbol`, and are not `main`) that no public one reaches;
    /// `besides`: names of functions that count as private too.
    public func removingUnreachable(besides others: [String] = []) -> Module {
        var reached: Set<String> = []
        var stack: [String] = []
        let others = Set(others)
        for (name, function) in functions
        where !others.contains(name) && (name == "main" || function.globalSymbol != nil || !function.isPrivate) {
            reached.insert(name)
            stack.append(name)
        }
        while let name = stack.popLast() {
            self[name]?.forEachCalledFunction { callee in
                if functions[callee] != nil, reached.insert(callee).inserted { stack.append(callee) }
            }
        }
        guard reached.count < functions.count else { return self }
        var result = self
        result.functions.removeAll { !reached.contains($0.key) }
        return result
    }
}

extension Function {
    /// Made by a pass for use inside the module.
    var isPrivate: Bool { isPrimitive || composite != nil }

    /// Names of module functions that are called or mentioned, local functions included.
    func forEachCalledFunction(_ body: (String) -> Void) {
        func visit(_ operand: Operand) {
            switch operand {
            case .global(let name): body(name)
            case .tuple(let fields): fields.forEach(visit)
            default: break
            }
        }
        forEachBinding { binding in
            switch binding.expression {
            case .call(let call):
                if case .function(let name) = call.callee { body(name) }
                call.arguments.forEach(visit)
            case .tuple(let fields): fields.forEach(visit)
            case .tupleGetItem(let operand, _), .operand(let operand), .matchCast(let operand, _): visit(operand)
            case .function(let function): function.forEachCalledFunction(body)
            case .conditional(let condition, _, _): visit(condition)
            }
        }
        visit(self.body.result)
    }
}
