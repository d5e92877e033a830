import TenonIR

/// Operands that are only moved, repeated or padded, and constants in a row.
extension SimplifyExpressions {
    /// Whether a call gives its first operand unchanged.
    func unchanged(
        _ op: String, _ call: Call, _ x: Operand, _ type: ValueType, _ transformer: BindingTransformer
    ) throws -> Bool {
        guard transformer.type(of: x) == type, isKnown(type) else { return false }
        guard op == "strided_slice" else { return true }
        // Of the same size and not backwards is everything.
        guard call.arguments.count > 4 else { return true }
        guard let strides = Self.numbers(call.arguments[4]) else { return false }
        return strides.allSatisfy { $0 > 0 }
    }

    private static func numbers(_ operand: Operand) -> [Int64]? {
        switch operand {
        case .shape(let dims):
            let values = dims.compactMap(\.value)
            return values.count == dims.count ? values : nil
        case .tuple(let fields):
            var values: [Int64] = []
            for field in fields {
                guard case .int(let value) = field else { return nil }
                values.append(value)
            }
            return values
        case .constant(let constant):
            return constant.dtype == .int64 ? constant.doubleElements?.map { Int64($0) } : nil
        default: return nil
        }
    }

    /// One element of an axis, taken in front of a permutation, and of a reshape behind that which leaves the first axis alone.
    func take(
        _ call: Call, _ x: Operand, _ type: ValueType, _ transformer: inout BindingTransformer, _ binding: Binding
    ) throws -> Operand? {
        guard call.arguments.count == 2, let index = transformer.constant(call.arguments[1]), index.shape.isEmpty,
            isKnown(type), let shape = type.asTensor?.shape, let outer = transformer.type(of: x).asTensor?.shape,
            let given = call.attributes.int("axis")
        else { return nil }
        let axis = given < 0 ? given + Int64(outer.count) : given
        guard (0..<Int64(outer.count)).contains(axis) else { return nil }
        var permuted = x
        if axis == 0, let (_, op, reshape) = transformer.call(x), op.name == "reshape",
            let inner = reshape.arguments.first,
            transformer.type(of: inner).asTensor?.shape?.first == outer[0]
        {
            permuted = inner
        }
        guard let (_, op, movement) = transformer.call(permuted), op.name == "permute_dims",
            let source = movement.arguments.first, let order = axes(movement, source, transformer),
            Int(axis) < order.count
        else { return nil }
        let place = order[Int(axis)]
        var attributes = call.attributes
        attributes["axis"] = .int(Int64(place))
        let name = name(binding, transformer)
        var result = try transformer.emit("take", [source, call.arguments[1]], attributes, name: name)
        var rest = order
        rest.remove(at: Int(axis))
        rest = rest.map { $0 > place ? $0 - 1 : $0 }
        guard let sizes = transformer.type(of: result).asTensor?.shape, sizes.count == rest.count else { return nil }
        let moved = rest.filter { sizes[$0].value != 1 }
        if moved != moved.sorted() {
            result = try transformer.emit(
                "permute_dims", [result], ["axes": .ints(rest.map { Int64($0) })], name: name)
        }
        if transformer.type(of: result) == type { return result }
        return try checked(try transformer.emit("reshape", [result, .shape(shape)], name: name), type, transformer)
    }

    /// A pad of nothing is its operand; two of one constant, none of which cuts, are one.
    func pad(
        _ call: Call, _ x: Operand, _ type: ValueType, _ transformer: inout BindingTransformer, _ binding: Binding,
        _ uses: UseCounts
    ) throws -> Operand? {
        guard let widths = call.attributes.ints("pad_width") else { return nil }
        if widths.allSatisfy({ $0 == 0 }) { return transformer.type(of: x) == type ? x : nil }
        guard let (id, op, inner) = transformer.call(x), op.name == "nn.pad", uses.count(id) == 1,
            let before = inner.attributes.ints("pad_width"), before.count == widths.count,
            let source = inner.arguments.first,
            ["pad_mode", "pad_value"].allSatisfy({ call.attributes[$0] == inner.attributes[$0] }),
            call.attributes.string("pad_mode") == "constant"
        else { return nil }
        var sum: [Int64] = []
        for (a, b) in zip(widths, before) {
            let (width, overflow) = a.addingReportingOverflow(b)
            guard a >= 0, b >= 0, !overflow else { return nil }
            sum.append(width)
        }
        var attributes = call.attributes
        attributes["pad_width"] = .ints(sum)
        return try checked(
            try transformer.emit("nn.pad", [source], attributes, name: name(binding, transformer)), type, transformer)
    }

    /// Operands that need no repeating, subtraction of a constant, and constants in a row.
    func arithmetic(
        _ op: String, _ call: Call, _ type: ValueType, _ transformer: inout BindingTransformer, _ binding: Binding,
        _ uses: UseCounts
    ) throws -> Operand? {
        guard call.arguments.count == 2, isKnown(type) else { return nil }
        for position in 0...1 where transformer.type(of: call.arguments[1 - position]) == type {
            guard let (_, inner, repeated) = transformer.call(call.arguments[position]), inner.name == "broadcast_to",
                let source = repeated.arguments.first
            else { continue }
            var arguments = call.arguments
            arguments[position] = source
            return try checked(
                try transformer.emit(op, arguments, name: name(binding, transformer)), type, transformer)
        }
        guard type.asTensor?.dtype?.isFloatingPoint == true else { return nil }
        guard let outer = Self.term(op, call, transformer) else { return nil }
        var (operand, constant) = (outer.operand, outer.constant)
        var isShorter = op == "subtract"
        while let (id, inner, next) = transformer.call(operand), uses.count(id) == 1,
            transformer.function.values[id.int].isDataflow, let term = Self.term(inner.name, next, transformer),
            term.op == outer.op, let joined = try Self.joined(outer.op, term.constant, constant)
        {
            (operand, constant, isShorter) = (term.operand, joined, true)
        }
        guard isShorter else { return nil }
        return try checked(
            try transformer.emit(outer.op, [operand, .constant(constant)], name: name(binding, transformer)), type,
            transformer)
    }

    /// Larger constants are left as they are.
    private static let largestFolded = 1 << 16

    /// A sum or product of something and a constant; a difference is the sum with its negative.
    private static func term(
        _ op: String, _ call: Call, _ transformer: BindingTransformer
    ) -> (op: String, operand: Operand, constant: Constant)? {
        guard call.arguments.count == 2 else { return nil }
        if op == "subtract" {
            guard let constant = transformer.constant(call.arguments[1]), constant.count <= largestFolded,
                transformer.constant(call.arguments[0]) == nil, let values = constant.doubleElements,
                let negated = try? Constant.from(doubles: values.map { -$0 }, constant.dtype, constant.shape)
            else { return nil }
            return ("add", call.arguments[0], negated)
        }
        guard op == "add" || op == "multiply" else { return nil }
        for position in 0...1 where transformer.constant(call.arguments[position]) == nil {
            if let constant = transformer.constant(call.arguments[1 - position]), constant.count <= largestFolded {
                return (op, call.arguments[position], constant)
            }
        }
        return nil
    }

    /// Two constants as one: of one shape, or one of them a single element of no higher rank.
    private static func joined(_ op: String, _ a: Constant, _ b: Constant) throws -> Constant? {
        guard a.dtype == b.dtype, a.dtype == .float32 || a.dtype == .float64, let x = a.doubleElements,
            let y = b.doubleElements
        else { return nil }
        let (count, shape): (Int, [Int64])
        if a.shape == b.shape || b.count == 1 && b.shape.count <= a.shape.count {
            (count, shape) = (x.count, a.shape)
        } else if a.count == 1, a.shape.count <= b.shape.count {
            (count, shape) = (y.count, b.shape)
        } else {
            return nil
        }
        var values: [Double] = []
        values.reserveCapacity(count)
        for index in 0..<count {
            let (u, v) = (x[x.count == 1 ? 0 : index], y[y.count == 1 ? 0 : index])
            guard let value = op == "add" ? JoinedConstants.sum(u, v) : JoinedConstants.product(u, v) else {
                return nil
            }
            values.append(value)
        }
        return try Constant.from(doubles: values, a.dtype, shape)
    }
}
