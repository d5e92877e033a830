extension Module {
    /// Some function, or one bound inside of one, carries `Composite` or `Codegen`: somebody has decided what is fused.
    public var isFused: Bool { functions.values.contains(where: \.isFused) }
}

extension Function {
    fileprivate var isFused: Bool {
        // Functions lie in functions only as deep as the verifier allows.
        if composite != nil || codegen != nil { return true }
        return containsBinding { if case .function(let local) = $0 { local.isFused } else { false } }
    }
}
