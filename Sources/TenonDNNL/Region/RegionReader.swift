import TenonIR

/// Writes out a region function: calls of local composite functions become the operators inside them.
struct RegionReader {
    private indirect enum Value {
        case tensor(TensorID)
        case tuple([Value])
        case function(Function)
        case literal(Operand)

        var literal: Operand? {
            if case .literal(let operand) = self { return operand }
            return nil
        }
    }

    private(set) var graph = RegionGraph()
    private var constants: [ObjectIdentifier: TensorID] = [:]
    /// Bounds the nesting of local functions, which a text may make as deep as it likes.
    private var depth = 0

    static func read(_ function: Function) throws -> RegionGraph {
        var reader = RegionReader()
        return try reader.region(function)
    }

    private mutating func region(_ function: Function) throws -> RegionGraph {
        var environment = [Value?](repeating: nil, count: function.values.count)
        var inputCount = 0
        for parameter in function.parameters {
            environment[parameter.int] = try input(
                function.type(of: parameter), function.info(parameter)?.name ?? "", &inputCount)
        }
        let result = try body(function, &environment, composite: nil)
        try collect(result, into: &graph.outputs)
        return graph
    }

    private mutating func input(_ type: ValueType, _ name: String, _ next: inout Int) throws -> Value {
        switch type {
        case .tensor(let tensor):
            let id = try add(name, tensor, .input(next))
            graph.inputs.append(id)
            next += 1
            return .tensor(id)
        case .tuple(let fields):
            return .tuple(try fields.map { try input($0, name, &next) })
        default:
            throw TenonError(.unsupported, "parameter '\(name)' of the region is a \(type), expected tensors")
        }
    }

    private mutating func add(_ name: String, _ type: TensorType, _ origin: RegionTensor.Origin) throws -> TensorID {
        guard let dtype = type.dtype, let shape = type.staticShape, type.byteCount != nil else {
            throw TenonError(.invalidShape, "'\(name)' has type \(type), expected a known size")
        }
        return graph.add(RegionTensor(name: name, dims: shape.map { Int($0) }, dtype: dtype, origin: origin))
    }

    private func collect(_ value: Value, into list: inout [TensorID]) throws {
        switch value {
        case .tensor(let id): list.append(id)
        case .tuple(let fields): for field in fields { try collect(field, into: &list) }
        case .function, .literal: throw TenonError(.invalidGraph, "the region results in something that is no tensor")
        }
    }

    private mutating func body(_ function: Function, _ environment: inout [Value?], composite: Int?) throws -> Value {
        for block in function.body.blocks {
            for binding in block.bindings {
                let name = function.info(binding.id)?.name ?? ""
                do {
                    environment[binding.id.int] = try expression(
                        binding.expression, in: function, function.type(of: binding.id), name, environment, composite)
                } catch let error as TenonError {
                    throw error.located(at: name)
                }
            }
        }
        return try operand(function.body.result, environment)
    }

    private mutating func operand(_ operand: Operand, _ environment: [Value?]) throws -> Value {
        switch operand {
        case .value(let id):
            guard environment.indices.contains(id.int), let value = environment[id.int] else {
                throw TenonError(.invalidGraph, "value \(id.index) is used before it is bound")
            }
            return value
        case .constant(let constant):
            if let id = constants[ObjectIdentifier(constant)] { return .tensor(id) }
            let id = try add("constant", constant.type, .constant(ConstantView(constant: constant, strides: nil)))
            constants[ObjectIdentifier(constant)] = id
            return .tensor(id)
        case .tuple(let fields):
            var values: [Value] = []
            for field in fields { values.append(try self.operand(field, environment)) }
            return .tuple(values)
        case .shape, .int, .float, .string, .dtype, .global: return .literal(operand)
        }
    }

    private mutating func expression(
        _ expression: Expression, in function: Function, _ type: ValueType, _ name: String, _ environment: [Value?],
        _ composite: Int?
    ) throws -> Value {
        switch expression {
        case .operand(let source), .matchCast(let source, _):
            let value = try operand(source, environment)
            try expect(value, type, "the value bound")
            return value
        case .tuple(let fields): return try operand(.tuple(fields), environment)
        case .tupleGetItem(let source, let index):
            guard case .tuple(let fields) = try operand(source, environment), fields.indices.contains(index) else {
                throw TenonError(.invalidGraph, "item \(index) of something that has no such item")
            }
            return fields[index]
        case .function(let function): return .function(function)
        case .conditional: throw TenonError(.unsupported, "a conditional inside a region")
        case .call(let call): return try self.call(call, in: function, type, name, environment, composite)
        }
    }

    /// What is declared as a tensor, or as a tuple of them, has to be one: a declared `object` says nothing.
    private func expect(_ value: Value, _ type: ValueType, _ what: String) throws {
        switch (type, value) {
        case (.tensor(let declared), .tensor(let id)):
            guard graph[id].isA(declared) else {
                throw TenonError(.invalidType, "\(what) is a \(graph[id].type), expected \(type)")
            }
        case (.tuple(let types), .tuple(let fields)) where types.count == fields.count:
            for (field, type) in zip(fields, types) { try expect(field, type, what) }
        case (.tensor, _), (.tuple, _): throw TenonError(.invalidType, "\(what) is no tensor, expected \(type)")
        default: break
        }
    }

    private mutating func call(
        _ call: Call, in caller: Function, _ type: ValueType, _ name: String, _ environment: [Value?],
        _ composite: Int?
    ) throws -> Value {
        var arguments: [Value] = []
        for argument in call.arguments { arguments.append(try operand(argument, environment)) }
        switch call.callee {
        case .op(let op):
            try check(op, arguments, call, in: caller, type)
            return try add(op, arguments, call, type, name, composite)
        case .local(let id):
            guard environment.indices.contains(id.int), case .function(let function)? = environment[id.int],
                function.parameters.count == arguments.count
            else { throw TenonError(.invalidGraph, "the local function called is not bound or takes other arguments") }
            guard depth < 16 else { throw TenonError(.limitExceeded, "local functions nest deeper than 16") }
            depth += 1
            defer { depth -= 1 }
            var inner = [Value?](repeating: nil, count: function.values.count)
            for (index, (parameter, argument)) in zip(function.parameters, arguments).enumerated() {
                try expect(
                    argument, function.type(of: parameter), "argument \(index + 1) of '\(caller.info(id)?.name ?? "")'")
                inner[parameter.int] = argument
            }
            var number = composite
            if number == nil, let label = function.composite {
                graph.composites.append(label)
                number = graph.composites.count - 1
            }
            return try body(function, &inner, composite: number)
        case .function(let function):
            throw TenonError(.unsupported, "a region calls @\(function), expected local functions and operators")
        case .external(let function):
            throw TenonError(.unsupported, "a region calls the external function '\(function)'")
        }
    }

    /// The verifier takes whatever is declared as `object` on trust. Here everything is known, so that such operands are
    /// checked after all, before a primitive is made for sizes that they do not have.
    private func check(
        _ op: OperatorID, _ arguments: [Value], _ call: Call, in caller: Function, _ type: ValueType
    ) throws {
        let isKnown = call.arguments.allSatisfy { argument in
            guard argument.valueID != nil else { return argument.constant != nil }
            guard case .tensor(let type) = caller.type(of: argument) else { return false }
            return type.dtype != nil && type.staticShape != nil
        }
        guard !isKnown else { return }
        let written = zip(call.arguments, arguments).map { $1.literal ?? $0 }
        let inferred = try Inference.call(
            op, written, call.attributes,
            types: zip(written, arguments).map { self.type(of: $1, written: caller.type(of: $0)) },
            constants: written.map(\.constant))
        guard inferred.type == type else {
            throw TenonError(
                .invalidType, "\(op.name) gives \(inferred.type), declared as \(type)", operatorName: op.name)
        }
    }

    private func type(of value: Value, written: ValueType) -> ValueType {
        switch value {
        case .tensor(let id): .tensor(graph[id].type)
        case .tuple(let fields): .tuple(fields.map { type(of: $0, written: .object) })
        case .function, .literal: written
        }
    }

    private mutating func add(
        _ op: OperatorID, _ arguments: [Value], _ call: Call, _ type: ValueType, _ name: String, _ composite: Int?
    ) throws -> Value {
        guard Int(op.index) < Operators.all.count else { throw TenonError(.notFound, "unknown operator \(op.index)") }
        var inputs: [TensorID] = []
        for argument in arguments {
            if case .literal = argument { continue }
            try collect(argument, into: &inputs)
        }
        var outputs: [TensorID] = []
        let value = try result(type, name, &outputs)
        graph.ops.append(
            RegionOp(
                op: op, inputs: inputs, outputs: outputs,
                arguments: zip(call.arguments, arguments).map { $1.literal ?? $0 },
                attributes: try op.schema.normalised(call.attributes), binding: name, composite: composite))
        return value
    }

    private mutating func result(_ type: ValueType, _ name: String, _ outputs: inout [TensorID]) throws -> Value {
        switch type {
        case .tensor(let tensor):
            let id = try add(name, tensor, .computed)
            outputs.append(id)
            return .tensor(id)
        case .tuple(let fields):
            var values: [Value] = []
            for field in fields { values.append(try result(field, name, &outputs)) }
            return .tuple(values)
        default: throw TenonError(.unsupported, "a result of type \(type) inside a region")
        }
    }
}
