import TenonIR
import TenonRuntime

/// Names a piece of memory of a plan.
struct BufferID: Hashable, Sendable {
    let index: Int
}

struct PlanBuffer {
    enum Storage {
        /// Part of a context's workspace, at `offset`.
        case workspace
        case input(Int)
        case output(Int)
        case weights(WeightMemory)
        /// Memory of another buffer, from an offset in bytes on.
        case alias(BufferID, Int)
    }

    var bytes: Int
    var storage: Storage
    /// Bytes into the workspace; set by the memory planner.
    var offset = 0
    /// Steps that touch the buffer first and last.
    var firstStep = Int.max
    var lastStep = -1
}

/// An argument of a primitive, where it is, and how it lies.
typealias PlanOperand = (argument: Int32, buffer: BufferID, descriptor: MemoryDescriptor)

/// One thing that a run does.
struct PlanStep {
    enum Action {
        case primitive(Primitive, operands: [PlanOperand])
        case kernel(PreparedKernel, inputs: [BufferID], outputs: [BufferID])
        case copy(from: BufferID, to: BufferID, bytes: Int)
    }

    var action: Action
    /// Scratch memory; for primitives with the descriptor that oneDNN gives it.
    var scratchBytes: Int
    var scratch: MemoryDescriptor?
    var description: StepDescription
    /// The primitive writes past the caches, with instructions that end the process where its result is not aligned.
    var needsAlignedResult = false
    /// Where the result is computed when its own place is not aligned.
    var aside: BufferID?
}

/// A region as steps over buffers.
struct Plan {
    var buffers: [PlanBuffer] = []
    var steps: [PlanStep] = []
    /// Bytes of the intermediates, then of the scratch behind them.
    var arenaBytes = 0
    var scratchBytes = 0
    /// Each once.
    private(set) var packedWeights: [any SharedWeights] = []
    /// Whether a step is there that does not hand every NaN on.
    var mayLoseNaN = false
    /// What the planner expects.
    var expectedNanoseconds = 0.0

    /// Counts weights that are there once, however often they are read.
    mutating func hold(_ weights: any SharedWeights) {
        if !packedWeights.contains(where: { $0 === weights }) { packedWeights.append(weights) }
    }

    /// The buffer whose memory this is.
    func root(_ id: BufferID) -> BufferID { place(id).root }

    /// The buffer whose memory this is, and where in it.
    func place(_ id: BufferID) -> (root: BufferID, offset: Int) {
        var (id, offset) = (id, 0)
        while case .alias(let other, let more) = buffers[id.index].storage {
            id = other
            offset += more
        }
        return (id, offset)
    }
}
