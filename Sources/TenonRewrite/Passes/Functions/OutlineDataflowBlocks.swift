import TenonIR

/// Makes a function of each dataflow block, of what the block takes, that returns what it shows, and calls it there. Passes
/// that look at one block at a time are then passes on functions. Those functions carry `DataflowBlock`; equal blocks share
/// one. `InlineDataflowBlocks` puts them back.
public struct OutlineDataflowBlocks: ModulePass {
    public init() {}

    public var name: String { "OutlineDataflowBlocks" }

    /// What tells the functions made.
    static let mark = "DataflowBlock"

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var functions = FunctionTable(module)
        let options = GroupExtractor.Options(bindsConstants: true, inlinesComposites: false)
        for (name, given) in module.functions
        where !given.isPrimitive && given.composite == nil && given.codegen == nil
            && given.attributes[Self.mark] == nil
            && (context.entryFunctions.isEmpty || context.entryFunctions.contains(name))
        {
            var function = given
            var extractor = GroupExtractor(given, BindingTable(given), module, options)
            let partitioner = Partitioner(
                options: options, describe: { _ in ([Self.mark: true], "_block") }, context: "\(self.name): @\(name)")

            func outline(_ body: inout Body) throws {
                for index in body.blocks.indices {
                    for position in body.blocks[index].bindings.indices {
                        guard
                            case .conditional(let condition, var then, var other) =
                                body.blocks[index].bindings[position].expression
                        else { continue }
                        try outline(&then)
                        try outline(&other)
                        body.blocks[index].bindings[position].expression = .conditional(
                            condition, then: then, else: other)
                    }
                    guard body.blocks[index].isDataflow, body.blocks[index].bindings.allSatisfy(\.isMovable) else {
                        continue
                    }
                    var grouping = Grouping(valueCount: given.values.count)
                    for binding in body.blocks[index].bindings { grouping.groupOf[binding.id.int] = 0 }
                    try partitioner.apply(
                        to: &body.blocks[index], of: &function, grouping, groupCount: 1, &extractor, &functions)
                }
                body.blocks.removeAll { $0.bindings.isEmpty }
            }

            var body = given.body
            try outline(&body)
            function.body = body
            functions.replace(name, with: function.compacted())
        }
        return functions.module
    }
}

extension Binding {
    /// Whether the binding may stand in another function: symbols that it binds, and functions, are its function's own.
    fileprivate var isMovable: Bool {
        switch expression {
        case .call(let call): if case .local = call.callee { false } else { true }
        case .tuple, .tupleGetItem, .operand: true
        case .matchCast, .function, .conditional: false
        }
    }
}

/// Puts the functions of `OutlineDataflowBlocks` in the place of their calls, and drops them.
public struct InlineDataflowBlocks: ModulePass {
    public init() {}

    public var name: String { "InlineDataflowBlocks" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        try InlinePrivateFunctions.inlining(module) { $0.attributes[OutlineDataflowBlocks.mark] != nil }
    }
}
