import TenonIR

/// How one run behaves.
public struct RunOptions: Sendable {
    /// Ends the run with `cancelled` at the next step when set.
    public var cancel: CancelToken?
    /// Nanoseconds of `MonotonicClock` after which the run ends with `deadlineExceeded`, also while it waits for its turn.
    public var deadline: UInt64?
    /// Record how long each step takes, for `lastProfile`.
    public var isProfiled: Bool

    public init(cancel: CancelToken? = nil, deadline: UInt64? = nil, isProfiled: Bool = false) {
        self.cancel = cancel
        self.deadline = deadline
        self.isProfiled = isProfiled
    }
}

/// How long each step of one run took.
public struct RunProfile: Sendable {
    public var steps: [StepDescription]
    /// One per step; empty when no run was profiled.
    public var nanoseconds: [UInt64]
    public var totalNanoseconds: UInt64
}

/// Bytes that an executable needs, known before the first run.
public struct MemoryStatement: Sendable, Equatable {
    /// Weights in the layouts of the backends, of all cached plans.
    public var packedWeights = 0
    /// Constants that kernels read as they are.
    public var constants = 0
    /// Intermediates and scratch of one run; each concurrent run has its own.
    public var arena = 0
    /// The part of `arena` that a single step needs for itself at most.
    public var scratch = 0
    /// Packed weights and arenas that are held now.
    public var inUse = 0
    /// The most that was held at once so far, values of what is interpreted included.
    public var peak = 0
}

/// A module made ready to run. Immutable to its users; any number of threads may run it at once.
public final class Executable: Sendable {
    public let signature: Signature
    public let options: CompileOptions
    private let state: ExecutableState
    private let registration: ForkRegistration
    private let backends: [String: any Backend]
    /// What is needed to plan further shapes or to interpret; nil when the only plan is made.
    private let module: Module?
    private let fixed: CachedPlan?
    /// What runs where sizes or branches depend on data; nil when the interpreter has to.
    private let programs: ProgramBox?
    private let programRegistration: ForkRegistration?

    /// Compiles `main`. Functions with `Codegen` go to the backend of that name; all other operators run on Swift kernels.
    /// With symbolic sizes the plan of a shape is made when the shape first comes, or by `prepare`.
    public init(module: Module, backends: [any Backend], options: CompileOptions = CompileOptions()) throws {
        let module = try module.expandingOperators()
        guard let main = module.main else { throw TenonError(.notFound, "the module has no function 'main'") }
        guard options.threads >= 1, options.threads <= 1024 else {
            throw TenonError(.invalidArgument, "threads expects 1 to 1024, found \(options.threads)")
        }
        signature = try Signature(main)
        let given = options
        var options = options
        options.threads = ThreadSupply.available(options.threads)
        if options.threads < given.threads {
            Log.write(
                .warning,
                "\(given.threads) threads were asked for, the system lets the process start \(options.threads): runs have these"
            )
        }
        // Plans that are made later, for other shapes, tell nobody.
        var kept = options
        kept.progress = nil
        self.options = kept
        self.backends = Dictionary(backends.map { ($0.name, $0) }) { first, _ in first }
        state = ExecutableState(options)
        registration = ForkRegistration(state)
        let specs = signature.inputs.compactMap { TensorSpec($0.type) }
        var fixed: CachedPlan?
        if specs.count == signature.inputs.count {
            let (known, state) = (self.backends, state)
            do {
                fixed = try state.perform(.current) {
                    try state.plan(where: { _ in true }) {
                        try Executable.plan(options) {
                            try PlanBuilder.plan(module, main, inputs: specs, backends: known, options: $0)
                        }
                    }
                }
            } catch is DependsOnData {
                state.planning = .values
            }
        }
        self.fixed = fixed
        // Weights that a backend has packed are not kept twice.
        self.module = fixed == nil ? module : nil
        programs =
            fixed == nil && !options.usesReferenceKernels
            ? ProgramBox(module, signature, backends: self.backends, options: self.options, account: state.account)
            : nil
        programRegistration = programs.map { ForkRegistration($0) }
        if let programs, state.planning == .shapes,
            ProgramBuilder.servesAllSizes(module, ProgramBox.allowances(self.backends)), programs.isAvailable
        {
            state.planning = .none
        }
    }

    // MARK: - Running

    /// Runs on the caller's buffers: as many inputs and outputs as `signature` has, in its order. Inputs may be strided;
    /// outputs are dense and do not overlap each other. A run that throws may have written parts of the outputs.
    public func run(
        inputs: UnsafeBufferPointer<TensorView>, outputs: UnsafeBufferPointer<TensorView>,
        options runOptions: RunOptions = RunOptions()
    ) throws {
        try TensorCheck.count(inputs.count, signature.inputs, "input")
        try TensorCheck.count(outputs.count, signature.outputs, "output")
        if let fixed { try check(inputs, outputs, fixed.plan) }
        let found = foundPlan(for: inputs)
        let isAlone = found.map { $0.plan.threads == 1 } ?? (state.planning == .none && programs?.runsOnCaller == true)
        let limits = state.takeLimits(runOptions)
        defer { state.giveLimits(limits) }
        // Nothing that the closure changes is declared outside it: such a variable would be allocated in each run.
        let environment = self.environment(limits, isAlone: isAlone)
        try environment.check()
        try state.perform(environment, onCaller: isAlone) {
            guard let cached = try found ?? plan(for: inputs) else {
                let isDone = try programs?.run { program in
                    try program.run(
                        inputs, into: outputs, isProfiled: runOptions.isProfiled, environment: environment)
                    return true
                }
                if isDone == true {
                    if runOptions.isProfiled { state.lastProfile = programs?.lastProfile }
                    return
                }
                return try interpret(inputs, into: outputs, environment)
            }
            if fixed == nil { try check(inputs, outputs, cached.plan) }
            let environment =
                isAlone || cached.plan.threads > 1 ? environment : self.environment(limits, isAlone: true)
            let context = try state.take(cached, environment)
            defer { state.give(context, to: cached) }
            let start = runOptions.isProfiled ? MonotonicClock.now : 0
            try context.run(inputs, outputs, isProfiled: runOptions.isProfiled, environment: environment)
            if runOptions.isProfiled {
                state.lastProfile = RunProfile(
                    steps: cached.plan.descriptions,
                    nanoseconds: (0..<cached.plan.descriptions.count).map { context.timings[$0] },
                    totalNanoseconds: MonotonicClock.now &- start)
            }
        }
    }

    /// Runs and gives new tensors: for outputs whose sizes are not known before.
    public func run(
        inputs: UnsafeBufferPointer<TensorView>, options runOptions: RunOptions = RunOptions()
    ) throws -> [Constant] {
        try TensorCheck.count(inputs.count, signature.inputs, "input")
        let limits = state.takeLimits(runOptions)
        defer { state.giveLimits(limits) }
        let environment = self.environment(limits, isAlone: false)
        let specs =
            try foundPlan(for: inputs)?.plan.outputs
            ?? (state.planning == .none
                ? nil : state.perform(environment) { try plan(for: inputs)?.plan.outputs })
        guard let specs else {
            let isAlone = programs?.runsOnCaller == true
            let environment = self.environment(limits, isAlone: isAlone)
            return try state.perform(environment, onCaller: isAlone) {
                let results = try programs?.run {
                    try $0.run(inputs, isProfiled: runOptions.isProfiled, environment: environment)
                }
                if runOptions.isProfiled { state.lastProfile = programs?.lastProfile }
                return try results ?? interpret(inputs, environment)
            }
        }
        let memory = try specs.map { try AlignedBytes($0.byteCount) }
        let shapes = specs.map { $0.shape.map { Int64($0) } }
        var views: [TensorView] = []
        for (index, spec) in specs.enumerated() {
            views.append(
                TensorView(dtype: spec.dtype, data: memory[index].base, rank: spec.shape.count, shape: nil))
        }
        try withShapes(shapes, &views) { try run(inputs: inputs, outputs: $0, options: runOptions) }
        return try zip(memory, specs).map { memory, spec in
            try Constant(
                dtype: spec.dtype, shape: spec.shape.map { Int64($0) },
                borrowing: UnsafeRawBufferPointer(start: memory.base, count: spec.byteCount), owner: memory)
        }
    }

    /// Runs on constants.
    public func run(_ inputs: [Constant], options runOptions: RunOptions = RunOptions()) throws -> [Constant] {
        var views: [TensorView] = inputs.map { input in
            TensorView(
                dtype: input.dtype, data: UnsafeMutableRawPointer(mutating: input.bytes.baseAddress),
                rank: input.shape.count, shape: nil)
        }
        return try withExtendedLifetime(inputs) {
            try withShapes(inputs.map(\.shape), &views) { try run(inputs: $0, options: runOptions) }
        }
    }

    private func withShapes<T>(
        _ shapes: [[Int64]], _ views: inout [TensorView], _ body: (UnsafeBufferPointer<TensorView>) throws -> T
    ) throws -> T {
        let sizes = shapes.flatMap { $0 }
        return try (sizes + [0]).withUnsafeBufferPointer { pointer in
            var offset = 0
            for index in views.indices {
                views[index].shape = pointer.baseAddress.map { $0 + offset }
                offset += shapes[index].count
            }
            return try views.withUnsafeBufferPointer(body)
        }
    }

    private func environment(_ limits: WorkLimits?, isAlone: Bool) -> RunEnvironment {
        let parallel = Parallel.openMP(threads: options.threads)
        return RunEnvironment(parallel: isAlone ? parallel.serially : parallel, limits: limits)
    }

    private func check(
        _ inputs: UnsafeBufferPointer<TensorView>, _ outputs: UnsafeBufferPointer<TensorView>, _ plan: Plan
    ) throws {
        for index in inputs.indices {
            try TensorCheck.input(inputs[index], plan.inputs[index], signature.inputs[index])
        }
        for index in outputs.indices {
            try TensorCheck.output(outputs[index], plan.outputs[index], signature.outputs[index])
        }
        try TensorCheck.disjoint(outputs, plan.outputs, signature.outputs)
    }

    // MARK: - Shapes

    private static func fits(_ inputs: UnsafeBufferPointer<TensorView>, _ plan: Plan) -> Bool {
        for index in inputs.indices where !TensorCheck.fits(inputs[index], plan.inputs[index]) { return false }
        return KnownInputs.fit(inputs, plan)
    }

    /// The plan for inputs of these types where it is made.
    private func foundPlan(for inputs: UnsafeBufferPointer<TensorView>) -> CachedPlan? {
        fixed ?? (state.planning == .none ? nil : state.plan { Executable.fits(inputs, $0) })
    }

    /// The plan for inputs of these types, or nil when there is none because shapes depend on the data.
    private func plan(for inputs: UnsafeBufferPointer<TensorView>) throws -> CachedPlan? {
        if let found = foundPlan(for: inputs) { return found }
        if state.planning == .none { return nil }
        func fits(_ plan: Plan) -> Bool { Executable.fits(inputs, plan) }
        let specs = try specs(of: inputs)
        if state.planning == .shapes {
            do {
                return try plan(for: specs, knowing: [:], fits)
            } catch is DependsOnData {
                state.planning = .values
            }
        }
        // Without data (to prepare shapes) nothing can be said.
        guard let known = try KnownInputs.values(inputs, specs, signature.inputs) else { return nil }
        guard !known.isEmpty, state.valuePlans.add(1, ordering: .relaxed).newValue <= KnownInputs.planLimit else {
            state.planning = .none
            return nil
        }
        do {
            return try plan(for: specs, knowing: known, fits)
        } catch is DependsOnData {
            state.planning = .none
            return nil
        }
    }

    private func plan(
        for specs: [TensorSpec], knowing known: [Int: Constant], _ fits: (Plan) -> Bool
    ) throws -> CachedPlan {
        guard let module, let main = module.main else { throw TenonError(.internal, "the module is gone") }
        return try state.plan(where: fits) {
            try Executable.plan(options) {
                try PlanBuilder.plan(module, main, inputs: specs, knowing: known, backends: backends, options: $0)
            }
        }
    }

    /// What it costs to hand a run to a runner's thread and to wake its caller again.
    private static let handover = 40_000.0

    /// The plan that is expected to be ready first: of little work the caller's thread makes an end before others wake up.
    private static func plan(_ options: CompileOptions, _ make: (CompileOptions) throws -> Plan) throws -> Plan {
        let shared = try make(options)
        // With the best of luck one thread takes as many times as long as there are threads.
        guard options.threads > 1,
            shared.expectedNanoseconds < handover * Double(options.threads) / Double(options.threads - 1) * 4
        else { return shared }
        var few = options
        few.threads = 1
        few.progress = nil
        let alone = try make(few)
        return alone.expectedNanoseconds <= shared.expectedNanoseconds + handover ? alone : shared
    }

    private func specs(of inputs: UnsafeBufferPointer<TensorView>) throws -> [TensorSpec] {
        try TensorCheck.specs(inputs, signature.inputs)
    }

    /// What a run of given sizes needs, as far as it is known before the run.
    public struct RunNeeds: Sendable {
        /// Intermediates and scratch; packed weights are not among them.
        public var bytes = 0
        /// Whether nothing is left to come that depends on the data.
        public var isComplete = false
        /// The types of the outputs; nil where they depend on the data.
        public var outputs: [TensorSpec]?
    }

    /// Makes the plan for inputs of these shapes now, and keeps it when others are dropped from the cache.
    @discardableResult
    public func prepare(_ shapes: [[Int64]]) throws -> RunNeeds {
        guard shapes.count == signature.inputs.count else {
            throw TenonError(
                .invalidArgument, "expected shapes of \(signature.inputs.count) inputs, found \(shapes.count)")
        }
        var views: [TensorView] = []
        for (shape, port) in zip(shapes, signature.inputs) {
            views.append(TensorView(dtype: port.type.dtype ?? .float32, data: nil, rank: shape.count, shape: nil))
        }
        return try withShapes(shapes, &views) { views in
            if let fixed {
                for index in views.indices where !TensorCheck.fits(views[index], fixed.plan.inputs[index]) {
                    let port = signature.inputs[index]
                    throw TensorCheck.error(
                        .invalidShape, port, "input", "expects \(port.type), found \(views[index].text)")
                }
                return fixed.plan.needs
            }
            return try state.perform(.current) {
                guard let cached = try plan(for: views) else {
                    guard state.planning == .none else { return RunNeeds() }
                    return try programs?.run { try $0.prepare(views) } ?? RunNeeds()
                }
                state.pin(cached)
                return cached.plan.needs
            }
        }
    }

    // MARK: - Interpreting

    private func interpret(
        _ inputs: UnsafeBufferPointer<TensorView>, _ environment: RunEnvironment
    ) throws -> [Constant] {
        guard let module else { throw TenonError(.internal, "the module is gone") }
        let specs = try specs(of: inputs)
        var constants: [Constant] = []
        for (index, spec) in specs.enumerated() {
            try TensorCheck.input(inputs[index], spec, signature.inputs[index])
            let memory = try AlignedBytes(spec.byteCount)
            inputs[index].pack(to: memory.base, environment.limits)
            try environment.limits?.checkCut()
            constants.append(
                try Constant(
                    dtype: spec.dtype, shape: spec.shape.map { Int64($0) },
                    borrowing: UnsafeRawBufferPointer(start: memory.base, count: spec.byteCount), owner: memory))
        }
        return try Interpreter(module: module, environment: environment).run(constants)
    }

    private func interpret(
        _ inputs: UnsafeBufferPointer<TensorView>, into outputs: UnsafeBufferPointer<TensorView>,
        _ environment: RunEnvironment
    ) throws {
        let results = try interpret(inputs, environment)
        for (index, result) in results.enumerated() where outputs.indices.contains(index) {
            let spec = TensorSpec(result.dtype, result.shape.map { Int($0) })
            try TensorCheck.output(outputs[index], spec, signature.outputs[index])
        }
        for (index, result) in results.enumerated() where outputs.indices.contains(index) {
            if let target = outputs[index].data, let source = result.bytes.baseAddress {
                target.copyMemory(from: source, byteCount: result.bytes.count)
            }
        }
    }

    // MARK: - Reports

    /// What the cached plans need; for symbolic shapes nothing is known before the first plan.
    public var memory: MemoryStatement {
        var statement = MemoryStatement()
        let plans = state.cachedPlans
        statement.packedWeights = PackedWeightSum.bytes(plans.map(\.packedWeights))
        for plan in plans {
            statement.constants = max(statement.constants, plan.constantBytes)
            statement.arena = max(statement.arena, plan.arenaBytes)
            statement.scratch = max(statement.scratch, plan.scratchBytes)
        }
        programs?.add(to: &statement)
        statement.inUse = state.account.bytes
        statement.peak = state.account.budget.peak
        return statement
    }

    /// What runs, step by step, in the plan used last; empty when there is none yet.
    public var steps: [StepDescription] { state.cachedPlans.first?.descriptions ?? programs?.steps ?? [] }

    /// Threads of the cached plans, the one used last first: 1 where the caller's thread does the work alone.
    package var planThreads: [Int] { state.cachedPlans.map(\.threads) }

    /// A number for the plan used last: equal for equal steps, implementations, layouts, threads and backends; 0 when there is
    /// no plan yet.
    public var digest: UInt64 {
        guard !state.cachedPlans.isEmpty || programs?.steps.isEmpty == false else { return 0 }
        return PlanDigest(steps, threads: options.threads, backends: Array(backends.values)).value
    }

    /// Times of the last run with `isProfiled`.
    public var lastProfile: RunProfile? { state.lastProfile }

    /// The last profile, or what would run, without times.
    public var profile: RunProfile {
        lastProfile ?? RunProfile(steps: steps, nanoseconds: [], totalNanoseconds: 0)
    }

    /// Gives memory back that no run uses now: idle arenas and plans of shapes that `prepare` did not ask for.
    public func trim() {
        state.trim()
        programs?.trim()
    }
}

extension Plan {
    fileprivate var needs: Executable.RunNeeds {
        Executable.RunNeeds(bytes: arenaBytes, isComplete: true, outputs: outputs)
    }
}
