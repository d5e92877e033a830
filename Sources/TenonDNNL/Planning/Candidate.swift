import CDNNL
import TenonIR

/// One way to run a node: an implementation with the layouts that it reads and writes.
struct Candidate {
    /// Nil for views and kernels of ours.
    var descriptor: PrimitiveDescriptor?
    var implementation: String
    var operands: [BoundOperand]
    var output: Layout
    var outputDescriptor: MemoryDescriptor
    /// The residual that the primitive adds to in place: its memory becomes the output's.
    var accumulates: TensorID?
    /// A kernel of ours in the place of a primitive.
    var kernel: (any Implementation)?
    /// What our own kernel does behind the primitive, or alone.
    var tail: EltwiseTail?
    /// What runs in the place of a primitive that would take too long.
    var pieces: Pieces?
    /// Expected nanoseconds.
    var time: Double

    /// Whether kernels of ours run, behind a primitive or alone.
    var isKernel: Bool { kernel != nil || tail != nil }

    /// The operands of all its steps.
    var allOperands: [BoundOperand] { operands + (tail?.addend.map { [$0] } ?? []) }
}

/// An operand as a primitive reads it.
struct BoundOperand {
    enum Place {
        /// The tensor itself in a layout.
        case layout(Layout)
        /// Memory of the operand's own descriptor: a constant is packed once, anything else in each run.
        case packed
    }

    var argument: Int32
    var tensor: TensorID
    var place: Place
    /// What the primitive is told.
    var descriptor: MemoryDescriptor
    /// How the tensor lies before packing, with as many dimensions as `descriptor`.
    var sourceDims: [Int] = []
    var sourceStrides: [Int]?
    /// Values that packed weights are multiplied by, one per input channel.
    var scale: TensorID?
}

extension PrimitiveDescriptor {
    /// Weights, and one bias value per output if there is a bias, as the implementation wants them; nil when it takes none.
    func packed(
        weights: TensorID, dims: [Int], strides: [Int]?, bias: TensorID?, outputs: Int
    ) throws(TenonError) -> [BoundOperand]? {
        guard let packed = try descriptor(TDNNL_QUERY_WEIGHTS) else { return nil }
        var operands = [
            BoundOperand(
                argument: Int32(TDNNL_ARG_WEIGHTS.rawValue), tensor: weights, place: .packed, descriptor: packed,
                sourceDims: dims, sourceStrides: strides)
        ]
        if let bias, let packed = try descriptor(TDNNL_QUERY_WEIGHTS, 1) {
            operands.append(
                BoundOperand(
                    argument: Int32(TDNNL_ARG_BIAS.rawValue), tensor: bias, place: .packed, descriptor: packed,
                    sourceDims: [outputs]))
        }
        return operands
    }
}

extension PlanContext {
    /// An operand that broadcasts to `shape`, as row-major memory seen with the rank of `shape`. Beside a blocked operand
    /// one value per channel is described as blocked too, which for whole blocks is the same memory: binary primitives want
    /// it so.
    func broadcast(
        _ tensor: TensorID, to shape: [Int], argument: Int32, beside layout: Layout = .plain
    ) throws(TenonError) -> BoundOperand? {
        guard let dims = Broadcasting.aligned(graph[tensor].dims, to: shape) else { return nil }
        let isSame = layout == .blocked && dims.count > 2 && dims[0] == 1 && coincide(.plain, .blocked, dims)
        return BoundOperand(
            argument: argument, tensor: tensor, place: .layout(.plain),
            descriptor: isSame
                ? try descriptor(dims, graph[tensor].dtype, .blocked) : try .strided(dims, graph[tensor].dtype))
    }

    /// An operand as it is, in row-major order.
    func plain(_ tensor: TensorID, argument: tdnnl_argument, dims: [Int]? = nil) throws(TenonError) -> BoundOperand {
        let given = dims ?? graph[tensor].dims
        return BoundOperand(
            argument: Int32(argument.rawValue), tensor: tensor, place: .layout(.plain),
            descriptor: try .strided(given.isEmpty ? [1] : given, graph[tensor].dtype))
    }

    /// An operand of `shape`, or one that broadcasts to it, as a piece reads it.
    func piece(_ operand: BoundOperand, _ cut: Pieces.Cut, of shape: [Int]) throws(TenonError) -> BoundOperand {
        guard let dims = Broadcasting.aligned(graph[operand.tensor].dims, to: shape),
            case .layout(let layout) = operand.place
        else { throw TenonError(.internal, "a piece of an operand that does not broadcast") }
        var operand = operand
        operand.descriptor = try descriptor(cut.piece(dims, of: shape), graph[operand.tensor].dtype, layout)
        return operand
    }

    func laidOut(_ tensor: TensorID, _ layout: Layout, argument: tdnnl_argument) throws(TenonError) -> BoundOperand {
        BoundOperand(
            argument: Int32(argument.rawValue), tensor: tensor, place: .layout(layout),
            descriptor: try descriptor(tensor, layout))
    }
}

/// The post-ops of a node in oneDNN's words, for a destination of a given shape and layout.
struct PostOpPlan {
    var list = PostOpList()
    /// Operands of binary steps, with the position of their step and, beside the whole result, their dimensions.
    var operands: [(position: Int, operand: BoundOperand, dims: [Int])] = []
    var accumulates: TensorID?

    /// Nil when an operand cannot be said. With `usesSum`, a full-size addition in first place becomes a sum in place. With `cut`
    /// for one piece of the result.
    init?(
        _ node: RegionNode, _ context: PlanContext, shape: [Int], layout: Layout, usesSum: Bool, cut: Pieces.Cut? = nil
    ) throws(TenonError) {
        for (position, op) in node.postOps.enumerated() {
            switch op.kind {
            case .eltwise(let function): list.eltwise(function)
            case .binary(let algorithm, let tensor):
                let dims = context.graph[tensor].dims
                if usesSum, position == 0, PostOpPlan.isResidual(op, context, shape) {
                    accumulates = tensor
                    list.sum()
                    continue
                }
                var operand: BoundOperand?
                if dims == shape, context.layouts(shape, context.graph[tensor].dtype).contains(layout) {
                    operand = BoundOperand(
                        argument: 0, tensor: tensor, place: .layout(layout),
                        descriptor: try context.descriptor(tensor, layout))
                } else {
                    operand = try context.broadcast(tensor, to: shape, argument: 0)
                }
                guard var operand else { return nil }
                if let cut { operand = try context.piece(operand, cut, of: shape) }
                list.binary(algorithm, operand.descriptor)
                operands.append((position, operand, Broadcasting.aligned(dims, to: shape) ?? dims))
            }
        }
    }

    static func isResidual(_ op: PostOp, _ context: PlanContext, _ shape: [Int]) -> Bool {
        guard case .binary(let algorithm, let tensor) = op.kind else { return false }
        return algorithm == TDNNL_BINARY_ADD && context.graph[tensor].dims == shape
            && !context.graph[tensor].isConstant
    }

    /// The operands of a plan for a piece of a result of `shape`.
    func pieces(of shape: [Int], _ cut: Pieces.Cut, for descriptor: PrimitiveDescriptor) -> [Pieces.Operand] {
        zip(bound(to: descriptor), operands).map { cut.operand($0, $1.dims, of: shape) }
    }

    /// The operands with the argument numbers that a descriptor gives them.
    func bound(to descriptor: PrimitiveDescriptor) -> [BoundOperand] {
        operands.map { entry in
            var operand = entry.operand
            operand.argument = descriptor.postOpArgument(entry.position, TDNNL_ARG_SRC_1)
            return operand
        }
    }
}
