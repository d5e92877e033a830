/// An expression of TVMScript as it is written.
struct ScriptNode {
    indirect enum Kind {
        /// `x`, `R.nn.relu`
        case name(String)
        case string(String)
        case int(Int64)
        case float(Double)
        case bool(Bool)
        case none
        case list([ScriptNode])
        case tuple([ScriptNode])
        case dictionary([(key: String, value: ScriptNode)])
        case call(ScriptNode, arguments: [ScriptNode], named: [(name: String, value: ScriptNode)])
        case item(ScriptNode, index: ScriptNode)
        case operation(String, ScriptNode, ScriptNode)
        case negated(ScriptNode)
    }

    var kind: Kind
    /// Where it begins.
    var at: Int

    var name: String? {
        if case .name(let name) = kind { return name }
        return nil
    }

    /// The entries of a list or of a tuple.
    var entries: [ScriptNode]? {
        switch kind {
        case .list(let entries), .tuple(let entries): entries
        default: nil
        }
    }

    /// What stands where nothing is given.
    var isNone: Bool {
        switch kind {
        case .none: true
        case .call(let callee, let arguments, let named):
            callee.name == "R.null_value" && arguments.isEmpty && named.isEmpty
        default: false
        }
    }

    /// As TVM prints some arguments that are left out.
    var isEmptyTuple: Bool {
        guard case .call(let callee, let arguments, let named) = kind else { return false }
        return callee.name == "R.tuple" && arguments.isEmpty && named.isEmpty
    }
}
