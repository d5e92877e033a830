/// Types, dimensions and attributes.
extension ScriptReader {
    /// `R.Tensor((n, 4), dtype="float32")`, `R.Tuple(…)`, `R.Shape([…])`, `R.Prim("int64")`, `R.Callable((…), …)`, `R.Object`
    mutating func type(_ node: ScriptNode) throws -> ValueType {
        try syntax.enter()
        defer { syntax.leave() }
        switch node.kind {
        case .none: return .object
        // Annotations may be quoted.
        case .string(let text): return try ScriptReader.quoted(text, node, self) { try $0.type($1) }
        case .name(let name): return try type(named: name, [], [], node)
        case .call(let callee, let arguments, let named):
            return try type(named: callee.name ?? "", arguments, named, node)
        default: throw syntax.error("expected a type, as R.Tensor((2, 3), \"float32\")", at: node.at)
        }
    }

    private mutating func type(
        named name: String, _ arguments: [ScriptNode], _ named: [(name: String, value: ScriptNode)], _ node: ScriptNode
    ) throws -> ValueType {
        func given(_ name: String, _ index: Int) -> ScriptNode? {
            let found = named.first { $0.name == name }?.value ?? arguments.dropFirst(index).first
            return found?.isNone == true ? nil : found
        }
        switch name {
        case "R.Tensor": return .tensor(try tensor(given("shape", 0), given("dtype", 1), given("ndim", 3), node))
        case "R.Tuple":
            guard !arguments.isEmpty || node.name == nil else { return .object }
            let fields = arguments.count == 1 ? arguments[0].entries ?? arguments : arguments
            return try .tuple(checking: try fields.map { try type($0) })
        case "R.Shape":
            guard let entries = given("values", 0)?.entries else { return .shape(nil) }
            return .shape(try entries.map { try dim($0) })
        case "R.Prim":
            guard let dtype = try dtype(given("dtype", 0)) else { return .object }
            return .scalar(dtype)
        case "R.Callable":
            guard let parameters = given("params", 0)?.entries else { return .object }
            return .function(
                parameters: try parameters.map { try type($0) },
                result: try given("ret", 1).map { try type($0) } ?? .object)
        case "R.Object", "R.Any", "None": return .object
        default: throw syntax.error("expected a type, as R.Tensor((2, 3), \"float32\")", at: node.at)
        }
    }

    private mutating func tensor(
        _ shape: ScriptNode?, _ dtype: ScriptNode?, _ rank: ScriptNode?, _ node: ScriptNode
    ) throws -> TensorType {
        // The element type alone may stand first.
        if case .string(let text)? = shape?.kind, DataType(name: text) != nil {
            return try tensor(nil, shape, rank, node)
        }
        let element = try self.dtype(dtype)
        if let entries = shape?.entries { return TensorType(element, try entries.map { try dim($0) }) }
        // A shape by its name says no sizes here.
        guard case .int(let number)? = rank?.kind, number >= 0, number <= Int64(Int16.max) else {
            return TensorType(dtype: element, rank: nil)
        }
        return TensorType(dtype: element, rank: Int(number))
    }

    func dtype(_ node: ScriptNode?) throws -> DataType? {
        guard let node else { return nil }
        guard case .string(let text) = node.kind else {
            throw syntax.error("expected an element type, as \"float32\"", at: node.at)
        }
        if text.isEmpty || text == "void" { return nil }
        guard let dtype = DataType(name: text) else {
            throw syntax.error("unknown element type '\(text)'", at: node.at)
        }
        return dtype
    }

    // MARK: - Dimensions

    /// `4`, `n`, `"n * 2"`, `n + 1`, `T.max(n, 4)`
    mutating func dim(_ node: ScriptNode) throws -> Dim {
        try syntax.enter()
        defer { syntax.leave() }
        let result: Dim?
        switch node.kind {
        case .int(let value): return .fixed(value)
        case .name(let name): return scope.symbols[name] ?? .symbol(name)
        case .string(let text): return try ScriptReader.quoted(text, node, self) { try $0.dim($1) }
        case .negated(let inner): result = Dim.negating(try dim(inner))
        case .operation(let name, let left, let right): result = try dim(name, try dim(left), try dim(right), node)
        case .call(let callee, let arguments, _):
            let values = try arguments.map { try dim($0) }
            switch (callee.name ?? "", values.count) {
            case ("T.int64", 1), ("T.int32", 1), ("R.prim_value", 1): return values[0]
            case ("T.max", 2), ("max", 2): result = Dim.maximum(values[0], values[1])
            case ("T.min", 2), ("min", 2): result = Dim.minimum(values[0], values[1])
            case ("T.floordiv", 2): result = try dim("//", values[0], values[1], node)
            default: throw syntax.error("expected a size", at: node.at)
            }
        default: throw syntax.error("expected a size", at: node.at)
        }
        guard let result else { throw syntax.error("a dimension overflows", at: node.at) }
        return result
    }

    private func dim(_ operation: String, _ a: Dim, _ b: Dim, _ node: ScriptNode) throws -> Dim? {
        switch operation {
        case "+": return Dim.adding(a, b)
        case "-": return Dim.subtracting(a, b)
        case "*": return Dim.multiplying(a, b)
        case "//":
            guard b.value.map({ $0 > 0 }) ?? b.isNonNegative else {
                throw syntax.error("expected a divisor above 0, found \(b)", at: node.at)
            }
            return Dim.floorDividing(a, by: b)
        default: throw syntax.error("sizes have no '\(operation)'", at: node.at)
        }
    }

    /// What a text in quotes says, in the scope of `reader`.
    private static func quoted<T>(
        _ text: String, _ node: ScriptNode, _ reader: ScriptReader,
        _ read: (inout ScriptReader, ScriptNode) throws -> T
    ) throws -> T {
        var source = text
        return try source.withUTF8 { bytes in
            var inner = ScriptReader(bytes, constants: [])
            inner.scope.symbols = reader.scope.symbols
            do {
                try inner.syntax.enter(2)
                let parsed = try inner.syntax.expression()
                // A quotation within a quotation says nothing, and nests.
                if case .string = parsed.kind { throw inner.syntax.expected("a size or a type") }
                return try read(&inner, parsed)
            } catch {
                throw reader.syntax.error("'\(text)' is neither a size nor a type", at: node.at)
            }
        }
    }

    // MARK: - Attributes

    mutating func attributes(_ node: ScriptNode) throws -> Attributes {
        guard case .dictionary(let pairs) = node.kind else { throw syntax.error("expected {…}", at: node.at) }
        var result = Attributes()
        for (key, value) in pairs {
            guard let value = try attribute(value) else { continue }
            // TVM keeps the flag as a number.
            result[key] = key == "Primitive" && (value == .int(1) || value == .bool(true)) ? .bool(true) : value
        }
        return result
    }

    /// The value of an attribute; nil for `None`.
    mutating func attribute(_ node: ScriptNode) throws -> AttributeValue? {
        switch node.kind {
        case _ where node.isNone: return nil
        case .int(let value): return .int(value)
        case .float(let value): return .float(value)
        case .bool(let value): return .bool(value)
        case .string(let value): return .string(value)
        case .list(let entries), .tuple(let entries): return try list(entries, node)
        case .call(let callee, let arguments, _) where arguments.count == 1:
            let name = callee.name ?? ""
            if name == "float", case .string(let text) = arguments[0].kind, let value = Double(text) {
                return .float(value)
            }
            if name == "R.dtype" || name == "T.dtype" { return try dtype(arguments[0]).map { .dtype($0) } }
            guard name.hasPrefix("T.") || name == "R.prim_value" || name == "R.str" else { break }
            switch try attribute(arguments[0]) {
            case .int(let value)? where name.hasPrefix("T.float"): return .float(Double(value))
            case .int(let value)? where name == "T.bool": return .bool(value != 0)
            case let value: return value
            }
        case .negated(let inner):
            if case .float(let value)? = try attribute(inner) { return .float(-value) }
        default: break
        }
        throw syntax.error("expected the value of an attribute", at: node.at)
    }

    private mutating func list(_ entries: [ScriptNode], _ node: ScriptNode) throws -> AttributeValue {
        var ints: [Int64] = []
        var floats: [Double] = []
        var strings: [String] = []
        for entry in entries {
            switch try attribute(entry) {
            case .int(let value)?:
                ints.append(value)
                floats.append(Double(value))
            case .float(let value)?: floats.append(value)
            case .string(let value)?: strings.append(value)
            default: throw syntax.error("expected elements of one kind", at: entry.at)
            }
        }
        if strings.count == entries.count, !entries.isEmpty { return .strings(strings) }
        guard strings.isEmpty else { throw syntax.error("expected elements of one kind", at: node.at) }
        return ints.count == entries.count ? .ints(ints) : .floats(floats)
    }
}
