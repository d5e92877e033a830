import TenonIR

/// Where an argument of a step lies.
enum ArgumentPlace: Hashable {
    case arena(offset: Int)
    case constant(UnsafeRawPointer)
    case input(Int)
    case output(Int)
    /// A tensor without elements; never read.
    case empty
}

/// What one step does.
enum StepWork: Sendable {
    /// Indices into the plan's kernels and regions.
    case kernel(Int)
    case region(Int)
    /// Copies so many bytes.
    case copy(Int)
}

/// One step of a plan. Positions point into the plan's argument table.
struct PlanStep: Sendable {
    var work: StepWork
    var inputs: Int
    var outputs: Int
    /// Offset of scratch memory or of a region's workspace in the arena.
    var workspace: Int
    /// The first of this step's descriptions.
    var description: Int
    /// The binding, for errors.
    var node: String
}

/// A function made ready for one set of shapes: steps over memory planned in advance. Immutable, shared by threads.
final class Plan: @unchecked Sendable {
    let inputs: [TensorSpec]
    let outputs: [TensorSpec]
    let steps: [PlanStep]
    /// Arguments of all steps, one after the other.
    let arguments: [ArgumentPlace]
    let kernels: [PreparedKernel]
    let regions: [any CompiledRegion]
    let descriptions: [StepDescription]
    let arenaBytes: Int
    /// The part of the arena that a step needs for itself at most: scratch of a kernel, workspace of a region.
    let scratchBytes: Int
    let packedWeights: PackedWeightSum
    /// Of a run; 1 for what the caller's thread does alone.
    let threads: Int
    /// Roughly how long a run takes.
    let expectedNanoseconds: Double
    /// Constants that steps read, kept alive.
    let constants: [Constant]
    /// Inputs by position whose values the plan was made for.
    let known: [(index: Int, value: Constant)]

    init(
        inputs: [TensorSpec], outputs: [TensorSpec], steps: [PlanStep], arguments: [ArgumentPlace],
        kernels: [PreparedKernel], regions: [any CompiledRegion], descriptions: [StepDescription], arenaBytes: Int,
        scratchBytes: Int,
        constants: [Constant], threads: Int = 1, expectedNanoseconds: Double = .infinity,
        known: [(index: Int, value: Constant)] = []
    ) {
        self.known = known
        self.threads = threads
        self.expectedNanoseconds = expectedNanoseconds
        self.inputs = inputs
        self.outputs = outputs
        self.steps = steps
        self.arguments = arguments
        self.kernels = kernels
        self.regions = regions
        self.descriptions = descriptions
        self.arenaBytes = arenaBytes
        self.scratchBytes = scratchBytes
        self.constants = constants
        packedWeights = PackedWeightSum(regions, kernels: kernels)
    }

    var packedWeightBytes: Int { packedWeights.bytes }

    var constantBytes: Int { constants.reduce(0) { $0 &+ $1.bytes.count } }
}

/// A plan bound to one arena. Used by one thread at a time; a run allocates nothing.
final class PlanInstance: RegionInstance {
    private let plan: Plan
    private let arena: UnsafeMutableRawPointer
    private let table: UnsafeMutablePointer<UnsafeMutableRawPointer>
    private let regions: [any RegionInstance]
    /// Positions in `table` that each run fills from the caller's pointers.
    private let inputPatches: [(position: Int, index: Int)]
    private let outputPatches: [(position: Int, index: Int)]

    /// What empty tensors point to.
    nonisolated(unsafe) static let empty: UnsafeMutableRawPointer = .allocate(byteCount: 64, alignment: 64)

    /// `arena` has the plan's `arenaBytes` bytes, is aligned to 64 and outlives this object.
    init(_ plan: Plan, arena: UnsafeMutableRawPointer) throws {
        var regions: [any RegionInstance] = []
        for step in plan.steps {
            if case .region(let index) = step.work {
                regions.append(
                    try plan.regions[index].makeInstance(workspace: arena + step.workspace))
            }
        }
        self.regions = regions
        self.plan = plan
        self.arena = arena
        table = .allocate(capacity: max(plan.arguments.count, 1))
        var inputPatches: [(position: Int, index: Int)] = []
        var outputPatches: [(position: Int, index: Int)] = []
        for (position, storage) in plan.arguments.enumerated() {
            table[position] = PlanInstance.empty
            switch storage {
            case .arena(let offset): table[position] = arena + offset
            case .constant(let pointer): table[position] = UnsafeMutableRawPointer(mutating: pointer)
            case .input(let index): inputPatches.append((position, index))
            case .output(let index): outputPatches.append((position, index))
            case .empty: break
            }
        }
        self.inputPatches = inputPatches
        self.outputPatches = outputPatches
    }

    deinit { table.deallocate() }

    func run(
        inputs: UnsafePointer<UnsafeRawPointer>, outputs: UnsafePointer<UnsafeMutableRawPointer>,
        timings: UnsafeMutablePointer<UInt64>?, environment: borrowing RunEnvironment
    ) throws {
        for (position, index) in inputPatches { table[position] = UnsafeMutableRawPointer(mutating: inputs[index]) }
        for (position, index) in outputPatches { table[position] = outputs[index] }
        var region = 0
        var started = timings == nil ? 0 : MonotonicClock.now
        for step in plan.steps {
            try environment.check()
            let into = UnsafePointer(table + step.outputs)
            let from = UnsafeRawPointer(table + step.inputs).assumingMemoryBound(to: UnsafeRawPointer.self)
            do {
                switch step.work {
                case .kernel(let index):
                    try plan.kernels[index].run(
                        KernelArguments(
                            inputs: from, outputs: into, scratch: arena + step.workspace, parallel: environment.parallel
                        ))
                case .region:
                    let instance = regions[region]
                    region += 1
                    try instance.run(
                        inputs: from, outputs: into, timings: timings.map { $0 + step.description },
                        environment: environment)
                case .copy(let bytes): into[0].copyMemory(from: from[0], byteCount: bytes)
                }
            } catch let error as TenonError {
                throw error.status == .cancelled || error.status == .deadlineExceeded
                    ? error : error.located(at: step.node)
            }
            if let timings {
                let now = MonotonicClock.now
                if case .region = step.work {} else { timings[step.description] = now &- started }
                started = now
            }
        }
        try environment.limits?.checkCut()
    }
}
