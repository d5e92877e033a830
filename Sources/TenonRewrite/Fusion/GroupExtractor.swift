import TenonIR

/// Moves a group of bindings into a function of its own.
struct GroupExtractor {
    struct Options {
        /// Tensor literals stay inside; otherwise they become parameters and are passed at the call.
        var bindsConstants: Bool
        /// Called composites become local functions of the new function, whose body is a plain block.
        var inlinesComposites: Bool
    }

    struct Extracted {
        var function: Function
        /// What the caller passes, by parameter.
        var arguments: [Operand]
        var callees: [Callee]
    }

    let source: Function
    let table: BindingTable
    let options: Options
    /// For `inlinesComposites`: the module's functions.
    let module: Module
    /// By value of the source: what it is inside the group being extracted; valid where `stamp` says so.
    private var inner: [ValueID]
    private var stamp: [Int32]
    private var currentStamp: Int32 = 0

    init(_ source: Function, _ table: BindingTable, _ module: Module, _ options: Options) {
        self.source = source
        self.table = table
        self.module = module
        self.options = options
        inner = [ValueID](repeating: ValueID(0), count: source.values.count)
        stamp = [Int32](repeating: 0, count: source.values.count)
    }

    /// Extracts `members`, which compute `outputs`, in program order.
    mutating func extract(
        _ bindings: [Binding], members: [Int32], outputs: [ValueID], attributes: Attributes
    ) throws -> Extracted {
        currentStamp += 1
        var builder = Builder(isDataflow: !options.inlinesComposites, attributes: attributes)
        builder.function.values.reserveCapacity(members.count * 2)
        // Members are marked first, so that a use before the definition of a group member is never taken for an input.
        for member in members {
            let binding = bindings[Int(member)]
            if case .call(let call) = binding.expression, case .function(let name) = call.callee,
                options.inlinesComposites
            {
                try builder.defineLocal(name, module)
            }
            let expression = try mapped(binding.expression, &builder)
            let info = source.values[binding.id.int]
            let id = builder.bind(expression, info)
            inner[binding.id.int] = id
            stamp[binding.id.int] = currentStamp
        }
        let results = outputs.map { inner[$0.int] }
        for id in results { builder.function.values[id.int].isDataflow = false }
        let result: Operand = results.count == 1 ? .value(results[0]) : .tuple(results.map { .value($0) })
        var function = builder.finish(result)
        try Self.addShapeParameter(&function, &builder.arguments)
        return Extracted(function: function, arguments: builder.arguments, callees: builder.callees)
    }

    private func mapped(_ expression: Expression, _ builder: inout Builder) throws -> Expression {
        switch expression {
        case .call(var call):
            builder.callees.append(call.callee)
            if case .function(let name) = call.callee, let local = builder.locals[name] { call.callee = .local(local) }
            for index in call.arguments.indices { call.arguments[index] = mapped(call.arguments[index], &builder) }
            return .call(call)
        case .tuple(let fields): return .tuple(fields.map { mapped($0, &builder) })
        case .tupleGetItem(let operand, let index): return .tupleGetItem(mapped(operand, &builder), index)
        case .operand(let operand): return .operand(mapped(operand, &builder))
        case .matchCast(let operand, let type): return .matchCast(mapped(operand, &builder), type)
        case .function, .conditional:
            throw TenonError(.internal, "a group holds a binding that cannot be moved")
        }
    }

    private func mapped(_ operand: Operand, _ builder: inout Builder) -> Operand {
        switch operand {
        case .value(let id):
            if stamp[id.int] == currentStamp { return .value(inner[id.int]) }
            if let literal = staticLiteral(operand) { return literal }
            return .value(builder.parameter(operand, source.values[id.int]))
        case .constant(let constant):
            if options.bindsConstants { return operand }
            return .value(
                builder.parameter(operand, ValueInfo(name: "", type: .tensor(constant.type))))
        case .shape(let dims):
            if dims.allSatisfy(\.isFixed) { return operand }
            return .value(builder.parameter(operand, ValueInfo(name: "", type: .shape(dims))))
        case .tuple(let fields): return .tuple(fields.map { mapped($0, &builder) })
        case .int, .float, .string, .dtype, .global: return operand
        }
    }

    /// A literal that always goes inside, also when a binding names it: numbers, static shapes, tuples of such.
    private func staticLiteral(_ operand: Operand) -> Operand? {
        switch table.unwrap(operand) {
        case .operand(let literal) where Self.isStatic(literal): return literal
        case .bound(let id):
            if case .tuple(let fields)? = table.definition(id), !fields.isEmpty {
                var literals: [Operand] = []
                for field in fields {
                    guard let literal = staticLiteral(field) else { return nil }
                    literals.append(literal)
                }
                return .tuple(literals)
            }
            return nil
        default: return nil
        }
    }

    private static func isStatic(_ operand: Operand) -> Bool {
        switch operand {
        case .int, .float, .string, .dtype: true
        case .shape(let dims): dims.allSatisfy(\.isFixed)
        case .tuple(let fields): !fields.isEmpty && fields.allSatisfy { isStatic($0) }
        case .value, .constant, .global: false
        }
    }

    /// Symbols that no parameter tells are passed as one more shape.
    private static func addShapeParameter(_ function: inout Function, _ arguments: inout [Operand]) throws {
        var used: [String] = []
        // The symbols of a local function are its own.
        for info in function.values where !info.type.isFunction { info.type.collectSymbols(into: &used) }
        guard !used.isEmpty else { return }
        var derivable: Set<String> = []
        for id in function.parameters { collectPlain(function.type(of: id), &derivable) }
        let missing = used.filter { !derivable.contains($0) }
        guard !missing.isEmpty else { return }
        let dims = missing.map { Dim.symbol($0) }
        function.parameters.append(function.addValue("", .shape(dims)))
        arguments.append(.shape(dims))
    }

    private static func collectPlain(_ type: ValueType, _ names: inout Set<String>) {
        switch type {
        case .tensor(let tensor): for dim in tensor.shape ?? [] { dim.plainSymbol.map { _ = names.insert($0) } }
        case .shape(let dims): for dim in dims ?? [] { dim.plainSymbol.map { _ = names.insert($0) } }
        case .tuple(let fields): for field in fields { collectPlain(field, &names) }
        default: break
        }
    }

    /// The function under construction.
    private struct Builder {
        var function: Function
        var block: Block
        var arguments: [Operand] = []
        var callees: [Callee] = []
        var locals: [String: ValueID] = [:]
        private var parameterOfValue: [ValueID: ValueID] = [:]
        private var parameterOfConstant: [ObjectIdentifier: ValueID] = [:]
        private var parameterOfShape: [[Dim]: ValueID] = [:]

        init(isDataflow: Bool, attributes: Attributes) {
            function = Function(attributes: attributes)
            block = Block(isDataflow: isDataflow)
        }

        mutating func bind(_ expression: Expression, _ info: ValueInfo) -> ValueID {
            let id = function.addValue(info.name, info.type, isDataflow: block.isDataflow)
            block.bindings.append(Binding(id, expression))
            return id
        }

        /// One parameter per distinct operand, in order of first appearance.
        mutating func parameter(_ operand: Operand, _ info: ValueInfo) -> ValueID {
            switch operand {
            case .value(let id): if let known = parameterOfValue[id] { return known }
            case .constant(let constant):
                if let known = parameterOfConstant[ObjectIdentifier(constant)] { return known }
            case .shape(let dims): if let known = parameterOfShape[dims] { return known }
            default: break
            }
            let name = info.name.isEmpty ? "param_\(function.parameters.count)" : info.name
            let id = function.addValue(name, info.type)
            function.parameters.append(id)
            arguments.append(operand)
            switch operand {
            case .value(let value): parameterOfValue[value] = id
            case .constant(let constant): parameterOfConstant[ObjectIdentifier(constant)] = id
            case .shape(let dims): parameterOfShape[dims] = id
            default: break
            }
            return id
        }

        /// Binds a composite as a local function, once: it keeps `Composite` and is no longer `Primitive`.
        mutating func defineLocal(_ name: String, _ module: Module) throws {
            guard locals[name] == nil else { return }
            guard var composite = module[name] else {
                throw TenonError(.invalidGraph, "call of the unknown function '@\(name)'", node: name)
            }
            composite = composite.removingUnusedBindings(.unknown) ?? composite
            composite.attributes["Primitive"] = nil
            let type = ValueType.function(parameters: composite.parameterTypes, result: composite.resultType)
            locals[name] = bind(.function(composite), ValueInfo(name: name, type: type))
        }

        mutating func finish(_ result: Operand) -> Function {
            function.body = Body(blocks: block.bindings.isEmpty ? [] : [block], result: result)
            return function
        }
    }
}
