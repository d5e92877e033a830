import TenonIR

/// Matches patterns against expressions of one function. Scratch arrays are kept between matches.
struct Matcher {
    var table: BindingTable
    private let pattern: CompiledPattern
    /// By node: what it matched so far.
    private var subjects: [Subject?]
    /// Nodes with an entry in `subjects`, oldest first, so that a failed attempt can be undone.
    private var trail: [Int] = []
    private var interior: [ValueID] = []
    private var chainSteps: [ChainMatch] = []
    private var equations = TypeEquations()
    /// Given when intermediate values must not be used outside the match.
    var uses: UseTable?
    /// The furthest failure of the current attempt, for explanations; recorded only when asked.
    var diagnosis: Diagnosis?
    /// Attempts left for the current match: choices within choices may multiply.
    private var budget = 0
    /// Calls and steps of chains on the way to where the matcher is.
    private var openCalls = 0
    /// The last match was given up because it took too many attempts.
    var isExhausted: Bool { budget < 0 }
    private static let attemptLimit = 1 << 20

    init(_ pattern: CompiledPattern, _ table: BindingTable) {
        self.pattern = pattern
        self.table = table
        subjects = [Subject?](repeating: nil, count: pattern.nodes.count)
    }

    private struct Mark {
        var trail: Int
        var interior: Int
        var chainSteps: Int
        var equations: TypeEquations
    }

    private func mark() -> Mark {
        Mark(trail: trail.count, interior: interior.count, chainSteps: chainSteps.count, equations: equations)
    }

    private mutating func restore(_ mark: Mark) {
        while trail.count > mark.trail { subjects[trail.removeLast()] = nil }
        interior.removeLast(interior.count - mark.interior)
        chainSteps.removeLast(chainSteps.count - mark.chainSteps)
        equations = mark.equations
    }

    /// Matches the whole pattern against one subject.
    mutating func match(_ subject: Subject) -> Match? {
        restore(Mark(trail: 0, interior: 0, chainSteps: 0, equations: TypeEquations()))
        budget = Self.attemptLimit
        openCalls = 0
        guard visit(pattern.root, subject), !isExhausted else { return nil }
        return Match(
            root: subject, pattern: pattern, subjects: subjects, interior: interior, chainSteps: chainSteps)
    }

    mutating func match(_ operand: Operand) -> Match? { match(table.unwrap(operand)) }

    private mutating func visit(_ node: Pattern, _ operand: Operand) -> Bool { visit(node, table.unwrap(operand)) }

    private mutating func visit(_ node: Pattern, _ subject: Subject) -> Bool {
        let index = pattern.index(node)
        budget -= 1
        if budget < 0 { return false }
        if let earlier = subjects[index] {
            if earlier.isSame(as: subject) { return true }
            fail(
                .operatorMismatch, subject, found: text(describe(subject)),
                expected: text("the value met before (\(describe(earlier)))"))
            return false
        }
        let start = mark()
        guard matches(node, subject) else {
            restore(start)
            return false
        }
        subjects[index] = subject
        trail.append(index)
        return true
    }

    private mutating func matches(_ node: Pattern, _ subject: Subject) -> Bool {
        switch node.kind {
        case .wildcard: return true
        case .variable(let name): return isVariable(subject, name, dataflowOnly: false)
        case .dataflowVariable(let name): return isVariable(subject, name, dataflowOnly: true)
        case .globalVariable(let name):
            switch subject {
            case .operand(.global(let found)), .callee(.function(let found)): return name == nil || name == found
            default: return false
            }
        case .constant(let requirement):
            guard let constant = subject.constant else {
                fail(.constantValue, subject, found: text(describe(subject)), expected: text("a constant"))
                return false
            }
            guard let requirement else { return true }
            if requirement.isSatisfied(by: constant) { return true }
            fail(
                .constantValue, subject, found: text(constant.splatValue.map { "\($0)" } ?? "\(constant.type)"),
                expected: text("\(requirement.value)"))
            return false
        case .expression(let operand):
            if case .operand(let found) = subject, found == operand { return true }
            return table.unwrap(operand).isSame(as: subject)
        case .op(let id):
            if case .callee(.op(let found)) = subject { return found == id }
            return false
        case .external(let name):
            if case .callee(.external(let found)) = subject { return name == nil || name == found }
            return false
        case .call(let callee, let arguments, let isVariadic, let commutes):
            return matchesCall(subject, callee, arguments, isVariadic, commutes)
        case .tuple(let patterns):
            guard let fields = tupleFields(subject), fields.count == patterns.count else {
                fail(
                    .operatorMismatch, subject, found: text(describe(subject)),
                    expected: text("a tuple of \(patterns.count) fields"))
                return false
            }
            guard !fields.isEmpty || patterns.isEmpty else { return false }
            for (pattern, field) in zip(patterns, fields) where !visit(pattern, field) { return false }
            return true
        case .unorderedTuple(let patterns):
            guard let fields = tupleFields(subject), fields.count == patterns.count else { return false }
            var used = [Bool](repeating: false, count: fields.count)
            return matchesUnordered(patterns, 0, fields, &used)
        case .tupleGetItem(let tuple, let index):
            guard case .bound(let id) = subject, case .tupleGetItem(let operand, let found)? = table.lookup(id),
                index == nil || index == found, visit(tuple, operand)
            else { return false }
            interior.append(id)
            return true
        case .or(let a, let b): return visit(a, subject) || visit(b, subject)
        case .and(let a, let b): return visit(a, subject) && visit(b, subject)
        case .not(let inner):
            let start = mark()
            let matched = visit(inner, subject)
            restore(start)
            return !matched
        case .attributes(let inner, let required): return visit(inner, subject) && hasAttributes(subject, required)
        case .dtype(let inner, let dtype): return visit(inner, subject) && hasDType(subject, dtype)
        case .shape(let inner, let shape): return visit(inner, subject) && hasShape(subject, shape)
        case .type(let inner, let type):
            guard visit(inner, subject) else { return false }
            let found = table.type(of: subject)
            if equations.require(found, atLeast: type) { return true }
            let isOtherDType = found.asTensor?.dtype != type.asTensor?.dtype && type.asTensor?.dtype != nil
            fail(isOtherDType ? .dtype : .shape, subject, found: text("\(found)"), expected: text("\(type)"))
            return false
        case .shapeLiteral(let dims):
            if case .operand(.shape(let found)) = subject { return found == dims }
            return false
        case .function(let parameters, let body): return matchesFunction(subject, parameters, body)
        case .chain(let base, let steps, let minimum, let maximum):
            return matchesChain(subject, base, steps, minimum: minimum, maximum: maximum)
        }
    }

    // MARK: - Calls

    private mutating func matchesCall(
        _ subject: Subject, _ callee: Pattern, _ arguments: [Pattern]?, _ isVariadic: Bool, _ commutes: Bool
    ) -> Bool {
        guard case .bound(let id) = subject, case .call(let call)? = table.lookup(id) else {
            fail(.operatorMismatch, subject, found: text(describe(subject)), expected: text(describe(callee)))
            return false
        }
        guard visit(callee, .callee(call.callee)) else {
            fail(.operatorMismatch, subject, found: text(describe(call.callee)), expected: text(describe(callee)))
            return false
        }
        if let arguments {
            guard isVariadic ? call.arguments.count >= arguments.count : call.arguments.count == arguments.count else {
                fail(
                    .operatorMismatch, subject, found: text("\(call.arguments.count) arguments"),
                    expected: text("\(isVariadic ? "at least " : "")\(arguments.count)"))
                return false
            }
            let start = mark()
            openCalls += 1
            defer { openCalls -= 1 }
            if !visitAll(arguments, call.arguments, swapped: false) {
                restore(start)
                // A choice of callees commutes only where the one that matched does.
                var allowed = commutes && arguments.count == 2 && call.arguments.count == 2
                if allowed, case .or = callee.kind, case .op(let op) = call.callee {
                    allowed = Pattern.isCommutative(op)
                }
                guard allowed, visitAll(arguments, call.arguments, swapped: true) else { return false }
            }
        }
        interior.append(id)
        return true
    }

    private mutating func visitAll(_ patterns: [Pattern], _ operands: [Operand], swapped: Bool) -> Bool {
        if swapped { return visit(patterns[0], operands[1]) && visit(patterns[1], operands[0]) }
        for (pattern, operand) in zip(patterns, operands) where !visit(pattern, operand) { return false }
        return true
    }

    private mutating func matchesChain(
        _ subject: Subject, _ base: Pattern, _ steps: [ChainStep], minimum: Int, maximum: Int
    ) -> Bool {
        let most = min(maximum, Pattern.longestChain)
        guard minimum <= most else { return false }
        // Sums of sums would be tried in every bracketing: what failed once is not tried again.
        var failed: Set<ValueID> = []
        return chain(subject, base, steps, taken: 0, max(minimum, 0)...most, &failed)
    }

    /// Steps first, the base last, so that the longest chain wins.
    private mutating func chain(
        _ subject: Subject, _ base: Pattern, _ steps: [ChainStep], taken: Int, _ range: ClosedRange<Int>,
        _ failed: inout Set<ValueID>
    ) -> Bool {
        if case .bound(let id) = subject, failed.contains(id) { return false }
        if taken < range.upperBound, case .bound(let id) = subject, case .call(let call)? = table.lookup(id),
            case .op(let op) = call.callee
        {
            for step in steps where step.op == op && call.attributes.contains(step.attributes) {
                for position in step.chainOperand.map({ $0...$0 }) ?? 0...1
                where call.arguments.indices.contains(position) {
                    guard carriesOn(call.arguments[position], to: id) else { continue }
                    let start = mark()
                    openCalls += 1
                    let fits =
                        stepFits(step, call, position)
                        && chain(
                            table.unwrap(call.arguments[position]), base, steps, taken: taken + 1, range, &failed)
                    openCalls -= 1
                    if fits {
                        interior.append(id)
                        chainSteps.append(ChainMatch(binding: id, op: op, chainOperand: position))
                        return true
                    }
                    restore(start)
                }
            }
        }
        if taken >= range.lowerBound, visit(base, subject) { return true }
        if case .bound(let id) = subject { failed.insert(id) }
        return false
    }

    /// A chain goes on through bound values of the step's own type and, where intermediate values must not be seen outside
    /// the match, through those that nothing else uses.
    private func carriesOn(_ operand: Operand, to user: ValueID) -> Bool {
        guard case .bound(let id) = table.unwrap(operand), table.function.type(of: id) == table.function.type(of: user)
        else { return false }
        guard let uses else { return true }
        return table.function.values[id.int].isDataflow && uses.count(of: id) == 1
    }

    private mutating func stepFits(_ step: ChainStep, _ call: Call, _ position: Int) -> Bool {
        guard let other = step.other else { return true }
        return call.arguments.count == 2 && visitAfresh(other, call.arguments[1 - position])
    }

    /// Matches a node that each step meets afresh: nothing of it is kept.
    private mutating func visitAfresh(_ node: Pattern, _ operand: Operand) -> Bool {
        let start = mark()
        let fits = visit(node, operand)
        // What the operand's nodes met is not kept: the next step meets another operand.
        while trail.count > start.trail { subjects[trail.removeLast()] = nil }
        if !fits { restore(start) }
        return fits
    }

    // MARK: - Tuples and functions

    private func tupleFields(_ subject: Subject) -> [Operand]? {
        switch subject {
        case .operand(.tuple(let fields)): return fields
        case .bound(let id):
            if case .tuple(let fields)? = table.lookup(id) { return fields }
            return nil
        default: return nil
        }
    }

    private mutating func matchesUnordered(
        _ patterns: [Pattern], _ position: Int, _ fields: [Operand], _ used: inout [Bool]
    ) -> Bool {
        guard position < patterns.count else { return true }
        for index in fields.indices where !used[index] {
            let start = mark()
            if visit(patterns[position], fields[index]) {
                used[index] = true
                if matchesUnordered(patterns, position + 1, fields, &used) { return true }
                used[index] = false
            }
            restore(start)
        }
        return false
    }

    private mutating func matchesFunction(_ subject: Subject, _ parameters: [Pattern], _ body: Pattern) -> Bool {
        guard case .bound(let id) = subject, case .function(let function)? = table.lookup(id) else { return false }
        return FunctionMatcher.matches(function, parameters, body)
    }

    // MARK: - Leaves and constraints

    private func isVariable(_ subject: Subject, _ name: String?, dataflowOnly: Bool) -> Bool {
        guard case .operand(.value(let id)) = subject, let info = table.function.info(id) else { return false }
        if dataflowOnly && !info.isDataflow { return false }
        return name == nil || name == "" || name == info.name
    }

    private mutating func hasAttributes(_ subject: Subject, _ required: Attributes) -> Bool {
        let found: Attributes
        switch subject {
        case .bound(let id):
            switch table.lookup(id) {
            case .call(let call)?: found = call.attributes
            case .function(let function)?: found = function.attributes
            default: return false
            }
        default: return false
        }
        var schema: OperatorSchema?
        if let call = table.call(subject), case .op(let op) = call.callee { schema = op.schema }
        for entry in (schema?.respelled(required) ?? required).entries
        where (schema?.value(of: entry.name, in: found) ?? found[entry.name]) != entry.value {
            fail(
                .attribute, subject,
                found: text("\(entry.name)=\(found[entry.name].map { Literals.text($0) } ?? "none")"),
                expected: text("\(entry.name)=\(Literals.text(entry.value))"))
            return false
        }
        return true
    }

    private mutating func hasDType(_ subject: Subject, _ dtype: DataType) -> Bool {
        let type = table.type(of: subject)
        if let tensor = type.asTensor, tensor.dtype == dtype { return true }
        fail(.dtype, subject, found: text("\(type)"), expected: text(dtype.name))
        return false
    }

    private mutating func hasShape(_ subject: Subject, _ shape: [Dim]) -> Bool {
        let type = table.type(of: subject)
        if let found = type.asTensor?.shape, found == shape { return true }
        fail(
            .shape, subject, found: text("\(type)"),
            expected: text("[\(shape.map(\.description).joined(separator: ","))]"))
        return false
    }

    // MARK: - Diagnosis

    /// The text, made only when somebody asks why.
    private func text(_ make: @autoclosure () -> String) -> String { diagnosis == nil ? "" : make() }

    private mutating func fail(_ kind: Refusal.Kind, _ subject: Subject, found: String, expected: String) {
        guard diagnosis != nil else { return }
        diagnosis?.record(
            Refusal(kind, found: found, expected: expected), at: subject.valueID,
            depth: interior.count + trail.count + openCalls, operators: interior.count + openCalls)
    }

    private func describe(_ subject: Subject) -> String {
        if let call = table.call(subject) { return describe(call.callee) }
        switch subject {
        case .bound(let id): return "value %\(table.function.info(id)?.name ?? "\(id.index)")"
        case .operand(.value(let id)): return "parameter %\(table.function.info(id)?.name ?? "\(id.index)")"
        case .operand(.constant(let constant)): return "constant \(constant.type)"
        case .operand(let operand): return "\(operand)"
        case .callee(let callee): return describe(callee)
        }
    }

    private func describe(_ callee: Callee) -> String {
        switch callee {
        case .op(let id): id.name
        case .function(let name): "@\(name)"
        case .local: "a local function"
        case .external(let name): "external \(name)"
        }
    }

    private func describe(_ callee: Pattern) -> String {
        switch callee.kind {
        case .op(let id): id.name
        case .external(let name): "external \(name ?? "function")"
        case .or(let a, let b): "\(describe(a)) or \(describe(b))"
        default: "a call"
        }
    }
}

/// The failure of an attempt that got furthest.
struct Diagnosis {
    private(set) var refusal: Refusal?
    private(set) var binding: ValueID?
    private(set) var operators = 0
    private var depth = -1

    mutating func record(_ refusal: Refusal, at binding: ValueID?, depth: Int, operators: Int) {
        guard depth > self.depth else { return }
        self.depth = depth
        self.refusal = refusal
        self.binding = binding
        self.operators = operators
    }
}
