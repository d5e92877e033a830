import TenonIR

/// Removes bindings that only give a value another name, and resolves projections of tuples whose fields are known. A tuple
/// made of all projections of another one, in order, is that one. A cast to the type that a value has is the value, and what a
/// dataflow block shows though nothing outside uses it becomes local to it.
public struct CanonicalizeBindings: SubstitutingPass {
    typealias Walk = Canonicalization

    public init() {}

    public var name: String { "CanonicalizeBindings" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        for (name, function) in module.functions {
            let simpler = Walk.rewritten(function)
            if let changed = (simpler ?? function).withScopedValues(showing: false) ?? simpler {
                result[name] = changed
            }
        }
        return result
    }
}

struct Canonicalization: SubstitutingWalk {
    var substitution: Substitution
    /// Fields of values that are known tuples.
    private var fields: [ValueID: [Operand]] = [:]
    /// What projections take.
    private var projections: [ValueID: (tuple: ValueID, index: Int)] = [:]

    /// Symbols that parameters tell.
    private let told: Set<String>

    init(_ substitution: Substitution) {
        self.substitution = substitution
        var told: Set<String> = []
        for type in substitution.function.parameterTypes { Canonicalization.collect(type, &told) }
        self.told = told
    }

    private static func collect(_ type: ValueType, _ names: inout Set<String>) {
        let dims: [Dim]
        switch type {
        case .tensor(let tensor): dims = tensor.shape ?? []
        case .shape(let shape): dims = shape ?? []
        case .tuple(let fields):
            for field in fields { collect(field, &names) }
            return
        default: return
        }
        for dim in dims { if let name = dim.symbols.first, dim == .symbol(name) { names.insert(name) } }
    }

    /// Whether a cast to this type only says what is known: a symbol that no parameter tells is bound by the cast.
    private func bindsNothing(_ declared: ValueType) -> Bool {
        var names: [String] = []
        declared.collectSymbols(into: &names)
        return names.allSatisfy(told.contains)
    }

    mutating func visit(_ binding: Binding) -> Expression? {
        switch binding.expression {
        case .operand(.value(let source)):
            if isAlias(binding.id, of: source) { return nil }
        case .matchCast(.value(let source), let declared):
            if bindsNothing(declared), isAlias(binding.id, of: source) { return nil }
        case .tuple(let known):
            if let source = whole(known), isAlias(binding.id, of: source) { return nil }
            fields[binding.id] = known
        case .tupleGetItem(let tuple, let index):
            var known: [Operand]?
            switch tuple {
            case .tuple(let inline): known = inline
            case .value(let id):
                known = fields[id]
                projections[binding.id] = (id, index)
            default: break
            }
            guard let known, known.indices.contains(index) else { break }
            if case .value(let source) = known[index] {
                if isAlias(binding.id, of: source) { return nil }
            } else {
                substitution.changed = true
                return .operand(known[index])
            }
        default: break
        }
        return binding.expression
    }

    private mutating func isAlias(_ id: ValueID, of source: ValueID) -> Bool {
        substitution.replace(id, by: source, passingName: true)
    }

    /// The tuple of which these are all the fields in order.
    private func whole(_ fields: [Operand]) -> ValueID? {
        guard case .value(let first)? = fields.first, let tuple = projections[first]?.tuple,
            case .tuple(let types) = substitution.function.type(of: tuple), types.count == fields.count
        else { return nil }
        for (index, field) in fields.enumerated() {
            guard case .value(let id) = field, let projection = projections[id], projection == (tuple, index) else {
                return nil
            }
        }
        return tuple
    }
}
