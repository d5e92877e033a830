import CDNNL
import TenonIR

/// Which operators have a primitive, and how a call becomes a node. One family per file; what no family takes runs on its
/// Swift kernel.
enum Lowering {
    /// Makes the node of a call, or nil when this call (its element type, its attributes) has no primitive.
    typealias Rule = @Sendable (RegionOp, inout RegionGraph) -> RegionNode.Operation?

    private static let table: [Rule?] = {
        var table = [Rule?](repeating: nil, count: Operators.all.count)
        let families = [
            ConvolutionLowering.rules, ProductLowering.rules, PoolingLowering.rules, NormalizationLowering.rules,
            ElementwiseLowering.rules, MovementLowering.rules, ReductionLowering.rules, ResamplingLowering.rules,
            PReLULowering.rules,
        ]
        for family in families {
            for (name, rule) in family {
                if let id = Operators.named(name) { table[Int(id.index)] = rule }
            }
        }
        return table
    }()

    static func node(_ op: RegionOp, _ graph: inout RegionGraph) -> RegionNode {
        let composite = op.composite.map { graph.composites[$0] } ?? op.name
        if let operation = primitive(op, &graph) {
            return RegionNode(
                operation: operation, inputs: dataInputs(op, operation, graph), outputs: Array(op.outputs.prefix(1)),
                binding: op.binding, composite: composite)
        }
        return kernel(op, graph)
    }

    /// The node of a call on its Swift kernel.
    static func kernel(_ op: RegionOp, _ graph: RegionGraph) -> RegionNode {
        RegionNode(
            operation: .kernel(op), inputs: op.inputs, outputs: op.outputs, binding: op.binding,
            composite: op.composite.map { graph.composites[$0] } ?? op.name)
    }

    private static func primitive(_ op: RegionOp, _ graph: inout RegionGraph) -> RegionNode.Operation? {
        guard !op.outputs.isEmpty else { return nil }
        // oneDNN is asked for single precision only, but for what moves elements, and an empty tensor is no work for it.
        for id in op.inputs + op.outputs {
            let tensor = graph[id]
            let moves = op.name == "concat" || op.op.has(.view)
            guard tensor.dtype == .float32 || moves && tensor.dtype.byteCount == 1, tensor.count > 0,
                tensor.dims.count <= 6,
                tensor.dims.allSatisfy({ $0 <= Int(Int32.max) })
            else { return nil }
        }
        return operation(op, &graph)
    }

    /// What an operator is, whatever the element types.
    static func operation(_ op: RegionOp, _ graph: inout RegionGraph) -> RegionNode.Operation? {
        table[Int(op.op.index)]?(op, &graph)
    }

    /// The operands that carry data through the node; weights and parameters are part of the operation.
    private static func dataInputs(
        _ op: RegionOp, _ operation: RegionNode.Operation, _ graph: RegionGraph
    ) -> [TensorID] {
        switch operation {
        case .binary: ElementwiseLowering.binaryInputs(op, graph)
        case .concat, .kernel: op.inputs
        default: Array(op.inputs.prefix(1))
        }
    }
}

extension RegionNode {
    /// Everything that the node reads.
    var operands: [TensorID] {
        var list = inputs
        switch operation {
        case .convolution(let convolution):
            list.append(convolution.weights)
            if let bias = convolution.bias { list.append(bias) }
            if let scale = convolution.scale { list.append(scale) }
        case .depthwiseFusion(let fusion):
            for convolution in [fusion.pointwise, fusion.depthwise] {
                list.append(convolution.weights)
                if let bias = convolution.bias { list.append(bias) }
            }
        case .squeezeExcitation(let block): list += block.constants
        case .product(let product):
            list.append(product.weights)
            if let bias = product.bias { list.append(bias) }
        case .normalization(let normalization): list += normalization.parameters
        case .prelu(let slope): list.append(slope)
        case .implemented(_, let constants): list += constants
        default: break
        }
        for op in postOps {
            if case .binary(_, let operand) = op.kind { list.append(operand) }
        }
        return list
    }

    /// Whether oneDNN may take steps behind this operation.
    var acceptsPostOps: Bool {
        switch operation {
        case .convolution, .product, .pooling, .normalization, .eltwise, .binary: postOps.count < TDNNL_MAX_POST_OPS
        case .depthwiseFusion, .squeezeExcitation, .softmax, .concat, .reduction, .resampling, .prelu, .shuffle, .view,
            .transposition, .kernel, .implemented:
            false
        }
    }
}
