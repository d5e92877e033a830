import TenonIR

/// Evaluates functions binding by binding on known tensors, by Swift kernels only: the reference for fused runs, constant
/// folding, and the way to run what depends on its data (shapes, conditionals).
public struct Interpreter {
    /// The value of a binding.
    public indirect enum Value {
        case tensor(Constant)
        case tuple([Value])
        /// A shape, number, string or element type.
        case literal(Operand)
        case function(Function)

        /// The tensors in it, from left to right.
        public var tensors: [Constant] {
            switch self {
            case .tensor(let constant): [constant]
            case .tuple(let fields): fields.flatMap(\.tensors)
            case .literal, .function: []
            }
        }
    }

    /// Told of every binding of the outermost function when it has its value.
    public typealias Observer = (_ binding: Binding, _ name: String, _ value: Value) throws -> Void

    let module: Module
    let environment: RunEnvironment
    var observer: Observer?

    public init(module: Module, environment: RunEnvironment = .current, observer: Observer? = nil) {
        self.module = module
        self.environment = environment
        self.observer = observer
    }

    /// Runs `main` and gives its tensors; tuples are flattened in both directions.
    public func run(_ inputs: [Constant]) throws -> [Constant] {
        guard let main = module.main else { throw TenonError(.notFound, "the module has no function 'main'") }
        var next = 0
        func group(_ type: ValueType) throws -> Value {
            if case .tuple(let fields) = type { return .tuple(try fields.map { try group($0) }) }
            guard next < inputs.count else {
                throw TenonError(.invalidArgument, "main: expected more inputs, found \(inputs.count)")
            }
            next += 1
            return .tensor(inputs[next - 1])
        }
        let arguments = try main.parameterTypes.map { try group($0) }
        guard next == inputs.count else {
            throw TenonError(.invalidArgument, "main: expected \(next) inputs, found \(inputs.count)")
        }
        return try evaluate(main, arguments).tensors
    }

    /// The result of a function for these arguments.
    public func evaluate(_ function: Function, _ arguments: [Value]) throws -> Value {
        try evaluate(function, arguments, depth: 0)
    }

    private struct Scope {
        let function: Function
        let depth: Int
        var values: [Value?]
        var symbols = SymbolTable()
    }

    func evaluate(_ function: Function, _ arguments: [Value], depth: Int) throws -> Value {
        guard depth < PlanBuilder.depthLimit else {
            throw TenonError(.invalidGraph, "calls nest more than \(PlanBuilder.depthLimit) deep")
        }
        guard arguments.count == function.parameters.count else {
            throw TenonError(
                .invalidArgument, "a call gives \(arguments.count) arguments, expected \(function.parameters.count)")
        }
        var scope = Scope(
            function: function, depth: depth, values: [Value?](repeating: nil, count: function.values.count))
        for (id, argument) in zip(function.parameters, arguments) {
            let name = function.info(id)?.name ?? "parameter"
            try scope.symbols.bind(function.type(of: id), to: type(of: argument), name)
            try scope.symbols.check(function.type(of: id), against: type(of: argument), name)
            guard scope.values.indices.contains(id.int) else {
                throw TenonError(.invalidGraph, "'\(name)' has no value")
            }
            scope.values[id.int] = argument
        }
        return try evaluate(function.body, &scope)
    }

    private func evaluate(_ body: Body, _ scope: inout Scope) throws -> Value {
        for block in body.blocks {
            for binding in block.bindings {
                let name = scope.function.info(binding.id)?.name ?? ""
                guard scope.values.indices.contains(binding.id.int) else {
                    throw TenonError(.invalidGraph, "value \(binding.id.index) is not in the table of its function")
                }
                try environment.check()
                do {
                    let value = try evaluate(binding.expression, binding.id, &scope)
                    scope.values[binding.id.int] = value
                    if scope.depth == 0, let observer { try observer(binding, name, value) }
                } catch let error as TenonError {
                    throw error.located(at: name)
                }
            }
        }
        return try resolve(body.result, scope)
    }

    private func evaluate(_ expression: Expression, _ id: ValueID, _ scope: inout Scope) throws -> Value {
        switch expression {
        case .call(let call):
            let arguments = try call.arguments.map { try resolve($0, scope) }
            switch call.callee {
            case .op(let op): return try evaluate(op, call.attributes, arguments, id, scope)
            case .function(let name):
                guard let function = module[name] else { throw TenonError(.notFound, "unknown function '\(name)'") }
                return try evaluate(function, arguments, depth: scope.depth + 1)
            case .local(let local):
                guard scope.values.indices.contains(local.int), case .function(let function)? = scope.values[local.int]
                else { throw TenonError(.invalidGraph, "a call of something that is not a function") }
                return try evaluate(function, arguments, depth: scope.depth + 1)
            case .external(let name): throw TenonError(.unsupported, "external function '\(name)' cannot be run")
            }
        case .tuple(let fields): return .tuple(try fields.map { try resolve($0, scope) })
        case .tupleGetItem(let operand, let index):
            guard case .tuple(let fields) = try resolve(operand, scope), fields.indices.contains(index) else {
                throw TenonError(.invalidGraph, "tuple item \(index) of something that has none")
            }
            return fields[index]
        case .operand(let operand): return try resolve(operand, scope)
        case .matchCast(let operand, let declared):
            let value = try resolve(operand, scope)
            let name = scope.function.info(id)?.name ?? ""
            try scope.symbols.bind(declared, to: type(of: value), name)
            try scope.symbols.check(declared, against: type(of: value), name)
            return value
        case .function(let function): return .function(function)
        case .conditional(let condition, let then, let other):
            guard case .tensor(let flag) = try resolve(condition, scope), flag.count == 1,
                let value = flag.double(at: 0)
            else { throw TenonError(.invalidType, "a condition is one number or bool") }
            return try evaluate(value != 0 ? then : other, &scope)
        }
    }

    private func evaluate(
        _ op: OperatorID, _ attributes: Attributes, _ arguments: [Value], _ id: ValueID, _ scope: Scope
    ) throws -> Value {
        let operands = arguments.map { operand($0) }
        if let form = DynamicForm.of(op), let given = try form.attributes(attributes, operands.map(\.constant)) {
            return try evaluate(form.base, given, Array(arguments.prefix(form.inputCount)), id, scope)
        }
        let inferred = try Inference.call(
            op, operands, attributes, types: arguments.map { type(of: $0) },
            constants: operands.map { $0.constant })
        var result = inferred.type
        if !result.isConcrete, let declared = scope.function.type(of: id).substituting(scope.symbols.replacements),
            declared.isConcrete
        {
            result = declared
        }
        if case .shape(let dims?) = result, dims.allSatisfy(\.isFixed) { return .literal(.shape(dims)) }
        if op == Interpreter.loop { return try loop(arguments, depth: scope.depth + 1) }
        if Kernels.dependsOnData(op), !(result.isConcrete && Kernels.isAvailable(op)) {
            let tensors = try Kernels.evaluate(op, arguments.flatMap(\.tensors), inferred.attributes)
            if case .tuple = inferred.type { return .tuple(tensors.map { .tensor($0) }) }
            guard let only = tensors.first else { throw TenonError(.internal, "\(op.name): no result") }
            return .tensor(only)
        }
        guard result.isConcrete else {
            throw TenonError(
                .unsupported, "\(op.name): the shape of the result is not known (\(result))", operatorName: op.name)
        }
        let inputs = arguments.flatMap(\.tensors)
        guard !inputs.contains(where: { $0.dtype == .string }) else {
            throw TenonError(.unsupported, "\(op.name): strings cannot be computed with", operatorName: op.name)
        }
        let outputs = try PlanBuilder.specs(result)
        let specs = inputs.map { TensorSpec($0.dtype, $0.shape.map { Int($0) }) }
        let kernel = try Kernels.prepare(
            KernelCall(
                op: op, inputs: specs, constants: inputs, outputs: outputs, attributes: inferred.attributes,
                arguments: operands))
        let tensors = try KernelRun.evaluate(kernel, inputs, outputs, environment: environment)
        var next = 0
        func group(_ type: ValueType) throws -> Value {
            if case .tuple(let fields) = type { return .tuple(try fields.map { try group($0) }) }
            guard next < tensors.count else { throw TenonError(.internal, "\(op.name): a result is missing") }
            next += 1
            return .tensor(tensors[next - 1])
        }
        return try group(result)
    }

    private func resolve(_ operand: Operand, _ scope: Scope) throws -> Value {
        switch operand {
        case .value(let id):
            guard scope.values.indices.contains(id.int), let value = scope.values[id.int] else {
                throw TenonError(
                    .invalidGraph, "value '\(scope.function.info(id)?.name ?? "")' is used before it is bound")
            }
            return value
        case .constant(let constant): return .tensor(constant)
        case .shape(let dims):
            guard let replaced = dims.substituting(scope.symbols.replacements) else {
                throw TenonError(.invalidShape, "a dimension of \(dims) overflows")
            }
            return .literal(.shape(replaced))
        case .tuple(let fields): return .tuple(try fields.map { try resolve($0, scope) })
        case .int, .float, .string, .dtype: return .literal(operand)
        case .global(let name):
            guard let function = module[name] else { throw TenonError(.notFound, "unknown function '\(name)'") }
            return .function(function)
        }
    }

    private func operand(_ value: Value) -> Operand {
        switch value {
        case .tensor(let constant): .constant(constant)
        case .literal(let literal): literal
        case .tuple(let fields): .tuple(fields.map { operand($0) })
        case .function: .tuple([])
        }
    }

    private func type(of value: Value) -> ValueType {
        switch value {
        case .tensor(let constant): .tensor(constant.type)
        case .literal(.shape(let dims)): .shape(dims)
        case .literal(.int): .scalar(.int64)
        case .literal(.float): .scalar(.float64)
        case .literal(.string): .scalar(.string)
        case .literal: .object
        case .tuple(let fields): .tuple(fields.map { type(of: $0) })
        case .function(let function): .function(parameters: function.parameterTypes, result: function.resultType)
        }
    }
}
