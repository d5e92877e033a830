import TenonIR

/// An operator evaluated at once, with everything known: its type is inferred from what its inputs hold.
enum LateOperator {
    static func evaluate(
        _ op: OperatorID, _ operands: [Operand], _ attributes: Attributes, _ inputs: [Constant],
        environment: borrowing RunEnvironment, account: MemoryAccount
    ) throws -> [Constant] {
        let constants = operands.map(\.constant)
        if let form = DynamicForm.of(op), let given = try form.attributes(attributes, constants) {
            let kept = Array(operands.prefix(form.inputCount))
            return try evaluate(
                form.base, kept, given, tensors(kept), environment: environment, account: account)
        }
        let inferred = try Inference.call(
            op, operands, attributes, types: operands.map(type), constants: constants)
        if Kernels.dependsOnData(op) { return try Kernels.evaluate(op, inputs, inferred.attributes) }
        guard inferred.type.isConcrete else {
            throw TenonError(
                .unsupported, "\(op.name): the shape of the result is not known (\(inferred.type))",
                operatorName: op.name)
        }
        let outputs = try PlanBuilder.specs(inferred.type)
        let kernel = try Kernels.prepare(
            KernelCall(
                op: op, inputs: inputs.map { TensorSpec($0.dtype, $0.shape.map { Int($0) }) }, constants: inputs,
                outputs: outputs, attributes: inferred.attributes, arguments: operands))
        let bytes = outputs.reduce(kernel.scratchBytes) { $0 &+ $1.byteCount }
        guard account.limit == nil || bytes <= (account.limit ?? 0) else {
            throw TenonError(
                .limitExceeded, "\(op.name): \(bytes) bytes exceed the memory limit of \(account.limit ?? 0)",
                operatorName: op.name)
        }
        return try KernelRun.evaluate(kernel, inputs, outputs, environment: environment)
    }

    private static func tensors(_ operands: [Operand]) -> [Constant] {
        operands.flatMap { operand -> [Constant] in
            switch operand {
            case .constant(let constant): [constant]
            case .tuple(let fields): tensors(fields)
            default: []
            }
        }
    }

    private static func type(_ operand: Operand) -> ValueType {
        switch operand {
        case .constant(let constant): .tensor(constant.type)
        case .shape(let dims): .shape(dims)
        case .int: .scalar(.int64)
        case .float: .scalar(.float64)
        case .string: .scalar(.string)
        case .tuple(let fields): .tuple(fields.map(type))
        case .value, .dtype, .global: .object
        }
    }
}
