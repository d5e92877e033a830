import TenonIR

/// What casts say of sizes: a symbol that a cast names anew, where the value that is cast has that size known, is that size.
/// Casts in branches hold there only, and say nothing here; nor do those of local functions, whose symbols are their own.
struct CastSymbols {
    private(set) var sizes: [String: Dim] = [:]
    /// Symbols that have a meaning already.
    private var bound: Set<String>
    private let function: Function

    /// Throws when two casts contradict each other: the function could not run.
    init(_ function: Function, told: Set<String>) throws {
        self.function = function
        bound = told
        var isRequired = false
        for block in function.body.blocks {
            for binding in block.bindings {
                switch binding.expression {
                case .matchCast: isRequired = true
                case .conditional(_, let then, let other):
                    collect(then)
                    collect(other)
                case .function(let local): collect(local)
                default: break
                }
            }
        }
        guard isRequired else { return }
        for block in function.body.blocks {
            for binding in block.bindings {
                guard case .matchCast(let source, let declared) = binding.expression else { continue }
                try read(declared, function.type(of: source))
            }
        }
    }

    private mutating func collect(_ local: Function) {
        for info in local.values {
            var names: [String] = []
            info.type.collectSymbols(into: &names)
            bound.formUnion(names)
        }
    }

    private mutating func collect(_ body: Body) {
        for block in body.blocks {
            for binding in block.bindings {
                var names: [String] = []
                switch binding.expression {
                case .matchCast(_, let declared): declared.collectSymbols(into: &names)
                case .conditional(_, let then, let other):
                    collect(then)
                    collect(other)
                case .function(let local): collect(local)
                default: break
                }
                bound.formUnion(names)
            }
        }
    }

    private mutating func read(_ declared: ValueType, _ given: ValueType) throws {
        switch (declared, given) {
        case (.tensor(let wanted), .tensor(let found)): try read(wanted.shape, found.shape)
        case (.shape(let wanted), .shape(let found)): try read(wanted, found)
        case (.tuple(let wanted), .tuple(let found)) where wanted.count == found.count:
            for (first, second) in zip(wanted, found) { try read(first, second) }
        default:
            // What is cast from the unknown has sizes that are known when it runs.
            var names: [String] = []
            declared.collectSymbols(into: &names)
            bound.formUnion(names.filter { sizes[$0] == nil })
        }
    }

    private mutating func read(_ declared: [Dim]?, _ given: [Dim]?) throws {
        guard let declared else { return }
        for (index, dim) in declared.enumerated() {
            guard let name = dim.plainSymbol, !bound.contains(name) else { continue }
            guard let given, given.count == declared.count, let size = given[index].substituting(sizes) else {
                if sizes[name] == nil { bound.insert(name) }
                continue
            }
            guard let known = sizes[name] else {
                // Of itself a cast says nothing.
                if size.symbols.contains(name) { bound.insert(name) } else { sizes[name] = size }
                continue
            }
            if let first = known.value, let second = size.value, first != second {
                throw TenonError(
                    .invalidShape, "casts contradict each other: the size \(name) cannot be \(first) and \(second)")
            }
        }
    }
}
