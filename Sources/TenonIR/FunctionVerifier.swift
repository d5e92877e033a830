/// Checks one function, and the local functions in it.
struct FunctionVerifier {
    private let function: Function
    private let module: Module
    private let limit: Int
    private let depth: Int
    private(set) var findings: [TenonError] = []
    /// Whether a value is defined and visible here.
    private var isVisible: [Bool]
    private var isDefined: [Bool]
    /// Contents of values that name a literal.
    private var literals: [ValueID: Operand] = [:]
    private var current: ValueID?

    init(_ function: Function, in module: Module, limit: Int, depth: Int = 0) {
        self.function = function
        self.module = module
        self.limit = limit
        self.depth = depth
        isVisible = [Bool](repeating: false, count: function.values.count)
        isDefined = isVisible
    }

    mutating func run() {
        guard depth < TextForm.nestingLimit else {
            return report(.limitExceeded, "local functions nest deeper than \(TextForm.nestingLimit)")
        }
        for parameter in function.parameters {
            define(parameter, isDataflow: false)
        }
        body(function.body, depth: 0)
    }

    // MARK: - Reporting

    private mutating func report(_ status: Status, _ message: ErrorMessage) {
        report(TenonError(status, message))
    }

    private mutating func report(_ error: TenonError) {
        guard findings.count < limit else { return }
        findings.append(current.map { error.located(at: "binding '\(name($0))'") } ?? error)
    }

    private func name(_ id: ValueID) -> String {
        guard let info = function.info(id), !info.name.isEmpty else { return "%\(id.index)" }
        return "%" + info.name
    }

    // MARK: - Definitions and uses

    private mutating func define(_ id: ValueID, isDataflow: Bool) {
        guard let info = function.info(id) else {
            return report(.invalidGraph, "value \(id.index) is not in the table of \(function.values.count) values")
        }
        if isDefined[id.int] { report(.invalidGraph, "value '\(name(id))' is defined twice") }
        if info.isDataflow, !isDataflow {
            report(.invalidGraph, "value '\(name(id))' is marked as local to a dataflow block, but is in none")
        }
        isDefined[id.int] = true
        isVisible[id.int] = true
    }

    private mutating func use(_ operand: Operand, depth: Int = 0) {
        switch operand {
        case .value(let id):
            guard isVisible.indices.contains(id.int), isVisible[id.int] else {
                let isKnown = isDefined.indices.contains(id.int) && isDefined[id.int]
                return report(
                    .invalidGraph,
                    "value '\(name(id))' is used \(isKnown ? "outside of the block that defines it" : "before it is defined")"
                )
            }
        case .global(let name):
            if module[name] == nil { report(.notFound, "function '@\(name)' is not in the module") }
        case .tuple(let fields):
            guard depth < TextForm.nestingLimit else { return report(.limitExceeded, "tuples nest too deep") }
            for field in fields { use(field, depth: depth + 1) }
        default: break
        }
    }

    private mutating func body(_ body: Body, depth: Int) {
        guard depth < TextForm.nestingLimit else { return report(.limitExceeded, "branches nest too deep") }
        var visible: [ValueID] = []
        for block in body.blocks {
            for binding in block.bindings {
                guard findings.count < limit else { return }
                current = binding.id
                check(binding, in: block, depth: depth)
                define(binding.id, isDataflow: block.isDataflow)
            }
            for binding in block.bindings {
                guard let info = function.info(binding.id) else { continue }
                if info.isDataflow { isVisible[binding.id.int] = false } else { visible.append(binding.id) }
            }
        }
        current = nil
        use(body.result)
        // A branch's values end with it.
        if depth > 0 { for id in visible { isVisible[id.int] = false } }
    }

    // MARK: - Bindings

    private mutating func check(_ binding: Binding, in block: Block, depth: Int) {
        let before = findings.count
        switch binding.expression {
        case .conditional(let condition, let thenBody, let elseBody):
            if block.isDataflow { report(.invalidGraph, "a dataflow block holds no control flow") }
            use(condition)
            for branch in [thenBody, elseBody] {
                body(branch, depth: depth + 1)
                current = binding.id
            }
        case .function(let local):
            var inner = FunctionVerifier(local, in: module, limit: limit - findings.count, depth: self.depth + 1)
            inner.run()
            for finding in inner.findings { report(TenonError(finding.status, "local function, \(finding)")) }
        case .call(let call):
            if case .local(let id) = call.callee { use(.value(id)) }
            for argument in call.arguments { use(argument) }
        case .tuple(let fields): for field in fields { use(field) }
        case .tupleGetItem(let operand, _), .operand(let operand), .matchCast(let operand, _): use(operand)
        }
        // Types of values that are not there say nothing.
        guard findings.count == before, let info = function.info(binding.id) else { return }
        do {
            if case .operand(let operand) = binding.expression { literals[binding.id] = literal(operand) }
            guard let inferred = try type(of: binding.expression) else { return }
            if !info.type.isConsistent(with: inferred) {
                report(.invalidType, "is declared as \(info.type), but its expression gives \(inferred)")
            }
        } catch let error as TenonError { report(error) } catch { report(.internal, "\(error)") }
    }

    private func literal(_ operand: Operand) -> Operand? {
        if case .value(let id) = operand { return literals[id] }
        return operand
    }

    /// The type that an expression gives; nil when it gives none.
    private func type(of expression: Expression) throws -> ValueType? {
        switch expression {
        case .call(let call): return try type(of: call)
        case .tuple(let fields): return try .tuple(checking: fields.map { function.type(of: $0) })
        case .tupleGetItem(let operand, let index):
            switch function.type(of: operand) {
            case .tuple(let fields) where fields.indices.contains(index): return fields[index]
            case .object: return nil
            case let type: throw TenonError(.invalidType, "item \(index) of a value of type \(type)")
            }
        case .operand(let operand): return function.type(of: operand)
        case .matchCast(_, let target): return target
        case .function(let local): return .function(parameters: local.parameterTypes, result: local.resultType)
        case .conditional(let condition, let thenBody, let elseBody):
            switch function.type(of: condition) {
            case .object: break
            case .tensor(let type) where (type.dtype ?? .bool) == .bool && (type.rank ?? 0) == 0: break
            case let type: throw TenonError(.invalidType, "a condition is bool[], found \(type)")
            }
            let (a, b) = (function.type(of: thenBody.result), function.type(of: elseBody.result))
            return a == b ? a : nil
        }
    }

    private func type(of call: Call) throws -> ValueType? {
        switch call.callee {
        case .op(let op):
            let inferred = try Inference.call(
                op, call.arguments, call.attributes, types: call.arguments.map { function.type(of: $0) },
                constants: call.arguments.map { literal($0)?.constant })
            guard inferred.attributes.isIdentical(to: call.attributes) else {
                throw TenonError(.invalidGraph, "\(op.name): attributes lack their defaults", operatorName: op.name)
            }
            return inferred.type
        case .function(let name):
            guard let callee = module[name] else {
                throw TenonError(.notFound, "calls '@\(name)', which is not in the module")
            }
            return try CallSignature(name: "@" + name, parameters: callee.parameterTypes, result: callee.resultType)
                .result(of: call.arguments.map { function.type(of: $0) })
        case .local(let id):
            switch function.type(of: id) {
            case .function(let parameters, let result):
                return try CallSignature(name: name(id), parameters: parameters, result: result)
                    .result(of: call.arguments.map { function.type(of: $0) })
            case .object: return nil
            case let type: throw TenonError(.invalidType, "calls '\(name(id))', which is no function but \(type)")
            }
        case .external(let name):
            if name.isEmpty { throw TenonError(.invalidGraph, "calls an external function without name") }
            return nil
        }
    }
}

/// The types of a function as a caller sees them. Symbols of the parameters take the values that the arguments have.
package struct CallSignature {
    package var name: String
    package var parameters: [ValueType]
    package var result: ValueType

    package init(name: String, parameters: [ValueType], result: ValueType) {
        self.name = name
        self.parameters = parameters
        self.result = result
    }

    /// The type of the result for arguments of these types.
    package func result(of arguments: [ValueType]) throws -> ValueType {
        guard arguments.count == parameters.count else {
            throw TenonError(
                .invalidArgument, "'\(name)' expects \(parameters.count) arguments, found \(arguments.count)")
        }
        var symbols: [String: Dim] = [:]
        for (index, (parameter, argument)) in zip(parameters, arguments).enumerated() {
            guard Self.matches(parameter, argument, &symbols) else {
                throw TenonError(
                    .invalidType, "'\(name)' expects argument \(index + 1) to be \(parameter), found \(argument)")
            }
        }
        return result.substituting(symbols) ?? .object
    }

    private static func matches(_ parameter: ValueType, _ argument: ValueType, _ symbols: inout [String: Dim]) -> Bool {
        switch (parameter, argument) {
        case (.object, _), (_, .object): return true
        case (.tensor(let p), .tensor(let a)):
            if let x = p.dtype, let y = a.dtype, x != y { return false }
            if let x = p.rank, let y = a.rank, x != y { return false }
            guard let x = p.shape, let y = a.shape else { return true }
            return matches(x, y, &symbols)
        case (.shape(let x?), .shape(let y?)): return matches(x, y, &symbols)
        case (.shape, .shape): return true
        case (.tuple(let p), .tuple(let a)):
            guard p.count == a.count else { return false }
            for index in p.indices where !matches(p[index], a[index], &symbols) { return false }
            return true
        default: return parameter == argument
        }
    }

    private static func matches(_ parameter: [Dim], _ argument: [Dim], _ symbols: inout [String: Dim]) -> Bool {
        guard parameter.count == argument.count else { return false }
        for (p, a) in zip(parameter, argument) {
            if case .symbolic(let expression) = p, let name = expression.bareSymbol, symbols[name] == nil {
                symbols[name] = a
                continue
            }
            // A sum of symbols that no argument has given yet can be anything.
            if p.symbols.contains(where: { symbols[$0] == nil }) { continue }
            guard let expected = p.substituting(symbols) else { return false }
            if expected.isFixed, a.isFixed, expected != a { return false }
        }
        return true
    }
}

extension ValueType {
    /// What is known in both is the same.
    public func isConsistent(with other: ValueType) -> Bool {
        switch (self, other) {
        case (.object, _), (_, .object): return true
        case (.tensor(let a), .tensor(let b)):
            if let x = a.dtype, let y = b.dtype, x != y { return false }
            if let x = a.rank, let y = b.rank, x != y { return false }
            if let x = a.shape, let y = b.shape, x != y { return false }
            return true
        case (.shape(let a?), .shape(let b?)): return a == b
        case (.shape, .shape): return true
        case (.tuple(let a), .tuple(let b)):
            return a.count == b.count && zip(a, b).allSatisfy { $0.isConsistent(with: $1) }
        case (.function(let p, let r), .function(let q, let s)):
            return p.count == q.count && zip(p, q).allSatisfy { $0.isConsistent(with: $1) } && r.isConsistent(with: s)
        default: return self == other
        }
    }
}
