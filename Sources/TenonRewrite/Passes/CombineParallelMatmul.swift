import TenonIR

/// Makes one product of those that multiply one value by several weights: the weights side by side, the result cut again.
///
/// `matmul(x, w₁) … matmul(x, wₙ)` become `split(matmul(x, concat(w₁ … wₙ)))`. Where each product has a bias, added to it alone,
/// the biases are joined too, and where one activation follows each sum, it is computed once. Weights must be of one rank with
/// equal leading sizes and known widths, and depend on none of the products. What they are made of moves in front of the first.
public struct CombineParallelMatmul: ModulePass {
    public init() {}

    public var name: String { "CombineParallelMatmul" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        for (name, function) in module.functions
        where !function.isPrimitive && function.composite == nil && function.codegen == nil {
            do {
                if let combined = try combined(function) { result[name] = combined }
            } catch let error as TenonError {
                throw TenonError(
                    error.status, "\(self.name): @\(name): \(error)", operatorName: error.operatorName)
            }
        }
        return result
    }

    /// Nil when there is nothing to do.
    private func combined(_ given: Function) throws -> Function? {
        var function = given
        var groups: [ParallelProducts.Group] = []
        for block in function.body.blocks.indices where function.body.blocks[block].isDataflow {
            let products = ParallelProducts(function.body.blocks[block], given)
            groups += products.groups
            function.body.blocks[block] = products.block
        }
        guard !groups.isEmpty else { return nil }
        var places: [ValueID: (group: Int, branch: Int)] = [:]
        var firsts: [ValueID: Int] = [:]
        for (index, group) in groups.enumerated() {
            firsts[group.branches[0].product] = index
            for (branch, member) in group.branches.enumerated() { places[member.result] = (index, branch) }
        }
        var pieces = [Operand?](repeating: nil, count: groups.count)
        let changed = try BindingTransformer.transform(function) { transformer, binding in
            try Work.check()
            if let index = firsts[binding.id], case .call(let call) = binding.expression {
                pieces[index] = try emit(groups[index], call, &transformer)
            }
            guard let (group, branch) = places[binding.id], let tuple = pieces[group] else { return nil }
            let info = transformer.function.values[binding.id.int]
            guard case .tuple(let fields) = transformer.type(of: tuple), fields.indices.contains(branch),
                fields[branch] == info.type
            else { return nil }
            return transformer.emit(.tupleGetItem(tuple, branch), info.type, name: info.name)
        }
        guard let changed else { return nil }
        return changed.removingUnusedBindings(.unknown) ?? changed.compacted()
    }

    /// The cut product, in front of the first of a group.
    private func emit(
        _ group: ParallelProducts.Group, _ first: Call, _ transformer: inout BindingTransformer
    ) throws -> Operand? {
        func joined(_ operands: [Operand], _ name: String) throws -> Operand {
            let rank = transformer.type(of: operands[0]).asTensor?.rank ?? 1
            return try transformer.emit(
                "concat", [.tuple(operands)], ["axis": .int(Int64(rank) - 1)], name: name)
        }
        // A weight may be the product of an earlier group.
        let weights = try joined(group.branches.map { transformer.redirected($0.weight) }, "weights")
        var result = try transformer.emit("matmul", [first.arguments[0], weights], first.attributes, name: "products")
        let biases = group.branches.compactMap { $0.bias.map { transformer.redirected($0) } }
        if biases.count == group.branches.count {
            result = try transformer.emit("add", [result, try joined(biases, "biases")], name: "sums")
        }
        if let activation = group.activation {
            result = try transformer.emit(
                activation.name, [result], activation.attributes, name: "activated")
        }
        guard let rank = transformer.type(of: result).asTensor?.rank else { return nil }
        var indices: [Int64] = []
        var end: Int64 = 0
        for branch in group.branches.dropLast() {
            let (sum, overflow) = end.addingReportingOverflow(branch.width)
            guard !overflow else { return nil }
            end = sum
            indices.append(end)
        }
        return try transformer.emit(
            "split", [result], ["indices": .ints(indices), "axis": .int(Int64(rank) - 1)], name: "pieces")
    }
}

/// Products of one block that take one value, and the block with what their weights are made of in front of the first.
struct ParallelProducts {
    struct Branch {
        var product: ValueID
        /// The product, or the sum or activation behind it that is combined too.
        var result: ValueID
        var weight: Operand
        var bias: Operand?
        var width: Int64
    }

    struct Group {
        var branches: [Branch]
        var activation: (name: String, attributes: Attributes)?
    }

    private(set) var groups: [Group] = []
    private(set) var block: Block
    private let function: Function
    /// By value: where the block binds it.
    private var positions: [ValueID: Int] = [:]
    private var users: [ValueID: [Int]] = [:]
    private var isProduct: Set<Int> = []
    /// Positions that move in front of another.
    private var moved: [Int: [Int]] = [:]
    private var isMoved: Set<Int> = []

    private struct Key: Hashable {
        var data: ValueID
        var leading: [Dim]
        var rank: Int
        var dtype: DataType?
        var attributes: Attributes
    }

    init(_ block: Block, _ function: Function) {
        self.block = block
        self.function = function
        var keys: [Key] = []
        var members: [Key: [(position: Int, branch: Branch)]] = [:]
        for (position, binding) in block.bindings.enumerated() {
            positions[binding.id] = position
            binding.expression.forEachValue { users[$0, default: []].append(position) }
            guard case .call(let call) = binding.expression, case .op(let op) = call.callee, op.name == "matmul",
                call.arguments.count == 2, case .value(let data) = call.arguments[0],
                let weight = function.type(of: call.arguments[1]).asTensor, let shape = weight.shape,
                shape.count >= 2, let width = shape.last?.value, width > 0
            else { continue }
            let key = Key(
                data: data, leading: Array(shape.dropLast()), rank: shape.count, dtype: weight.dtype,
                attributes: call.attributes)
            if members[key] == nil { keys.append(key) }
            members[key, default: []].append(
                (
                    position,
                    Branch(product: binding.id, result: binding.id, weight: call.arguments[1], bias: nil, width: width)
                ))
        }
        for key in keys where members[key].map({ $0.count > 1 }) == true {
            for member in members[key] ?? [] { isProduct.insert(member.position) }
        }
        for key in keys {
            guard let candidates = members[key], candidates.count > 1, let first = candidates.first?.position else {
                continue
            }
            var branches: [Branch] = []
            var needed: [Int] = []
            for candidate in candidates {
                guard let chain = movable(candidate.branch.weight, before: first) else { continue }
                branches.append(candidate.branch)
                needed += chain
            }
            // The first product is the place of all: what its weight is made of stands in front of it.
            guard branches.count > 1, branches[0].product == block.bindings[first].id else { continue }
            var group = Group(branches: branches, activation: nil)
            needed += extend(&group, before: first)
            for position in Set(needed).sorted() where isMoved.insert(position).inserted {
                moved[first, default: []].append(position)
            }
            groups.append(group)
        }
        guard !moved.isEmpty else { return }
        var bindings: [Binding] = []
        bindings.reserveCapacity(block.bindings.count)
        for (position, binding) in block.bindings.enumerated() where !isMoved.contains(position) {
            for other in moved[position] ?? [] { bindings.append(block.bindings[other]) }
            bindings.append(binding)
        }
        self.block.bindings = bindings
    }

    /// Takes biases, and an activation, into a group where every branch has one; what moves for that.
    private func extend(_ group: inout Group, before first: Int) -> [Int] {
        var sums: [Branch] = []
        var needed: [Int] = []
        var shape: [Dim]?
        for branch in group.branches {
            guard let (id, call) = onlyUser(of: branch.product, "add"), call.arguments.count == 2 else { return [] }
            let other = call.arguments[0] == .value(branch.product) ? call.arguments[1] : call.arguments[0]
            // One number per column: leading dimensions of the bias are 1, so that it widens nothing.
            guard other != .value(branch.product), let bias = function.type(of: other).asTensor?.shape,
                bias.last == .fixed(branch.width), bias.dropLast().allSatisfy({ $0 == 1 }),
                shape == nil || shape?.count == bias.count,
                function.type(of: id) == function.type(of: branch.product),
                let chain = movable(other, before: first)
            else { return [] }
            shape = bias
            needed += chain
            var sum = branch
            (sum.result, sum.bias) = (id, other)
            sums.append(sum)
        }
        group.branches = sums
        var activated: [Branch] = []
        var activation: (name: String, attributes: Attributes)?
        for branch in sums {
            guard let (id, call) = onlyUser(of: branch.result, nil), case .op(let op) = call.callee,
                Self.activations.contains(op.name), call.arguments.count == 1,
                activation.map({ $0.name == op.name && $0.attributes == call.attributes }) ?? true
            else { return needed }
            activation = (op.name, call.attributes)
            var result = branch
            result.result = id
            activated.append(result)
        }
        group.branches = activated
        group.activation = activation
        return needed
    }

    private static let activations: Set<String> = ["nn.relu", "nn.gelu", "nn.gelu_tanh", "nn.silu", "tanh", "sigmoid"]

    /// The one call that uses a value, once; the value must not leave its block.
    private func onlyUser(of id: ValueID, _ name: String?) -> (id: ValueID, call: Call)? {
        guard function.values[id.int].isDataflow, let used = users[id], used.count == 1,
            case .call(let call) = block.bindings[used[0]].expression, case .op(let op) = call.callee,
            name == nil || op.name == name
        else { return nil }
        return (block.bindings[used[0]].id, call)
    }

    /// Bindings from `first` on that an operand is made of; nil when it depends on a product, or takes more than a few.
    private func movable(_ operand: Operand, before first: Int) -> [Int]? {
        var result: [Int] = []
        var seen: Set<Int> = []
        var stack: [Int] = []
        func need(_ operand: Operand) {
            operand.forEachValue { id in
                if let position = positions[id], position >= first, seen.insert(position).inserted {
                    stack.append(position)
                }
            }
        }
        need(operand)
        while let position = stack.popLast() {
            guard !isProduct.contains(position), result.count < 64 else { return nil }
            switch block.bindings[position].expression {
            case .call, .tuple, .tupleGetItem, .operand: break
            case .matchCast, .function, .conditional: return nil
            }
            result.append(position)
            block.bindings[position].expression.forEachOperand { need($0) }
        }
        return result
    }
}
