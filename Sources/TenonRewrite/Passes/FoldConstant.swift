import TenonIR

/// Replaces calls of operators whose inputs are all known by their results. Needs an evaluator in the context; without one
/// only what needs no arithmetic is folded.
public struct FoldConstant: BindingPass {
    /// A result larger than this and larger than everything it was made of stays a call: `broadcast_to` of a scalar to a
    /// gigabyte is better computed.
    public var largestResult: Int

    /// Tensors of small integers stay what they are, for rules that compute with them; without it `dequantize` of a constant is
    /// folded whatever its size.
    public var keepsQuantized: Bool

    public init(largestResult: Int = 1 << 20, keepsQuantized: Bool = false) {
        self.largestResult = largestResult
        self.keepsQuantized = keepsQuantized
    }

    public var name: String { "FoldConstant" }

    struct State {
        /// Results of folded calls that are tuples, by value.
        var tuples: [ValueID: [Operand]] = [:]
    }

    func begin(_ function: Function, _ context: PassContext) throws -> State { State() }

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout State, _ context: PassContext
    ) throws -> Operand? {
        switch binding.expression {
        case .operand(let operand):
            if case .constant = operand { return operand }
            return nil
        case .tupleGetItem(.value(let tuple), let index):
            guard let fields = state.tuples[tuple], fields.indices.contains(index) else { return nil }
            return fields[index]
        case .call(let call): return try fold(binding.id, call, &transformer, &state, context)
        default: return nil
        }
    }

    private func fold(
        _ id: ValueID, _ call: Call, _ transformer: inout BindingTransformer, _ state: inout State,
        _ context: PassContext
    ) throws -> Operand? {
        guard case .op(let op) = call.callee else { return nil }
        try checkKnown(op, call, transformer)
        if keepsQuantized, op.name == "dequantize", case .constant(let constant)? = call.arguments.first,
            constant.dtype.byteCount == 1, constant.count > 1
        {
            return nil
        }
        var inputBytes = 0
        for argument in call.arguments {
            guard let bytes = Self.knownBytes(argument) else { return nil }
            inputBytes += bytes
        }
        let type = transformer.type(of: .value(id))
        guard let bytes = Self.byteCount(type),
            bytes <= max(largestResult, op.name == "dequantize" ? Int.max : inputBytes)
        else { return nil }
        if op.name == "reshape", case .constant(let constant)? = call.arguments.first,
            let shape = type.asTensor?.staticShape
        {
            // The same bytes under another shape.
            return .constant(
                try Constant(dtype: constant.dtype, shape: shape, borrowing: constant.bytes, owner: constant))
        }
        guard let results = try context.evaluate?(call, type) else { return nil }
        if case .tuple = type {
            state.tuples[id] = results.map { .constant($0) }
            return nil
        }
        return results.first.map { .constant($0) }
    }

    /// What a module computes may be no axis, or no size, of what it is given to: that shows when it becomes known, and is the
    /// module's fault, not the pass's.
    private func checkKnown(_ op: OperatorID, _ call: Call, _ transformer: BindingTransformer) throws {
        guard call.arguments.contains(where: { $0.constant != nil }),
            DynamicForm.of(op) != nil || op.schema.inputs.contains(where: { $0.kind == .any })
        else { return }
        _ = try Inference.call(
            op, call.arguments, call.attributes, types: call.arguments.map { transformer.type(of: $0) },
            constants: call.arguments.map(\.constant))
    }

    /// Bytes of the tensors in an operand that is known entirely; nil for others.
    private static func knownBytes(_ operand: Operand) -> Int? {
        switch operand {
        case .constant(let constant): return constant.bytes.count
        case .shape(let dims): return dims.allSatisfy(\.isFixed) ? 0 : nil
        case .int, .float, .string, .dtype: return 0
        case .tuple(let fields):
            var total = 0
            for field in fields {
                guard let bytes = knownBytes(field) else { return nil }
                total += bytes
            }
            return total
        case .value, .global: return nil
        }
    }

    private static func byteCount(_ type: ValueType) -> Int? {
        switch type {
        case .tensor(let tensor): return tensor.byteCount
        case .tuple(let fields):
            var total = 0
            for field in fields {
                guard let bytes = byteCount(field) else { return nil }
                let (sum, overflow) = total.addingReportingOverflow(bytes)
                if overflow { return nil }
                total = sum
            }
            return total
        default: return nil
        }
    }
}
