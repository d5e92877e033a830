import OrderedCollections

/// Functions by name, in order of insertion. The one that runs is `main`.
public struct Module: Sendable {
    public var functions: OrderedDictionary<String, Function>
    public var attributes: Attributes
    /// What the model says about itself besides its graph.
    public var info = ModelInfo()

    public init(functions: OrderedDictionary<String, Function> = [:], attributes: Attributes = Attributes()) {
        self.functions = functions
        self.attributes = attributes
    }

    public subscript(name: String) -> Function? {
        get { functions[name] }
        set { functions[name] = newValue }
    }

    public var main: Function? { functions["main"] }

    /// `base` if no function has that name, else `base` followed by the smallest positive number that makes it free.
    public func uniqueName(_ base: String) -> String {
        if functions[base] == nil { return base }
        var suffix = 1
        while functions["\(base)\(suffix)"] != nil { suffix += 1 }
        return "\(base)\(suffix)"
    }
}
