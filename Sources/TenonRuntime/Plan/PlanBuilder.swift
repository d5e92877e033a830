import TenonIR

/// A module cannot be planned before its data is known: a shape depends on it, or which branch is taken.
struct DependsOnData: Error {
    var reason: String
}

/// Turns `main`, with known parameter shapes, into a plan: calls are inlined, regions compiled, everything else prepared as
/// kernels; what constants decide is computed here; bindings that nothing uses are left out.
struct PlanBuilder {
    /// What a value is while planning.
    indirect enum Lowered {
        case tensor(PlannedTensor)
        /// A shape, number, string or element type, as written.
        case literal(Operand)
        case tuple([Lowered])
        case function(Function)
    }

    struct PlannedTensor {
        var buffer: Int
        var spec: TensorSpec
    }

    struct Buffer {
        enum Kind {
            case input(Int)
            case constant(Constant)
            case intermediate
        }
        var kind: Kind
        var bytes: Int
        var first = 0
        var last = 0
        /// The output of main that is written directly into this buffer.
        var output: Int?
    }

    enum Work {
        indirect case kernel(PreparedKernel)
        case region(any CompiledRegion)
        case copy(Int)
    }

    struct DraftStep {
        var work: Work
        var inputs: [Int]
        var outputs: [Int]
        var workspace: Int
        var descriptions: [StepDescription]
        var node: String
        /// Roughly how long it takes.
        var nanoseconds: Double
    }

    let module: Module
    let backends: [String: any Backend]
    let options: CompileOptions
    /// Where to look for parameters that are constants.
    var buffers: [Buffer] = []
    /// Inputs of main by position that count as constants.
    private(set) var known: [Int: Constant] = [:]
    var steps: [DraftStep] = []
    private var loweredBindings = 0
    private var compiled: [RegionKey: any CompiledRegion] = [:]
    /// Whether a backend has refused a region.
    var isRefused = false

    private struct RegionKey: Hashable {
        var name: String
        var arguments: [Specialiser.Argument]
    }

    /// Calls nest at most so deep; a module whose functions call themselves is refused.
    static let depthLimit = 100
    /// Functions that call others twice, which call others twice, would be planned without end.
    static let bindingLimit = 1_000_000
    /// Results of constant calls larger than their inputs and than this are computed at run time.
    static let foldedBytesLimit = 1 << 16

    init(module: Module, backends: [String: any Backend], options: CompileOptions) {
        self.module = module
        self.backends = backends
        self.options = options
    }

    /// The plan of `main` for these inputs. Throws `DependsOnData` when there is none.
    ///
    /// - Parameter known: inputs that are planned for by value.
    static func plan(
        _ module: Module, _ main: Function, inputs: [TensorSpec], knowing known: [Int: Constant] = [:],
        backends: [String: any Backend], options: CompileOptions
    ) throws -> Plan {
        var builder = PlanBuilder(module: module, backends: backends, options: options)
        builder.known = known
        var arguments: [Lowered] = []
        var next = 0
        for type in main.parameterTypes { arguments.append(try builder.input(type, inputs, &next)) }
        let result = try builder.lower(main, arguments, composite: "", depth: 0)
        var outputs: [PlannedTensor] = []
        try builder.flatten(result, into: &outputs)
        return try builder.finish(inputs: inputs, outputs: outputs)
    }

    private mutating func input(_ type: ValueType, _ specs: [TensorSpec], _ next: inout Int) throws -> Lowered {
        switch type {
        case .tuple(let fields):
            var lowered: [Lowered] = []
            for field in fields { lowered.append(try input(field, specs, &next)) }
            return .tuple(lowered)
        case .tensor, .object:
            guard next < specs.count else { throw TenonError(.internal, "main: an input has no shape") }
            let kind = known[next].map { Buffer.Kind.constant($0) } ?? .input(next)
            buffers.append(Buffer(kind: kind, bytes: specs[next].byteCount))
            next += 1
            return .tensor(PlannedTensor(buffer: buffers.count - 1, spec: specs[next - 1]))
        case .shape, .scalar, .function:
            throw TenonError(.unsupported, "main: a parameter of type \(type) cannot be given to a run")
        }
    }

    // MARK: - Functions

    mutating func lower(
        _ function: Function, _ arguments: [Lowered], composite: String, depth: Int
    ) throws -> Lowered {
        guard depth < PlanBuilder.depthLimit else {
            throw TenonError(.invalidGraph, "calls nest more than \(PlanBuilder.depthLimit) deep")
        }
        guard arguments.count == function.parameters.count else {
            throw TenonError(
                .invalidArgument, "a call gives \(arguments.count) arguments, expected \(function.parameters.count)")
        }
        var scope = Scope(function, composite: composite, depth: depth)
        for (id, argument) in zip(function.parameters, arguments) {
            try scope.symbols.bind(
                function.type(of: id), to: type(of: argument), function.info(id)?.name ?? "parameter")
            scope.values[id.int] = argument
        }
        return try lower(function.body, &scope)
    }

    /// The names of one function while it is lowered.
    struct Scope {
        let function: Function
        let composite: String
        let depth: Int
        var values: [Lowered?]
        var symbols = SymbolTable()
        let isUsed: [Bool]

        init(_ function: Function, composite: String, depth: Int) {
            self.function = function
            self.composite = composite
            self.depth = depth
            values = [Lowered?](repeating: nil, count: function.values.count)
            isUsed = Scope.uses(of: function)
        }

        /// Whether the result needs a value, directly or through others.
        static func uses(of function: Function) -> [Bool] {
            var isUsed = [Bool](repeating: false, count: function.values.count)
            func mark(_ id: ValueID) { if isUsed.indices.contains(id.int) { isUsed[id.int] = true } }
            function.body.result.forEachValue(mark)
            let unbound = symbolsBoundInside(function)
            for block in function.body.blocks.reversed() {
                for binding in block.bindings.reversed() where isUsed.indices.contains(binding.id.int) {
                    // What a shape must be is checked, whether or not something uses it.
                    switch binding.expression {
                    case .matchCast(_, .shape): mark(binding.id)
                    case .matchCast(_, let type) where type.hasSymbol(of: unbound): mark(binding.id)
                    default: break
                    }
                    guard isUsed[binding.id.int] else { continue }
                    binding.expression.forEachValue(mark)
                    if case .conditional(_, let then, let other) = binding.expression {
                        for body in [then, other] {
                            Function.forEachBinding(in: body) { mark($0.id) }
                        }
                    }
                }
            }
            return isUsed
        }

        /// Symbols in shapes that calls take, and that no parameter binds: a cast does, whether or not its value is used.
        private static func symbolsBoundInside(_ function: Function) -> Set<String> {
            var symbols: Set<String> = []
            func visit(_ operand: Operand) {
                switch operand {
                case .shape(let dims): for dim in dims { symbols.formUnion(dim.symbols) }
                case .tuple(let fields): for field in fields { visit(field) }
                default: break
                }
            }
            function.forEachBinding { binding in
                if case .call(let call) = binding.expression { for argument in call.arguments { visit(argument) } }
            }
            if symbols.isEmpty { return symbols }
            for type in function.parameterTypes { symbols.subtract(type.bareSymbols) }
            return symbols
        }

        func name(_ id: ValueID) -> String { function.info(id)?.name ?? "" }
    }

    private mutating func lower(_ body: Body, _ scope: inout Scope) throws -> Lowered {
        for block in body.blocks {
            for binding in block.bindings {
                guard scope.isUsed.indices.contains(binding.id.int) else {
                    throw TenonError(.invalidGraph, "value \(binding.id.index) is not in the table of its function")
                }
                guard scope.isUsed[binding.id.int] else { continue }
                loweredBindings += 1
                guard loweredBindings <= PlanBuilder.bindingLimit else {
                    throw TenonError(
                        .limitExceeded,
                        "main: more than \(PlanBuilder.bindingLimit) operators when calls are written out")
                }
                try TenonIR.Work.check()
                do {
                    scope.values[binding.id.int] = try lower(binding, &scope)
                } catch let error as TenonError {
                    throw error.located(at: scope.name(binding.id))
                }
            }
        }
        return try resolve(body.result, scope)
    }

    private mutating func lower(_ binding: Binding, _ scope: inout Scope) throws -> Lowered {
        switch binding.expression {
        case .call(let call): return try lower(call, binding.id, &scope)
        case .tuple(let fields): return .tuple(try fields.map { try resolve($0, scope) })
        case .tupleGetItem(let operand, let index):
            guard case .tuple(let fields) = try resolve(operand, scope), fields.indices.contains(index) else {
                throw TenonError(.invalidGraph, "tuple item \(index) of something that has none")
            }
            return fields[index]
        case .operand(let operand): return try resolve(operand, scope)
        case .matchCast(let operand, let declared):
            let value = try resolve(operand, scope)
            try scope.symbols.bind(declared, to: type(of: value), scope.name(binding.id))
            try scope.symbols.check(declared, against: type(of: value), scope.name(binding.id))
            return value
        case .function(let function): return .function(function)
        case .conditional(let condition, let then, let other):
            // Resolving adds what the condition names, which is looked at afterwards.
            let decided = try resolve(condition, scope)
            guard let flag = constant(decided)?.double(at: 0) else {
                throw DependsOnData(reason: "the condition of '\(scope.name(binding.id))'")
            }
            return try lower(flag != 0 ? then : other, &scope)
        }
    }

    private mutating func lower(_ call: Call, _ id: ValueID, _ scope: inout Scope) throws -> Lowered {
        let arguments = try call.arguments.map { try resolve($0, scope) }
        switch call.callee {
        case .op(let op): return try lower(op, call.attributes, arguments, id, scope)
        case .function(let name):
            guard let function = module[name] else { throw TenonError(.notFound, "unknown function '\(name)'") }
            if let codegen = function.codegen, !options.usesReferenceKernels {
                return try lowerRegion(function, name, codegen, arguments, scope)
            }
            return try lower(
                function, arguments, composite: function.composite ?? scope.composite, depth: scope.depth + 1)
        case .local(let local):
            guard scope.values.indices.contains(local.int), case .function(let function)? = scope.values[local.int]
            else {
                throw TenonError(.invalidGraph, "a call of something that is not a function")
            }
            return try lower(
                function, arguments, composite: function.composite ?? scope.composite, depth: scope.depth + 1)
        case .external(let name): throw TenonError(.unsupported, "external function '\(name)' cannot be run")
        }
    }

    // MARK: - Operands

    private mutating func resolve(_ operand: Operand, _ scope: Scope) throws -> Lowered {
        switch operand {
        case .value(let id):
            guard scope.values.indices.contains(id.int), let value = scope.values[id.int] else {
                throw TenonError(.invalidGraph, "value '\(scope.name(id))' is used before it is bound")
            }
            return value
        case .constant(let constant): return .tensor(try add(constant))
        case .shape(let dims):
            guard let replaced = dims.substituting(scope.symbols.replacements) else {
                throw TenonError(.invalidShape, "a dimension of \(dims) overflows")
            }
            return .literal(.shape(replaced))
        case .tuple(let fields):
            var lowered: [Lowered] = []
            for field in fields { lowered.append(try resolve(field, scope)) }
            return .tuple(lowered)
        case .int, .float, .string, .dtype: return .literal(operand)
        case .global(let name):
            guard let function = module[name] else { throw TenonError(.notFound, "unknown function '\(name)'") }
            return .function(function)
        }
    }

    mutating func add(_ constant: Constant) throws -> PlannedTensor {
        guard let spec = TensorSpec(constant.type), constant.dtype != .string else {
            throw TenonError(.unsupported, "a constant of strings cannot be run")
        }
        buffers.append(Buffer(kind: .constant(constant), bytes: constant.bytes.count))
        return PlannedTensor(buffer: buffers.count - 1, spec: spec)
    }

    func type(of value: Lowered) -> ValueType {
        switch value {
        case .tensor(let tensor): .tensor(tensor.spec.dtype, tensor.spec.shape.map { Int64($0) })
        case .literal(.shape(let dims)): .shape(dims)
        case .literal(.int): .scalar(.int64)
        case .literal(.float): .scalar(.float64)
        case .literal(.string): .scalar(.string)
        case .literal: .object
        case .tuple(let fields): .tuple(fields.map { type(of: $0) })
        case .function(let function): .function(parameters: function.parameterTypes, result: function.resultType)
        }
    }

    /// The contents of a value that is known while planning.
    func constant(_ value: Lowered) -> Constant? {
        guard case .tensor(let tensor) = value, case .constant(let constant) = buffers[tensor.buffer].kind else {
            return nil
        }
        let shape = tensor.spec.shape.map { Int64($0) }
        if shape == constant.shape { return constant }
        return try? Constant(dtype: constant.dtype, shape: shape, borrowing: constant.bytes, owner: constant)
    }

    func flatten(_ value: Lowered, into tensors: inout [PlannedTensor]) throws {
        switch value {
        case .tensor(let tensor): tensors.append(tensor)
        case .tuple(let fields): for field in fields { try flatten(field, into: &tensors) }
        case .literal, .function: throw TenonError(.unsupported, "a tensor is needed, found \(type(of: value))")
        }
    }

    // MARK: - Regions

    private mutating func lowerRegion(
        _ function: Function, _ name: String, _ codegen: String, _ arguments: [Lowered], _ scope: Scope
    ) throws -> Lowered {
        guard let backend = backends[codegen] else {
            let known = backends.keys.sorted().joined(separator: ", ")
            throw TenonError(
                .notFound, "region '\(name)': no backend '\(codegen)'; known: \(known.isEmpty ? "none" : known)")
        }
        // What is known goes into the region, the rest is its input.
        var inputs: [PlannedTensor] = []
        var given: [Specialiser.Argument] = []
        for argument in arguments {
            let known = operand(argument)
            let isKnown = Specialiser.isKnown(known)
            given.append(Specialiser.Argument(type: type(of: argument), known: isKnown ? known : nil))
            if !isKnown { try flatten(argument, into: &inputs) }
        }
        let key = RegionKey(name: name, arguments: given)
        let region = try Specialiser(module: module).specialise(function, given, depth: scope.depth)
        let ready: any CompiledRegion
        do {
            ready = try compiled[key] ?? backend.compile(region, name: name, options: options)
        } catch let error as TenonError where error.status == .unsupported {
            // What the rules gave to a backend and the backend cannot do runs as if it had never been given. How long it takes
            // then is not asked, because the backend would be asked once more.
            isRefused = true
            Log.write(.information, "region '\(name)' runs on the library's own kernels: \(error.message)")
            let first = steps.count
            let result = try lower(function, arguments, composite: "", depth: scope.depth + 1)
            for index in steps.indices.dropFirst(first) {
                for part in steps[index].descriptions.indices {
                    steps[index].descriptions[part].region = name
                    steps[index].descriptions[part].note = "\(error)"
                }
            }
            return result
        }
        compiled[key] = ready
        if let progress = options.progress {
            // A region that is called with several shapes is compiled as often.
            let regions = module.functions.values.reduce(0) { $0 + ($1.codegen == nil ? 0 : 1) }
            try progress("compile", compiled.count, max(regions, compiled.count))
        }
        let result = try newTensors(region.resultType)
        var outputs: [PlannedTensor] = []
        try flatten(result, into: &outputs)
        steps.append(
            DraftStep(
                work: .region(ready), inputs: inputs.map(\.buffer), outputs: outputs.map(\.buffer),
                workspace: ready.workspaceBytes,
                descriptions: ready.steps.map { step in
                    var step = step
                    step.region = name
                    return step
                }, node: name, nanoseconds: ready.expectedNanoseconds))
        return result
    }

    /// Buffers for a result whose type is known.
    mutating func newTensors(_ type: ValueType) throws -> Lowered {
        switch type {
        case .tensor(let tensor):
            guard let spec = TensorSpec(tensor), spec.dtype != .string else {
                throw DependsOnData(reason: "a result of type \(type)")
            }
            buffers.append(Buffer(kind: .intermediate, bytes: spec.byteCount))
            return .tensor(PlannedTensor(buffer: buffers.count - 1, spec: spec))
        case .tuple(let fields):
            var lowered: [Lowered] = []
            for field in fields { lowered.append(try newTensors(field)) }
            return .tuple(lowered)
        case .shape(let dims?) where dims.allSatisfy(\.isFixed): return .literal(.shape(dims))
        default: throw DependsOnData(reason: "a result of type \(type)")
        }
    }
}
