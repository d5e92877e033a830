@testable import TenonIR

/// Makes well-formed modules of every construct, the same ones for the same seed.
struct RandomModules {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }

    mutating func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }

    private static let names = [
        "", "", "", "x", "x", "conv.weight", "layer.0", "/a/b", "ä", "1", "say \"hi\"\n", "nan",
    ]
    private static let symbols = ["n", "m", "batch size", "max", "rank", "d-1"]

    mutating func module() throws -> Module {
        var module = Module()
        if chance(50) { module.attributes = attributes() }
        for index in 0...below(3) {
            module[pick(["main", "f g", "a.b", "fused_add"]) + "\(index)"] = try function(module: module, depth: 0)
        }
        return module
    }

    mutating func dim() -> Dim {
        if chance(60) { return .fixed(Int64(below(5))) }
        var dim: Dim = .symbol(pick(Self.symbols))
        for _ in 0..<below(4) {
            let other: Dim = chance(50) ? .symbol(pick(Self.symbols)) : .fixed(Int64(below(9)) - 4)
            let result =
                switch below(8) {
                case 5: Dim.minimum(dim, other)
                case 6: Dim.broadcasting(dim, other)
                case 7: Dim.floorDividing(dim, by: other)
                case 0: Dim.adding(dim, other)
                case 1: Dim.subtracting(dim, other)
                case 2: Dim.multiplying(dim, other)
                case 3: Dim.maximum(dim, other)
                default: Dim.floorDividing(dim, by: Int64(below(4) + 2))
                }
            dim = result ?? dim
        }
        return dim
    }

    mutating func type(depth: Int = 0) -> ValueType {
        switch below(depth > 2 ? 5 : 8) {
        case 0: return .object
        case 1: return .shape(chance(50) ? nil : (0..<below(3)).map { _ in dim() })
        case 2: return .scalar(pick(DataType.allCases))
        case 3: return .tensor(TensorType(dtype: chance(50) ? nil : .float32, rank: chance(50) ? nil : below(4)))
        case 4: return .tensor(TensorType(pick(DataType.allCases), (0..<below(4)).map { _ in dim() }))
        case 5: return .tuple((0..<below(3)).map { _ in type(depth: depth + 1) })
        case 6:
            return .function(
                parameters: (0..<below(3)).map { _ in type(depth: depth + 1) }, result: type(depth: depth + 1))
        default: return .tensor(.float32, [2, 3] as [Int64])
        }
    }

    mutating func double() -> Double {
        switch below(6) {
        case 0: .infinity
        case 1: -.infinity
        case 2: .nan
        case 3: -0.0
        default: Double(bitPattern: next())
        }
    }

    mutating func attributes() -> Attributes {
        var attributes = Attributes()
        for _ in 0..<below(4) {
            let value: AttributeValue =
                switch below(9) {
                case 0: .int(Int64(bitPattern: next()))
                case 1: .float(double())
                case 2: .bool(chance(50))
                case 3: .string(pick(Self.names))
                case 4: .dtype(pick(DataType.allCases))
                case 5: .ints((0..<below(4)).map { _ in Int64(below(9)) - 4 })
                case 6: .floats((0..<below(4)).map { _ in double() })
                case 7: .strings((0..<below(3)).map { _ in pick(Self.names) })
                default: .int(.min)
                }
            attributes[pick(["Composite", "global_symbol", "return", "a b", "n"])] = value
        }
        return attributes
    }

    mutating func constant() throws -> Constant {
        let dtype = pick(DataType.allCases)
        let shape = (0..<below(3)).map { _ in Int64(below(6)) }
        let count = checkedElementCount(shape) ?? 0
        if dtype == .string {
            return try Constant(shape: shape, strings: (0..<count).map { _ in pick(Self.names) })
        }
        var bytes = (0..<(count * dtype.byteCount)).map { _ in UInt8(truncatingIfNeeded: next() >> 24) }
        if dtype == .bool { bytes = bytes.map { $0 & 1 } }
        return try bytes.withUnsafeBytes { try Constant(dtype: dtype, shape: shape, copying: $0) }
    }

    mutating func operand(_ visible: [ValueID], depth: Int = 0) throws -> Operand {
        if !visible.isEmpty, chance(60) { return .value(pick(visible)) }
        switch below(depth > 2 ? 6 : 7) {
        case 0: return .constant(try constant())
        case 1: return .shape((0..<below(3)).map { _ in dim() })
        case 2: return .int(Int64(bitPattern: next()))
        case 3: return .float(double())
        case 4: return .string(pick(Self.names))
        case 5: return chance(50) ? .dtype(pick(DataType.allCases)) : .global(pick(["main", "f g"]))
        default: return .tuple(try (0..<below(3)).map { _ in try operand(visible, depth: depth + 1) })
        }
    }

    mutating func function(module: Module, depth: Int) throws -> Function {
        var function = Function(attributes: chance(50) ? attributes() : Attributes())
        for _ in 0..<below(4) { function.parameters.append(function.addValue(pick(Self.names), type())) }
        function.body = try body(&function, visible: function.parameters, depth: depth)
        return function
    }

    private mutating func body(_ function: inout Function, visible outer: [ValueID], depth: Int) throws -> Body {
        var visible = outer
        var blocks: [Block] = []
        for _ in 0..<below(4) {
            var block = Block(isDataflow: chance(60))
            var inside = visible
            for _ in 0..<below(5) {
                let expression = try expression(&function, visible: inside, depth: depth, isDataflow: block.isDataflow)
                let id = function.addValue(pick(Self.names), type(), isDataflow: block.isDataflow && chance(70))
                block.bindings.append(Binding(id, expression))
                inside.append(id)
                if !function.values[id.int].isDataflow { visible.append(id) }
            }
            blocks.append(block)
        }
        return Body(blocks: blocks, result: try operand(visible))
    }

    private mutating func expression(
        _ function: inout Function, visible: [ValueID], depth: Int, isDataflow: Bool
    ) throws -> Expression {
        switch below(depth > 1 ? 7 : 9) {
        case 0: return .tuple(try (0..<below(3)).map { _ in try operand(visible) })
        case 1: return .tupleGetItem(visible.isEmpty ? .tuple([.int(1)]) : .value(pick(visible)), below(3))
        case 2: return .operand(try operand(visible))
        case 3: return .matchCast(try operand(visible), type())
        case 4:
            let callee: Callee =
                switch below(3) {
                case 0: .function(pick(["main0", "f g1"]))
                case 1: visible.isEmpty ? .external("ä") : .local(pick(visible))
                default: .external("printf\n")
                }
            return .call(Call(callee, try (0..<below(3)).map { _ in try operand(visible) }, attributes()))
        case 5, 6:
            let schema = pick(["nn.relu", "add", "reshape", "nn.conv2d"])
            let op = try Operators.require(schema)
            var given = Attributes()
            if schema == "nn.conv2d", chance(50) { given["strides"] = .ints([2, 2]) }
            return .call(
                Call(.op(op), try (0..<below(3)).map { _ in try operand(visible) }, try op.schema.normalised(given)))
        case 7 where !isDataflow:
            let condition = try operand(visible)
            let thenBody = try body(&function, visible: visible, depth: depth + 1)
            let elseBody = try body(&function, visible: visible, depth: depth + 1)
            return .conditional(condition, then: thenBody, else: elseBody)
        default: return .function(try self.function(module: Module(), depth: depth + 1))
        }
    }
}
