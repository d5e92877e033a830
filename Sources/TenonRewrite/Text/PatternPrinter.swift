import TenonIR

extension Pattern {
    /// The text form, which parses back to an equal pattern.
    /// - Throws: `.unsupported` when the pattern holds a value of a function, which has no text.
    public func text() throws -> String {
        var printer = try PatternPrinter([self])
        return try printer.text(self)
    }
}

/// Writes patterns. A node that is met several times is named where it is met first.
struct PatternPrinter {
    private var labels: [ObjectIdentifier: String] = [:]
    private var isDefined: Set<ObjectIdentifier> = []

    /// `alwaysNamed`: nodes that get a label even when they are met once.
    init(_ roots: [Pattern], alwaysNamed: [Pattern] = []) throws {
        var count: [ObjectIdentifier: Int] = [:]
        var order: [Pattern] = []
        var stack = Array(roots.reversed())
        for root in roots where root.depth > 256 {
            throw TenonError(.limitExceeded, "pattern: nested \(root.depth) levels deep; expected at most 256")
        }
        while let node = stack.popLast() {
            let met = count[ObjectIdentifier(node), default: 0]
            count[ObjectIdentifier(node)] = met + 1
            guard met == 0 else { continue }
            order.append(node)
            stack.append(contentsOf: node.children.reversed())
        }
        for node in alwaysNamed { count[ObjectIdentifier(node), default: 0] += 1 }
        var used: Set<String> = []
        var unnamed = 0
        for node in order {
            if !node.name.isEmpty {
                var candidate = node.name
                var suffix = 0
                while !used.insert(candidate).inserted {
                    suffix += 1
                    candidate = "\(node.name)_\(suffix)"
                }
                labels[ObjectIdentifier(node)] = "%" + TextForm.name(candidate)
            } else if count[ObjectIdentifier(node), default: 0] > 1 {
                // The same operator is the same whether its node is or not.
                if case .op = node.kind { continue }
                labels[ObjectIdentifier(node)] = "%\(unnamed)"
                unnamed += 1
            }
        }
    }

    /// How tightly a text holds together.
    private enum Binding: Int {
        case function
        case choice
        case conjunction
        case definition
        case tight
    }

    mutating func text(_ node: Pattern) throws -> String { try text(node, .function) }

    func label(_ node: Pattern) -> String? { labels[ObjectIdentifier(node)] }

    private mutating func text(_ node: Pattern, _ needed: Binding) throws -> String {
        guard let label = labels[ObjectIdentifier(node)] else { return try body(node, needed) }
        guard isDefined.insert(ObjectIdentifier(node)).inserted else { return label }
        if case .wildcard = node.kind { return label }
        let defined = "\(label): \(try body(node, .tight))"
        return needed.rawValue > Binding.definition.rawValue ? "(\(defined))" : defined
    }

    private mutating func body(_ node: Pattern, _ needed: Binding) throws -> String {
        let (text, binding) = try unparenthesised(node)
        return binding.rawValue < needed.rawValue ? "(\(text))" : text
    }

    private mutating func unparenthesised(_ node: Pattern) throws -> (String, Binding) {
        switch node.kind {
        case .wildcard: return ("*", .tight)
        case .variable(let name): return (word("var", name), .tight)
        case .dataflowVariable(let name): return (word("dfvar", name), .tight)
        case .globalVariable(let name): return (word("gvar", name), .tight)
        case .external(let name): return (word("extern", name), .tight)
        case .constant(nil): return ("const", .tight)
        case .constant(let requirement?):
            let value = Literals.text(requirement.value)
            let isUsual = requirement == ConstantRequirement(value: requirement.value)
            return (
                isUsual ? "const(\(value))" : "const(\(value), tolerance=\(Literals.text(requirement.tolerance)))",
                .tight
            )
        case .expression(let operand): return (try literal(operand), .tight)
        case .op(let id): return (id.name, .tight)
        case .call(let callee, let arguments, let isVariadic, let commutes):
            return (try call(callee, arguments, isVariadic, commutes), .tight)
        case .tuple(let fields): return ("tuple(\(try list(fields)))", .tight)
        case .unorderedTuple(let fields): return ("unordered(\(try list(fields)))", .tight)
        case .tupleGetItem(let inner, let index):
            return ("\(try projected(inner)).\(index.map(String.init) ?? "?")", .tight)
        case .or(let a, let b): return ("\(try text(a, .choice)) | \(try text(b, .conjunction))", .choice)
        case .and(let a, let b): return ("\(try text(a, .conjunction)) & \(try text(b, .definition))", .conjunction)
        case .not(let inner): return ("!\(try text(inner, .definition))", .definition)
        case .attributes(let inner, let attributes):
            return (try text(inner, .tight) + self.attributes(attributes), .tight)
        case .dtype(let inner, let dtype): return ("\(try text(inner, .tight)) @dtype \(dtype.name)", .tight)
        case .shape(let inner, let shape): return ("\(try text(inner, .tight)) @shape\(Literals.text(shape))", .tight)
        case .type(let inner, let type): return ("\(try text(inner, .tight)) @type \(Literals.text(type))", .tight)
        case .shapeLiteral(let dims): return ("shape\(Literals.text(dims))", .tight)
        case .function(let parameters, let body):
            return ("fn(\(try list(parameters))) -> \(try text(body, .function))", .function)
        case .chain(let base, let steps, let minimum, let maximum):
            var parts = [try text(base, .function), "\(minimum)...\(maximum == Int.max ? "" : "\(maximum)")"]
            for step in steps { parts.append(try self.step(step)) }
            return ("chain(\(parts.joined(separator: ", ")))", .tight)
        }
    }

    private func word(_ word: String, _ name: String?) -> String {
        name.map { "\(word) \(TextForm.quoted($0))" } ?? word
    }

    private mutating func list(_ patterns: [Pattern]) throws -> String {
        var parts: [String] = []
        for pattern in patterns { parts.append(try text(pattern, .function)) }
        return parts.joined(separator: ", ")
    }

    private mutating func call(
        _ callee: Pattern, _ arguments: [Pattern]?, _ isVariadic: Bool, _ commutes: Bool
    ) throws -> String {
        var prefix = ""
        if commutes != Pattern.commutesByDefault(callee) { prefix = commutes ? "commutative " : "ordered " }
        // The argument list would be taken for a part of what was called before it.
        let isPlain =
            switch callee.kind {
            case .op, .external, .globalVariable, .wildcard: true
            default: false
            }
        let name = labels[ObjectIdentifier(callee)]
        let isReference = name != nil && isDefined.contains(ObjectIdentifier(callee))
        let shown = try text(callee, .tight)
        let head = isPlain || isReference || shown.hasPrefix("(") ? shown : "(\(shown))"
        var parts: [String] = []
        for argument in arguments ?? [] { parts.append(try text(argument, .function)) }
        if isVariadic || arguments == nil { parts.append("...") }
        return "\(prefix)\(head)(\(parts.joined(separator: ", ")))"
    }

    /// Two indices in a row would read as one number with a point.
    private mutating func projected(_ inner: Pattern) throws -> String {
        let shown = try text(inner, .tight)
        if case .tupleGetItem = inner.kind, labels[ObjectIdentifier(inner)] == nil { return "(\(shown))" }
        if case .expression = inner.kind { return "(\(shown))" }
        return shown
    }

    private func attributes(_ attributes: Attributes) -> String {
        let entries = attributes.entries.map { "\(TextForm.name($0.name))=\(Literals.text($0.value))" }
        return " @attr{\(entries.joined(separator: ", "))}"
    }

    private mutating func step(_ step: ChainStep) throws -> String {
        var text = step.chainOperand == nil ? "commutative " : ""
        text += "\(step.op.name)("
        if let other = step.other {
            let shown = try self.text(other, .function)
            text += step.chainOperand == 1 ? "\(shown), ^" : "^, \(shown)"
        } else {
            text += step.chainOperand.map { $0 == 0 ? "^" : "^\($0)" } ?? "^"
        }
        text += ")"
        return step.attributes.isEmpty ? text : text + attributes(step.attributes)
    }

    private func literal(_ operand: Operand) throws -> String {
        switch operand {
        case .int(let number): return "\(number)"
        case .float(let number) where number.isFinite: return Literals.text(number)
        case .string(let text): return TextForm.quoted(text)
        case .constant(let constant): return try Self.operand(.constant(constant))
        default: return "literal " + (try Self.operand(operand))
        }
    }

    fileprivate static func operand(_ operand: Operand) throws -> String {
        switch operand {
        case .value: throw TenonError(.unsupported, "a pattern that holds a value of a function has no text form")
        case .constant(let constant):
            let dims = constant.shape.map(String.init).joined(separator: ",")
            return "const \(constant.dtype.name)[\(dims)](\(Literals.elements(constant).joined(separator: ", ")))"
        case .shape(let dims): return "shape" + Literals.text(dims)
        case .int(let number): return "\(number)"
        case .float(let number): return Literals.text(number)
        case .string(let text): return TextForm.quoted(text)
        case .dtype(let dtype): return dtype.name
        case .global(let name): return "@\(TextForm.name(name))"
        case .tuple(let fields):
            let parts = try fields.map { try Self.operand($0) }.joined(separator: ", ")
            return fields.count == 1 ? "(\(parts),)" : "(\(parts))"
        }
    }
}

extension Operand {
    /// The text form of a literal, which `init(text:)` reads.
    /// - Throws: `.unsupported` for what names a value of a function.
    public func text() throws -> String { try PatternPrinter.operand(self) }
}
