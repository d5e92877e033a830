import TenonIR

extension ProgramBuilder {
    private static let shapeOf = Operators.named("shape_of")
    private static let shapeToTensor = Operators.named("shape_to_tensor")
    private static let tensorToShape = Operators.named("tensor_to_shape")

    mutating func lower(
        _ op: OperatorID, _ attributes: Attributes, _ arguments: [Lowered], _ id: ValueID, _ scope: inout Scope
    ) throws -> Lowered {
        let operands = arguments.map { operand($0) }
        let constants = arguments.map { constant($0) }
        if let form = DynamicForm.of(op), let given = try form.attributes(attributes, constants) {
            return try lower(form.base, given, Array(arguments.prefix(form.inputCount)), id, &scope)
        }
        if op == Interpreter.loop { return try loop(arguments, id, &scope) }
        let inferred = try Inference.call(
            op, operands, attributes, types: arguments.map { type(of: $0) }, constants: constants)
        if let shape = try shapes(op, arguments, inferred.type, id, scope) { return shape }
        let result = resultType(inferred.type, scope.function.type(of: id), scope)
        if let view = view(op, arguments, result) { return view }

        let operation = Program.Operation(
            op: op, attributes: inferred.attributes, arguments: try arguments.map { try argument($0) })
        var inputs: [Int] = []
        for argument in arguments { collectTensors(argument, into: &inputs) }
        let name = scope.name(id)
        if inputs.contains(where: { program.tensors[$0].dtype == .string }) { throw CannotLower(reason: "strings") }
        if let known = contentsOfResult(op, arguments, inputs, result, inferred.attributes) {
            return .tensor(try sizes(known.elements, shape: known.shape, dtype: known.dtype, name: name))
        }
        let isPlanned =
            isSized(result) && inputs.allSatisfy { program.tensors[$0].isPlanned } && !hasShapeTensor(arguments)
            && DynamicForm.of(op) == nil && Kernels.isAvailable(op)
        guard isPlanned else {
            return try late(operation, inputs, result, name, scope)
        }
        if let folded = try fold(operation, inputs, result, operands) {
            return try group(result, folded.map { try add($0) })
        }
        var outputs: [Int] = []
        let lowered = try newResult(result, name, into: &outputs)
        open.nodes.append(
            Program.Node(
                work: .operation(operation), inputs: inputs, outputs: outputs, name: name,
                composite: scope.composite.isEmpty ? op.name : scope.composite))
        return lowered
    }

    // MARK: - Results

    /// The inferred type, or the declared one where only that says the sizes.
    func resultType(_ inferred: ValueType, _ declared: ValueType, _ scope: Scope) -> ValueType {
        if isSized(inferred) { return inferred }
        guard let known = known(declared, scope.symbols), isSized(known) else { return inferred }
        return known
    }

    /// Whether all its tensors have an element type and sizes in bound symbols.
    func isSized(_ type: ValueType) -> Bool {
        switch type {
        case .tensor(let tensor): tensor.dtype != nil && tensor.shape?.allSatisfy(allBound) ?? false
        case .tuple(let fields): fields.allSatisfy(isSized)
        default: false
        }
    }

    /// Tensors of the open stage for a result whose sizes are known.
    mutating func newResult(_ type: ValueType, _ name: String, into outputs: inout [Int]) throws -> Lowered {
        switch type {
        case .tensor(let tensor):
            program.roots.append(.node(stage: stageNumber))
            let index = newTensor(tensor.dtype, tensor.shape, root: program.roots.count - 1, name: name)
            for size in program.tensors[index].dims ?? [] {
                program.sizes.requireNatural(size, "'\(name)': a size of \(tensor) is negative")
            }
            outputs.append(index)
            return .tensor(index)
        case .tuple(let fields):
            var lowered: [Lowered] = []
            for field in fields { lowered.append(try newResult(field, name, into: &outputs)) }
            return .tuple(lowered)
        default: throw CannotLower(reason: "a result of type \(type)")
        }
    }

    /// An operator whose result only a run knows. Its tensors have symbols that the run binds, where the rank is known.
    private mutating func late(
        _ operation: Program.Operation, _ inputs: [Int], _ result: ValueType, _ name: String, _ scope: Scope
    ) throws -> Lowered {
        var outputs: [Program.LateOutput] = []
        let lowered = try lateResult(result, name, into: &outputs)
        endStage(
            .late(
                Program.Late(
                    operation: operation, inputs: inputs, outputs: outputs, name: name,
                    composite: scope.composite.isEmpty ? operation.op.name : scope.composite)))
        return lowered
    }

    mutating func lateResult(
        _ type: ValueType, _ name: String, into outputs: inout [Program.LateOutput]
    ) throws -> Lowered {
        switch type {
        case .tensor(let tensor):
            program.roots.append(.patched)
            var symbols: [String: Dim] = [:]
            // The types of operators speak the program's symbols; what is not bound yet is new.
            for symbol in tensor.shape?.flatMap(\.symbols) ?? [] where program.sizes.symbols[symbol] != nil {
                symbols[symbol] = .symbol(symbol)
            }
            let (index, found) = try declare(
                tensor, root: program.roots.count - 1, name: name, binding: &symbols)
            outputs.append(Program.LateOutput(tensor: index, dims: found))
            return .tensor(index)
        case .tuple(let fields):
            var lowered: [Lowered] = []
            for field in fields { lowered.append(try lateResult(field, name, into: &outputs)) }
            return .tuple(lowered)
        case .object:
            program.roots.append(.patched)
            let index = newTensor(nil, nil, root: program.roots.count - 1, name: name)
            outputs.append(Program.LateOutput(tensor: index, dims: nil))
            return .tensor(index)
        default: throw CannotLower(reason: "a result of type \(type)")
        }
    }

    /// The tensors of a flat list in the shape of `type`.
    func group(_ type: ValueType, _ tensors: [Int]) throws -> Lowered {
        var next = 0
        func group(_ type: ValueType) throws -> Lowered {
            if case .tuple(let fields) = type { return .tuple(try fields.map { try group($0) }) }
            guard next < tensors.count else { throw TenonError(.internal, "a result is missing") }
            next += 1
            return .tensor(tensors[next - 1])
        }
        return try group(type)
    }

    // MARK: - Shapes

    /// Operators between tensors and shapes.
    private mutating func shapes(
        _ op: OperatorID, _ arguments: [Lowered], _ type: ValueType, _ id: ValueID, _ scope: Scope
    ) throws -> Lowered? {
        if op == ProgramBuilder.shapeToTensor {
            switch arguments.first {
            case .literal(.shape(let dims))?:
                return .tensor(
                    try sizes(dims, shape: [Int64(dims.count)], dtype: .int64, name: scope.name(id)))
            case .shapeTensor(let tensor)?: return .tensor(tensor)
            default: return nil
            }
        }
        guard case .shape(let dims) = type else { return nil }
        if let dims { return .literal(.shape(dims)) }
        guard case .tensor(let tensor)? = arguments.first else { throw CannotLower(reason: op.name) }
        if op == ProgramBuilder.tensorToShape {
            if let known = contents[tensor] { return .literal(.shape(known)) }
            return .shapeTensor(tensor)
        }
        guard op == ProgramBuilder.shapeOf else { throw CannotLower(reason: op.name) }
        // Of a tensor whose rank only a run knows.
        var outputs: [Program.LateOutput] = []
        let lowered = try lateResult(.tensor(TensorType(dtype: .int64, rank: 1)), scope.name(id), into: &outputs)
        endStage(
            .late(
                Program.Late(
                    operation: Program.Operation(op: op, attributes: Attributes(), arguments: [.tensor(tensor)]),
                    inputs: [tensor], outputs: outputs, name: scope.name(id), composite: op.name)))
        guard case .tensor(let vector) = lowered else { return nil }
        return .shapeTensor(vector)
    }

    /// A tensor of integers that are sizes: a constant where all are numbers.
    mutating func sizes(_ elements: [Dim], shape: [Int64], dtype: DataType, name: String) throws -> Int {
        let numbers = elements.compactMap(\.value)
        if numbers.count == elements.count {
            let tensor = try add(
                dtype == .int64
                    ? try Constant.ints(shape, numbers)
                    : try Constant.from(doubles: numbers.map(Double.init), dtype, shape))
            contents[tensor] = elements
            return tensor
        }
        guard dtype == .int64 else { throw CannotLower(reason: "sizes of \(dtype.name)") }
        program.roots.append(.node(stage: stageNumber))
        let tensor = newTensor(dtype, shape.map { .fixed($0) }, root: program.roots.count - 1, name: name)
        open.nodes.append(
            Program.Node(
                work: .sizes(try elements.map { try program.sizes.size($0) }), inputs: [], outputs: [tensor],
                name: name, composite: "shape_to_tensor"))
        contents[tensor] = elements
        return tensor
    }

    // MARK: - Operands

    /// The tensors of an argument from left to right; literals, which may stand in tuples (`axes = (1, 2)`), are not inputs.
    func collectTensors(_ value: Lowered, into tensors: inout [Int]) {
        switch value {
        case .tensor(let tensor), .shapeTensor(let tensor): tensors.append(tensor)
        case .tuple(let fields): for field in fields { collectTensors(field, into: &tensors) }
        case .literal, .function: break
        }
    }

    private func hasShapeTensor(_ values: [Lowered]) -> Bool {
        values.contains {
            switch $0 {
            case .shapeTensor: true
            case .tuple(let fields): hasShapeTensor(fields)
            default: false
            }
        }
    }

    /// The argument as inference sees it.
    func operand(_ value: Lowered) -> Operand {
        switch value {
        case .tensor(let tensor): constant(value).map { .constant($0) } ?? .value(ValueID(tensor))
        case .shapeTensor(let tensor): .value(ValueID(tensor))
        case .literal(let literal): literal
        case .tuple(let fields): .tuple(fields.map { operand($0) })
        case .function: .tuple([])
        }
    }

    mutating func argument(_ value: Lowered) throws -> Program.Argument {
        switch value {
        case .tensor(let tensor): return .tensor(tensor)
        case .shapeTensor(let tensor): return .shapeTensor(tensor)
        case .literal(.shape(let dims)): return .shape(try dims.map { try program.sizes.size($0) })
        case .literal(let literal): return .literal(literal)
        case .tuple(let fields):
            var arguments: [Program.Argument] = []
            for field in fields { arguments.append(try argument(field)) }
            return .tuple(arguments)
        case .function: throw CannotLower(reason: "a function as an argument")
        }
    }

    /// Operators whose result is the same bytes under another shape.
    private mutating func view(_ op: OperatorID, _ arguments: [Lowered], _ type: ValueType) -> Lowered? {
        guard PlanBuilder.isView(op), case .tensor(let source)? = arguments.first, case .tensor(let target) = type,
            isSized(type), program.tensors[source].isPlanned, target.dtype == program.tensors[source].dtype,
            let shape = target.shape
        else { return nil }
        if op == PlanBuilder.cast, dims[source] != shape { return nil }
        // A shape that a model computes may ask for another number of elements than there are.
        let (before, after) = (ProgramBuilder.product(dims[source] ?? []), ProgramBuilder.product(shape))
        guard let before, let after,
            (try? program.sizes.require(
                before, equals: after, "\(op.name): expects as many elements as \(target) has")) == true
        else { return nil }
        let view = newTensor(
            target.dtype, shape, root: program.tensors[source].root, name: program.tensors[source].name)
        for size in program.tensors[view].dims ?? [] {
            program.sizes.requireNatural(size, "\(op.name): a size of \(target) is negative")
        }
        if let known = contents[source] { contents[view] = known }
        return .tensor(view)
    }

    static func product(_ dims: [Dim]) -> Dim? {
        var product: Dim = 1
        for dim in dims {
            guard let next = Dim.multiplying(product, dim) else { return nil }
            product = next
        }
        return product
    }

    /// The results of an operator all of whose inputs are known, unless they would make the program much larger.
    private func fold(
        _ operation: Program.Operation, _ inputs: [Int], _ type: ValueType, _ operands: [Operand]
    ) throws -> [Constant]? {
        guard type.isConcrete else { return nil }
        var constants: [Constant] = []
        for input in inputs {
            guard let constant = constant(.tensor(input)) else { return nil }
            constants.append(constant)
        }
        guard !operands.contains(where: { $0.hasSymbols }) else { return nil }
        let outputs = try PlanBuilder.specs(type)
        let size = outputs.reduce(0) { $0 &+ $1.byteCount }
        guard size <= max(PlanBuilder.foldedBytesLimit, constants.reduce(0) { $0 &+ $1.bytes.count }) else {
            return nil
        }
        let kernel = try Kernels.prepare(
            KernelCall(
                op: operation.op, inputs: constants.map { TensorSpec($0.dtype, $0.shape.map { Int($0) }) },
                constants: constants, outputs: outputs, attributes: operation.attributes, arguments: operands))
        return try KernelRun.evaluate(kernel, constants, outputs, environment: RunEnvironment())
    }
}

extension Operand {
    /// Whether a shape in it has sizes that are no numbers.
    fileprivate var hasSymbols: Bool {
        switch self {
        case .shape(let dims): dims.contains { !$0.isFixed }
        case .tuple(let fields): fields.contains(where: \.hasSymbols)
        default: false
        }
    }
}
