/// Writes modules in the text form.
struct Printer {
    private(set) var text = ""
    /// Constants printed as references, by number.
    private(set) var constants: [Constant] = []
    private var numbers: [ObjectIdentifier: Int] = [:]
    private let options: PrintOptions
    private let limits = Work.limits
    private var indent = 0
    private var names = ValueNames(count: 0)

    init(_ options: PrintOptions) { self.options = options }

    mutating func module(_ module: Module) {
        if !module.attributes.isEmpty {
            text += "module "
            attributes(module.attributes)
            text += "\n\n"
        }
        var isFirst = true
        for (name, function) in module.functions {
            if !isFirst { text += "\n" }
            isFirst = false
            self.function(function, named: name)
        }
        if options.constants == .data, !constants.isEmpty { constantSection() }
    }

    mutating func function(_ function: Function, named name: String) {
        text += "fn @\(TextForm.name(name))"
        signatureAndBody(function)
        text += "\n"
    }

    private mutating func line() {
        text += "\n"
        for _ in 0..<indent { text += "  " }
    }

    private mutating func signatureAndBody(_ function: Function) {
        let outer = names
        names = ValueNames(count: function.values.count)
        text += "("
        for (index, id) in function.parameters.enumerated() {
            if index > 0 { text += ", " }
            define(id, in: function)
        }
        text += ") -> "
        type(function.resultType)
        if !function.attributes.isEmpty {
            text += " "
            attributes(function.attributes)
        }
        text += " {"
        body(function.body, of: function, ending: "return")
        line()
        text += "}"
        names = outer
    }

    private mutating func define(_ id: ValueID, in function: Function) {
        text += names.define(id, function.info(id)?.name ?? "")
        text += ": "
        type(function.type(of: id))
    }

    private mutating func body(_ body: Body, of function: Function, ending: String) {
        indent += 1
        var previousIsPlain = false
        for block in body.blocks {
            // Bindings outside of braces form one plain block; a second one in a row, or an empty one, needs braces.
            let isBare = !block.isDataflow && !previousIsPlain && !block.bindings.isEmpty
            previousIsPlain = !block.isDataflow
            if !isBare {
                line()
                text += block.isDataflow ? "dataflow {" : "block {"
                indent += 1
            }
            for binding in block.bindings { self.binding(binding, of: function) }
            if !isBare {
                if block.isDataflow { outputs(of: block, in: function) }
                indent -= 1
                line()
                text += "}"
            }
        }
        line()
        text += "\(ending) "
        operand(body.result)
        indent -= 1
    }

    private mutating func outputs(of block: Block, in function: Function) {
        var isFirst = true
        for binding in block.bindings {
            guard let info = function.info(binding.id), !info.isDataflow else { continue }
            if isFirst {
                line()
                text += "output "
            } else {
                text += ", "
            }
            isFirst = false
            text += names.name(binding.id)
        }
    }

    private mutating func binding(_ binding: Binding, of function: Function) {
        // Whoever asked for the text looks whether all of it is there.
        if let limits, limits.isOver { return }
        line()
        define(binding.id, in: function)
        text += " = "
        expression(binding.expression, of: function)
    }

    private mutating func expression(_ expression: Expression, of function: Function) {
        switch expression {
        case .call(let call): self.call(call)
        case .tuple(let fields): tuple(fields)
        case .tupleGetItem(let tuple, let index):
            operand(tuple)
            text += ".\(index)"
        case .operand(let literal):
            // Without the word, a tuple would read as the expression that makes one.
            if case .tuple = literal { text += "alias " }
            operand(literal)
        case .matchCast(let source, let target):
            text += "match_cast("
            operand(source)
            text += ", "
            type(target)
            text += ")"
        case .function(let local):
            text += "fn"
            signatureAndBody(local)
        case .conditional(let condition, let thenBody, let elseBody):
            text += "if "
            operand(condition)
            text += " {"
            body(thenBody, of: function, ending: "yield")
            line()
            text += "} else {"
            body(elseBody, of: function, ending: "yield")
            line()
            text += "}"
        }
    }

    private mutating func call(_ call: Call) {
        var shown = call.attributes
        switch call.callee {
        case .op(let op):
            guard Int(op.index) < Operators.all.count else {
                text += "unknown_operator_\(op.index)"
                break
            }
            let schema = op.schema
            text += schema.name
            for attribute in schema.attributes {
                if let value = attribute.defaultValue, let given = shown[attribute.name], given.isIdentical(to: value) {
                    shown[attribute.name] = nil
                }
            }
        case .function(let name): text += "@\(TextForm.name(name))"
        case .local(let id): text += names.name(id)
        case .external(let name): text += "extern \(TextForm.quoted(name))"
        }
        text += "("
        list(call.arguments)
        text += ")"
        if !shown.isEmpty {
            text += " "
            attributes(shown)
        }
    }

    private mutating func list(_ operands: [Operand]) {
        for (index, entry) in operands.enumerated() {
            if index > 0 { text += ", " }
            operand(entry)
        }
    }

    private mutating func tuple(_ fields: [Operand]) {
        text += "("
        list(fields)
        text += fields.count == 1 ? ",)" : ")"
    }

    private mutating func operand(_ operand: Operand) {
        switch operand {
        case .value(let id): text += names.name(id)
        case .constant(let constant): self.constant(constant)
        case .shape(let dims):
            text += "shape"
            self.dims(dims)
        case .int(let number): text += "\(number)"
        case .float(let number): text += Literals.text(number)
        case .string(let string): text += TextForm.quoted(string)
        case .dtype(let dtype): text += dtype.name
        case .global(let name): text += "@\(TextForm.name(name))"
        case .tuple(let fields): tuple(fields)
        }
    }

    private mutating func type(_ type: ValueType) { text += Literals.text(type) }

    private mutating func dims(_ dims: [Dim]) { text += Literals.text(dims) }

    private mutating func attributes(_ attributes: Attributes) {
        text += "{"
        for (index, entry) in attributes.entries.enumerated() {
            if index > 0 { text += ", " }
            text += "\(TextForm.name(entry.name))=\(Literals.text(entry.value))"
        }
        text += "}"
    }

    private mutating func constant(_ constant: Constant) {
        let header = "\(constant.dtype.name)[\(constant.shape.map(String.init).joined(separator: ","))]"
        if constant.count <= options.inlineElements {
            text += "const \(header)(\(Literals.elements(constant).joined(separator: ", ")))"
            return
        }
        let key = ObjectIdentifier(constant)
        let number = numbers[key] ?? constants.count
        if numbers.updateValue(number, forKey: key) == nil { constants.append(constant) }
        text += "const#\(number): \(header)"
    }

    private mutating func constantSection() {
        text += "\nconstants {\n"
        for (number, constant) in constants.enumerated() {
            let header = "\(constant.dtype.name)[\(constant.shape.map(String.init).joined(separator: ","))]"
            text += "  #\(number): \(header) = "
            if constant.dtype == .string {
                text += "(\(Literals.elements(constant).joined(separator: ", ")))\n"
            } else {
                text += "\"\(Base64.encode(constant.bytes))\"\n"
            }
        }
        text += "}\n"
    }
}

/// Gives each value of one function a name of its own, in order of definition.
package struct ValueNames {
    private var names: [String]
    private var used: Set<String> = []
    private var suffixes: [String: Int] = [:]
    private var unnamed = 0

    package init(count: Int) { names = [String](repeating: "", count: count) }

    package mutating func define(_ id: ValueID, _ hint: String) -> String {
        var name: String
        if hint.isEmpty {
            name = "%\(unnamed)"
            unnamed += 1
        } else {
            var candidate = hint
            if !used.insert(candidate).inserted {
                var suffix = suffixes[hint] ?? 0
                repeat {
                    suffix += 1
                    candidate = "\(hint)_\(suffix)"
                } while !used.insert(candidate).inserted
                suffixes[hint] = suffix
            }
            name = "%" + TextForm.name(candidate)
        }
        if names.indices.contains(id.int) { names[id.int] = name }
        return name
    }

    /// The name given; for a value that is used but not defined, one that shows it.
    func name(_ id: ValueID) -> String {
        guard names.indices.contains(id.int), !names[id.int].isEmpty else { return "%\"undefined #\(id.index)\"" }
        return names[id.int]
    }
}
