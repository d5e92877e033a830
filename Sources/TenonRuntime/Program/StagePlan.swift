import TenonIR

/// The nodes of a stage made ready for sizes that are numbers. Immutable, shared by contexts and threads.
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
    }

    /// Values of the stage's slots.
    let key: [Int64]
    let threads: Int
    let steps: [Step]
    let places: [Place]
    /// Roots of the stage's memory that are read after its nodes.
    let escaping: [(root: Int, offset: Int)]
    let kernels: [PreparedKernel]
    let regions: [any CompiledRegion]
    let descriptions: [StepDescription]
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
}

/// A region that its backend cannot compile; the program is made again without it.
struct RegionRefused: Error {
    var name: String
}
