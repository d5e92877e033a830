import TenonIR

/// A module that grows call by call, as bytes choose; what the library refuses is left out.
struct Program {
    /// Element counts beyond this make a run long without making it more of a test.
    static let most = 1 << 12
    static let sizes: [String: Int64] = ["n": 3, "m": 4]

    private var choices: Choices
    private var builder = FunctionBuilder()
    private var values: [ValueID] = []
    private(set) var calls: [String] = []
    /// What the parameters of `main` are given.
    private(set) var inputs: [Constant] = []

    init(_ bytes: UnsafeBufferPointer<UInt8>) throws {
        choices = Choices(bytes)
        for index in 0..<(1 + choices.below(3)) {
            var dims: [Dim] = []
            for _ in 0..<choices.below(5) {
                dims.append(choices.pick([1, 2, 3, 4, 8, .symbol("n"), .symbol("m"), 5, 0]))
            }
            let dtype = choices.dtype()
            values.append(builder.parameter("x\(index)", .tensor(dtype, dims)))
            inputs.append(try choices.constant(dtype, dims.map(Self.size)))
        }
    }

    private static func size(_ dim: Dim) -> Int64 { dim.value ?? sizes["\(dim)"] ?? 12 }

    /// The module of so many calls, and what surrounds it.
    mutating func module() throws -> Module {
        let shape = choices.below(10)
        for _ in 0..<(1 + choices.below(12)) { step() }
        let count = values.count > 3 ? 1 + choices.below(3) : 1
        let results = values.suffix(count).map { Operand.value($0) }
        let function = try builder.finish(results.count == 1 ? results[0] : .tuple(results))
        let module = Module(functions: ["main": function])
        return shape < 5 ? try wrapped(module, function, shape) : module
    }

    private mutating func step() {
        // The operators that come first would otherwise be all that short inputs reach.
        let number = (choices.below(256) * 256 + choices.below(256)) % Operators.all.count
        let op = OperatorID(index: UInt16(number))
        for _ in 0..<6 {
            guard let value = try? choices.chance(60) ? recipe(op) ?? call(op) : call(op) else { continue }
            calls.append(op.name)
            add(.value(value))
            return
        }
    }

    private mutating func add(_ operand: Operand) {
        switch builder.type(of: operand) {
        case .tuple(let fields):
            for index in fields.indices.prefix(8) {
                guard let field = try? builder.tupleGetItem(operand, index) else { return }
                add(.value(field))
            }
        case .tensor(let type):
            guard let id = operand.valueID, let shape = type.shape else { return }
            if let count = checkedElementCount(shape.map(Self.size)), count <= Self.most { values.append(id) }
        default: break
        }
    }

    private mutating func call(_ op: OperatorID) throws -> ValueID {
        var arguments: [Operand] = []
        for input in op.schema.inputs {
            if input.isOptional, !choices.chance(40) { break }
            arguments.append(try argument(input.kind))
        }
        var attributes = Attributes()
        for attribute in op.schema.attributes {
            let isRequired = attribute.defaultValue == nil && !attribute.isOptional
            if isRequired || choices.chance(30) { attributes[attribute.name] = choices.attribute(attribute) }
        }
        return try builder.call(op, arguments, attributes)
    }

    /// A call that is likely to be taken, with further attributes by chance.
    private mutating func recipe(_ op: OperatorID) throws -> ValueID? {
        guard let recipe = Recipes.all[op.name] else { return nil }
        var arguments: [Operand] = []
        for wanted in recipe.operands {
            switch wanted {
            case .literal(let operand): arguments.append(operand)
            case .tensor(let text):
                let type = try ValueType(text: text)
                if let value = values.last(where: { builder.type(of: .value($0)) == type }), choices.chance(70) {
                    arguments.append(.value(value))
                } else if let tensor = type.asTensor, let dtype = tensor.dtype, let shape = tensor.staticShape {
                    arguments.append(.constant(try choices.constant(dtype, shape)))
                }
            }
        }
        var attributes = recipe.attributes
        for attribute in op.schema.attributes where attributes[attribute.name] == nil && choices.chance(15) {
            attributes[attribute.name] = choices.attribute(attribute)
        }
        return try builder.call(op, arguments, attributes)
    }

    private mutating func argument(_ kind: OperatorSchema.Input.Kind) throws -> Operand {
        switch kind {
        case .shape:
            var dims: [Dim] = []
            for _ in 0..<choices.below(5) {
                dims.append(choices.pick([1, 2, 3, 4, .symbol("n"), .symbol("m"), 8, 12, 24]))
            }
            return .shape(dims)
        case .scalar: return choices.chance(60) ? .int(choices.integer()) : .float(choices.number())
        case .tuple:
            var fields: [Operand] = []
            for _ in 0..<(1 + choices.below(3)) { fields.append(try tensor()) }
            return .value(try builder.tuple(fields))
        case .any where choices.chance(50):
            var numbers: [Int64] = []
            for _ in 0..<(1 + choices.below(3)) { numbers.append(choices.integer()) }
            return .constant(try .ints([Int64(numbers.count)], numbers))
        case .any, .tensor: return try tensor()
        }
    }

    private mutating func tensor() throws -> Operand {
        if !values.isEmpty, !choices.chance(30) {
            // The newest is likelier, so that modules get deep.
            let back = choices.chance(70) ? min(choices.below(4), values.count - 1) : choices.below(values.count)
            return .value(values[values.count - 1 - back])
        }
        // A constant: of the shape of a value, of a part of it, or of its own.
        var shape: [Int64] = []
        for _ in 0..<choices.below(5) { shape.append(choices.pick([1, 2, 3, 4, 5, 8])) }
        if !values.isEmpty, choices.chance(70) {
            let dims = builder.type(of: .value(choices.pick(values))).asTensor?.shape ?? []
            let known = dims.map { $0.value ?? 1 }
            shape = choices.pick([
                known, Array(known.dropFirst()), Array(known.dropFirst().prefix(1)), Array(known.suffix(1)),
                Array(known.reversed()), Array(known.prefix(2)) + [3, 3],
            ])
        }
        if checkedElementCount(shape) ?? .max > Self.most { shape = [] }
        return .constant(try choices.constant(choices.dtype(), shape))
    }

    // MARK: - Around it

    /// The function within a function, a branch, a loop, or beside tuples and a local function.
    private mutating func wrapped(_ module: Module, _ function: Function, _ kind: Int) throws -> Module {
        let text = module.text(PrintOptions(inlineElements: Self.most))
        guard text.hasPrefix("fn @main") else { return module }
        var inner = "fn @inner" + text.dropFirst("fn @main".count)
        let given = function.parameters.map { "%x\($0.int): \(function.type(of: $0))" }
        let names = function.parameters.map { "%x\($0.int)" }.joined(separator: ", ")
        let body: String
        let more: String
        switch kind {
        case 0:
            body = "  %r = @inner(\(names))\n  return %r\n"
            more = ""
        case 1:
            body = """
                  %r = if %chosen { %a = @inner(\(names)) yield %a } else { %b = @inner(\(names)) yield %b }
                  return %r

                """
            more = ", %chosen: bool[]"
            inputs.append(try .scalar(.bool, Double(choices.below(2))))
        case 2:
            body = """
                  %f = fn(%p: f32[]) -> f32[] { %q = exp(%p) return %q }
                  %s = %f(%start)
                  %t = (%s, (%s, %start))
                  %u = %t.1
                  %r = @inner(\(names))
                  return (%r, %u)

                """
            more = ", %start: f32[]"
            inputs.append(try .scalar(.float32, 0.5))
        default:
            let count = kind == 3 ? "3" : "\(choices.integer())"
            body = """
                  %l = loop(@step, const i64[](\(count)), const bool[](true), (%start,), ())
                  %r = @inner(\(names))
                  return (%r, %l)

                """
            more = ", %start: f32[2]"
            inputs.append(try .floats([2], [0.5, -0.5]))
            // Ends by itself, whatever the number of rounds.
            inner += """

                fn @step(%i: i64[], %c: bool[], %s: f32[2]) -> (bool[], f32[2], f32[2]) {
                  %t = tanh(%s)
                  %d = less(%i, const i64[](4))
                  return (%d, %t, %s)
                }

                """
        }
        return try Module(text: "\(inner)\nfn @main(\(given.joined(separator: ", "))\(more)) {\n\(body)}\n")
    }
}
