import TenonIR

/// Removes bindings that only give a value another name, and resolves projections of tuples whose fields are known. A tuple
/// made of all projections of another one, in order, is that one. A cast to the type that a value has is the value, sizes that a
/// cast names are those of what is cast where they are known, and what a dataflow block shows though nothing outside uses it
/// becomes local to it.
public struct CanonicalizeBindings: SubstitutingPass {
    typealias Walk = Canonicalization

    public init() {}

    public var name: String { "CanonicalizeBindings" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        for (name, function) in module.functions {
            do {
                if let changed = try Self.canonical(function) { result[name] = changed }
            } catch let error as TenonError {
                throw TenonError(
                    error.status, "\(self.name): @\(name): \(error)", operatorName: error.operatorName)
            }
        }
        return result
    }

    /// Nil when there is nothing to change.
    private static func canonical(_ given: Function) throws -> Function? {
        var function = given
        let sizes = try CastSymbols(given, told: Canonicalization.told(given)).sizes
        if !sizes.isEmpty, let sized = given.substituting(sizes) { function = sized }
        var hasChanged = !sizes.isEmpty
        if let simpler = Walk.rewritten(function) {
            function = simpler
            hasChanged = true
        }
        // What operands are now may say what results are.
        if hasChanged, function.values.contains(where: { !$0.type.isKnown }) {
            function = try function.withInferredTypes()
        }
        function.body = try function.body.mapExpressions { expression in
            guard case .function(let local) = expression, let inner = try canonical(local) else { return expression }
            hasChanged = true
            return .function(inner)
        }
        if let scoped = function.withScopedValues(showing: false) { return scoped }
        return hasChanged ? function : nil
    }
}

extension ValueType {
    /// Whether element types and numbers of dimensions are told throughout.
    fileprivate var isKnown: Bool {
        switch self {
        case .tensor(let type): type.dtype != nil && type.shape != nil
        case .tuple(let fields): fields.allSatisfy(\.isKnown)
        case .shape(let dims): dims != nil
        case .scalar, .function, .object: true
        }
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
        told = Self.told(substitution.function)
    }

    static func told(_ function: Function) -> Set<String> {
        var told: Set<String> = []
        for type in function.parameterTypes { collect(type, &told) }
        return told
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
