/// Expressions and operands.
extension ScriptReader {
    /// The right-hand side of a binding, and its type where that can be inferred. Nothing is inferred when it is declared.
    mutating func expression(_ node: ScriptNode, _ declared: ValueType?) throws -> (Expression, ValueType?) {
        try syntax.enter()
        defer { syntax.leave() }
        switch node.kind {
        case .tuple(let entries), .list(let entries):
            let fields = try entries.map { try operand($0) }
            return (.tuple(fields), try .tuple(checking: fields.map { scope.function.type(of: $0) }))
        case .item(let base, let index): return try projection(base, index, node)
        case .operation(let name, let left, let right):
            guard let op = ScriptNames.operations[name] else {
                throw syntax.error("'\(name)' is no operation on tensors", at: node.at)
            }
            return try operatorCall(op, [left, right], [], node, declared)
        case .negated(let inner): return try operatorCall("negative", [inner], [], node, declared)
        case .call(let callee, let arguments, let named):
            return try call(callee, arguments, named, node, declared)
        default:
            let operand = try self.operand(node)
            return (.operand(operand), scope.function.type(of: operand))
        }
    }

    /// What stands as an argument; calls are bound to values without names.
    mutating func operand(_ node: ScriptNode) throws -> Operand {
        switch node.kind {
        case .name(let name): return try value(name, node)
        case .int(let value): return .int(value)
        case .float(let value): return .float(value)
        case .string(let value): return .string(value)
        case .bool(let value): return .int(value ? 1 : 0)
        case .tuple(let entries), .list(let entries):
            try syntax.enter()
            defer { syntax.leave() }
            let fields = try entries.map { try operand($0) }
            _ = try ValueType.tuple(checking: fields.map { scope.function.type(of: $0) })
            return .tuple(fields)
        case .call(let callee, let arguments, let named):
            if let literal = try literal(callee.name ?? "", arguments, named, node) { return literal }
        default: break
        }
        let (expression, type) = try self.expression(node, nil)
        if case .operand(let operand) = expression { return operand }
        guard let type else {
            throw syntax.error("the type of this call cannot be inferred; give it a name and a type", at: node.at)
        }
        return .value(bind(expression, type, name: ""))
    }

    mutating func value(_ name: String, _ node: ScriptNode) throws -> Operand {
        if let value = scope.names[name] {
            if case .value(let id) = value, scope.captures[id] != nil {
                throw syntax.error("'\(name)' uses values around it, and can only be called", at: node.at)
            }
            return value
        }
        if let type = scope.around[name] {
            if case .function = type { throw syntax.error("'\(name)' is a function around this one", at: node.at) }
            let id = scope.function.addValue(name, type)
            scope.function.parameters.append(id)
            scope.names[name] = .value(id)
            scope.captured.append(name)
            return .value(id)
        }
        if let function = function(named: name) { return .global(function) }
        if let size = scope.symbols[name] { return try number(size, node) }
        throw syntax.error("'\(name)' is not defined before its use", at: node.at)
    }

    /// The function of the module that a name means: `cls.f`, or `f` of a text without a class.
    func function(named name: String) -> String? {
        if let dot = name.firstIndex(of: "."), moduleNames.contains(String(name[..<dot])) {
            return String(name[name.index(after: dot)...])
        }
        return results[name] == nil ? nil : name
    }

    private func number(_ size: Dim, _ node: ScriptNode) throws -> Operand {
        guard let value = size.value else {
            throw syntax.error("a size is no number of its own here; it stands in a shape", at: node.at)
        }
        return .int(value)
    }

    private mutating func projection(
        _ base: ScriptNode, _ index: ScriptNode, _ node: ScriptNode
    ) throws -> (Expression, ValueType?) {
        if case .item(let table, _) = base.kind, table.name == "metadata" {
            let constant = try metadata(index)
            return (.operand(.constant(constant)), .tensor(constant.type))
        }
        guard case .int(let number) = index.kind, let place = Int(exactly: number), place >= 0, place <= Int(Int32.max)
        else { throw syntax.error("expected the index of a field", at: index.at) }
        let tuple = try operand(base)
        var type: ValueType?
        if case .tuple(let fields) = scope.function.type(of: tuple), fields.indices.contains(place) {
            type = fields[place]
        }
        return (.tupleGetItem(tuple, place), type)
    }

    /// `metadata["…"][2]`: what the script leaves out, in the table that was given with it.
    private func metadata(_ index: ScriptNode) throws -> Constant {
        guard case .int(let number) = index.kind, let place = Int(exactly: number), constants.indices.contains(place)
        else {
            throw syntax.error(
                "this constant is not in the text; give the module itself (tenon.from_tvm), or make it a parameter",
                at: index.at)
        }
        return constants[place]
    }

    // MARK: - Literals

    /// `R.const(…)`, `R.shape(…)` and others that are no calls here; nil for what is one.
    mutating func literal(
        _ name: String, _ arguments: [ScriptNode], _ named: [(name: String, value: ScriptNode)], _ node: ScriptNode
    ) throws -> Operand? {
        func given(_ name: String, _ index: Int) -> ScriptNode? {
            named.first { $0.name == name }?.value ?? arguments.dropFirst(index).first
        }
        guard let first = arguments.first else { return nil }
        switch name {
        case "R.const":
            return .constant(try constant(first, try dtype(given("dtype", 1)), node))
        case "R.shape":
            guard let entries = first.entries else { throw syntax.error("expected sizes", at: first.at) }
            return .shape(try entries.map { try dim($0) })
        case "R.prim_value", "T.int64", "T.int32", "T.float32", "T.float64", "T.bool", "float":
            if let value = try? attribute(node) {
                switch value {
                case .int(let number): return .int(number)
                case .float(let number): return .float(number)
                case .bool(let flag): return .int(flag ? 1 : 0)
                default: break
                }
            }
            return try number(try dim(first), first)
        case "R.str":
            if case .string(let text) = first.kind { return .string(text) }
            return nil
        case "R.dtype": return try dtype(first).map { .dtype($0) }
        case "R.tuple": return .tuple(try arguments.map { try operand($0) })
        default: return nil
        }
    }

    /// A number, or lists of them as deep as the tensor has dimensions.
    private mutating func constant(_ node: ScriptNode, _ dtype: DataType?, _ call: ScriptNode) throws -> Constant {
        var shape: [Int64] = []
        var leaves: [ScriptNode] = []
        func visit(_ node: ScriptNode, _ level: Int) throws {
            guard let entries = node.entries else {
                guard level == shape.count else { throw syntax.error("rows of different lengths", at: node.at) }
                return leaves.append(node)
            }
            guard level < TextForm.nestingLimit else { throw syntax.error("too many dimensions", at: node.at) }
            if level == shape.count, leaves.isEmpty { shape.append(Int64(entries.count)) }
            guard level < shape.count, shape[level] == Int64(entries.count) else {
                throw syntax.error("rows of different lengths", at: node.at)
            }
            for entry in entries { try visit(entry, level + 1) }
        }
        try visit(node, 0)
        // Numbers that are not exact doubles are kept as what they are.
        var ints: [Int64] = []
        var doubles: [Double] = []
        for leaf in leaves {
            switch try attribute(leaf) {
            case .int(let value)?:
                ints.append(value)
                doubles.append(Double(value))
            case .bool(let value)?:
                ints.append(value ? 1 : 0)
                doubles.append(value ? 1 : 0)
            case .float(let value)?: doubles.append(value)
            default: throw syntax.error("expected a number", at: leaf.at)
            }
        }
        let isWhole = ints.count == leaves.count
        let element = dtype ?? (isWhole ? .int32 : .float32)
        if element == .int64, isWhole { return try Constant(.int64, shape, ints) }
        if element == .uint64, isWhole { return try Constant(.uint64, shape, ints.map { UInt64(clamping: $0) }) }
        return try Constant.from(doubles: doubles, element, shape)
    }
}
