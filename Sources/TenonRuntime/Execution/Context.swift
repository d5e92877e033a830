import TenonIR

/// Bytes that an executable holds: packed weights of its plans and arenas of its contexts.
final class MemoryAccount: @unchecked Sendable {
    let budget: MemoryBudget
    /// How many plans hold shared weights.
    private var holders: [ObjectIdentifier: Int] = [:]
    /// Guards `holders`; held around a fork too.
    let lock = Lock()

    init(limit: Int?) { budget = MemoryBudget(limit: limit) }

    var limit: Int? { budget.limit }
    var bytes: Int { budget.bytes }

    /// False, with nothing reserved, when the limit would be passed.
    func reserve(_ bytes: Int) -> Bool { budget.reserve(bytes) }

    /// The packed weights of one more plan; those that another plan of the executable holds cost nothing.
    func reserve(_ weights: PackedWeightSum) -> Bool {
        lock.locked {
            let added = weights.shared.reduce(weights.own) { holders[$1.key] == nil ? $0 &+ $1.value : $0 }
            guard reserve(added) else { return false }
            for key in weights.shared.keys { holders[key, default: 0] += 1 }
            return true
        }
    }

    func release(_ weights: PackedWeightSum) {
        lock.locked {
            var freed = weights.own
            for (key, bytes) in weights.shared {
                if let count = holders[key], count > 1 {
                    holders[key] = count - 1
                } else {
                    holders[key] = nil
                    freed = freed &+ bytes
                }
            }
            release(freed)
        }
    }

    func release(_ bytes: Int) { budget.release(bytes) }
}

/// One run's memory: the arena, the plan bound to it, and the pointers of the caller's tensors. Kept for the next run.
final class Context {
    let plan: Plan
    private let arena: AlignedBytes
    private let instance: PlanInstance
    private let account: MemoryAccount
    private let inputs: UnsafeMutablePointer<UnsafeRawPointer>
    private let outputs: UnsafeMutablePointer<UnsafeMutableRawPointer>
    /// Dense copies of inputs that came strided, misaligned or overlapping an output; made when first needed.
    private var packed: [AlignedBytes?]
    private var packedBytes = 0
    let timings: UnsafeMutablePointer<UInt64>

    /// The arena's bytes have been reserved in `account` and are released with the context.
    init(_ plan: Plan, account: MemoryAccount) throws {
        do {
            arena = try AlignedBytes(plan.arenaBytes)
            instance = try PlanInstance(plan, arena: arena.base)
        } catch {
            account.release(plan.arenaBytes)
            throw error
        }
        self.plan = plan
        self.account = account
        packed = [AlignedBytes?](repeating: nil, count: plan.inputs.count)
        // Never zero: the address must exist.
        inputs = .allocate(capacity: plan.inputs.count + 1)
        inputs.initialize(repeating: UnsafeRawPointer(PlanInstance.empty), count: plan.inputs.count + 1)
        outputs = .allocate(capacity: plan.outputs.count + 1)
        outputs.initialize(repeating: PlanInstance.empty, count: plan.outputs.count + 1)
        timings = .allocate(capacity: plan.descriptions.count + 1)
        timings.initialize(repeating: 0, count: plan.descriptions.count + 1)
    }

    deinit {
        inputs.deallocate()
        outputs.deallocate()
        timings.deallocate()
        account.release(plan.arenaBytes &+ packedBytes)
    }

    /// Runs the plan on tensors that have been checked against it.
    func run(
        _ inputViews: UnsafeBufferPointer<TensorView>, _ outputViews: UnsafeBufferPointer<TensorView>,
        isProfiled: Bool, environment: borrowing RunEnvironment
    ) throws {
        for (index, view) in outputViews.enumerated() { outputs[index] = view.data ?? PlanInstance.empty }
        for (index, view) in inputViews.enumerated() {
            guard let data = view.data, plan.inputs[index].byteCount > 0 else { continue }
            if view.isDense, view.isAligned, !overlapsOutput(data, plan.inputs[index].byteCount, outputViews) {
                inputs[index] = UnsafeRawPointer(data)
            } else {
                inputs[index] = try pack(view, index, environment.limits)
            }
        }
        try instance.run(
            inputs: inputs, outputs: outputs, timings: isProfiled ? timings : nil, environment: environment)
    }

    private func overlapsOutput(
        _ data: UnsafeMutableRawPointer, _ bytes: Int, _ outputViews: UnsafeBufferPointer<TensorView>
    ) -> Bool {
        for (index, output) in outputViews.enumerated() {
            guard let other = output.data else { continue }
            if other < data + bytes, data < other + plan.outputs[index].byteCount { return true }
        }
        return false
    }

    private func pack(_ view: TensorView, _ index: Int, _ limits: WorkLimits?) throws -> UnsafeRawPointer {
        let bytes = plan.inputs[index].byteCount
        if packed[index] == nil {
            guard account.reserve(bytes) else {
                throw TenonError(
                    .limitExceeded,
                    "input #\(index) is not dense and its copy of \(bytes) bytes exceeds the memory limit")
            }
            do {
                packed[index] = try AlignedBytes(bytes)
            } catch {
                account.release(bytes)
                throw error
            }
            packedBytes += bytes
        }
        guard let memory = packed[index] else { throw TenonError(.internal, "no memory for input #\(index)") }
        view.pack(to: memory.base, limits)
        try limits?.checkCut()
        return UnsafeRawPointer(memory.base)
    }
}
