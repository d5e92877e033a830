import TenonIR

/// Lowers a module to a program: calls are inlined, what constants decide is computed, bindings that nothing uses are left
/// out, and whatever is computed from sizes becomes an expression of sizes.
struct ProgramBuilder {
    /// What a value is while lowering.
    indirect enum Lowered {
        case tensor(Int)
        /// A shape in the program's symbols, number, string or element type.
        case literal(Operand)
        /// A shape that only a run knows, as a vector of integers.
        case shapeTensor(Int)
        case tuple([Lowered])
        case function(Function)
    }

    let module: Module
    let options: CompileOptions
    /// The backends that regions may go to, and whether their regions may be written out.
    let backends: [String: Bool]
    /// Regions that a backend has refused; their functions are inlined.
    let refused: Set<String>
    /// Whether regions are written out, so that one program serves all sizes.
    let servesAllSizes: Bool

    var program = Program()
    /// Dimensions of tensors as expressions, by tensor; nil where only a run knows them.
    var dims: [[Dim]?] = []
    /// Elements of small integer tensors that are sizes, by tensor.
    var contents: [Int: [Dim]] = [:]
    /// The block being filled, and its open stage.
    var block = Program.main
    var open = Program.Stage(sizes: 0..<0)
    var loweredBindings = 0
    private var freshNames = 0

    /// Calls nest at most so deep; a module whose functions call themselves is refused.
    static let depthLimit = 100

    static func build(
        _ module: Module, backends: [String: Bool], refused: Set<String> = [], options: CompileOptions
    ) throws -> Program {
        guard let main = module.main else { throw TenonError(.notFound, "the module has no function 'main'") }
        var builder = ProgramBuilder(
            module: module, options: options, backends: backends, refused: refused,
            servesAllSizes: servesAllSizes(module, backends))
        builder.program.blocks.append(Program.Block())
        var scope = Scope(main, composite: "", depth: 0)
        for (id, type) in zip(main.parameters, main.parameterTypes) {
            scope.values[id.int] = try builder.input(type, main.info(id)?.name ?? "input", &scope)
        }
        builder.program.entry = 0..<builder.program.sizes.instructions.count
        let entry = builder.program.sizes.mark
        builder.openStage()
        let result = try builder.lower(main.body, &scope)
        var outputs: [Int] = []
        try builder.flatten(result, into: &outputs)
        builder.closeStage(nil)
        builder.program.outputs = outputs
        builder.program.blocks[Program.main].results = outputs
        try builder.describeOutputs(entry, inputSymbols: Set(builder.program.inputs.indices.flatMap(builder.symbols)))
        builder.findEscapes()
        try ProgramVerifier.verify(builder.program)
        return builder.program
    }

    // MARK: - Inputs and outputs

    private mutating func input(_ type: ValueType, _ name: String, _ scope: inout Scope) throws -> Lowered {
        switch type {
        case .tuple(let fields):
            var lowered: [Lowered] = []
            for (index, field) in fields.enumerated() {
                lowered.append(try input(field, "\(name).\(index)", &scope))
            }
            return .tuple(lowered)
        case .tensor, .object:
            let tensor = type.asTensor ?? TensorType(dtype: nil, rank: nil)
            if tensor.dtype == .string { throw CannotLower(reason: "an input of strings") }
            program.roots.append(.input(program.inputs.count))
            let (index, found) = try declare(
                tensor, root: program.roots.count - 1, name: name, binding: &scope.symbols)
            program.inputs.append(Program.Input(tensor: index, dims: found))
            return .tensor(index)
        case .shape, .scalar, .function:
            throw TenonError(.unsupported, "main: a parameter of type \(type) cannot be given to a run")
        }
    }

    private func symbols(_ input: Int) -> [String] {
        (dims[program.inputs[input].tensor] ?? []).flatMap(\.symbols)
    }

    /// A tensor whose shape a run finds. Symbols of the declared type that are new are bound, others are checked; unknown
    /// dimensions get symbols of their own. A symbol that stands in an expression is bound first where it also stands alone.
    mutating func declare(
        _ type: TensorType, root: Int, name: String, binding symbols: inout [String: Dim]
    ) throws -> (tensor: Int, found: [Program.Found]?) {
        guard let rank = type.rank else {
            return (newTensor(type.dtype, nil, root: root, name: name), nil)
        }
        let declared: [Dim?] = type.shape.map { $0.map { $0 } } ?? [Dim?](repeating: nil, count: rank)
        var found = [Program.Found?](repeating: nil, count: rank)
        var result = [Dim](repeating: 0, count: rank)
        for (axis, dim) in declared.enumerated() {
            guard let dim else { continue }
            guard !dim.isFixed, let symbol = dim.symbols.first, dim == .symbol(symbol), symbols[symbol] == nil else {
                continue
            }
            let (fresh, slot) = bindable(symbol)
            symbols[symbol] = fresh
            (found[axis], result[axis]) = (.bind(slot), fresh)
        }
        for (axis, dim) in declared.enumerated() where found[axis] == nil {
            if let dim, let known = known(dim, symbols) {
                (found[axis], result[axis]) = (.check(try program.sizes.size(known)), known)
            } else {
                let (fresh, slot) = bindable("size")
                (found[axis], result[axis]) = (.bind(slot), fresh)
            }
        }
        let tensor = newTensor(type.dtype, result, root: root, name: name)
        return (tensor, found.compactMap { $0 })
    }

    /// A dimension of a function in the program's symbols; nil where a symbol of the function has no value yet. Names of a
    /// function say nothing about equal names of the program.
    func known(_ dim: Dim, _ symbols: [String: Dim]) -> Dim? {
        guard dim.symbols.allSatisfy({ symbols[$0] != nil }), let known = dim.substituting(symbols), allBound(known)
        else { return nil }
        return known
    }

    /// The same for a type.
    func known(_ type: ValueType, _ symbols: [String: Dim]) -> ValueType? {
        var names: [String] = []
        type.collectSymbols(into: &names)
        guard names.allSatisfy({ symbols[$0] != nil }) else { return nil }
        return type.substituting(symbols)
    }

    func allBound(_ dim: Dim) -> Bool { dim.symbols.allSatisfy { program.sizes.symbols[$0] != nil } }

    /// A symbol that no other size of the program has.
    mutating func bindable(_ name: String) -> (dim: Dim, slot: Int32) {
        var unique = name
        while program.sizes.allSymbols[unique] != nil {
            freshNames += 1
            unique = "\(name).\(freshNames)"
        }
        return program.sizes.bindable(unique)
    }

    mutating func newTensor(_ dtype: DataType?, _ shape: [Dim]?, root: Int, name: String) -> Int {
        var sizes: [Size]?
        if let shape {
            sizes = []
            for dim in shape {
                guard let size = try? program.sizes.size(dim) else {
                    sizes = nil
                    break
                }
                sizes?.append(size)
            }
        }
        program.tensors.append(Program.Tensor(dtype: dtype, dims: sizes, root: root, name: name))
        dims.append(sizes == nil ? nil : shape)
        return program.tensors.count - 1
    }

    /// The sizes of outputs that follow from those of the inputs, so that a caller's memory can be checked before a run.
    private mutating func describeOutputs(_ entry: SizeProgram.Mark, inputSymbols: Set<String>) throws {
        let inner = program.sizes.mark
        program.sizes.restore(entry)
        let first = program.sizes.instructions.count
        for output in program.outputs {
            guard let dims = dims[output], program.tensors[output].dtype != nil,
                dims.allSatisfy({ $0.symbols.allSatisfy(inputSymbols.contains) })
            else {
                program.outputDims.append(nil)
                continue
            }
            program.outputDims.append(try dims.map { try program.sizes.size($0) })
        }
        program.outputSizes = first..<program.sizes.instructions.count
        program.sizes.restore(inner)
    }

    // MARK: - Stages

    mutating func openStage() {
        open = Program.Stage(sizes: program.sizes.instructions.count..<program.sizes.instructions.count)
        program.blocks[block].stages.append(program.stages.count)
        program.stages.append(open)
    }

    var stageNumber: Int { program.blocks[block].stages.last ?? 0 }

    mutating func closeStage(_ end: Program.End?) {
        open.sizes = open.sizes.lowerBound..<program.sizes.instructions.count
        open.end = end
        program.stages[stageNumber] = open
    }

    /// Ends the stage; what follows may use the symbols that `end` binds.
    mutating func endStage(_ end: Program.End) {
        closeStage(end)
        openStage()
    }

    /// Lowers into a block of its own, behind a stage that has been closed. Sizes compiled there are not there afterwards.
    mutating func inBlock(_ body: (inout ProgramBuilder) throws -> [Int]) throws -> Int {
        let (outer, sizes, known) = (block, program.sizes.mark, contents)
        program.blocks.append(Program.Block())
        block = program.blocks.count - 1
        let number = block
        openStage()
        let results = try body(&self)
        closeStage(nil)
        program.blocks[number].results = results
        block = outer
        program.sizes.restore(sizes)
        contents = known
        return number
    }

    // MARK: - Types

    func type(of tensor: Int) -> TensorType {
        let info = program.tensors[tensor]
        if let known = dims[tensor] { return TensorType(info.dtype, known) }
        return TensorType(dtype: info.dtype, rank: info.dims?.count)
    }

    func type(of value: Lowered) -> ValueType {
        switch value {
        case .tensor(let tensor): .tensor(type(of: tensor))
        case .literal(.shape(let dims)): .shape(dims)
        case .literal(.int): .scalar(.int64)
        case .literal(.float): .scalar(.float64)
        case .literal(.string): .scalar(.string)
        case .literal: .object
        case .shapeTensor: .shape(nil)
        case .tuple(let fields): .tuple(fields.map { type(of: $0) })
        case .function(let function): .function(parameters: function.parameterTypes, result: function.resultType)
        }
    }

    /// The contents of a value that is known while lowering.
    func constant(_ value: Lowered) -> Constant? {
        guard case .tensor(let tensor) = value, let constant = program.constant(tensor),
            let shape = type(of: tensor).staticShape
        else { return nil }
        if shape == constant.shape { return constant }
        return try? Constant(dtype: constant.dtype, shape: shape, borrowing: constant.bytes, owner: constant)
    }

    mutating func add(_ constant: Constant) throws -> Int {
        guard constant.dtype != .string else { throw CannotLower(reason: "a constant of strings") }
        program.constants.append(constant)
        program.roots.append(.constant(program.constants.count - 1))
        return newTensor(
            constant.dtype, constant.shape.map { .fixed($0) }, root: program.roots.count - 1, name: "constant")
    }

    func flatten(_ value: Lowered, into tensors: inout [Int]) throws {
        switch value {
        case .tensor(let tensor): tensors.append(tensor)
        case .tuple(let fields): for field in fields { try flatten(field, into: &tensors) }
        case .literal, .function, .shapeTensor:
            throw TenonError(.unsupported, "a tensor is needed, found \(type(of: value))")
        }
    }
}

/// A module that the program cannot say; the interpreter runs it.
struct CannotLower: Error {
    var reason: String
}
