import TenonIR

/// An operator that computes with small integers when its inputs are quantised.
struct Layer {
    enum Kind {
        /// A convolution or product with known weights.
        case weighted(Weighted)
        /// A sum, product, concatenation or pooling; its result is quantised too.
        case joining
    }

    struct Weighted {
        let weight: Constant
        /// Axis of the output channels in the weight.
        let outputAxis: Int
        /// Axis of the input channels in the weight, and in the data.
        let inputAxis: Int
        let dataAxis: Int
        /// Axis of the channels in the result.
        let channelAxis: Int
        let groups: Int
        /// One value, or one per output; nil where no addition of such follows.
        let bias: Constant?

        var outputs: Int { Int(weight.shape[outputAxis]) }
    }

    /// Of the anchor.
    var name: String
    let op: OperatorID
    let anchor: ValueID
    /// What is quantised in front of it, without repetition.
    let inputs: [ValueID]
    /// Its result, behind the addition of the bias.
    let output: ValueID
    /// Behind bounds (ReLU, clip) that nothing else looks behind; the same as `output` without them.
    let end: ValueID
    let kind: Kind

    var weighted: Weighted? {
        if case .weighted(let weighted) = kind { return weighted }
        return nil
    }
}

/// Who makes and who uses each value of a function's outermost blocks.
struct Usage {
    let function: Function
    private(set) var makers: [ValueID: (op: OperatorID, call: Call)] = [:]
    private(set) var users: [ValueID: [ValueID]] = [:]
    /// Values that something else than a plain operator needs: a result, a branch, a call.
    private(set) var leaving: Set<ValueID> = []

    init(_ function: Function) {
        self.function = function
        for block in function.body.blocks {
            for binding in block.bindings {
                if case .call(let call) = binding.expression, case .op(let op) = call.callee, call.isPlain {
                    makers[binding.id] = (op, call)
                    for argument in call.arguments {
                        argument.forEachValue { users[$0, default: []].append(binding.id) }
                    }
                } else {
                    binding.expression.forEachValue { leaving.insert($0) }
                }
            }
        }
        function.body.result.forEachValue { leaving.insert($0) }
    }

    /// The only user of a value, where it has one and nothing else needs the value.
    func onlyUser(_ value: ValueID) -> ValueID? {
        guard !leaving.contains(value), let users = users[value], users.count == 1 else { return nil }
        return users.first
    }

    func name(_ value: ValueID) -> String { function.info(value)?.name ?? "" }

    func isFloat(_ value: ValueID) -> Bool { function.type(of: value).asTensor?.dtype == .float32 }

    /// Behind all bounds that nothing looks behind.
    func end(_ value: ValueID) -> ValueID {
        var current = value
        while let user = onlyUser(current), let (op, _) = makers[user], op.has(.clamps) {
            current = user
        }
        return current
    }

    /// The value in front of movements.
    func source(_ value: ValueID) -> ValueID {
        var current = value
        while let (op, call) = makers[current], op.has(.movesElements),
            case .value(let next)? = call.arguments.first
        {
            current = next
        }
        return current
    }

    /// The value in front of movements and bounds.
    func origin(_ value: ValueID) -> ValueID {
        var current = value
        while let (op, call) = makers[current], op.has([.movesElements, .clamps]),
            case .value(let next)? = call.arguments.first
        {
            current = next
        }
        return current
    }
}
