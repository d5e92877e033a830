import TenonIR

/// One call in front of which permutations stand.
struct PermutationMover {
    let call: Call
    let op: String
    let name: String
    /// Whether other operands are permuted too that are neither known nor single values: a layout is then wanted, whatever
    /// it costs at the edges.
    let permutesOthers: Bool
    /// Values made on the way that are images.
    private(set) var images: [Operand] = []

    init(call: Call, op: String, name: String, permutesOthers: Bool = false) {
        self.call = call
        self.op = op
        self.name = name
        self.permutesOthers = permutesOthers
    }

    /// The call behind whose result the permutation stands now; nil for operators that none moves behind.
    mutating func moved(
        _ transformer: inout BindingTransformer, _ state: MoveTransposes.State
    ) throws -> Operand? {
        switch op {
        case "permute_dims": return try joined(&transformer)
        case "concat": return try concatenation(&transformer, state)
        case "nn.pad": return try padding(&transformer, state)
        case "strided_slice": return try slice(&transformer, state)
        default: break
        }
        guard case .op(let id) = call.callee else { return nil }
        if id.has(.elementwise) { return try elementwise(&transformer, state) }
        if id.has(.reduces) { return try reduction(&transformer, state) }
        return Self.withAxis.contains(op) ? try alongAxis(&transformer, state) : nil
    }

    private static let withAxis: Set<String> = ["nn.softmax", "nn.log_softmax"]

    /// The source of a permutation and its axes.
    func permutation(
        _ operand: Operand, _ transformer: BindingTransformer
    ) -> (source: Operand, axes: [Int64], type: TensorType)? {
        guard let (_, id, inner) = transformer.call(operand), id.name == "permute_dims",
            let source = inner.arguments.first,
            let type = transformer.type(of: source).asTensor, let rank = type.rank, type.shape != nil, rank > 0
        else { return nil }
        return (source, Self.axes(inner.attributes, rank), type)
    }

    private static func axes(_ attributes: Attributes, _ rank: Int) -> [Int64] {
        guard let given = attributes.ints("axes") else { return (0..<Int64(rank)).reversed() }
        return given.map { $0 < 0 ? $0 + Int64(rank) : $0 }
    }

    func isIdentity(_ axes: [Int64]) -> Bool { axes.enumerated().allSatisfy { Int64($0) == $1 } }

    mutating func permuted(
        _ operand: Operand, _ axes: [Int64], _ transformer: inout BindingTransformer
    ) throws -> Operand {
        images.append(operand)
        if isIdentity(axes) { return operand }
        return try transformer.emit("permute_dims", [operand], ["axes": .ints(axes)], name: name)
    }

    /// The operand permuted, in one step with the permutation that it is already.
    func composed(
        _ operand: Operand, _ axes: [Int64], _ transformer: inout BindingTransformer
    ) throws -> Operand {
        var (source, both) = (operand, axes)
        if let inner = permutation(operand, transformer), inner.axes.count == axes.count {
            (source, both) = (inner.source, axes.map { inner.axes[Int($0)] })
        }
        if isIdentity(both) { return source }
        return try transformer.emit("permute_dims", [source], ["axes": .ints(both)], name: name)
    }

    /// Two permutations are one; one that moves sizes of 1 only is a reshape.
    mutating func joined(_ transformer: inout BindingTransformer) throws -> Operand? {
        guard let source = call.arguments.first, let type = transformer.type(of: source).asTensor,
            let shape = type.shape
        else { return nil }
        let axes = Self.axes(call.attributes, shape.count)
        guard axes.allSatisfy({ $0 >= 0 && $0 < Int64(shape.count) }) else { return nil }
        if isIdentity(axes) || permutation(source, transformer) != nil {
            return try composed(source, axes, &transformer)
        }
        // ConvertLayout cancels permutations against each other; written as a reshape this one would stay.
        if permutesOthers { return nil }
        let moving = axes.filter { shape[Int($0)] != 1 }
        guard moving == moving.sorted(), moving.count < axes.count else { return nil }
        return try transformer.emit("reshape", [source, .shape(axes.map { shape[Int($0)] })], name: name)
    }

    /// The one permutation of images that stands in front of operands.
    func leading(
        _ operands: [Operand], _ transformer: BindingTransformer, _ state: MoveTransposes.State
    ) -> [Int64]? {
        for operand in operands {
            if let found = permutation(operand, transformer), state.follows(found.source) || state.follows(operand) {
                return found.axes
            }
        }
        return nil
    }

    mutating func elementwise(
        _ transformer: inout BindingTransformer, _ state: MoveTransposes.State
    ) throws -> Operand? {
        guard let axes = leading(call.arguments, transformer, state) else { return nil }
        var arguments = call.arguments
        for (index, operand) in call.arguments.enumerated() {
            guard let moved = try undone(operand, axes, &transformer) else { return nil }
            arguments[index] = moved
        }
        let result = try transformer.emit(op, arguments, call.attributes, name: name)
        return try permuted(result, axes, &transformer)
    }

    /// An operand as it is in front of the permutation; nil when that takes a movement.
    private func undone(
        _ operand: Operand, _ axes: [Int64], _ transformer: inout BindingTransformer
    ) throws -> Operand? {
        if let found = permutation(operand, transformer) { return found.axes == axes ? found.source : nil }
        guard let type = transformer.type(of: operand).asTensor else {
            // Numbers and element types are the same from all sides.
            switch operand {
            case .int, .float, .dtype: return operand
            default: return nil
            }
        }
        guard let shape = type.shape else { return nil }
        if shape.allSatisfy({ $0 == 1 }), shape.count <= axes.count { return operand }
        // What is known, and what has few values, is permuted where it is.
        let extent = shape.filter { $0 != 1 }.count
        guard permutesOthers || transformer.constant(operand) != nil || extent <= 1, shape.count <= axes.count else {
            return nil
        }
        var aligned = operand
        if shape.count < axes.count {
            let full = [Dim](repeating: 1, count: axes.count - shape.count) + shape
            aligned = try transformer.emit("reshape", [operand, .shape(full)])
        }
        return try transformer.emit("permute_dims", [aligned], ["axes": .ints(DimensionOrder.inverse(axes))])
    }

    mutating func concatenation(
        _ transformer: inout BindingTransformer, _ state: MoveTransposes.State
    ) throws -> Operand? {
        var fields: [Operand]
        switch call.arguments.first {
        case .tuple(let inline)?: fields = inline
        case let operand?:
            guard case .tuple(let bound)? = transformer.definition(operand) else { return nil }
            fields = bound
        default: return nil
        }
        guard let axes = leading(fields, transformer, state), let axis = axis(call.attributes, axes.count) else {
            return nil
        }
        for index in fields.indices {
            guard let found = permutation(fields[index], transformer), found.axes == axes else { return nil }
            fields[index] = found.source
        }
        var attributes = call.attributes
        attributes["axis"] = .int(axes[axis])
        let result = try transformer.emit(op, [.tuple(fields)], attributes, name: name)
        return try permuted(result, axes, &transformer)
    }

    func axis(_ attributes: Attributes, _ rank: Int, _ name: String = "axis") -> Int? {
        guard let axis = attributes.int(name) else { return nil }
        let resolved = axis < 0 ? axis + Int64(rank) : axis
        return resolved >= 0 && resolved < Int64(rank) ? Int(resolved) : nil
    }

    mutating func alongAxis(
        _ transformer: inout BindingTransformer, _ state: MoveTransposes.State
    ) throws -> Operand? {
        guard let (result, axes) = try behindPermutation(&transformer, state) else { return nil }
        return try permuted(result, axes, &transformer)
    }

    mutating func normalisation(
        _ transformer: inout BindingTransformer, _ state: MoveTransposes.State
    ) throws -> Operand? {
        guard let (tuple, axes) = try behindPermutation(&transformer, state),
            case .tuple(let fields) = transformer.type(of: tuple), let first = fields.first
        else { return nil }
        let result = transformer.emit(.tupleGetItem(tuple, 0), first, name: name)
        return try permuted(result, axes, &transformer)
    }

    /// The call on what its first operand permutes, with its axis there; and the permutation.
    private mutating func behindPermutation(
        _ transformer: inout BindingTransformer, _ state: MoveTransposes.State
    ) throws -> (result: Operand, axes: [Int64])? {
        guard let axes = leading(Array(call.arguments.prefix(1)), transformer, state),
            let found = permutation(call.arguments[0], transformer), let axis = axis(call.attributes, axes.count)
        else { return nil }
        var attributes = call.attributes
        attributes["axis"] = .int(axes[axis])
        return (try transformer.emit(op, [found.source] + call.arguments.dropFirst(), attributes, name: name), axes)
    }

    mutating func reduction(
        _ transformer: inout BindingTransformer, _ state: MoveTransposes.State
    ) throws -> Operand? {
        guard let axes = leading(Array(call.arguments.prefix(1)), transformer, state), call.arguments.count == 1,
            let found = permutation(call.arguments[0], transformer)
        else { return nil }
        let rank = Int64(axes.count)
        var attributes = call.attributes
        let given = call.attributes.ints("axis").map { $0.isEmpty ? nil : $0 } ?? nil
        let reduced = (given ?? Array(0..<rank)).map { $0 < 0 ? $0 + rank : $0 }
        guard reduced.allSatisfy({ $0 >= 0 && $0 < rank }) else { return nil }
        let inner = reduced.map { axes[Int($0)] }.sorted()
        if given != nil { attributes["axis"] = .ints(inner) }
        let result = try transformer.emit(op, [found.source], attributes, name: name)
        if call.attributes.bool("keepdims") == true { return try permuted(result, axes, &transformer) }
        // What is left, in the order in which it was permuted.
        let left = (0..<rank).filter { !inner.contains($0) }
        let order = axes.filter { !inner.contains($0) }.compactMap { axis in left.firstIndex(of: axis).map { Int64($0) }
        }
        guard order.count == left.count else { return nil }
        return try permuted(result, order, &transformer)
    }

    mutating func padding(
        _ transformer: inout BindingTransformer, _ state: MoveTransposes.State
    ) throws -> Operand? {
        guard let axes = leading(Array(call.arguments.prefix(1)), transformer, state),
            let found = permutation(call.arguments[0], transformer), let widths = call.attributes.ints("pad_width"),
            widths.count == axes.count * 2
        else { return nil }
        var inner = widths
        for (index, axis) in axes.enumerated() {
            inner[Int(axis) * 2] = widths[index * 2]
            inner[Int(axis) * 2 + 1] = widths[index * 2 + 1]
        }
        var attributes = call.attributes
        attributes["pad_width"] = .ints(inner)
        let result = try transformer.emit(op, [found.source] + call.arguments.dropFirst(), attributes, name: name)
        return try permuted(result, axes, &transformer)
    }

    mutating func slice(
        _ transformer: inout BindingTransformer, _ state: MoveTransposes.State
    ) throws -> Operand? {
        guard let axes = leading(Array(call.arguments.prefix(1)), transformer, state),
            let found = permutation(call.arguments[0], transformer), call.arguments.count > 1,
            case .shape(let given) = call.arguments[1]
        else { return nil }
        let rank = Int64(axes.count)
        var inner: [Dim] = []
        for axis in given {
            guard let value = axis.value, value >= -rank, value < rank else { return nil }
            inner.append(.fixed(axes[Int(value < 0 ? value + rank : value)]))
        }
        let result = try transformer.emit(
            op, [found.source, .shape(inner)] + call.arguments.dropFirst(2), call.attributes, name: name)
        return try permuted(result, axes, &transformer)
    }
}
