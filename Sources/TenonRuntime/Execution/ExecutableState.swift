import CParallel
import Synchronization
import TenonIR

/// A plan in the cache, with the contexts that wait for their next run. Guarded by the state's lock.
final class CachedPlan: @unchecked Sendable {
    let plan: Plan
    private let account: MemoryAccount
    var idle: [Context] = []
    /// Asked for by `prepare`: stays when others are dropped.
    var isPinned = false

    /// The packed weights have been reserved in `account` and are released with this object.
    init(_ plan: Plan, account: MemoryAccount) {
        self.plan = plan
        self.account = account
    }

    deinit { account.release(plan.packedWeights) }
}

/// What changes in an executable: the permits of concurrent runs, idle runners, and plans with their contexts.
final class ExecutableState: ForkParticipant, @unchecked Sendable {
    let account: MemoryAccount
    private let threads: Int
    private let flushesDenormals: Bool
    private let spin: Spin
    private let limit: Int
    /// The same for runs on callers' threads.
    private let callerLimit: Int
    private let cachedShapes: Int
    private let cachedBytes: Int
    private let lock = Lock()
    private var idleLimits: [WorkLimits] = []
    /// Held while a plan is compiled, so that callers who meet the same new shape compile it once.
    private let compileLock = Lock()
    private var inFlight = 0
    private var waitingForMemory = 0
    private var idleRunners: [Runner] = []
    /// Most recently used first.
    private var plans: [CachedPlan] = []
    private var profile: RunProfile?
    /// The raw value of a `Planning`; only rises.
    private let stage = Atomic<Int>(Planning.shapes.rawValue)
    /// How many plans were made for values of inputs.
    let valuePlans = Atomic<Int>(0)

    var planning: Planning {
        get { Planning(rawValue: stage.load(ordering: .acquiring)) ?? .none }
        set { stage.max(newValue.rawValue, ordering: .acquiringAndReleasing) }
    }

    init(_ options: CompileOptions) {
        account = MemoryAccount(limit: options.memoryLimit)
        threads = options.threads
        flushesDenormals = options.flushesDenormals
        spin = options.spin
        limit = max(1, options.concurrentRuns ?? (CPUCount.usable + options.threads - 1) / options.threads)
        callerLimit = max(1, options.concurrentRuns ?? CPUCount.usable)
        cachedShapes = max(1, options.cachedShapes)
        cachedBytes = options.cachedBytes ?? Int.max
    }

    // MARK: - Fork

    /// Limits of a run, in an object that an earlier run has left where there is one.
    func takeLimits(_ options: RunOptions) -> WorkLimits? {
        if options.cancel == nil, options.deadline == nil { return nil }
        guard let idle = lock.locked({ idleLimits.popLast() }) else {
            return WorkLimits.make(cancel: options.cancel, deadline: options.deadline)
        }
        idle.renew(cancel: options.cancel, deadline: options.deadline)
        return idle
    }

    /// Keeps the object for the next run: nothing works on when a run has returned.
    func giveLimits(_ limits: WorkLimits?) {
        guard let limits else { return }
        limits.renew(cancel: nil, deadline: nil)
        lock.locked { if idleLimits.count < 16 { idleLimits.append(limits) } }
    }

    func lockForFork() {
        lock.lock()
        account.lock.lock()
    }

    func unlockAfterFork() {
        account.lock.unlock()
        lock.unlock()
    }

    func resetInChild() {
        lock.reinitialise()
        account.lock.reinitialise()
        compileLock.reinitialise()
        // Runs of other threads do not exist here; their contexts are lost to this process.
        inFlight = 0
        waitingForMemory = 0
        idleRunners.removeAll()
    }

    // MARK: - Permits

    /// Waits until one more run may start, and runs `body`: on a runner's thread, or here when runs have one thread.
    func perform<T>(
        _ environment: RunEnvironment, onCaller: Bool = false, _ body: () throws -> T
    ) throws -> T {
        let isAlone = onCaller || threads == 1
        var runner = try enter(environment, isAlone: isAlone)
        defer { leave(runner) }
        return try Work.with(environment.limits) {
            if isAlone {
                return try CallerRuns.perform(flushesDenormals: flushesDenormals) {
                    try Work.with(memory: account.budget, body)
                }
            }
            let given = try runner ?? Runner(threads: threads, flushesDenormals: flushesDenormals, spin: spin)
            runner = given
            return try given.perform { try Work.with(memory: account.budget, body) }
        }
    }

    private func enter(_ environment: RunEnvironment, isAlone: Bool) throws -> Runner? {
        lock.lock()
        defer { lock.unlock() }
        let limit = isAlone ? callerLimit : limit
        // A run that a callback starts inside another one would wait for itself.
        while inFlight >= limit && tenon_parallel_is_inside() == 0 {
            try environment.check()
            // A token does not wake anybody, so look at it now and then.
            if environment.cancel != nil || environment.deadline != nil {
                lock.wait(until: min(MonotonicClock.now + 2_000_000, environment.deadline ?? .max))
            } else {
                lock.wait()
            }
        }
        inFlight += 1
        return isAlone ? nil : idleRunners.popLast()
    }

    private func leave(_ runner: Runner?) {
        lock.locked {
            // The fork of a callback may have reset the count.
            inFlight = max(0, inFlight - 1)
            if let runner, runner.generation == ForkGuard.generation.load(ordering: .acquiring) {
                idleRunners.append(runner)
            }
            waitingForMemory > 0 ? lock.wakeAll() : lock.wakeOne()
        }
    }

    // MARK: - Plans

    /// The cached plan whose inputs have these types, moved to the front.
    func plan(where fits: (Plan) -> Bool) -> CachedPlan? {
        lock.locked {
            for index in plans.indices where fits(plans[index].plan) {
                let found = plans[index]
                if index > 0 {
                    plans.remove(at: index)
                    plans.insert(found, at: 0)
                }
                return found
            }
            return nil
        }
    }

    /// The plan with these inputs, compiled when it is not there.
    func plan(where fits: (Plan) -> Bool, compile: () throws -> Plan) throws -> CachedPlan {
        if let found = plan(where: fits) { return found }
        return try compileLock.locked {
            if let found = plan(where: fits) { return found }
            let plan = try compile()
            try require(plan)
            let cached = CachedPlan(plan, account: account)
            // Objects die outside the lock.
            let dropped: [CachedPlan] = lock.locked {
                plans.insert(cached, at: 0)
                return evict()
            }
            _ = dropped
            return cached
        }
    }

    /// Reserves the packed weights of a plan that, together with one arena, fits the limit.
    private func require(_ plan: Plan) throws {
        let (total, overflow) = plan.packedWeightBytes.addingReportingOverflow(plan.arenaBytes)
        if let limit = account.limit, overflow || total > limit {
            throw TenonError(
                .limitExceeded,
                """
                main: needs \(plan.packedWeightBytes) bytes of packed weights and \(plan.arenaBytes) of arena, \
                the limit is \(limit)
                """)
        }
        if account.reserve(plan.packedWeights) { return }
        trim(keepingPinned: false)
        guard account.reserve(plan.packedWeights) else {
            throw TenonError(
                .limitExceeded,
                "main: \(plan.packedWeightBytes) more bytes of packed weights exceed the limit while \(account.bytes) are in use"
            )
        }
    }

    private func evict() -> [CachedPlan] {
        var dropped: [CachedPlan] = []
        // Packed weights, which plans may share, and one arena each.
        func total() -> Int {
            plans.reduce(PackedWeightSum.bytes(plans.map(\.plan.packedWeights))) { $0 &+ $1.plan.arenaBytes }
        }
        while plans.count > 1, plans.count > cachedShapes || total() > cachedBytes {
            // The oldest that nobody asked to keep; the newest stays in any case.
            let index = plans.indices.last { !plans[$0].isPinned && $0 > 0 } ?? plans.count - 1
            dropped.append(plans.remove(at: index))
        }
        return dropped
    }

    func pin(_ cached: CachedPlan) { lock.locked { cached.isPinned = true } }

    var cachedPlans: [Plan] { lock.locked { plans.map(\.plan) } }

    /// Gives idle arenas back, and plans of shapes that are not pinned; all plans but the newest with `keepingPinned` false.
    func trim(keepingPinned: Bool = true) {
        // Objects die outside the lock.
        let dropped = lock.locked {
            let before = plans
            let contexts = plans.map { cached in
                defer { cached.idle = [] }
                return cached.idle
            }
            plans = before.enumerated().filter { $0.offset == 0 || (keepingPinned && $0.element.isPinned) }.map(
                \.element)
            return (before, contexts)
        }
        _ = dropped
    }

    // MARK: - Contexts

    func take(_ cached: CachedPlan, _ environment: RunEnvironment) throws -> Context {
        if let context = lock.locked({ cached.idle.popLast() }) { return context }
        let bytes = cached.plan.arenaBytes
        if !account.reserve(bytes) { try waitForMemory(bytes, cached, environment) }
        return try Context(cached.plan, account: account)
    }

    /// Reserves an arena by dropping what is idle, then by waiting for other runs.
    private func waitForMemory(_ bytes: Int, _ cached: CachedPlan, _ environment: RunEnvironment) throws {
        lock.locked { waitingForMemory += 1 }
        defer { lock.locked { waitingForMemory = max(0, waitingForMemory - 1) } }
        var wasLast = false
        while true {
            trim(keepingPinned: true)
            if account.reserve(bytes) { return }
            trim(keepingPinned: false)
            if account.reserve(bytes) { return }
            try environment.check()
            let isLast = lock.locked {
                if waitingForMemory >= inFlight { return true }
                lock.wait(until: MonotonicClock.now + 2_000_000)
                return false
            }
            // The last of the others may have given its arena back since it was looked for.
            if isLast, wasLast {
                throw TenonError(
                    .limitExceeded,
                    "main: an arena of \(bytes) bytes exceeds the limit while \(account.bytes) bytes are in use")
            }
            wasLast = isLast
        }
    }

    func give(_ context: Context, to cached: CachedPlan) {
        lock.locked { cached.idle.append(context) }
    }

    // MARK: - Profile

    var lastProfile: RunProfile? {
        get { lock.locked { profile } }
        set { lock.locked { profile = newValue } }
    }
}
