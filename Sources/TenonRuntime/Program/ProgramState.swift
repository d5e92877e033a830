import TenonIR

/// What runs of a program share: stages made ready for sizes, and contexts that wait for their next run.
final class ProgramState: ForkParticipant, @unchecked Sendable {
    let program: Program
    let account: MemoryAccount
    private let module: Module
    private let backends: [String: any Backend]
    private let options: CompileOptions
    /// Roots that lie in the caller's memory, and the output that each is.
    let direct: [Int: Int]
    private let directRoots: Set<Int>
    private let lock = Lock()
    /// Held while a stage is made, so that callers who meet the same new sizes make it once.
    private let compileLock = Lock()
    /// By stage, most recently used first.
    private var plans: [[HeldPlan]]
    private var idle: [ProgramContext] = []
    private var profile: RunProfile?
    private var lateTimes: [(StepDescription, UInt64)] = []

    init(
        _ program: Program, module: Module, backends: [String: any Backend], options: CompileOptions,
        account: MemoryAccount
    ) {
        self.program = program
        self.module = module
        self.backends = backends
        self.options = options
        self.account = account
        plans = [[HeldPlan]](repeating: [], count: program.stages.count)
        var direct: [Int: Int] = [:]
        let main = Set(program.blocks[Program.main].stages)
        for (index, tensor) in program.outputs.enumerated() where program.outputDims[index] != nil {
            let root = program.tensors[tensor].root
            guard case .node(let stage) = program.roots[root], main.contains(stage), direct[root] == nil else {
                continue
            }
            direct[root] = index
        }
        self.direct = direct
        directRoots = Set(direct.keys)
    }

    // MARK: - Fork

    func lockForFork() { lock.lock() }

    func unlockAfterFork() { lock.unlock() }

    func resetInChild() {
        lock.reinitialise()
        compileLock.reinitialise()
    }

    // MARK: - Stages

    /// The plan of a stage for the sizes in the table, made when it is not there.
    func plan(_ stage: Int, _ table: UnsafePointer<Int64>, threads: Int) throws -> StagePlan {
        if let found = found(stage, table, threads) { return found }
        return try compileLock.locked {
            if let found = found(stage, table, threads) { return found }
            var options = options
            options.threads = threads
            options.progress = nil
            let plan = try StageBinder.bind(
                stage, program, table, module: module, backends: backends, options: options, outputs: directRoots,
                previous: lock.locked { plans[stage].first?.plan })
            guard let entry = HeldPlan(plan, account) else {
                throw TenonError(
                    .limitExceeded,
                    """
                    main: \(plan.packedWeights.bytes) more bytes of packed weights exceed the limit while \
                    \(account.bytes) are in use
                    """)
            }
            let most = max(1, options.cachedShapes) * (plan.regions.isEmpty ? 4 : 1)
            // Objects die outside the lock.
            let dropped: [HeldPlan] = lock.locked {
                plans[stage].insert(entry, at: 0)
                let rest = plans[stage].dropFirst(most)
                plans[stage].removeLast(rest.count)
                return Array(rest)
            }
            _ = dropped
            return plan
        }
    }

    /// A plan of the same sizes for one context, with room for larger ones; nil where it cannot move to other sizes.
    func movable(_ stage: Int, _ plan: StagePlan, _ table: UnsafePointer<Int64>) throws -> HeldPlan? {
        guard plan.regions.isEmpty else { return nil }
        var options = options
        options.threads = plan.threads
        let own = try StageBinder.bind(
            stage, program, table, module: module, backends: backends, options: options, outputs: directRoots,
            previous: plan, hasRoom: true)
        return HeldPlan(own, account)
    }

    var providers: [any KernelProvider] { options.askedProviders }

    private func found(_ stage: Int, _ table: UnsafePointer<Int64>, _ threads: Int) -> StagePlan? {
        let slots = program.stages[stage].slots
        return lock.locked {
            for index in plans[stage].indices where plans[stage][index].plan.fits(slots, table, threads: threads) {
                let found = plans[stage][index]
                if index > 0 {
                    plans[stage].remove(at: index)
                    plans[stage].insert(found, at: 0)
                }
                return found.plan
            }
            return nil
        }
    }

    // MARK: - Contexts

    func take() -> ProgramContext { lock.locked { idle.popLast() } ?? ProgramContext(self) }

    func give(_ context: ProgramContext) {
        context.clear()
        lock.locked { idle.append(context) }
    }

    /// Gives idle memory back.
    func trim() {
        let dropped = lock.locked {
            let before = (idle, plans)
            idle = []
            plans = plans.map { Array($0.prefix(1)) }
            return before
        }
        _ = dropped
    }

    // MARK: - Reports

    /// Plans of the stages, those used last.
    var currentPlans: [StagePlan] { lock.locked { plans.compactMap { $0.first?.plan } } }

    var allPlans: [StagePlan] { lock.locked { plans.flatMap { $0.map(\.plan) } } }

    func note(_ late: Program.Late, _ nanoseconds: UInt64) {
        lock.locked {
            let description = StepDescription(
                binding: late.name, composite: late.composite, implementation: "tenon:\(late.operation.op.name)")
            if let index = lateTimes.firstIndex(where: { $0.0 == description }) {
                lateTimes[index].1 &+= nanoseconds
            } else {
                lateTimes.append((description, nanoseconds))
            }
        }
    }

    func setProfile(_ context: ProgramContext, total: UInt64) {
        lock.locked {
            var steps: [StepDescription] = []
            var times: [UInt64] = []
            for stage in context.profiled {
                stage.isListed = false
                for (index, step) in stage.plan.descriptions.enumerated() {
                    steps.append(step)
                    times.append(stage.timings[index])
                }
            }
            for (step, time) in lateTimes {
                steps.append(step)
                times.append(time)
            }
            lateTimes = []
            context.profiled = []
            profile = RunProfile(steps: steps, nanoseconds: times, totalNanoseconds: total)
        }
    }

    var lastProfile: RunProfile? { lock.locked { profile } }
}
