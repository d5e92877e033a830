import TenonIR

/// What a rewriting callback builds its replacement with. Calls are checked and typed as they are added; their bindings go
/// in front of the one that is replaced.
public struct ReplacementBuilder {
    /// The function as it is being rewritten.
    var function: Function
    var pending: [Binding] = []
    var isDataflow = true
    /// By value: whether a replacement may name it.
    var isVisible: [Bool]
    /// What literals the values name, so that shapes given by them are known.
    private var literals: [ValueID: Operand] = [:]
    private let valueLimit: Int

    init(_ function: Function) {
        self.function = function
        isVisible = [Bool](repeating: false, count: function.values.count)
        for id in function.parameters where isVisible.indices.contains(id.int) { isVisible[id.int] = true }
        valueLimit = max(1 << 20, function.values.count * 16)
    }

    public func type(of operand: Operand) -> ValueType { function.type(of: operand) }

    public mutating func call(
        _ op: OperatorID, _ arguments: [Operand], _ attributes: Attributes = Attributes(), name: String = ""
    ) throws -> Operand {
        for argument in arguments { try check(argument) }
        let typed = try Inference.call(
            op, arguments, attributes, types: arguments.map { function.type(of: $0) },
            constants: arguments.map { literal($0).constant })
        return try bind(.call(Call(.op(op), arguments, typed.attributes)), typed.type, name: name)
    }

    /// As above, by operator name.
    public mutating func call(
        _ op: String, _ arguments: [Operand], _ attributes: Attributes = Attributes(), name: String = ""
    ) throws -> Operand {
        try call(try Operators.require(op), arguments, attributes, name: name)
    }

    public mutating func tuple(_ fields: [Operand], name: String = "") throws -> Operand {
        for field in fields { try check(field) }
        return try bind(.tuple(fields), .tuple(checking: fields.map { function.type(of: $0) }), name: name)
    }

    public mutating func tupleGetItem(_ tuple: Operand, _ index: Int, name: String = "") throws -> Operand {
        try check(tuple)
        guard case .tuple(let fields) = function.type(of: tuple), fields.indices.contains(index) else {
            throw TenonError(.invalidArgument, "tuple item \(index) of a value of type \(function.type(of: tuple))")
        }
        return try bind(.tupleGetItem(tuple, index), fields[index], name: name)
    }

    /// Adds an expression whose type the caller knows, such as the call of a function.
    public mutating func bind(_ expression: Expression, _ type: ValueType, name: String = "") throws -> Operand {
        try expression.forEachValue { try check(.value($0)) }
        guard function.values.count < valueLimit else {
            throw TenonError(.limitExceeded, "rewriting makes more than \(valueLimit) values")
        }
        let id = function.addValue(name, type, isDataflow: isDataflow)
        isVisible.append(true)
        if case .operand(let operand) = expression { literals[id] = literal(operand) }
        pending.append(Binding(id, expression))
        return .value(id)
    }

    private func literal(_ operand: Operand) -> Operand {
        if case .value(let id) = operand { return literals[id] ?? operand }
        return operand
    }

    /// Every value named belongs to the function and is defined where the replacement goes, or later in the same run of
    /// bindings.
    func check(_ operand: Operand) throws {
        try operand.forEachValue { id in
            guard isVisible.indices.contains(id.int), isVisible[id.int] else {
                throw TenonError(.invalidGraph, "the replacement names value \(id.index), which is not defined there")
            }
        }
    }

    /// Drops what was added for a replacement that is not made.
    mutating func discard(to count: Int) {
        for binding in pending[count...] { isVisible[binding.id.int] = false }
        pending.removeSubrange(count...)
    }

    mutating func note(_ binding: Binding) {
        if case .operand(let operand) = binding.expression { literals[binding.id] = literal(operand) }
    }

    /// What binds `id` to `operand`. The binding added last is taken as it is, when nothing else can name it.
    mutating func expression(for operand: Operand, takingPendingFrom count: Int) -> Expression {
        if case .value(let id) = operand, pending.count > count, let last = pending.last, last.id == id {
            pending.removeLast()
            return last.expression
        }
        if case .tuple(let fields) = operand { return .tuple(fields) }
        return .operand(operand)
    }
}

extension ValueType {
    /// Whether a value of this type may stand where one of `other` stood.
    func canReplace(_ other: ValueType) -> Bool {
        switch (self, other) {
        case (_, .object): return true
        case (.tensor(let new), .tensor(let old)):
            if let wanted = old.dtype, new.dtype != wanted { return false }
            if let wanted = old.rank, new.rank != wanted { return false }
            guard let x = new.shape, let y = old.shape else { return old.shape == nil }
            return x.count == y.count && !zip(x, y).contains { Dim.differProvably($0, $1) }
        case (.tuple(let new), .tuple(let old)):
            return new.count == old.count && zip(new, old).allSatisfy { $0.canReplace($1) }
        default: return self == other
        }
    }
}

extension ValueType {
    /// Whether nothing that is known of both says that they differ.
    func mayEqual(_ other: ValueType) -> Bool {
        switch (self, other) {
        case (.object, _), (_, .object): return true
        case (.tensor(let a), .tensor(let b)):
            if let x = a.dtype, let y = b.dtype, x != y { return false }
            if let x = a.rank, let y = b.rank, x != y { return false }
            guard let x = a.shape, let y = b.shape else { return true }
            return !zip(x, y).contains { Dim.differProvably($0, $1) }
        case (.tuple(let a), .tuple(let b)): return a.count == b.count && zip(a, b).allSatisfy { $0.mayEqual($1) }
        default: return self == other
        }
    }
}
