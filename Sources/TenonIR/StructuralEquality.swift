extension Function {
    /// Whether both functions compute the same by the same steps: names of values, their numbering and names of symbols do
    /// not matter (symbols map one to one); types, attributes, blocks, order of bindings, names of called functions and
    /// contents of constants do. Attributes named in `ignored` are left out of the comparison of the functions themselves.
    public func isStructurallyEqual(to other: Function, ignoring ignored: [String] = []) -> Bool {
        var comparison = StructuralComparison(self, other)
        return comparison.functions(ignoring: ignored)
    }

    /// Equal for functions that are structurally equal. Differs from one process to the next, as Swift's hashes do.
    public func structuralHash(ignoring ignored: [String] = []) -> Int {
        var hashing = StructuralHashing(self)
        return hashing.hash(ignoring: ignored)
    }
}

extension Module {
    /// Whether both modules have functions of the same names that are structurally equal, in any order, and equal
    /// attributes.
    public func isStructurallyEqual(to other: Module) -> Bool {
        guard functions.count == other.functions.count, attributes.isIdentical(to: other.attributes) else {
            return false
        }
        for (name, function) in functions {
            guard let match = other.functions[name], function.isStructurallyEqual(to: match) else { return false }
        }
        return true
    }

    /// Equal for modules that are structurally equal, within one process.
    public var structuralHash: Int {
        var sum = 0
        for (name, function) in functions {
            var hasher = Hasher()
            hasher.combine(name)
            hasher.combine(function.structuralHash())
            sum &+= hasher.finalize()
        }
        return sum
    }
}

/// A function as a dictionary key: equal when structurally equal. The hash is computed once.
public struct StructuralKey: Hashable, Sendable {
    public let function: Function
    private let ignored: [String]
    private let hashValueOnce: Int

    public init(_ function: Function, ignoring ignored: [String] = []) {
        self.function = function
        self.ignored = ignored
        hashValueOnce = function.structuralHash(ignoring: ignored)
    }

    public static func == (a: StructuralKey, b: StructuralKey) -> Bool {
        a.hashValueOnce == b.hashValueOnce && a.ignored == b.ignored
            && a.function.isStructurallyEqual(to: b.function, ignoring: a.ignored)
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(hashValueOnce) }
}

extension AttributeValue {
    /// As `==`, but floats compare by bits: NaN is identical to itself, and 0.0 differs from -0.0.
    public func isIdentical(to other: AttributeValue) -> Bool {
        switch (self, other) {
        case (.float(let a), .float(let b)): return a.bitPattern == b.bitPattern
        case (.floats(let a), .floats(let b)):
            return a.count == b.count && zip(a, b).allSatisfy { $0.bitPattern == $1.bitPattern }
        default: return self == other
        }
    }
}

extension Attributes {
    /// Same names with identical values.
    public func isIdentical(to other: Attributes, ignoring ignored: [String] = []) -> Bool {
        if ignored.isEmpty {
            guard entries.count == other.entries.count else { return false }
            return zip(entries, other.entries).allSatisfy { $0.name == $1.name && $0.value.isIdentical(to: $1.value) }
        }
        let mine = entries.filter { !ignored.contains($0.name) }
        let theirs = other.entries.filter { !ignored.contains($0.name) }
        guard mine.count == theirs.count else { return false }
        return zip(mine, theirs).allSatisfy { $0.name == $1.name && $0.value.isIdentical(to: $1.value) }
    }
}

extension DimExpression {
    /// The name when the expression is nothing but one symbol.
    var bareSymbol: String? {
        guard constant == 0, terms.count == 1, terms[0].coefficient == 1, terms[0].factors.count == 1,
            case .symbol(let name) = terms[0].factors[0]
        else { return nil }
        return name
    }
}

/// Walks two functions in step.
private struct StructuralComparison {
    private let a: Function
    private let b: Function
    /// Value of `b` that stands for a value of `a`, and back; -1 for none.
    private var forward: [Int32]
    private var backward: [Int32]
    private var symbols: [String: String] = [:]
    private var reverseSymbols: [String: String] = [:]

    init(_ a: Function, _ b: Function) {
        self.a = a
        self.b = b
        forward = [Int32](repeating: -1, count: a.values.count)
        backward = [Int32](repeating: -1, count: b.values.count)
    }

    mutating func functions(ignoring ignored: [String] = []) -> Bool {
        guard a.parameters.count == b.parameters.count,
            a.attributes.isIdentical(to: b.attributes, ignoring: ignored)
        else { return false }
        for (p, q) in zip(a.parameters, b.parameters) where !define(p, q) { return false }
        return bodies(a.body, b.body)
    }

    private mutating func define(_ p: ValueID, _ q: ValueID) -> Bool {
        guard a.values.indices.contains(p.int), b.values.indices.contains(q.int),
            forward[p.int] < 0, backward[q.int] < 0
        else { return false }
        let (x, y) = (a.values[p.int], b.values[q.int])
        guard x.isDataflow == y.isDataflow, types(x.type, y.type) else { return false }
        forward[p.int] = q.index
        backward[q.int] = p.index
        return true
    }

    private func values(_ p: ValueID, _ q: ValueID) -> Bool {
        a.values.indices.contains(p.int) && b.values.indices.contains(q.int) && forward[p.int] == q.index
    }

    private mutating func bodies(_ x: Body, _ y: Body) -> Bool {
        guard x.blocks.count == y.blocks.count else { return false }
        for (p, q) in zip(x.blocks, y.blocks) {
            guard p.isDataflow == q.isDataflow, p.bindings.count == q.bindings.count else { return false }
            for (m, n) in zip(p.bindings, q.bindings) {
                guard expressions(m.expression, n.expression), define(m.id, n.id) else { return false }
            }
        }
        return operands(x.result, y.result)
    }

    private mutating func expressions(_ x: Expression, _ y: Expression) -> Bool {
        switch (x, y) {
        case (.call(let p), .call(let q)):
            switch (p.callee, q.callee) {
            case (.local(let m), .local(let n)): guard values(m, n) else { return false }
            case (.local, _), (_, .local): return false
            default: guard p.callee == q.callee else { return false }
            }
            return lists(p.arguments, q.arguments) && p.attributes.isIdentical(to: q.attributes)
        case (.tuple(let p), .tuple(let q)): return lists(p, q)
        case (.tupleGetItem(let p, let i), .tupleGetItem(let q, let j)): return i == j && operands(p, q)
        case (.operand(let p), .operand(let q)): return operands(p, q)
        case (.matchCast(let p, let s), .matchCast(let q, let t)): return operands(p, q) && types(s, t)
        case (.function(let p), .function(let q)):
            // Symbols of the outer function stay known inside; those first met inside are forgotten afterwards.
            var inner = StructuralComparison(p, q)
            inner.symbols = symbols
            inner.reverseSymbols = reverseSymbols
            return inner.functions()
        case (.conditional(let p, let thenP, let elseP), .conditional(let q, let thenQ, let elseQ)):
            return operands(p, q) && bodies(thenP, thenQ) && bodies(elseP, elseQ)
        default: return false
        }
    }

    private mutating func lists(_ x: [Operand], _ y: [Operand]) -> Bool {
        guard x.count == y.count else { return false }
        for index in x.indices where !operands(x[index], y[index]) { return false }
        return true
    }

    private mutating func operands(_ x: Operand, _ y: Operand) -> Bool {
        switch (x, y) {
        case (.value(let p), .value(let q)): return values(p, q)
        case (.shape(let p), .shape(let q)): return dims(p, q)
        case (.float(let p), .float(let q)): return p.bitPattern == q.bitPattern
        case (.tuple(let p), .tuple(let q)): return lists(p, q)
        case (.value, _), (.shape, _), (.tuple, _), (_, .value), (_, .shape), (_, .tuple): return false
        default: return x == y
        }
    }

    private mutating func types(_ x: ValueType, _ y: ValueType) -> Bool {
        switch (x, y) {
        case (.tensor(let p), .tensor(let q)):
            guard p.dtype == q.dtype, p.rank == q.rank else { return false }
            guard let m = p.shape, let n = q.shape else { return p.shape == nil && q.shape == nil }
            return dims(m, n)
        case (.tuple(let p), .tuple(let q)):
            guard p.count == q.count else { return false }
            for index in p.indices where !types(p[index], q[index]) { return false }
            return true
        case (.shape(let p?), .shape(let q?)): return dims(p, q)
        case (.shape(nil), .shape(nil)), (.object, .object): return true
        case (.scalar(let p), .scalar(let q)): return p == q
        case (.function(let p, let r), .function(let q, let s)):
            guard p.count == q.count else { return false }
            for index in p.indices where !types(p[index], q[index]) { return false }
            return types(r, s)
        default: return false
        }
    }

    private mutating func dims(_ x: [Dim], _ y: [Dim]) -> Bool {
        guard x.count == y.count else { return false }
        for index in x.indices {
            switch (x[index], y[index]) {
            case (.fixed(let p), .fixed(let q)): if p != q { return false }
            case (.symbolic(let p), .symbolic(let q)): if !expressions(p, q) { return false }
            default: return false
            }
        }
        return true
    }

    private mutating func expressions(_ p: DimExpression, _ q: DimExpression) -> Bool {
        if let m = p.bareSymbol, let n = q.bareSymbol { return unify(m, n) }
        var (mine, theirs): ([String], [String]) = ([], [])
        p.collectSymbols(into: &mine)
        q.collectSymbols(into: &theirs)
        guard mine.count == theirs.count else { return false }
        // What is not known yet pairs up in order of occurrence.
        let newMine = mine.filter { symbols[$0] == nil }
        let newTheirs = theirs.filter { reverseSymbols[$0] == nil }
        guard newMine.count == newTheirs.count else { return false }
        for (m, n) in zip(newMine, newTheirs) where !unify(m, n) { return false }
        // Terms are sorted by name, so the comparison follows the renaming.
        var renaming: [String: Dim] = [:]
        for name in mine { renaming[name] = symbols[name].map { .symbol($0) } }
        return p.substituting(renaming) == .symbolic(q)
    }

    private mutating func unify(_ m: String, _ n: String) -> Bool {
        if let known = symbols[m] { return known == n }
        guard reverseSymbols[n] == nil else { return false }
        symbols[m] = n
        reverseSymbols[n] = m
        return true
    }
}

/// Hashes a function so that what `StructuralComparison` finds equal gets equal hashes.
private struct StructuralHashing {
    private let function: Function
    private var hasher = Hasher()
    /// Order of definition of each value; -1 before it.
    private var order: [Int32]
    private var defined: Int32 = 0
    /// Order of first occurrence as a bare dimension. Symbols inside sums count as unknown until then, because terms stand
    /// in the order of their names.
    private var symbols: [String: Int] = [:]

    init(_ function: Function) {
        self.function = function
        order = [Int32](repeating: -1, count: function.values.count)
    }

    mutating func hash(ignoring ignored: [String] = []) -> Int {
        for parameter in function.parameters { define(parameter) }
        body(function.body)
        for entry in function.attributes.entries where !ignored.contains(entry.name) {
            hasher.combine(entry.name)
            hasher.combine(entry.value)
        }
        return hasher.finalize()
    }

    private mutating func define(_ id: ValueID) {
        guard order.indices.contains(id.int) else { return }
        order[id.int] = defined
        defined += 1
        type(function.values[id.int].type)
    }

    private mutating func body(_ body: Body) {
        for block in body.blocks {
            hasher.combine(block.isDataflow)
            for binding in block.bindings {
                expression(binding.expression)
                define(binding.id)
            }
        }
        operand(body.result)
    }

    private mutating func expression(_ expression: Expression) {
        switch expression {
        case .call(let call):
            hasher.combine(0 as UInt8)
            switch call.callee {
            case .local(let id): value(id)
            case .op(let op): hasher.combine(op.index)
            case .function(let name), .external(let name): hasher.combine(name)
            }
            list(call.arguments)
            for entry in call.attributes.entries { hasher.combine(entry.value) }
        case .tuple(let fields):
            hasher.combine(1 as UInt8)
            list(fields)
        case .tupleGetItem(let tuple, let index):
            hasher.combine(2 as UInt8)
            hasher.combine(index)
            operand(tuple)
        case .operand(let literal):
            hasher.combine(3 as UInt8)
            operand(literal)
        case .matchCast(let source, let target):
            hasher.combine(4 as UInt8)
            operand(source)
            type(target)
        case .function(let local):
            var inner = StructuralHashing(local)
            inner.symbols = symbols
            hasher.combine(inner.hash())
        case .conditional(let condition, let thenBody, let elseBody):
            hasher.combine(5 as UInt8)
            operand(condition)
            body(thenBody)
            body(elseBody)
        }
    }

    private mutating func list(_ operands: [Operand]) {
        hasher.combine(operands.count)
        for entry in operands { operand(entry) }
    }

    private mutating func value(_ id: ValueID) {
        hasher.combine(order.indices.contains(id.int) ? order[id.int] : -1)
    }

    private mutating func operand(_ operand: Operand) {
        switch operand {
        case .value(let id): value(id)
        case .shape(let sizes): dims(sizes)
        case .tuple(let fields): list(fields)
        default: hasher.combine(operand)
        }
    }

    private mutating func type(_ type: ValueType) {
        switch type {
        case .tensor(let tensor):
            hasher.combine(tensor.dtype)
            if let shape = tensor.shape { dims(shape) }
        case .tuple(let fields): for field in fields { self.type(field) }
        case .shape(let sizes): dims(sizes ?? [])
        case .scalar(let dtype): hasher.combine(dtype)
        case .function(let parameters, let result):
            for parameter in parameters { self.type(parameter) }
            self.type(result)
        case .object: break
        }
    }

    private mutating func dims(_ dims: [Dim]) {
        hasher.combine(dims.count)
        for dim in dims {
            switch dim {
            case .fixed(let size): hasher.combine(size)
            case .symbolic(let expression):
                if let name = expression.bareSymbol {
                    let index = symbols[name] ?? symbols.count
                    symbols[name] = index
                    hasher.combine(index)
                } else {
                    hasher.combine(expression.terms.count)
                    hasher.combine(expression.constant)
                }
            }
        }
    }
}
