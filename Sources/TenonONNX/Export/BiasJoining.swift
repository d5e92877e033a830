import TenonIR

/// Which additions of a function are the bias of a convolution: ONNX's Conv has an input for it, and runtimes look for quantised
/// convolutions with their bias there.
struct BiasJoining {
    /// By addition: the call of the convolution, and one value per channel.
    private(set) var joined: [ValueID: (convolution: Call, op: OperatorID, bias: Operand)] = [:]
    /// What nothing else needs.
    private(set) var left: Set<ValueID> = []

    init(_ function: Function) {
        var uses: [ValueID: Int] = [:]
        var calls: [ValueID: (op: OperatorID, call: Call)] = [:]
        function.forEachBinding { binding in
            binding.expression.forEachValue { uses[$0, default: 0] += 1 }
            if case .call(let call) = binding.expression, case .op(let op) = call.callee, call.isPlain {
                calls[binding.id] = (op, call)
            }
        }
        function.body.result.forEachValue { uses[$0, default: 0] += 1 }
        for block in function.body.blocks {
            for binding in block.bindings {
                guard let (op, sum) = calls[binding.id], op.name == "add", sum.arguments.count == 2 else { continue }
                for (data, other) in [(0, 1), (1, 0)] {
                    guard case .value(let id) = sum.arguments[data], uses[id] == 1,
                        let (maker, convolution) = calls[id],
                        ["nn.conv1d", "nn.conv2d", "nn.conv3d"].contains(maker.name),
                        function.type(of: id) == function.type(of: binding.id),
                        let channels = function.type(of: convolution.arguments[1]).asTensor?.staticShape?.first,
                        let rank = function.type(of: id).asTensor?.rank,
                        let (bias, reshape) = Self.bias(sum.arguments[other], channels, rank, function, calls)
                    else { continue }
                    joined[binding.id] = (convolution, maker, bias)
                    left.insert(id)
                    if let reshape, uses[reshape] == 1 { left.insert(reshape) }
                    break
                }
            }
        }
    }

    /// One value per channel, without the dimensions around it: a constant, or what a reshape was made of.
    private static func bias(
        _ operand: Operand, _ channels: Int64, _ rank: Int, _ function: Function,
        _ calls: [ValueID: (op: OperatorID, call: Call)]
    ) -> (bias: Operand, reshape: ValueID?)? {
        guard let shape = function.type(of: operand).asTensor?.staticShape, shape.count <= rank, rank >= 2 else {
            return nil
        }
        // Channels are the second dimension of the result.
        let place = 1 - (rank - shape.count)
        guard shape.indices.contains(place),
            shape.indices.allSatisfy({ shape[$0] == ($0 == place ? channels : 1) })
        else { return nil }
        if case .constant(let constant) = operand {
            guard
                let flat = try? Constant(
                    dtype: constant.dtype, shape: [channels], borrowing: constant.source, owner: constant)
            else { return nil }
            return (.constant(flat), nil)
        }
        guard case .value(let id) = operand, let (op, call) = calls[id], op.name == "reshape",
            let source = call.arguments.first,
            function.type(of: source).asTensor?.staticShape == [channels]
        else { return nil }
        return (source, id)
    }
}
