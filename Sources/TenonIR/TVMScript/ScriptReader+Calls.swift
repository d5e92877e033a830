/// Calls of operators, of functions and of what this library knows nothing of.
extension ScriptReader {
    mutating func call(
        _ callee: ScriptNode, _ arguments: [ScriptNode], _ named: [(name: String, value: ScriptNode)],
        _ node: ScriptNode, _ declared: ValueType?
    ) throws -> (Expression, ValueType?) {
        guard let name = callee.name else { throw syntax.error("expected the name of what is called", at: node.at) }
        if let literal = try literal(name, arguments, named, node) {
            return (.operand(literal), scope.function.type(of: literal))
        }
        if case .value(let id)? = scope.names[name] {
            var result: ValueType?
            if case .function(_, let type) = scope.function.type(of: id) { result = type }
            let given = try operands(arguments, named, node) + (scope.captures[id] ?? [])
            return (.call(Call(.local(id), given)), result)
        }
        if let function = function(named: name) {
            let result = module[function]?.resultType ?? results[function].flatMap { $0 }
            return (.call(Call(.function(function), try operands(arguments, named, node))), result)
        }
        if case .function? = scope.around[name] {
            throw syntax.error("'\(name)' is a function around this one, which is not read", at: node.at)
        }
        guard name.hasPrefix("R.") else { throw syntax.error("'\(name)' is not defined", at: node.at) }
        let operation = String(name.dropFirst(2))
        switch operation {
        case "match_cast":
            guard arguments.count + named.count == 2, let first = arguments.first,
                let target = arguments.dropFirst().first ?? named.first?.value
            else { throw syntax.error("expected a value and a type", at: node.at) }
            let type = try self.type(target)
            return (.matchCast(try operand(first), type), type)
        case "call_tir", "call_tir_inplace", "call_dps_packed", "call_packed", "call_pure_packed",
            "call_inplace_packed":
            return try external(operation, arguments, named, node)
        case "invoke_closure", "invoke_pure_closure":
            guard arguments.count >= 2, let closure = arguments[0].name.flatMap({ scope.closures[$0] }) else {
                throw syntax.error("\(operation): expected the name of a closure and a tuple", at: node.at)
            }
            let given =
                try arguments[1].isEmptyTuple ? [] : (arguments[1].entries ?? [arguments[1]]).map { try operand($0) }
            let result = module[closure.function]?.resultType ?? results[closure.function].flatMap { $0 }
            return (.call(Call(.function(closure.function), given + closure.arguments)), result)
        case "linear": return try linear(arguments, named, node, declared)
        case "eye" where !arguments.isEmpty && arguments[0].entries == nil:
            // Rows and columns stand alone there.
            let (rows, rest) = (arguments[0], arguments.dropFirst())
            let columns = rest.first.flatMap { $0.isNone ? nil : $0 } ?? rows
            let shape = ScriptNode(kind: .list([rows, columns]), at: node.at)
            return try operatorCall("eye", [shape] + rest.dropFirst(), named, node, declared)
        default:
            return try operatorCall(ScriptNames.operators[operation] ?? operation, arguments, named, node, declared)
        }
    }

    private mutating func operands(
        _ arguments: [ScriptNode], _ named: [(name: String, value: ScriptNode)], _ node: ScriptNode
    ) throws -> [Operand] {
        guard named.isEmpty else { throw syntax.error("functions take no arguments by name", at: node.at) }
        return try arguments.map { try operand($0) }
    }

    /// Where results are written, and what a kernel of a lower level is, are nothing that this representation knows.
    private mutating func external(
        _ operation: String, _ arguments: [ScriptNode], _ named: [(name: String, value: ScriptNode)], _ node: ScriptNode
    ) throws -> (Expression, ValueType?) {
        guard let first = arguments.first else { throw syntax.error("expected what is called", at: node.at) }
        let name: String
        switch first.kind {
        case .string(let text): name = text
        case .name(let text): name = function(named: text) ?? text
        default: throw syntax.error("expected the name of what is called", at: first.at)
        }
        let takesTuple = operation == "call_tir" || operation == "call_tir_inplace" || operation == "call_dps_packed"
        let types = named.first { ["out_ty", "out_sinfo", "ty_args", "sinfo_args", "out_shape"].contains($0.name) }?
            .value
        var given = Array(arguments.dropFirst())
        // The type may stand last.
        var typeNode = types
        if takesTuple, typeNode == nil, given.count > 1 { typeNode = given[1] }
        if takesTuple { given = given.first.map { $0.entries ?? [$0] } ?? [] }
        let fields = try typeNode.map { node in try (node.entries ?? [node]).map { try type($0) } } ?? []
        let result: ValueType? = fields.count > 1 ? try .tuple(checking: fields) : fields.first
        return (.call(Call(.external(name), try given.map { try operand($0) })), result ?? .object)
    }

    /// x · wᵀ, and a bias.
    private mutating func linear(
        _ arguments: [ScriptNode], _ named: [(name: String, value: ScriptNode)], _ node: ScriptNode,
        _ declared: ValueType?
    ) throws -> (Expression, ValueType?) {
        func given(_ name: String, _ index: Int) -> ScriptNode? {
            let found = named.first { $0.name == name }?.value ?? arguments.dropFirst(index).first
            return found?.isNone == true ? nil : found
        }
        guard let data = given("data", 0), let weight = given("weight", 1) else {
            throw syntax.error("linear: expected data and weight", at: node.at)
        }
        func call(_ name: String, _ arguments: [ScriptNode]) -> ScriptNode {
            ScriptNode(
                kind: .call(ScriptNode(kind: .name(name), at: node.at), arguments: arguments, named: []), at: node.at)
        }
        var product = call("R.matmul", [data, call("R.permute_dims", [weight])])
        if let dtype = given("out_dtype", 3) {
            product.kind = .call(
                ScriptNode(kind: .name("R.matmul"), at: node.at),
                arguments: [data, call("R.permute_dims", [weight])], named: [("out_dtype", dtype)])
        }
        return try expression(given("bias", 2).map { call("R.add", [product, $0]) } ?? product, declared)
    }

    // MARK: - Operators

    mutating func operatorCall(
        _ name: String, _ arguments: [ScriptNode], _ named: [(name: String, value: ScriptNode)], _ node: ScriptNode,
        _ declared: ValueType?
    ) throws -> (Expression, ValueType?) {
        guard let op = Operators.named(name) else { throw syntax.error("unknown operator '\(name)'", at: node.at) }
        var given = GivenArguments(schema: op.schema)
        let order =
            ScriptNames.parameters[op.schema.name] ?? op.schema.inputs.map(\.name) + op.schema.attributes.map(\.name)
        for (index, argument) in arguments.enumerated() {
            if op.schema.isVariadic, index >= op.schema.inputs.count {
                given.more.append(try operand(argument))
                continue
            }
            guard order.indices.contains(index) else {
                throw syntax.error("\(name): expected at most \(order.count) arguments", at: argument.at)
            }
            try place(argument, order[index], &given)
        }
        for (parameter, value) in named { try place(value, parameter, &given) }
        for entry in ScriptNames.defaults[op.schema.name]?.entries ?? [] where given.attributes[entry.name] == nil {
            given.attributes[entry.name] = entry.value
        }
        try complete(&given, node)
        do {
            let operands = try given.operands()
            if declared != nil {
                let attributes = try op.schema.normalised(given.attributes)
                return (.call(Call(.op(op), operands, attributes)), nil)
            }
            let typed = try Inference.call(
                op, operands, given.attributes, types: operands.map { scope.function.type(of: $0) },
                constants: operands.map(\.constant))
            return (.call(Call(.op(op), operands, typed.attributes)), typed.type)
        } catch let problem as TenonError {
            var located = problem
            located.message = "\(TextForm.place(node.at, in: syntax.lexer.bytes)): \(problem.message)"
            throw located
        }
    }

    /// Arguments as they come together.
    private struct GivenArguments {
        let schema: OperatorSchema
        var inputs: [Operand?]
        var more: [Operand] = []
        var attributes = Attributes()

        init(schema: OperatorSchema) {
            self.schema = schema
            inputs = [Operand?](repeating: nil, count: schema.inputs.count)
        }

        /// Those that are there; only at the end may some be left out.
        func operands() throws -> [Operand] {
            let count = (inputs.lastIndex { $0 != nil } ?? -1) + 1
            var result: [Operand] = []
            for (index, input) in inputs.prefix(count).enumerated() {
                guard let input else {
                    throw TenonError(
                        .invalidArgument, "\(schema.name): input '\(schema.inputs[index].name)' is missing",
                        operatorName: schema.name)
                }
                result.append(input)
            }
            return result + more
        }
    }

    /// What Relax takes from the operand where it is not told.
    private func complete(_ given: inout GivenArguments, _ node: ScriptNode) throws {
        let name = given.schema.name
        let shape = given.inputs.first.flatMap { $0 }.flatMap { scope.function.type(of: $0).asTensor?.shape }
        if name.hasPrefix("nn.adaptive_"), given.attributes["output_size"] == nil, let shape {
            let sizes = shape.dropFirst(2).map(\.value)
            guard !sizes.contains(nil) else { throw syntax.error("\(name): expected output_size", at: node.at) }
            given.attributes["output_size"] = .ints(sizes.compactMap { $0 })
        }
        // Without an axis Relax goes over all elements in a row.
        if name == "cumsum" || name == "cumprod", given.attributes["axis"] == nil, shape?.count != 1 {
            throw syntax.error("\(name): expected an axis", at: node.at)
        }
        // Relax's grid has its axes behind the batch.
        if name == "image.grid_sample", given.attributes["grid_axis"] == nil { given.attributes["grid_axis"] = 1 }
    }

    private mutating func place(_ node: ScriptNode, _ parameter: String, _ given: inout GivenArguments) throws {
        let schema = given.schema
        if let name = node.name, scope.absent.contains(name), scope.names[name] == nil { return }
        let names = [parameter] + (ScriptNames.inputs[parameter] ?? [])
        let isAttribute = schema.attributes.contains { $0.name == parameter } || schema.aliases[parameter] != nil
        if !isAttribute, let index = schema.inputs.firstIndex(where: { names.contains($0.name) }) {
            guard !node.isNone, !(schema.inputs[index].isOptional && node.isEmptyTuple) else { return }
            guard given.inputs[index] == nil else {
                throw syntax.error("\(schema.name): '\(parameter)' is given twice", at: node.at)
            }
            given.inputs[index] = try input(node, schema.inputs[index].kind)
            return
        }
        if ScriptNames.dropped[schema.name]?.contains(parameter) == true { return }
        guard !node.isEmptyTuple, var value = try attribute(node) else { return }
        if case .string(let text) = value {
            // An empty name is none.
            if !isAttribute, text.isEmpty || text == "void" { return }
            value = ScriptNames.values["\(schema.name).\(parameter)"]?[text].map { .string($0) } ?? value
        }
        given.attributes[parameter] = value
    }

    private mutating func input(_ node: ScriptNode, _ kind: OperatorSchema.Input.Kind) throws -> Operand {
        guard kind == .shape else { return try operand(node) }
        if let entries = node.entries { return .shape(try entries.map { try dim($0) }) }
        if case .int(let size) = node.kind { return .shape([.fixed(size)]) }
        return try operand(node)
    }
}
