import TenonIR

/// Copies bindings of one function into the table of another.
struct BodyCopier {
    private(set) var target: Function
    private let source: Function
    /// By value of the source: what stands for it.
    private var standsFor: [Operand?]

    /// Symbols of the source are replaced by `symbols`.
    init(from source: Function, into target: Function, symbols: [String: Dim] = [:]) {
        self.target = target
        self.source = source.substituting(symbols) ?? source
        standsFor = [Operand?](repeating: nil, count: source.values.count)
    }

    mutating func set(_ id: ValueID, _ operand: Operand) {
        if standsFor.indices.contains(id.int) { standsFor[id.int] = operand }
    }

    func mapped(_ operand: Operand) -> Operand {
        operand.mapValues { id in standsFor.indices.contains(id.int) ? standsFor[id.int] ?? .value(id) : .value(id) }
    }

    mutating func copy(_ body: Body) throws -> Body {
        // The copier's source may have other types than what was given, never other bindings.
        var blocks: [Block] = []
        for block in body.blocks {
            blocks.append(
                Block(isDataflow: block.isDataflow, bindings: try block.bindings.map { try copy($0) }))
        }
        return Body(blocks: blocks, result: mapped(body.result))
    }

    mutating func copy(_ binding: Binding) throws -> Binding {
        let expression: Expression
        switch binding.expression {
        case .conditional(let condition, let then, let other):
            let (first, second) = (try copy(then), try copy(other))
            expression = .conditional(mapped(condition), then: first, else: second)
        case let other: expression = other.mapValues { mapped(.value($0)) }
        }
        let info = source.values[binding.id.int]
        let id = target.addValue(info.name, info.type, isDataflow: info.isDataflow)
        set(binding.id, .value(id))
        return Binding(id, expression)
    }

    /// The body of the source with symbols replaced.
    var body: Body { source.body }
}
