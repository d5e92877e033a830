import CDNNL
import CParallel
import Synchronization
import TenonIR
import TenonRuntime

/// What a plan does about NaN and infinities.
///
/// oneDNN computes maxima and minima, and what it makes of them (ReLU, clip, exponentials, max pooling), with instructions that
/// drop a NaN. The same instructions raise the processor's flag for invalid operations when they meet one, as does everything
/// that makes a NaN. So a strict plan is a fast one with a look at the flag behind it: when it is up, the region runs again
/// in an exact plan, where all that might lose something is a Swift kernel.
enum NumericsPolicy: Sendable {
    case fast, strict, exact

    /// What oneDNN computes as ONNX does, whatever the values are.
    private static let faithful: Set<String> = [
        "nn.conv1d", "nn.conv2d", "nn.conv3d", "nn.conv1d_transpose", "nn.conv2d_transpose", "nn.conv3d_transpose",
        "nn.dense", "matmul", "add", "subtract", "multiply", "divide", "negative", "concat", "reshape", "flatten",
        "squeeze",
        "expand_dims", "permute_dims", "nn.batch_norm",
    ]

    static func isFaithful(_ operatorName: String) -> Bool { faithful.contains(operatorName) }
}

/// The exact plan of a region, made when it is needed for the first time.
final class ExactRegion: Sendable {
    private let make: @Sendable () throws -> Plan
    private let made = Mutex<Made?>(nil)

    /// Plans hold handles of oneDNN, which any thread may use.
    private struct Made: @unchecked Sendable {
        let plan: Plan
    }

    init(_ make: @escaping @Sendable () throws -> Plan) { self.make = make }

    func plan() throws -> Plan {
        let make = make
        let result: Result<Made, any Error> = made.withLock { made in
            if let made { return .success(made) }
            let result = Result { Made(plan: try make()) }
            if case .success(let new) = result { made = new }
            return result
        }
        return try result.get().plan
    }
}

/// Which nodes of a region might lose NaN or infinities.
struct NumericsFlags {
    private let graph: RegionGraph
    private var maker: [Int: RegionNode] = [:]
    let mayLoseNaN: Bool

    init(_ graph: RegionGraph, _ nodes: [RegionNode]) {
        self.graph = graph
        for node in nodes {
            for output in node.outputs { maker[output.index] = node }
        }
        mayLoseNaN = nodes.contains { node in
            !node.postOps.isEmpty
                || {
                    switch node.operation {
                    case .convolution, .product, .concat, .view, .kernel, .shuffle, .implemented: false
                    default: true
                    }
                }()
        }
    }

    /// Max pooling starts from the lowest finite number, which is what it gives for minus infinities; no flag tells.
    func needsLowestCheck(_ node: RegionNode) -> Bool {
        guard case .pooling(let pooling) = node.operation, pooling.algorithm == TDNNL_POOLING_MAX else { return false }
        return !isBoundedBelow(node.inputs[0])
    }

    private func isBoundedBelow(_ tensor: TensorID) -> Bool {
        guard let node = maker[tensor.index] else { return false }
        let last: EltwiseFunction?
        switch node.postOps.last?.kind {
        case .eltwise(let function): last = function
        case .binary: return false
        case nil:
            switch node.operation {
            case .eltwise(let function): last = function
            case .pooling: return isBoundedBelow(node.inputs[0])
            case .concat: return node.inputs.allSatisfy { isBoundedBelow($0) }
            default: last = nil
            }
        }
        guard let last else { return false }
        switch last.algorithm {
        case TDNNL_ELTWISE_RELU: return last.alpha == 0
        case TDNNL_ELTWISE_CLIP: return last.alpha > -.infinity
        case TDNNL_ELTWISE_LOGISTIC, TDNNL_ELTWISE_ABS, TDNNL_ELTWISE_SQUARE, TDNNL_ELTWISE_EXP, TDNNL_ELTWISE_SQRT,
            TDNNL_ELTWISE_HARDSIGMOID, TDNNL_ELTWISE_TANH, TDNNL_ELTWISE_SOFT_RELU, TDNNL_ELTWISE_SWISH,
            TDNNL_ELTWISE_HARDSWISH, TDNNL_ELTWISE_MISH, TDNNL_ELTWISE_GELU_ERF, TDNNL_ELTWISE_GELU_TANH:
            return true
        default: return false
        }
    }
}

extension PlanBuilder {
    /// Raises the flag when the result of a max pooling holds the lowest finite number.
    mutating func checkLowest(_ node: RegionNode, _ candidate: Candidate) {
        guard let result = places[node.output.index][Int(candidate.output.rawValue)] else { return }
        let count = candidate.outputDescriptor.byteCount / MemoryLayout<Float>.stride
        let kernel = PreparedKernel { arguments in
            let values = arguments.inputs[0].assumingMemoryBound(to: Float.self)
            arguments.parallel.forEach(count, grain: 65536) { range in
                tenon_parallel_flag_lowest(values + range.lowerBound, range.count)
            }
        }
        plan.steps.append(
            PlanStep(
                action: .kernel(kernel, inputs: [result], outputs: []), scratchBytes: 0,
                description: StepDescription(
                    binding: node.binding, composite: node.composite, implementation: "check:infinity",
                    bytes: count * MemoryLayout<Float>.stride)))
    }
}
