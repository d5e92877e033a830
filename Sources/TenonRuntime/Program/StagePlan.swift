import TenonIR

/// The nodes of a stage made ready for sizes that are numbers. Shared by contexts and threads, and immutable then; a context
/// may own one and move it from size to size.
final class StagePlan: @unchecked Sendable {
    enum Work {
        /// Indices into the plan's kernels and regions.
        case kernel(Int)
        case region(Int)
        /// Writes entries of the table of sizes as i64.
        case sizes([Size])
    }

    struct Step {
        var work: Work
        /// Position of the first operand in `places`; results follow the inputs.
        var inputs: Int32
        var outputs: Int32
        var end: Int32
        /// Offset of scratch memory or of a region's workspace in the stage's memory.
        var workspace: Int
        var workspaceBytes: Int
        /// Roughly how long it takes.
        var nanoseconds: Double
        var description: Int
        var name: String
    }

    /// Where an operand lies: in the stage's own memory, or in that of a root.
    struct Place {
        /// -1 for the stage's own memory.
        var root: Int32
        var offset: Int
        /// Bytes that may be used there; 0 where the stage does not decide it.
        var room = 0
    }

    /// Values of the stage's slots.
    private(set) var key: [Int64]
    let threads: Int
    private(set) var steps: [Step]
    let places: [Place]
    /// Roots of the stage's memory that are read after its nodes.
    let escaping: [(root: Int, offset: Int)]
    private(set) var kernels: [PreparedKernel]
    let regions: [any CompiledRegion]
    private(set) var descriptions: [StepDescription]
    let bytes: Int
    let scratchBytes: Int
    let packedWeights: PackedWeightSum
    let expectedNanoseconds: Double

    init(
        key: [Int64], threads: Int, steps: [Step], places: [Place], escaping: [(root: Int, offset: Int)],
        kernels: [PreparedKernel], regions: [any CompiledRegion], descriptions: [StepDescription], bytes: Int,
        scratchBytes: Int,
        expectedNanoseconds: Double
    ) {
        self.key = key
        self.threads = threads
        self.steps = steps
        self.places = places
        self.escaping = escaping
        self.kernels = kernels
        self.regions = regions
        self.descriptions = descriptions
        self.bytes = bytes
        self.scratchBytes = scratchBytes
        self.expectedNanoseconds = expectedNanoseconds
        packedWeights = PackedWeightSum(regions, kernels: kernels)
    }

    /// Whether the table of sizes has the numbers that this plan was made for.
    @inline(__always) func fits(_ slots: [Int32], _ table: UnsafePointer<Int64>, threads: Int) -> Bool {
        guard self.threads == threads else { return false }
        for index in slots.indices where key[index] != table[Int(slots[index])] { return false }
        return true
    }

    // MARK: - Moving to other sizes

    /// Puts a kernel for other sizes in the place of a step's own.
    func replace(_ step: Int, _ kernel: PreparedKernel, bytes: Int) {
        guard case .kernel(let index) = steps[step].work else { return }
        kernels[index] = kernel
        descriptions[steps[step].description].bytes = bytes
    }

    func setKey(_ slots: [Int32], _ table: UnsafePointer<Int64>) {
        for index in slots.indices { key[index] = table[Int(slots[index])] }
    }
}

/// A plan with its packed weights, which stay reserved in the account as long as it is held.
final class HeldPlan {
    let plan: StagePlan
    private let account: MemoryAccount

    /// Nil when the weights exceed the limit.
    init?(_ plan: StagePlan, _ account: MemoryAccount) {
        guard account.reserve(plan.packedWeights) else { return nil }
        self.plan = plan
        self.account = account
    }

    deinit { account.release(plan.packedWeights) }
}

/// A region that its backend cannot compile; the program is made again without it.
struct RegionRefused: Error {
    var name: String
}
