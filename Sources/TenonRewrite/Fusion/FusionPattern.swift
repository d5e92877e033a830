import TenonIR

/// One entry of the list that `FuseOpsByPattern` takes; earlier entries have priority.
public struct FusionPattern: Sendable {
    /// What `Composite` of the functions made will say; the part before the first dot names the backend.
    public var name: String
    public var pattern: Pattern
    /// Nodes whose matches the check and the attribute getter see, by label.
    public var annotations: [(label: String, node: Pattern)]
    /// Looks at a structural match and says why it must not be fused, or nil.
    public var check: (@Sendable (FusionCandidate) throws -> Refusal?)?
    /// Further attributes for the functions made.
    public var attributes: (@Sendable (FusionCandidate) throws -> Attributes)?
    /// A value inside the match may be used outside it. The general pass allows that and exports the value; rules of a
    /// backend do not.
    public var allowsLeak: Bool

    public init(
        _ name: String, _ pattern: Pattern, annotations: [(label: String, node: Pattern)] = [],
        check: (@Sendable (FusionCandidate) throws -> Refusal?)? = nil,
        attributes: (@Sendable (FusionCandidate) throws -> Attributes)? = nil, allowsLeak: Bool = true
    ) {
        self.name = name
        self.pattern = pattern
        self.annotations = annotations
        self.check = check
        self.attributes = attributes
        self.allowsLeak = allowsLeak
    }

    /// The backend: the name up to the first dot; nil without one.
    public var compiler: String? {
        name.firstIndex(of: ".").map { String(name[..<$0]) }
    }
}

/// A structural match as checks see it.
public struct FusionCandidate: Sendable {
    public let match: Match
    public let table: BindingTable
    /// The binding of the root call.
    public let root: ValueID
    /// Bindings that would be fused, the root among them, in no particular order.
    public let interior: [ValueID]
    let uses: UseTable
    let annotations: [(label: String, node: Pattern)]

    /// What an annotated node matched; nil when it is not on the successful path.
    public func annotated(_ label: String) -> Subject? {
        for annotation in annotations where annotation.label == label { return match[annotation.node] }
        return nil
    }

    /// Labels with the subjects they met.
    public var annotatedSubjects: [(label: String, subject: Subject)] {
        annotations.compactMap { annotation in match[annotation.node].map { (annotation.label, $0) } }
    }

    public subscript(node: Pattern) -> Subject? { match[node] }

    /// Values whose bindings mention `id`, in the block of the match. Leaving the block is not a use.
    public func users(of id: ValueID) -> [ValueID] { Array(uses.users(of: id)) }

    public func type(of subject: Subject) -> ValueType { table.type(of: subject) }

    /// The tensor type of what a node matched.
    public func tensorType(_ node: Pattern) -> TensorType? { match[node].flatMap { table.type(of: $0).asTensor } }

    /// The call that a node matched.
    public func call(_ node: Pattern) -> Call? { match[node].flatMap { table.call($0) } }

    /// Why the match must not be fused if no intermediate value may be seen outside: one is an output of the block, or has
    /// a user that is not part of the match.
    public func leak() -> Refusal? {
        let members = Set(interior)
        for id in interior where id != root {
            if table.function.values[id.int].isDataflow == false {
                return Refusal(
                    .outputLeak, found: "%\(table.function.values[id.int].name) leaves its block",
                    expected: "intermediate values used inside the match only")
            }
            if let user = uses.users(of: id).first(where: { !members.contains($0) }) {
                return Refusal(
                    .extraUser,
                    found:
                        "%\(table.function.values[id.int].name) is also used by %\(table.function.values[user.int].name)",
                    expected: "intermediate values used inside the match only")
            }
        }
        return nil
    }
}

/// Who uses what within one block: a compressed table.
struct UseTable: Sendable {
    private var starts: [Int32]
    private var users: [ValueID]

    init(_ block: Block, valueCount: Int) {
        var counts = [Int32](repeating: 0, count: valueCount + 1)
        var lastUser = [Int32](repeating: -1, count: valueCount)
        // A binding that mentions a value twice is one user.
        for index in block.bindings.indices {
            let user = block.bindings[index].id.index
            block.bindings[index].expression.forEachValue { used in
                if lastUser[used.int] != user {
                    lastUser[used.int] = user
                    counts[used.int + 1] += 1
                }
            }
        }
        for index in 1..<counts.count { counts[index] += counts[index - 1] }
        starts = counts
        users = [ValueID](repeating: ValueID(0), count: Int(counts[valueCount]))
        var next = counts
        for index in lastUser.indices { lastUser[index] = -1 }
        for index in block.bindings.indices {
            let user = block.bindings[index].id
            block.bindings[index].expression.forEachValue { used in
                if lastUser[used.int] != user.index {
                    lastUser[used.int] = user.index
                    users[Int(next[used.int])] = user
                    next[used.int] += 1
                }
            }
        }
    }

    /// A view, no copy: a value may have as many users as the block has bindings.
    func users(of id: ValueID) -> ArraySlice<ValueID> { users[Int(starts[id.int])..<Int(starts[id.int + 1])] }

    func count(of id: ValueID) -> Int { Int(starts[id.int + 1] - starts[id.int]) }
}
