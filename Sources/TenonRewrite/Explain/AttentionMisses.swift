import TenonIR

/// Products with a softmax that `RecomposeAttention` left as they are, and why.
public func attentionMisses(_ module: Module) -> [Explanation.NearMiss] {
    var misses: [Explanation.NearMiss] = []
    for (name, function) in module.functions
    where !function.isPrimitive && function.composite == nil && function.codegen == nil {
        misses += AttentionMissFinder(function.withPrintedNames(), name).find()
    }
    return misses
}

/// Looks from each product back through its left side.
private struct AttentionMissFinder {
    private struct Reason {
        var place: Operand
        var kind: Refusal.Kind
        var found: String
        var expected: String
    }

    private let function: Function
    private let name: String
    private let uses: UseCounts
    private var calls: [ValueID: (name: String, call: Call)] = [:]

    init(_ function: Function, _ name: String) {
        self.function = function
        self.name = name
        uses = UseCounts(function)
        var calls: [ValueID: (name: String, call: Call)] = [:]
        function.forEachBinding { binding in
            if case .call(let call) = binding.expression, case .op(let op) = call.callee {
                calls[binding.id] = (op.name, call)
            }
        }
        self.calls = calls
    }

    func find() -> [Explanation.NearMiss] {
        var misses: [Explanation.NearMiss] = []
        function.forEachBinding { binding in
            guard let root = calls[binding.id], root.name == "matmul",
                let (softmax, outer) = softmax(root.call.arguments[0]), let inner = call(softmax),
                reachesProduct(inner.call.arguments[0], 0)
            else { return }
            let reason =
                outer ?? checked(softmax, inner.call) ?? scores(inner.call.arguments[0], isScaled: false, 0)
                ?? Reason(
                    place: softmax, kind: .shape, found: "\(function.type(of: inner.call.arguments[0]))",
                    expected: "scores of 3 or 4 dimensions from two operands that are no constants")
            misses.append(
                Explanation.NearMiss(
                    function: name, rule: "RecomposeAttention", root: text(.value(binding.id)),
                    place: text(reason.place),
                    matchedOperators: 2, kind: reason.kind, found: reason.found, expected: reason.expected, fusedBy: "")
            )
        }
        return misses
    }

    private func call(_ operand: Operand) -> (name: String, call: Call)? {
        if case .value(let id) = operand { calls[id] } else { nil }
    }

    private func text(_ operand: Operand) -> String {
        if case .value(let id) = operand { function.values[id.int].name } else { "" }
    }

    private func count(_ operand: Operand) -> Int32 {
        if case .value(let id) = operand { uses.count(id) } else { 0 }
    }

    /// The softmax behind what stands between it and the product, and what of that is in the way.
    private func softmax(_ operand: Operand) -> (Operand, Reason?)? {
        var (operand, reason): (Operand, Reason?) = (operand, nil)
        for _ in 0..<6 {
            guard let (name, call) = call(operand) else { return nil }
            switch name {
            case "nn.softmax": return (operand, reason)
            case "where" where call.arguments.count == 3: operand = call.arguments[2]
            case "multiply", "divide", "astype", "reshape", "add":
                reason =
                    reason
                    ?? Reason(
                        place: operand, kind: .operatorMismatch, found: "\(name) between the softmax and the product",
                        expected: "nothing, or a choice of 0 where the softmax is NaN")
                operand = call.arguments[0]
            default: return nil
            }
        }
        return nil
    }

    private func checked(_ softmax: Operand, _ call: Call) -> Reason? {
        guard let type = function.type(of: softmax).asTensor else { return nil }
        if type.dtype != .float32 {
            return Reason(place: softmax, kind: .dtype, found: "\(type.dtype?.name ?? "unknown")", expected: "f32")
        }
        let axis = call.attributes.int("axis") ?? -1
        if let rank = type.rank, axis != -1, axis != Int64(rank) - 1 {
            return Reason(place: softmax, kind: .attribute, found: "axis \(axis)", expected: "the last axis")
        }
        if count(softmax) > 2 || count(softmax) == 2 && !isGuarded(softmax) {
            return Reason(
                place: softmax, kind: .extraUser, found: "\(count(softmax)) users", expected: "the product alone")
        }
        return nil
    }

    private func isGuarded(_ softmax: Operand) -> Bool {
        calls.values.contains { $0.name == "isnan" && $0.call.arguments.first == softmax }
    }

    private func reachesProduct(_ operand: Operand, _ depth: Int) -> Bool {
        guard depth < 12, let (name, call) = call(operand) else { return false }
        switch name {
        case "matmul": return true
        case "add", "multiply", "divide", "where", "tanh", "astype", "reshape":
            return call.arguments.contains { reachesProduct($0, depth + 1) }
        default: return false
        }
    }

    /// What stands between the scores' product and the softmax.
    private func scores(_ operand: Operand, isScaled: Bool, _ depth: Int) -> Reason? {
        guard depth < 12, let (name, call) = call(operand), name != "matmul" else { return nil }
        if count(operand) != 1 {
            return Reason(
                place: operand, kind: .extraUser, found: "\(count(operand)) users of \(name)", expected: "one user")
        }
        guard let inner = call.arguments.first(where: { reachesProduct($0, 0) }) else { return nil }
        if isScaled, name == "add" || name == "where" {
            return Reason(
                place: operand, kind: .operatorMismatch, found: "\(name) inside of a factor",
                expected: "masks outside of the scale")
        }
        switch name {
        case "multiply", "divide":
            let isNumber = call.arguments.contains { argument in
                if case .constant(let constant) = argument { constant.count == 1 } else { false }
            }
            guard isNumber || call.arguments.contains(where: { self.call($0)?.name == "tanh" }) else {
                return Reason(
                    place: operand, kind: .constantValue, found: "\(name) by something else", expected: "a known number"
                )
            }
            return scores(inner, isScaled: true, depth + 1)
        case "where":
            let low = call.arguments.dropFirst().first { argument in
                if case .constant(let constant) = argument { constant.count == 1 } else { false }
            }
            if low == nil {
                return Reason(
                    place: operand, kind: .constantValue, found: "a choice between two tensors",
                    expected: "a choice between scores and one known number below 0")
            }
            return scores(inner, isScaled: isScaled, depth + 1)
                ?? (depth > 0
                    ? Reason(
                        place: operand, kind: .operatorMismatch,
                        found: "a number that something is added to afterwards",
                        expected: "the choice next to the softmax, or -inf") : nil)
        case "reshape":
            return Reason(
                place: operand, kind: .operatorMismatch, found: "reshape between product and softmax",
                expected: "scores of one shape")
        default: return scores(inner, isScaled: isScaled, depth + 1)
        }
    }
}
