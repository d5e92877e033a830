import TenonIR

/// The program of a module, made when it is first needed. When a backend refuses a region, it is made again without it.
final class ProgramBox: ForkParticipant, @unchecked Sendable {
    private let module: Module
    private let signature: Signature
    private let backends: [String: any Backend]
    private let options: CompileOptions
    private let account: MemoryAccount
    private let lock = Lock()
    /// Held while a program is made.
    private let buildLock = Lock()
    private var runner: ProgramRunner?
    private var refused: Set<String> = []
    private var cannotLower = false

    init(
        _ module: Module, _ signature: Signature, backends: [String: any Backend], options: CompileOptions,
        account: MemoryAccount
    ) {
        self.module = module
        self.signature = signature
        self.backends = backends
        self.options = options
        self.account = account
    }

    /// Per backend, whether its regions may be written out.
    static func allowances(_ backends: [String: any Backend]) -> [String: Bool] {
        backends.mapValues(\.allowsPartition)
    }

    var runsOnCaller: Bool { lock.locked { runner }?.runsOnCaller ?? (options.threads == 1) }

    /// Whether the module can be said as a program; makes it.
    var isAvailable: Bool { (try? program()) ?? nil != nil }

    /// Runs `body` with the program; nil when there is none and the interpreter has to run.
    func run<T>(_ body: (ProgramRunner) throws -> T) throws -> T? {
        while true {
            guard let runner = try program() else { return nil }
            do {
                return try body(runner)
            } catch let error as RegionRefused {
                lock.locked {
                    refused.insert(error.name)
                    self.runner = nil
                }
            }
        }
    }

    private func program() throws -> ProgramRunner? {
        if let runner = lock.locked({ runner }) { return runner }
        return try buildLock.locked {
            lock.lock()
            let (known, without, isOver) = (runner, refused, cannotLower)
            lock.unlock()
            if let known { return known }
            if isOver { return nil }
            do {
                let program = try ProgramBuilder.build(
                    module, backends: ProgramBox.allowances(backends), refused: without, options: options)
                let made = ProgramRunner(
                    ProgramState(program, module: module, backends: backends, options: options, account: account),
                    signature, options)
                lock.locked { runner = made }
                return made
            } catch is CannotLower {
                lock.locked { cannotLower = true }
                return nil
            }
        }
    }

    // MARK: - Fork

    func lockForFork() { lock.lock() }

    func unlockAfterFork() { lock.unlock() }

    func resetInChild() {
        lock.reinitialise()
        buildLock.reinitialise()
    }

    // MARK: - Reports

    private var state: ProgramState? { lock.locked { runner }?.state }

    var steps: [StepDescription] { state?.currentPlans.flatMap(\.descriptions) ?? [] }

    var lastProfile: RunProfile? { state?.lastProfile }

    func trim() { state?.trim() }

    func add(to statement: inout MemoryStatement) {
        guard let state else { return }
        let plans = state.allPlans
        statement.packedWeights += PackedWeightSum.bytes(plans.map(\.packedWeights))
        statement.constants += state.program.constants.reduce(0) { $0 &+ $1.bytes.count }
        statement.arena += state.currentPlans.reduce(0) { $0 &+ $1.bytes }
        statement.scratch = plans.reduce(statement.scratch) { max($0, $1.scratchBytes) }
    }
}
