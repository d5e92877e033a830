/// Types, sizes, numbers and attributes as TVMScript writes them.
extension ScriptPrinter {
    /// The long name, which Relax uses.
    static func name(_ dtype: DataType) -> String {
        switch dtype {
        case .float32: "float32"
        case .float64: "float64"
        case .float16: "float16"
        case .bfloat16: "bfloat16"
        case .int8: "int8"
        case .int16: "int16"
        case .int32: "int32"
        case .int64: "int64"
        case .uint8: "uint8"
        case .uint16: "uint16"
        case .uint32: "uint32"
        case .uint64: "uint64"
        case .bool: "bool"
        case .string: "string"
        case .float8e4m3fn: "float8_e4m3fn"
        case .float8e4m3fnuz: "float8_e4m3fnuz"
        case .float8e5m2: "float8_e5m2"
        case .float8e5m2fnuz: "float8_e5m2fnuz"
        case .uint4: "uint4"
        case .int4: "int4"
        case .float4e2m1: "float4_e2m1fn"
        case .float8e8m0: "float8_e8m0fnu"
        case .uint2: "uint2"
        case .int2: "int2"
        }
    }

    /// - Parameter quoted: in a signature, where sizes are not declared yet.
    static func text(_ type: ValueType, quoted: Bool) -> String {
        switch type {
        case .tensor(let tensor):
            let dtype = tensor.dtype.map { "dtype=\"\(name($0))\"" }
            var parts: [String] = []
            if let shape = tensor.shape {
                parts.append("(\(text(shape, quoted: quoted))\(shape.count == 1 ? "," : ""))")
            }
            if let dtype { parts.append(dtype) }
            if tensor.shape == nil, let rank = tensor.rank { parts.append("ndim=\(rank)") }
            return parts.isEmpty ? "R.Tensor" : "R.Tensor(\(parts.joined(separator: ", ")))"
        case .tuple(let fields):
            return "R.Tuple(\(fields.map { text($0, quoted: quoted) }.joined(separator: ", ")))"
        case .shape(let dims?): return "R.Shape([\(text(dims, quoted: quoted))])"
        case .shape(nil): return "R.Shape"
        case .scalar(let dtype): return "R.Prim(\"\(name(dtype))\")"
        case .function(let parameters, let result):
            let given = parameters.map { text($0, quoted: quoted) }.joined(separator: ", ")
            return "R.Callable((\(given)\(parameters.count == 1 ? "," : "")), \(text(result, quoted: quoted)))"
        case .object: return "R.Any"
        }
    }

    static func text(_ dims: [Dim], quoted: Bool) -> String {
        dims.map { dim in
            guard case .symbolic(let expression) = dim else { return "\(dim)" }
            let text = text(expression)
            return quoted ? "\"\(text)\"" : text
        }.joined(separator: ", ")
    }

    private static func text(_ expression: DimExpression) -> String {
        func call(_ name: String, _ a: DimExpression, _ b: DimExpression) -> String {
            "\(name)(\(text(a)), \(text(b)))"
        }
        var result = ""
        for term in expression.terms {
            var factors = term.factors.map { factor in
                switch factor {
                case .symbol(let symbol): identifier(symbol)
                case .floorDivide(let inner, let divisor): "((\(text(inner))) // \(divisor))"
                case .quotient(let a, let b): "((\(text(a))) // (\(text(b))))"
                case .max(let a, let b): call("T.max", a, b)
                case .min(let a, let b): call("T.min", a, b)
                // Sizes that go together are equal, or one of them is 1.
                case .broadcast(let a, let b): call("T.max", a, b)
                }
            }
            if term.coefficient.magnitude != 1 || factors.isEmpty {
                factors.insert("\(term.coefficient.magnitude)", at: 0)
            }
            result += result.isEmpty ? (term.coefficient < 0 ? "-" : "") : (term.coefficient < 0 ? " - " : " + ")
            result += factors.joined(separator: " * ")
        }
        if result.isEmpty { return "\(expression.constant)" }
        if expression.constant != 0 {
            result += expression.constant < 0 ? " - \(expression.constant.magnitude)" : " + \(expression.constant)"
        }
        return result
    }

    static func text(_ number: Double) -> String {
        number.isFinite ? "\(number)" : "float(\"\(number.isNaN ? "nan" : number < 0 ? "-inf" : "inf")\")"
    }

    static func text(_ value: AttributeValue) -> String {
        switch value {
        case .int(let number): "\(number)"
        case .float(let number): text(number)
        case .bool(let flag): flag ? "True" : "False"
        case .string(let string): quoted(string)
        case .dtype(let dtype): "\"\(name(dtype))\""
        case .ints(let numbers): "[\(numbers.map(String.init).joined(separator: ", "))]"
        case .floats(let numbers): "[\(numbers.map { text($0) }.joined(separator: ", "))]"
        case .strings(let strings): "[\(strings.map(quoted).joined(separator: ", "))]"
        }
    }

    static func text(_ attributes: Attributes) -> String {
        attributes.entries.map { "\(quoted($0.name)): \(text($0.value))" }.joined(separator: ", ")
    }

    /// A string as Python reads it.
    static func quoted(_ text: String) -> String {
        TextForm.quoted(text) { $0 < 0x20 || $0 == 0x7f ? "\\x" + JSON.hex($0, digits: 2) : nil }
    }

    /// A tensor as lists within lists.
    static func rows(_ constant: Constant) -> String {
        let elements = Literals.elements(constant).map { element -> String in
            switch element {
            case "true": "True"
            case "false": "False"
            case "inf": "float(\"inf\")"
            case "-inf": "float(\"-inf\")"
            default: element.hasPrefix("nan") ? "float(\"nan\")" : element
            }
        }
        var rows = elements
        for size in constant.shape.reversed() {
            guard let size = Int(exactly: size), size > 0 else { return "[]" }
            var next: [String] = []
            var start = 0
            while start < rows.count {
                next.append("[\(rows.dropFirst(start).prefix(size).joined(separator: ", "))]")
                start += size
            }
            rows = next
        }
        return rows.first ?? "[]"
    }
}

/// Gives each value of one function a name of its own that Python takes.
struct ScriptValueNames {
    private var names: [String]
    private var used: Set<String> = []
    private var suffixes: [String: Int] = [:]

    init(count: Int) { names = [String](repeating: "", count: count) }

    mutating func reserve(_ name: String) { used.insert(name) }

    /// - Parameter given: a name that is another's too.
    mutating func define(_ id: ValueID, _ hint: String, as given: String? = nil) -> String {
        var name = given ?? ScriptPrinter.identifier(hint.isEmpty ? "lv" : hint)
        if given == nil, !used.insert(name).inserted {
            let base = name
            var suffix = suffixes[base] ?? 0
            repeat {
                suffix += 1
                name = "\(base)_\(suffix)"
            } while !used.insert(name).inserted
            suffixes[base] = suffix
        }
        if names.indices.contains(id.int) { names[id.int] = name }
        return name
    }

    /// The name given; for a value that is used but not defined, one that shows it.
    func name(_ id: ValueID) -> String {
        guard names.indices.contains(id.int), !names[id.int].isEmpty else { return "undefined_\(id.index)" }
        return names[id.int]
    }
}

extension Module {
    /// The module as TVMScript, which Apache TVM reads where all of its operators are Relax's. Constants of more elements than the
    /// options say stay out, unless they ask for data.
    public func script(_ options: PrintOptions = PrintOptions()) -> String {
        var printer = ScriptPrinter(options)
        printer.module(self)
        return printer.text
    }
}
