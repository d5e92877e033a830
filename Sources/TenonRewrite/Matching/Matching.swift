import TenonIR

extension Pattern {
    /// Matches an operand of the table's function; values that the table explains are seen through.
    public func match(_ operand: Operand, in table: BindingTable) throws -> Match? {
        var matcher = Matcher(try CompiledPattern(self), table)
        return matcher.match(operand)
    }

    /// Matches what `id` is bound to. With `seeingThrough` false, nothing else is looked into.
    public func match(valueOf id: ValueID, in function: Function, seeingThrough: Bool = true) throws -> Match? {
        guard function.values.indices.contains(id.int) else {
            throw TenonError(.invalidArgument, "value \(id.index) does not belong to this function")
        }
        return try match(
            .value(id), in: seeingThrough ? BindingTable(function) : BindingTable(function, only: id))
    }

    /// What every node of the pattern met, in the order in which patterns are visited; nil without a match.
    public func extract(valueOf id: ValueID, in function: Function) throws -> [(node: Pattern, subject: Subject)]? {
        guard let match = try match(valueOf: id, in: function) else { return nil }
        return zip(match.pattern.nodes, match.subjects).compactMap { node, subject in subject.map { (node, $0) } }
    }
}

extension BindingTable {
    /// Sees through one value only.
    public init(_ function: Function, only id: ValueID) {
        self.init(opaque: function)
        function.forEachBinding { if $0.id == id { show(id, $0.expression) } }
    }
}
