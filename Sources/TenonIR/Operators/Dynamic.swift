/// Forms of operators whose attributes are tensors that a run computes: `dyn.topk(data, k)` is `topk(data)` with its k as
/// an input. Named as Relay's dynamic operators.
public struct DynamicForm: Sendable {
    /// The operator that computes.
    public let base: OperatorID
    /// Attributes of `base` that are inputs here, after its own inputs.
    public let names: [String]
    /// How many of the inputs are those of `base`.
    public let inputCount: Int

    /// The form that `op` is, or nil when it takes its attributes as attributes.
    public static func of(_ op: OperatorID) -> DynamicForm? {
        table.indices.contains(Int(op.index)) ? table[Int(op.index)] : nil
    }

    /// The attributes of the call of `base` that this call is, when the inputs that give attributes are known.
    ///
    /// - Parameters:
    ///   - given: the attributes that the call has itself.
    ///   - constants: contents of the inputs, as far as they are known.
    /// - Returns: nil when one is not known.
    public func attributes(_ given: Attributes, _ constants: [Constant?]) throws -> Attributes? {
        try DynamicOperators.attributes(base.schema, names, given, constants.dropFirst(inputCount))
    }

    private static let table: [DynamicForm?] = {
        var table = [DynamicForm?](repeating: nil, count: Operators.all.count)
        for row in DynamicOperators.rows {
            guard let form = Operators.named("dyn." + row.base), let base = Operators.named(row.base) else { continue }
            table[Int(form.index)] = DynamicForm(
                base: base, names: row.names, inputCount: base.schema.inputs.count)
        }
        return table
    }()
}

/// The schemas of dynamic forms, made from those of the operators that compute.
enum DynamicOperators {
    /// Which attributes of which operator can be inputs.
    static let rows: [(base: String, names: [String])] =
        [
            "sum", "mean", "max", "min", "prod", "sum_square", "l1_norm", "l2_norm", "log_sum", "log_sum_exp", "all",
            "any", "squeeze", "expand_dims", "cumsum", "cumprod",
        ].map { ($0, ["axis"]) } + [
            ("topk", ["k"]), ("tril", ["k"]), ("triu", ["k"]), ("one_hot", ["depth"]), ("tile", ["repeats"]),
            ("split", ["indices"]), ("nn.pad", ["pad_width", "pad_value"]),
            (
                "vision.all_class_non_max_suppression",
                ["max_output_boxes_per_class", "iou_threshold", "score_threshold"]
            ),
            ("image.resize1d", ["scales", "roi"]), ("image.resize2d", ["scales", "roi"]),
            ("image.resize3d", ["scales", "roi"]),
        ]

    static func schemas(of bases: [OperatorSchema]) -> [OperatorSchema] {
        var schemas: [OperatorSchema] = []
        for row in rows {
            for base in bases where base.name == row.base { schemas.append(schema(base, row.names)) }
        }
        return schemas
    }

    private static func schema(_ base: OperatorSchema, _ names: [String]) -> OperatorSchema {
        OperatorSchema(
            "dyn." + base.name,
            "\(base.name) with \(names.joined(separator: " and ")) from tensors of integers or numbers.",
            inputs: base.inputs + names.map { .init($0) },
            // Forms of the result are the base's alone; layouts are views here too.
            attributes: base.attributes.filter { attribute in
                !names.contains(attribute.name)
                    && (base.layoutView != nil || !base.viewAttributes.contains(attribute.name))
            }
        ) { site in try infer(site, base, names) }
    }

    /// As the base where the attributes are known; else ranks and element types, from the number of attribute values.
    private static func infer(_ site: CallSite, _ base: OperatorSchema, _ names: [String]) throws -> ValueType {
        let count = base.inputs.count
        if let attributes = try attributes(base, names, site.attributes, site.constants.dropFirst(count)) {
            return try base.infer(
                CallSite(
                    schema: base, arguments: Array(site.arguments.prefix(count)),
                    types: Array(site.types.prefix(count)),
                    constants: Array(site.constants.prefix(count)), attributes: try base.normalised(attributes)))
        }
        var placeholders = site.attributes
        for (offset, name) in names.enumerated() {
            let type = try site.tensor(count + offset)
            guard let kind = base.attributes.first(where: { $0.name == name })?.kind,
                let value = try placeholder(site, kind, type, count + offset)
            else { return .object }
            placeholders[name] = value
        }
        let types = site.types.prefix(count).map(withoutSizes)
        let result = try base.infer(
            CallSite(
                schema: base, arguments: Array(site.arguments.prefix(count)), types: types,
                constants: [Constant?](repeating: nil, count: count), attributes: try base.normalised(placeholders)))
        return withoutSizes(result)
    }

    /// A value of as many elements as the tensor has; what it says does not reach the result, which has no sizes.
    private static func placeholder(
        _ site: CallSite, _ kind: AttributeValue.Kind, _ type: TensorType, _ index: Int
    ) throws -> AttributeValue? {
        switch kind {
        case .int: return 0
        case .float: return 0.0
        case .ints, .floats:
            if let rank = type.rank, rank > 1 { throw site.inputError(index, expects: "one dimension") }
            guard let count = type.elementCount, count <= 1 << 16 else { return nil }
            return kind == .ints
                ? .ints((0..<Int64(count)).map { $0 }) : .floats([Double](repeating: 1, count: count))
        default: return nil
        }
    }

    private static func withoutSizes(_ type: ValueType) -> ValueType {
        switch type {
        case .tensor(let tensor): .tensor(TensorType(dtype: tensor.dtype, rank: tensor.rank))
        case .tuple(let fields): .tuple(fields.map(withoutSizes))
        case .shape: .shape(nil)
        default: type
        }
    }

    static func attributes(
        _ base: OperatorSchema, _ names: [String], _ given: Attributes, _ constants: ArraySlice<Constant?>
    ) throws -> Attributes? {
        guard constants.count == names.count else { return nil }
        var attributes = given
        for (name, constant) in zip(names, constants) {
            guard let constant else { return nil }
            guard let kind = base.attributes.first(where: { $0.name == name })?.kind,
                let value = value(constant, kind)
            else {
                throw TenonError(
                    .invalidType, "dyn.\(base.name): input '\(name)' cannot be \(constant.type)",
                    operatorName: "dyn." + base.name)
            }
            attributes[name] = value
        }
        return attributes
    }

    /// The contents of a tensor as an attribute, or nil when they cannot be one.
    private static func value(_ constant: Constant, _ kind: AttributeValue.Kind) -> AttributeValue? {
        let isInteger = constant.dtype.isInteger
        switch kind {
        case .int: return isInteger && constant.count == 1 ? constant.intElements?.first.map { .int($0) } : nil
        case .float: return constant.count == 1 ? constant.double(at: 0).map { .float($0) } : nil
        case .ints: return isInteger && constant.shape.count <= 1 ? constant.intElements.map { .ints($0) } : nil
        case .floats: return constant.shape.count <= 1 ? constant.doubleElements.map { .floats($0) } : nil
        default: return nil
        }
    }
}
