import TenonIR

/// Writes operators in terms of others where that is what they are: a convolution in another layout as one between permutations,
/// a drop-out as what it drops nothing of. What runs a module does this itself; passes that look for the plain operators want it
/// done before them. Regions are left to their backends.
public struct ExpandOperators: ModulePass {
    public init() {}

    public var name: String { "ExpandOperators" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        let expanded = try module.expandingOperators()
        return try CanonicalizeBindings().run(on: expanded, context)
    }
}
