import TenonIR

/// Reads causality off a mask: constants, triangles that are made, and rows cut out of them.
struct AttentionCausality {
    let reader: Reader
    /// Sizes of the scores.
    let queries: Dim
    let keys: Dim

    /// Larger constants are not looked through.
    private static let largest = 1 << 22

    /// `causal_mask` for a condition that holds (or with `isInverted` does not) where scores count; nil where it says anything else.
    func condition(_ operand: Operand, isInverted: Bool) -> String? {
        var (operand, isInverted) = (operand, isInverted)
        guard hasSizes(operand) else { return nil }
        for _ in 0..<8 {
            if let constant = reader.transformer.constant(operand), constant.dtype == .bool {
                return constant.count <= Self.largest
                    ? diagonal(constant) { ($0 != 0) != isInverted }.flatMap { name(.fixed($0)) } : nil
            }
            guard let (op, call) = reader.call(operand) else { return nil }
            switch op {
            case "logical_not":
                operand = call.arguments[0]
                isInverted.toggle()
            case "reshape", "expand_dims", "squeeze":
                // Only sizes of 1 come and go.
                guard hasSizes(call.arguments[0]) else { return nil }
                operand = call.arguments[0]
            case "tril", "triu": return triangle(op, call, isInverted).flatMap { name(.fixed($0)) }
            case "strided_slice": return rows(call, isInverted)
            default: return nil
            }
        }
        return nil
    }

    /// `causal_mask` for a constant of 0 and -inf that is added.
    func added(_ operand: Operand) -> String? {
        guard hasSizes(operand), let constant = reader.transformer.constant(operand), constant.dtype == .float32,
            constant.count <= Self.largest
        else { return nil }
        var isPlain = true
        let found = diagonal(constant) { value in
            if value != 0 && value != -.infinity { isPlain = false }
            return value == 0
        }
        return isPlain ? found.flatMap { name(.fixed($0)) } : nil
    }

    /// The diagonal up to which keys count, as a name.
    private func name(_ offset: Dim) -> String? {
        if offset == .fixed(0) { return "TopLeft" }
        return Dim.subtracting(keys, queries) == offset ? "BottomRight" : nil
    }

    /// Whether the last two dimensions are the scores', and all others 1.
    private func hasSizes(_ operand: Operand) -> Bool {
        guard let shape = reader.transformer.type(of: operand).asTensor?.shape, shape.count >= 2 else { return false }
        return Array(shape.suffix(2)) == [queries, keys] && shape.dropLast(2).allSatisfy { $0 == .fixed(1) }
    }

    /// k where an element counts exactly if its column is not above its row + k.
    private func diagonal(_ constant: Constant, _ counts: (Double) -> Bool) -> Int64? {
        guard let columns = constant.shape.last.map({ Int($0) }), columns > 0, constant.count > 0 else { return nil }
        var offset: Int?
        for row in 0..<constant.count / columns {
            var seen = 0
            while seen < columns, let value = constant.double(at: row * columns + seen), counts(value) { seen += 1 }
            for column in seen..<columns {
                guard let value = constant.double(at: row * columns + column), !counts(value) else { return nil }
            }
            // A row that sees everything may belong to any diagonal further up.
            let own = seen - 1 - row
            if let known = offset {
                guard own == known || seen == columns && own <= known else { return nil }
            } else {
                offset = own
            }
        }
        return offset.map { Int64($0) }
    }

    /// k of a triangle of ones.
    private func triangle(_ op: String, _ call: Call, _ isInverted: Bool) -> Int64? {
        guard let k = call.attributes.int("k"), isOne(call.arguments[0]) else { return nil }
        // What is below is what counts; or what is above is what does not.
        switch (op, isInverted) {
        case ("tril", false): return k
        case ("triu", true): return k - 1
        default: return nil
        }
    }

    /// Every element is true.
    private func isOne(_ operand: Operand) -> Bool {
        if let constant = reader.transformer.constant(operand) {
            return constant.dtype == .bool && constant.count <= Self.largest && constant.splatValue == 1
        }
        guard let (op, call) = reader.call(operand) else { return false }
        switch op {
        case "full", "broadcast_to", "reshape":
            let value = op == "full" ? call.arguments.last : call.arguments.first
            return value.map { isOne($0) } ?? false
        case "ones": return reader.transformer.type(of: operand).asTensor?.dtype == .bool
        default: return false
        }
    }

    /// Rows and columns cut out of a triangle: the rows' beginning moves the diagonal.
    private func rows(_ call: Call, _ isInverted: Bool) -> String? {
        guard call.arguments.count >= 4, let axes = numbers(call.arguments[1]), let begins = numbers(call.arguments[2]),
            axes.count == begins.count,
            let rank = reader.transformer.type(of: call.arguments[0]).asTensor?.rank
        else { return nil }
        if call.arguments.count > 4 {
            guard let strides = numbers(call.arguments[4]), strides.allSatisfy({ $0 == .fixed(1) }) else { return nil }
        }
        var offset = Dim.fixed(0)
        for (axis, begin) in zip(axes, begins) {
            guard let number = axis.value else { return nil }
            let position = number < 0 ? Int(number) + rank : Int(number)
            if position == rank - 2 {
                // A negative beginning counts from the end.
                if let value = begin.value, value < 0 { return nil }
                guard let sum = Dim.adding(offset, begin) else { return nil }
                offset = sum
            } else if begin != .fixed(0) {
                return nil
            }
        }
        let base: Int64
        if let constant = reader.transformer.constant(call.arguments[0]), constant.dtype == .bool,
            constant.count <= Self.largest, constant.shape.dropLast(2).allSatisfy({ $0 == 1 })
        {
            guard let k = diagonal(constant, { ($0 != 0) != isInverted }) else { return nil }
            base = k
        } else if let (op, inner) = reader.call(call.arguments[0]), op == "tril" || op == "triu",
            let k = triangle(op, inner, isInverted)
        {
            base = k
        } else if let (op, inner) = reader.call(call.arguments[0]), op == "logical_not",
            let (name, triangle) = reader.call(inner.arguments[0]), name == "tril" || name == "triu",
            let k = self.triangle(name, triangle, !isInverted)
        {
            base = k
        } else {
            return nil
        }
        return Dim.adding(offset, .fixed(base)).flatMap { name($0) }
    }

    private func numbers(_ operand: Operand) -> [Dim]? {
        switch operand {
        case .shape(let dims): return dims
        case .int(let value): return [.fixed(value)]
        case .tuple(let fields):
            var dims: [Dim] = []
            for field in fields {
                guard case .int(let value) = field else { return nil }
                dims.append(.fixed(value))
            }
            return dims
        case .constant(let constant): return constant.intElements?.map { .fixed($0) }
        case .value:
            if let (op, call) = reader.call(operand), op == "shape_to_tensor" { return numbers(call.arguments[0]) }
            if let constant = reader.transformer.constant(operand) { return constant.intElements?.map { .fixed($0) } }
            return nil
        default: return nil
        }
    }
}
