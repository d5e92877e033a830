/// Orders of dimensions by letters, as `NHWC`: a permutation of the order that the operator is defined in.
public enum DimensionOrder {
    /// For each letter of `canonical` its position in `order`: the axes that bring a tensor in that order into the canonical one.
    /// Nil when the letters are not the same.
    public static func axes(from order: String, to canonical: String) -> [Int64]? {
        let letters = Array(order)
        guard letters.count == canonical.count, Set(letters).count == letters.count else { return nil }
        var axes: [Int64] = []
        for letter in canonical {
            guard let position = letters.firstIndex(of: letter) else { return nil }
            axes.append(Int64(position))
        }
        return axes
    }

    public static func inverse(_ axes: [Int64]) -> [Int64] {
        var result = axes
        for (index, axis) in axes.enumerated() { result[Int(axis)] = Int64(index) }
        return result
    }

    static let spatial = ["", "W", "HW", "DHW"]

    static func data(_ spatial: Int) -> String { "NC" + Self.spatial[spatial] }
    static func kernel(_ spatial: Int) -> String { "OI" + Self.spatial[spatial] }
    static func transposedKernel(_ spatial: Int) -> String { "IO" + Self.spatial[spatial] }
}

extension CallSite {
    /// The axes that bring input or output into the canonical order; nil when it is in it.
    func axes(_ attribute: String, or other: String? = nil, canonical: String) throws -> [Int64]? {
        guard let order = attributes.string(attribute) ?? other.flatMap({ attributes.string($0) }), order != canonical
        else {
            return nil
        }
        guard let axes = DimensionOrder.axes(from: order, to: canonical) else {
            throw attributeError(attribute, expects: "an order of the letters \(canonical)")
        }
        return axes
    }

    /// The same call with an input's dimensions reordered, and without the attributes that say how.
    func reordered(_ axes: [Int: [Int64]], without names: [String]) -> CallSite {
        var types = types
        for (index, order) in axes where types.indices.contains(index) {
            guard case .tensor(let type) = types[index], let shape = type.shape, shape.count == order.count else {
                continue
            }
            types[index] = .tensor(TensorType(type.dtype, order.map { shape[Int($0)] }))
        }
        var attributes = attributes
        for name in names { attributes[name] = nil }
        return CallSite(
            schema: schema, arguments: arguments, types: types, constants: constants, attributes: attributes)
    }
}

/// What layouts of an operator on images mean: inputs and result are seen through permutations.
public struct LayoutView: Sendable {
    /// Attribute and canonical order of each input that has one.
    public var inputs: [(index: Int, attribute: String, canonical: String)]
    /// The result's; without an attribute it has the order of the first input.
    public var output: (attribute: String?, canonical: String)
    /// `out_dtype` is known.
    var hasDType = false

    private var names: [String] {
        inputs.map(\.attribute) + (output.attribute.map { [$0] } ?? []) + (hasDType ? ["out_dtype"] : [])
    }

    var attributes: [OperatorSchema.Attribute] {
        var result = inputs.map { OperatorSchema.Attribute.implied($0.attribute, .string($0.canonical)) }
        if let name = output.attribute {
            var attribute = OperatorSchema.Attribute.optional(name, .string)
            attribute.impliedBy = inputs.first?.attribute
            result.append(attribute)
        }
        if hasDType { result.append(.optional("out_dtype", .dtype)) }
        return result
    }

    private func isPlain(_ attributes: Attributes) -> Bool { names.allSatisfy { attributes[$0] == nil } }

    /// The type rule of the canonical order, for any.
    func infer(_ site: CallSite, _ rule: (CallSite) throws -> ValueType) throws -> ValueType {
        guard !isPlain(site.attributes) else { return try rule(site) }
        var axes: [Int: [Int64]] = [:]
        for input in inputs { axes[input.index] = try site.axes(input.attribute, canonical: input.canonical) }
        let back = try site.axes(
            output.attribute ?? "", or: inputs.first?.attribute, canonical: output.canonical)
        var result = try rule(site.reordered(axes, without: names))
        if let back, case .tensor(let type) = result, let shape = type.shape, shape.count == back.count {
            result = .tensor(TensorType(type.dtype, DimensionOrder.inverse(back).map { shape[Int($0)] }))
        }
        if case .dtype(let dtype)? = site.attributes["out_dtype"], case .tensor(var type) = result {
            type.dtype = dtype
            result = .tensor(type)
        }
        return result
    }

    /// Permutations around the operator in its canonical order; nil when it is in it.
    func expand(_ expander: inout OperatorExpander, _ call: Call, _ op: String) throws -> Operand? {
        guard !isPlain(call.attributes) else { return nil }
        var arguments = call.arguments
        var attributes = call.attributes
        func axes(_ name: String, or other: String?, _ canonical: String) -> [Int64]? {
            guard let order = attributes.string(name) ?? other.flatMap({ attributes.string($0) }) else { return nil }
            return DimensionOrder.axes(from: order, to: canonical)
        }
        let back = axes(output.attribute ?? "", or: inputs.first?.attribute, output.canonical)
        for input in inputs {
            guard let order = axes(input.attribute, or: nil, input.canonical) else { continue }
            arguments[input.index] = try expander.call("permute_dims", [arguments[input.index]], ["axes": .ints(order)])
        }
        var wanted: DataType?
        if case .dtype(let dtype)? = attributes["out_dtype"] { wanted = dtype }
        for name in names { attributes[name] = nil }
        // What is wider than the operands is computed so.
        if let wanted {
            for input in inputs {
                let given = try expander.shaped(arguments[input.index], op).dtype
                guard wanted.byteCount > given.byteCount, wanted.isFloatingPoint || !given.isFloatingPoint else {
                    continue
                }
                let computing: DataType = wanted.isFloatingPoint ? wanted : .float64
                arguments[input.index] = try expander.call(
                    "astype", [arguments[input.index]], ["dtype": .dtype(computing)])
            }
        }
        var result = try expander.call(op, arguments, attributes)
        if let wanted, try expander.shaped(result, op).dtype != wanted {
            result = try expander.call("astype", [result], ["dtype": .dtype(wanted)])
        }
        guard let back, back != back.indices.map({ Int64($0) }) else { return result }
        return try expander.call("permute_dims", [result], ["axes": .ints(DimensionOrder.inverse(back))])
    }

    /// The schema of the canonical order, for any.
    func applied(to schema: OperatorSchema) -> OperatorSchema {
        var result = schema
        let rule = schema.infer
        let (view, name) = (self, schema.name)
        result.attributes += attributes
        result.viewAttributes = names
        result.layoutView = self
        result.infer = { site in try view.infer(site, rule) }
        result.expansion = { expander, call in try view.expand(&expander, call, name) }
        return result
    }
}
