/// Writes modules as TVMScript.
struct ScriptPrinter {
    private(set) var text = ""
    private let options: PrintOptions
    private let limits = Work.limits
    private var indent = 0
    private var names = ScriptValueNames(count: 0)
    private var constants: [ObjectIdentifier: Int] = [:]

    init(_ options: PrintOptions) { self.options = options }

    mutating func module(_ module: Module) {
        text += "# from tvm.script import ir as I\n# from tvm.script import relax as R\n\n@I.ir_module\nclass Module:"
        indent = 1
        if !module.attributes.isEmpty {
            line()
            text += "I.module_attrs({\(ScriptPrinter.text(module.attributes))})"
        }
        if module.functions.isEmpty {
            line()
            text += "pass"
        }
        for (name, function) in module.functions {
            if !text.hasSuffix(":") { text += "\n" }
            // What can be called from outside carries its name.
            let isPublic = name == "main" || function.globalSymbol == name
            line()
            text += isPublic ? "@R.function" : "@R.function(private=True)"
            var shown = function
            if isPublic, function.globalSymbol == name { shown.attributes["global_symbol"] = nil }
            self.function(shown, named: ScriptPrinter.identifier(name), ofModule: true)
        }
        text += "\n"
    }

    private mutating func line() {
        text += "\n"
        text += String(repeating: "    ", count: indent)
    }

    /// A name that Python takes.
    static func identifier(_ name: String) -> String {
        var result = String(
            name.unicodeScalars.map { scalar -> Character in
                guard let byte = UInt8(exactly: scalar.value) else { return "_" }
                return TextForm.isLetter(byte) || TextForm.isDigit(byte) ? Character(scalar) : "_"
            })
        if result.utf8.first.map(TextForm.isDigit) ?? true { result = "v\(result)" }
        return keywords.contains(result) ? result + "_" : result
    }

    private static let keywords: Set<String> = [
        "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
        "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
        "not", "or", "pass", "raise", "return", "try", "while", "with", "yield", "R", "I", "T", "cls", "Module",
        "metadata",
    ]

    // MARK: - Functions

    private mutating func function(_ function: Function, named name: String, ofModule: Bool) {
        let outer = names
        names = ScriptValueNames(count: function.values.count)
        defer { names = outer }
        var symbols: [String] = []
        for value in function.values { value.type.collectSymbols(into: &symbols) }
        for symbol in symbols { names.reserve(ScriptPrinter.identifier(symbol)) }
        line()
        text += "def \(name)("
        for (index, id) in function.parameters.enumerated() {
            if index > 0 { text += ", " }
            text += names.define(id, function.info(id)?.name ?? "")
            text += ": \(ScriptPrinter.text(function.type(of: id), quoted: true))"
        }
        text += ") -> \(ScriptPrinter.text(function.resultType, quoted: true)):"
        indent += 1
        if !function.attributes.isEmpty {
            line()
            text += "R.func_attr({\(ScriptPrinter.text(function.attributes))})"
        }
        // Sizes are variables, which Python wants to be declared.
        for symbol in symbols {
            line()
            text += "\(ScriptPrinter.identifier(symbol)) = T.int64()"
        }
        if ofModule, ScriptPrinter.callsModule(function) {
            line()
            text += "cls = Module"
        }
        body(function.body, of: function)
        line()
        text += "return \(operand(function.body.result))"
        indent -= 1
    }

    private static func callsModule(_ function: Function) -> Bool {
        var found = false
        function.forEachBinding { binding in
            if case .call(let call) = binding.expression, case .function = call.callee { found = true }
        }
        return found
    }

    private mutating func body(_ body: Body, of function: Function, ending: (id: ValueID, name: String)? = nil) {
        for block in body.blocks where !block.bindings.isEmpty {
            if block.isDataflow {
                line()
                text += "with R.dataflow():"
                indent += 1
            }
            for binding in block.bindings {
                // Printing stops when its limits are reached; the caller checks them.
                if let limits, limits.isOver { return }
                self.binding(binding, of: function, named: ending?.id == binding.id ? ending?.name : nil)
            }
            guard block.isDataflow else { continue }
            let shown = block.bindings.filter { function.info($0.id)?.isDataflow == false }
            line()
            text += "R.output(\(shown.map { names.name($0.id) }.joined(separator: ", ")))"
            indent -= 1
        }
    }

    private mutating func binding(_ binding: Binding, of function: Function, named given: String?) {
        let type = function.type(of: binding.id)
        let hint = function.info(binding.id)?.name ?? ""
        switch binding.expression {
        case .function(let local):
            line()
            text += "@R.function"
            self.function(local, named: names.define(binding.id, hint, as: given), ofModule: false)
        case .conditional(let condition, let then, let other):
            let name = names.define(binding.id, hint, as: given)
            line()
            text += "if \(operand(condition)):"
            branch(then, of: function, named: name)
            line()
            text += "else:"
            branch(other, of: function, named: name)
        default:
            let value = expression(binding.expression, type)
            line()
            text += names.define(binding.id, hint, as: given)
            text += ": \(ScriptPrinter.text(type, quoted: false)) = \(value)"
        }
    }

    /// What is bound last in a branch is what it gives, under the name of the whole.
    private mutating func branch(_ body: Body, of function: Function, named name: String) {
        indent += 1
        defer { indent -= 1 }
        let last = body.blocks.last.flatMap { $0.isDataflow ? nil : $0.bindings.last?.id }
        if let last, body.result == .value(last) {
            return self.body(body, of: function, ending: (last, name))
        }
        self.body(body, of: function)
        line()
        let type = ScriptPrinter.text(function.type(of: body.result), quoted: false)
        text += "\(name): \(type) = \(operand(body.result))"
    }

    // MARK: - Expressions

    private mutating func expression(_ expression: Expression, _ type: ValueType) -> String {
        switch expression {
        case .call(let call): return self.call(call, type)
        case .tuple(let fields): return tuple(fields)
        case .tupleGetItem(let tuple, let index): return "\(operand(tuple))[\(index)]"
        case .operand(let value): return operand(value)
        case .matchCast(let source, let target):
            return "R.match_cast(\(operand(source)), \(ScriptPrinter.text(target, quoted: false)))"
        case .function, .conditional: return ""
        }
    }

    private mutating func call(_ call: Call, _ type: ValueType) -> String {
        var parts = call.arguments.map { operand($0) }
        switch call.callee {
        case .function(let name): return "cls.\(ScriptPrinter.identifier(name))(\(parts.joined(separator: ", ")))"
        case .local(let id): return "\(names.name(id))(\(parts.joined(separator: ", ")))"
        case .external(let name):
            parts.insert(TextForm.quoted(name), at: 0)
            parts.append("ty_args=(\(ScriptPrinter.text(type, quoted: false)),)")
            return "R.call_pure_packed(\(parts.joined(separator: ", ")))"
        case .op(let op):
            guard Int(op.index) < Operators.all.count else { return "None" }
            let schema = op.schema
            // Rows and columns stand alone there.
            if schema.name == "eye", case .shape(let dims)? = call.arguments.first {
                parts[0] = ScriptPrinter.text(dims, quoted: false)
            }
            if schema.name == "image.grid_sample", call.attributes["grid_axis"] == nil, parts.count > 1 {
                let rank = type.asTensor?.rank ?? 4
                let axes = ([0, rank - 1] + (1..<max(rank - 1, 1))).map(String.init).joined(separator: ", ")
                parts[1] = "R.permute_dims(\(parts[1]), axes=[\(axes)])"
            }
            for attribute in schema.attributes where attribute.name != "grid_axis" {
                if schema.name == "layout_transform", attribute.name == "index_map",
                    let map = call.attributes.string("index_map").flatMap({ try? IndexMap($0) })
                {
                    parts.append("index_map=T.index_map(lambda \(map.pythonText))")
                    continue
                }
                guard let value = call.attributes[attribute.name] else { continue }
                let isWritten = ScriptNames.written[schema.name]?.contains(attribute.name) == true
                if !isWritten, let known = attribute.defaultValue, value.isIdentical(to: known) { continue }
                // An attribute of two kinds has one name there.
                let alias = schema.aliases.first { $0.value.contains(attribute.name) && $0.value.count > 1 }?.key
                parts.append("\(alias ?? attribute.name)=\(ScriptPrinter.text(value))")
            }
            return "R.\(schema.name)(\(parts.joined(separator: ", ")))"
        }
    }

    private mutating func tuple(_ fields: [Operand]) -> String {
        "(\(fields.map { operand($0) }.joined(separator: ", "))\(fields.count == 1 ? "," : ""))"
    }

    private mutating func operand(_ operand: Operand) -> String {
        switch operand {
        case .value(let id): return names.name(id)
        case .constant(let constant): return self.constant(constant)
        case .shape(let dims): return "R.shape([\(ScriptPrinter.text(dims, quoted: false))])"
        case .int(let number): return "R.prim_value(\(number))"
        case .float(let number): return "R.prim_value(\(ScriptPrinter.text(number)))"
        case .string(let string): return "R.str(\(TextForm.quoted(string)))"
        case .dtype(let dtype): return "R.dtype(\"\(ScriptPrinter.name(dtype))\")"
        case .global(let name): return "cls.\(ScriptPrinter.identifier(name))"
        case .tuple(let fields): return tuple(fields)
        }
    }

    /// Rows in brackets; what is large stays out, unless data is asked for.
    private mutating func constant(_ constant: Constant) -> String {
        let isShown = constant.count <= options.inlineElements || options.constants == .data
        guard isShown, constant.dtype != .string else {
            let key = ObjectIdentifier(constant)
            let number = constants[key] ?? constants.count
            constants[key] = number
            return "metadata[\"relax.expr.Constant\"][\(number)]"
        }
        return "R.const(\(ScriptPrinter.rows(constant)), \"\(ScriptPrinter.name(constant.dtype))\")"
    }
}
