import CDNNL
import CKernels
import TenonIR
import TenonRuntime

/// Makes one node of a composite that goes from small integers to small integers: `dequantize`, an operator, steps, `quantize`.
/// A composite that none of our integer kernels computes stays operators, which run in single precision.
struct QuantizedFolding {
    let graph: RegionGraph
    private let ops: [RegionOp]
    private let maker: [TensorID: Int]
    private let name: String

    /// The node of a composite's operators, in program order; nil when there is none.
    static func node(_ ops: [RegionOp], _ graph: RegionGraph) -> RegionNode? {
        guard let last = ops.last, let composite = last.composite,
            ops.contains(where: { $0.name == "quantize" || $0.name == "dequantize" }), last.outputs.count == 1,
            ops.allSatisfy({ op in
                (op.inputs + op.outputs).allSatisfy { graph[$0].count > 0 && graph[$0].dims.count <= 5 }
            })
        else { return nil }
        var maker: [TensorID: Int] = [:]
        for (index, op) in ops.enumerated() { for output in op.outputs { maker[output] = index } }
        let folding = QuantizedFolding(graph: graph, ops: ops, maker: maker, name: graph.composites[composite])
        return folding.node(last)
    }

    func op(_ tensor: TensorID) -> RegionOp? { maker[tensor].map { ops[$0] } }

    /// The small integers that a tensor is made of, and how they stand for it.
    func source(_ tensor: TensorID) -> (tensor: TensorID, parameters: QuantizedParameters)? {
        guard let op = op(tensor), op.name == "dequantize", let parameters = QuantizedParameters(op, graph) else {
            return nil
        }
        return (op.inputs[0], parameters)
    }

    private func node(_ last: RegionOp) -> RegionNode? {
        var result: QuantizedParameters?
        var current = last.outputs[0]
        if last.name == "quantize" {
            guard let parameters = QuantizedParameters(last, graph), parameters.isOne else { return nil }
            result = parameters
            current = last.inputs[0]
        }
        if last.name == "quantize" || last.name == "dequantize", ops.count == 1 { return conversion(last) }
        if let result, let table = table(current, result, last) { return table }
        // ReLU and clip are bounds of the result; in front of them stands what our kernels compute, and its bias.
        var steps: [RegionOp] = []
        while let op = op(current), op.op.has(.clamps) {
            steps.append(op)
            current = op.inputs[0]
        }
        var range = RealRange()
        for step in steps.reversed() {
            switch step.name {
            case "nn.relu": range.clip(0, .infinity)
            case "nn.relu6": range.clip(0, 6)
            default:
                guard let low = step.number(1), let high = step.number(2) else { return nil }
                range.clip(Float(low), Float(high))
            }
        }
        guard let anchor = op(current) else { return nil }
        if let result, anchor.name == "add" || anchor.name == "multiply",
            let node = pair(anchor, range, result, last)
        {
            return node
        }
        if let result, let node = pooling(anchor, range, result, last) { return node }
        return layer(current, range, result, last)
    }

    func made(
        _ implementation: any Implementation, _ inputs: [TensorID], _ constants: [TensorID], _ last: RegionOp
    ) -> RegionNode {
        RegionNode(
            operation: .implemented(implementation, constants: constants), inputs: inputs, outputs: last.outputs,
            binding: last.binding, composite: name)
    }

    private func conversion(_ op: RegionOp) -> RegionNode? {
        guard let parameters = QuantizedParameters(op, graph), parameters.isOne, !graph[op.inputs[0]].isConstant else {
            return nil
        }
        let kind = Int32(parameters.isSigned ? TKERNEL_S8.rawValue : TKERNEL_U8.rawValue)
        return made(
            IntegerConversion(
                isQuantize: op.name == "quantize", scale: parameters.scale, zero: parameters.zero, kind: kind,
                count: graph[op.outputs[0]].count), [op.inputs[0]], [], op)
    }

    // MARK: - Functions of one tensor

    /// A chain of functions of one element each, evaluated on all 256 values with the reference kernels.
    private func table(_ tensor: TensorID, _ result: QuantizedParameters, _ last: RegionOp) -> RegionNode? {
        var chain: [RegionOp] = []
        var current = tensor
        while let op = op(current), op.name != "dequantize" {
            guard QuantizedFolding.functions.contains(op.name) else { return nil }
            let others = op.inputs.dropFirst()
            guard others.allSatisfy({ graph[$0].isConstant && graph[$0].count == 1 }), let first = op.inputs.first,
                !graph[first].isConstant
            else { return nil }
            chain.insert(op, at: 0)
            current = first
        }
        guard let (source, parameters) = source(current), parameters.isOne, !graph[source].isConstant,
            graph[source].dims == graph[last.outputs[0]].dims
        else { return nil }
        var values = (0..<256).map { index -> Float in
            let q = parameters.isSigned ? Int32(Int8(truncatingIfNeeded: index)) : Int32(index)
            return Float(q - parameters.zero) * parameters.scale
        }
        for op in chain {
            guard let next = try? QuantizedFolding.evaluate(op, values, graph) else { return nil }
            values = next
        }
        var table = [UInt8](repeating: 0, count: 256)
        var (scale, zero) = (result.scale, result.zero)
        tkernel_quantize(
            Int32(result.isSigned ? TKERNEL_S8.rawValue : TKERNEL_U8.rawValue), 256, values, &scale, &zero, 0, &table)
        return made(IntegerTable(table: table, count: graph[source].count), [source], [], last)
    }

    static let functions: Set<String> = Set(PostOperations.unaryNames).union([
        "add", "subtract", "multiply", "divide", "maximum", "minimum", "erf", "sign", "floor", "ceil", "nn.selu",
        "nn.celu", "nn.softsign", "nn.thresholded_relu", "nn.shrink", "reciprocal", "rsqrt",
    ])

    private static func evaluate(_ op: RegionOp, _ values: [Float], _ graph: RegionGraph) throws -> [Float] {
        var inputs = [TensorSpec(.float32, [values.count])]
        for other in op.inputs.dropFirst() { inputs.append(TensorSpec(graph[other].dtype, [1])) }
        let kernel = try Kernels.prepare(
            KernelCall(
                op: op.op, inputs: inputs, constants: inputs.map { _ in nil },
                outputs: [TensorSpec(.float32, [values.count])], attributes: op.attributes,
                arguments: op.arguments))
        var result = [Float](repeating: 0, count: values.count)
        let scratch = try WeightMemory(bytes: max(kernel.scratchBytes, 64))
        let others = op.inputs.dropFirst().compactMap { graph[$0].constant?.constant.bytes.baseAddress }
        guard others.count == op.inputs.count - 1 else { throw TenonError(.internal, "no data") }
        try values.withUnsafeBytes { from in
            try result.withUnsafeMutableBytes { to in
                guard let source = from.baseAddress, let target = to.baseAddress else { return }
                try ([source] + others).withUnsafeBufferPointer { sources in
                    try [target].withUnsafeBufferPointer { targets in
                        guard let inputs = sources.baseAddress, let outputs = targets.baseAddress else { return }
                        try kernel.run(
                            KernelArguments(
                                inputs: inputs, outputs: outputs, scratch: scratch.address, parallel: .serial))
                    }
                }
            }
        }
        return result
    }

    // MARK: - Two tensors

    private func pair(
        _ anchor: RegionOp, _ range: RealRange, _ result: QuantizedParameters, _ last: RegionOp
    ) -> RegionNode? {
        guard anchor.inputs.count == 2, let (a, p) = source(anchor.inputs[0]), let (b, q) = source(anchor.inputs[1]),
            p.isOne, q.isOne, graph[a].dims == graph[b].dims, graph[a].dims == graph[last.outputs[0]].dims,
            !graph[a].isConstant, !graph[b].isConstant
        else { return nil }
        let (low, high) = range.bounds(result)
        let isProduct = anchor.name == "multiply"
        let pair = tkernel_integer_pair(
            is_signed: (p.isSigned ? 1 : 0, q.isSigned ? 1 : 0), zero: (p.zero, q.zero),
            scale: isProduct
                ? (p.scale * q.scale / result.scale, 1) : (p.scale / result.scale, q.scale / result.scale), low: low,
            high: high, result_zero: result.zero)
        return made(
            IntegerPair(pair: pair, isProduct: isProduct, count: graph[a].count), [a, b], [], last)
    }

    // MARK: - Pooling

    private func pooling(
        _ anchor: RegionOp, _ range: RealRange, _ result: QuantizedParameters, _ last: RegionOp
    ) -> RegionNode? {
        guard let input = anchor.inputs.first, let (source, parameters) = source(input), parameters.isOne,
            !graph[source].isConstant
        else { return nil }
        let (x, y) = (graph[source].dims, graph[last.outputs[0]].dims)
        guard (3...5).contains(x.count), x.count == y.count else { return nil }
        var shape = tkernel_integer_convolution()
        var isMax = false
        var countsPadding = false
        if anchor.name == "mean" {
            guard anchor.attributes.bool("keepdims") == true, y.dropFirst(2).allSatisfy({ $0 == 1 }), y[1] == x[1]
            else {
                return nil
            }
            shape = QuantizedFolding.geometry(
                x, y, kernel: x.dropFirst(2).map { $0 }, strides: [], dilations: [], pads: [])
        } else {
            var copy = graph
            guard anchor.name.contains("pool"), anchor.outputs.count == 1,
                case .pooling(let pooling)? = Lowering.operation(anchor, &copy)
            else { return nil }
            isMax = pooling.algorithm == TDNNL_POOLING_MAX
            countsPadding = pooling.algorithm == TDNNL_POOLING_AVG_INCLUDE_PADDING
            shape = QuantizedFolding.geometry(
                x, y, kernel: pooling.kernel.map { Int($0) }, strides: pooling.strides, dilations: pooling.dilations,
                pads: pooling.padsBegin)
            // Largest values are the same in integers only where nothing is rounded.
            if isMax,
                parameters.scale != result.scale || parameters.zero != result.zero
                    || parameters.dtype != result.dtype || range.low > -.infinity || range.high < .infinity
            {
                return nil
            }
        }
        shape.batch = Int64(x[0])
        shape.groups = Int64(x[1])
        (shape.inputs, shape.outputs) = (1, 1)
        shape.is_signed = parameters.isSigned ? 1 : 0
        let (low, high) = range.bounds(result)
        let pair = tkernel_integer_pair(
            is_signed: (shape.is_signed, 0), zero: (parameters.zero, 0), scale: (parameters.scale / result.scale, 1),
            low: low, high: high, result_zero: result.zero)
        return made(
            IntegerPooling(shape: shape, pair: pair, isMax: isMax, countsPadding: countsPadding), [source], [], last)
    }

    static func geometry(
        _ x: [Int], _ y: [Int], kernel: [Int], strides: [Int64], dilations: [Int64], pads: [Int64]
    ) -> tkernel_integer_convolution {
        func three(_ values: [Int64], _ filling: Int64) -> (Int64, Int64, Int64) {
            let all = [Int64](repeating: filling, count: max(0, 3 - values.count)) + values
            return (all[0], all[1], all[2])
        }
        var shape = tkernel_integer_convolution()
        shape.source = three(x.dropFirst(2).map { Int64($0) }, 1)
        shape.target = three(y.dropFirst(2).map { Int64($0) }, 1)
        shape.kernel = three(kernel.map { Int64($0) }, 1)
        shape.stride = three(strides, 1)
        shape.dilation = three(dilations, 1)
        shape.pad = three(pads, 0)
        return shape
    }
}
