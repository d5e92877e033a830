import TenonIR

/// What nodes are for the sizes in a table: shapes of tensors, operands, kernels.
struct NodePreparation {
    let program: Program
    let table: UnsafePointer<Int64>
    let providers: [any KernelProvider]

    static func spec(_ tensor: Program.Tensor, _ table: UnsafePointer<Int64>) throws -> TensorSpec {
        guard let dtype = tensor.dtype, let dims = tensor.dims else {
            throw TenonError(.internal, "'\(tensor.name)' has no size")
        }
        var shape: [Int] = []
        shape.reserveCapacity(dims.count)
        var bytes = dtype.byteCount
        for dim in dims {
            let size = SizeProgram.value(dim, table)
            guard size >= 0, let size = Int(exactly: size) else {
                throw TenonError(.invalidShape, "'\(tensor.name)' has a negative size, \(size)", node: tensor.name)
            }
            shape.append(size)
            let (product, overflow) = bytes.multipliedReportingOverflow(by: max(size, 1))
            guard !overflow else {
                throw TenonError(
                    .invalidShape, "'\(tensor.name)' has sizes \(shape), too many for memory", node: tensor.name)
            }
            bytes = product
        }
        return TensorSpec(dtype, shape)
    }

    func spec(_ tensor: Int) throws -> TensorSpec { try NodePreparation.spec(program.tensors[tensor], table) }

    func operand(_ argument: Program.Argument) -> Operand {
        switch argument {
        case .tensor(let tensor), .shapeTensor(let tensor):
            constant(tensor).map { .constant($0) } ?? .value(ValueID(tensor))
        case .literal(let literal): literal
        case .shape(let sizes): .shape(sizes.map { .fixed(SizeProgram.value($0, table)) })
        case .tuple(let fields): .tuple(fields.map { operand($0) })
        }
    }

    /// A constant under the shape of one of its views.
    private static func reshaped(_ constant: Constant, _ tensor: Program.Tensor) -> Constant {
        let shape = (tensor.dims ?? []).compactMap { if case .fixed(let size) = $0 { size } else { nil } }
        if shape == constant.shape { return constant }
        return (try? Constant(dtype: constant.dtype, shape: shape, borrowing: constant.bytes, owner: constant))
            ?? constant
    }

    func constant(_ tensor: Int) -> Constant? {
        program.constant(tensor).map { NodePreparation.reshaped($0, program.tensors[tensor]) }
    }

    // MARK: - Kernels

    /// A node's kernel and the tensors that it reads and writes.
    func prepare(_ node: Program.Node) throws -> (PreparedKernel, [TensorSpec]) {
        let inputs = try node.inputs.map { try spec($0) }
        let outputs = try node.outputs.map { try spec($0) }
        switch node.work {
        case .operation(let operation):
            let call = call(operation, inputs, node.inputs.map { constant($0) }, outputs)
            return (try Kernels.prepare(call, providers), inputs + outputs)
        case .chain(let chain): return (try prepare(chain, node, inputs, outputs), inputs + outputs)
        case .region, .sizes: throw TenonError(.internal, "'\(node.name)' has no kernel")
        }
    }

    private func call(
        _ operation: Program.Operation, _ inputs: [TensorSpec], _ constants: [Constant?], _ outputs: [TensorSpec]
    ) -> KernelCall {
        KernelCall(
            op: operation.op, inputs: inputs, constants: constants, outputs: outputs,
            attributes: operation.attributes,
            arguments: operation.arguments.map { operand($0) })
    }

    private func prepare(
        _ chain: Program.Chain, _ node: Program.Node, _ inputs: [TensorSpec], _ outputs: [TensorSpec]
    ) throws -> PreparedKernel {
        guard let output = outputs.first else { throw TenonError(.internal, "a chain without a result") }
        let constants = node.inputs.map { constant($0) }
        return try ChainKernels.prepare(
            ChainCall(
                anchor: call(
                    chain.anchor, Array(inputs.prefix(chain.anchorInputs)),
                    Array(constants.prefix(chain.anchorInputs)), outputs),
                steps: chain.steps.map {
                    ChainStep(
                        op: $0.op, attributes: $0.attributes, arguments: $0.arguments, operand: $0.operand,
                        isLeft: $0.isLeft)
                }, operands: Array(inputs.dropFirst(chain.anchorInputs)),
                constants: Array(constants.dropFirst(chain.anchorInputs)), output: output), providers)
    }
}
