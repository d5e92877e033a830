import TenonIR

extension PlanBuilder {
    /// Operators that do more than touch each element once or twice.
    private static let computes: [Bool] = Operators.all.map { schema in
        [
            "attention", "conv", "cum", "dense", "dft", "einsum", "grid", "gru", "image.", "lrn", "lstm", "matmul",
            "pool", "rnn",
            "sort", "topk", "unique", "vision.",
        ].contains { Substring(schema.name).contains($0) }
    }

    static let cast = Operators.named("astype")

    /// Whether the operator may give the same bytes under another type.
    static func isView(_ op: OperatorID) -> Bool { op.has(.view) || op == cast }

    mutating func lower(
        _ op: OperatorID, _ attributes: Attributes, _ arguments: [Lowered], _ id: ValueID, _ scope: Scope
    ) throws -> Lowered {
        let operands = arguments.map { operand($0) }
        let constants = arguments.map { constant($0) }
        if let form = DynamicForm.of(op), let given = try form.attributes(attributes, constants) {
            return try lower(form.base, given, Array(arguments.prefix(form.inputCount)), id, scope)
        }
        let inferred = try Inference.call(
            op, operands, attributes, types: arguments.map { type(of: $0) }, constants: constants)
        var resultType = inferred.type
        if !resultType.isConcrete, let declared = scope.function.type(of: id).substituting(scope.symbols.replacements),
            declared.isConcrete
        {
            resultType = declared
        }
        if case .shape(let dims?) = resultType, dims.allSatisfy(\.isFixed) { return .literal(.shape(dims)) }
        guard resultType.isConcrete, !Kernels.dependsOnData(op) || Kernels.isAvailable(op), op != Interpreter.loop
        else {
            throw DependsOnData(reason: "the type of \(op.name) (\(resultType))")
        }

        if let sameBytes = view(op, arguments, resultType) { return sameBytes }

        var inputs: [PlannedTensor] = []
        var known: [Constant?] = []
        for argument in arguments { collectTensors(argument, into: &inputs) }
        for tensor in inputs { known.append(constant(.tensor(tensor))) }
        let outputs = try PlanBuilder.specs(resultType)
        let call = KernelCall(
            op: op, inputs: inputs.map(\.spec), constants: known, outputs: outputs, attributes: inferred.attributes,
            arguments: operands)
        let kernel = try Kernels.prepare(call, options.askedProviders)
        if let folded = try fold(kernel, known, inputs, outputs) {
            return try group(resultType, folded.map { try add($0) })
        }

        let result = try newTensors(resultType)
        var tensors: [PlannedTensor] = []
        try flatten(result, into: &tensors)
        let moved = (inputs + tensors).reduce(0) { $0 &+ $1.spec.byteCount }
        let description = StepDescription(
            binding: scope.name(id), composite: scope.composite.isEmpty ? op.name : scope.composite,
            implementation: "\(kernel.provider):\(op.name)", bytes: moved)
        var read = inputs.map(\.buffer)
        if !kernel.absorbedInputs.isEmpty {
            // Nothing is read there any more, so the plan need not keep it.
            buffers.append(Buffer(kind: .intermediate, bytes: 0))
            for index in kernel.absorbedInputs where read.indices.contains(index) { read[index] = buffers.count - 1 }
        }
        steps.append(
            DraftStep(
                work: .kernel(kernel), inputs: read, outputs: tensors.map(\.buffer),
                workspace: kernel.scratchBytes, descriptions: [description], node: scope.name(id),
                nanoseconds: PlanBuilder.nanoseconds(op, kernel, moved: moved)))
        return result
    }

    /// Roughly how long a kernel takes on one thread; infinite when nobody knows.
    static func nanoseconds(_ op: OperatorID, _ kernel: PreparedKernel, _ specs: [TensorSpec]) -> Double {
        nanoseconds(op, kernel, moved: specs.reduce(0) { $0 &+ $1.byteCount })
    }

    private static func nanoseconds(_ op: OperatorID, _ kernel: PreparedKernel, moved: Int) -> Double {
        kernel.expectedNanoseconds ?? (computes[Int(op.index)] ? .infinity : 300 + Double(moved) / 4)
    }

    /// The tensors of an argument from left to right; literals, which may stand in tuples (`axes = (1, 2)`), are not inputs.
    private func collectTensors(_ value: Lowered, into tensors: inout [PlannedTensor]) {
        switch value {
        case .tensor(let tensor): tensors.append(tensor)
        case .tuple(let fields): for field in fields { collectTensors(field, into: &tensors) }
        case .literal, .function: break
        }
    }

    /// The argument as a kernel sees it: literals as they are, tensors as their contents where known.
    func operand(_ value: Lowered) -> Operand {
        switch value {
        case .tensor(let tensor): constant(value).map { .constant($0) } ?? .value(ValueID(tensor.buffer))
        case .literal(let literal): literal
        case .tuple(let fields): .tuple(fields.map { operand($0) })
        case .function: .tuple([])
        }
    }

    private func view(_ op: OperatorID, _ arguments: [Lowered], _ type: ValueType) -> Lowered? {
        guard PlanBuilder.isView(op), case .tensor(let source)? = arguments.first,
            case .tensor(let target) = type, let spec = TensorSpec(target), spec.dtype == source.spec.dtype,
            spec.byteCount == source.spec.byteCount
        else { return nil }
        return .tensor(PlannedTensor(buffer: source.buffer, spec: spec))
    }

    static func specs(_ type: ValueType) throws -> [TensorSpec] {
        switch type {
        case .tensor(let tensor):
            guard let spec = TensorSpec(tensor) else {
                throw TenonError(.invalidShape, "a result of type \(type) has no size that fits memory")
            }
            return [spec]
        case .tuple(let fields): return try fields.flatMap { try specs($0) }
        default: throw TenonError(.unsupported, "a tensor is needed, found \(type)")
        }
    }

    /// The tensors of a flat list in the shape of `type`.
    private func group(_ type: ValueType, _ tensors: [PlannedTensor]) throws -> Lowered {
        var next = 0
        func group(_ type: ValueType) throws -> Lowered {
            if case .tuple(let fields) = type { return .tuple(try fields.map { try group($0) }) }
            guard next < tensors.count else { throw TenonError(.internal, "a result is missing") }
            next += 1
            return .tensor(tensors[next - 1])
        }
        return try group(type)
    }

    /// The results of a kernel all of whose inputs are known, unless they would make the plan much larger.
    private func fold(
        _ kernel: PreparedKernel, _ known: [Constant?], _ inputs: [PlannedTensor], _ outputs: [TensorSpec]
    ) throws -> [Constant]? {
        let constants = known.compactMap { $0 }
        guard constants.count == known.count else { return nil }
        let size = outputs.reduce(0) { $0 &+ $1.byteCount }
        guard size <= max(PlanBuilder.foldedBytesLimit, inputs.reduce(0) { $0 &+ $1.spec.byteCount }) else {
            return nil
        }
        return try KernelRun.evaluate(kernel, constants, outputs, environment: RunEnvironment.current)
    }
}
