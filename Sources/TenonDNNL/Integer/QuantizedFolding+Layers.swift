import CKernels
import TenonIR

/// Convolutions and products of quantised tensors with known weights.
extension QuantizedFolding {
    /// An operator with weights, perhaps with a bias behind it.
    func layer(
        _ tensor: TensorID, _ range: RealRange, _ result: QuantizedParameters?, _ last: RegionOp
    ) -> RegionNode? {
        guard var anchor = op(tensor) else { return nil }
        var bias: TensorID?
        if anchor.name == "add", anchor.inputs.count == 2 {
            let (a, b) = (anchor.inputs[0], anchor.inputs[1])
            if let inner = op(a), graph[b].isConstant {
                (anchor, bias) = (inner, b)
            } else if let inner = op(b), graph[a].isConstant {
                (anchor, bias) = (inner, a)
            } else {
                return nil
            }
        }
        guard anchor.inputs.count == 2, let (x, p) = source(anchor.inputs[0]), p.isOne, !graph[x].isConstant,
            let (w, q) = source(anchor.inputs[1]), let view = graph[w].constant, view.strides == nil
        else { return nil }
        let outputs: Int
        var convolution: IntegerConvolution
        switch anchor.name {
        case "nn.conv1d", "nn.conv2d", "nn.conv3d":
            guard let made = self.convolution(anchor, x, p, w, q, last) else { return nil }
            convolution = made
            outputs = graph[w].dims[0]
        case "matmul", "nn.dense":
            guard let made = product(anchor, x, p, w, q, last) else { return nil }
            convolution = made
            outputs = Int(made.shape.outputs)
        default: return nil
        }
        let channelAxis = anchor.name == "matmul" || anchor.name == "nn.dense" ? graph[tensor].dims.count - 1 : 1
        let outputAxis = anchor.name == "matmul" ? 1 : 0
        guard q.isOne || q.axis == outputAxis,
            let biases = biases(bias, outputs, axis: channelAxis, rank: graph[tensor].dims.count)
        else { return nil }
        let units = (0..<outputs).map { p.scale * q.scale($0) }
        // The bias in units of the sums: what rounding it loses is far below one unit of the result.
        let wholes = (0..<outputs).map { (Double(biases[$0]) / Double(units[$0])).rounded(.toNearestOrEven) }
        guard wholes.allSatisfy({ abs($0) < 1_073_741_824 }), units.allSatisfy({ $0 > 0 && $0.isFinite }) else {
            return nil
        }
        convolution.weightZeros = (0..<outputs).map { q.zero($0) - (q.isSigned ? 0 : 128) }
        convolution.inputZero = p.zero
        if let result {
            (convolution.finish.low, convolution.finish.high) = range.bounds(result)
            convolution.finish.zero = result.zero
            convolution.finish.kind = Int32(result.isSigned ? TKERNEL_S8.rawValue : TKERNEL_U8.rawValue)
            convolution.scales = units.map { $0 / result.scale }
            convolution.biases = wholes.map { Int32($0) }
        } else {
            (convolution.finish.low, convolution.finish.high) = (range.low, range.high)
            convolution.finish.kind = -1
            convolution.scales = units
            convolution.biases = [Int32](repeating: 0, count: outputs)
            convolution.realBias = biases
        }
        guard convolution.scales.allSatisfy({ $0 > 0 && $0.isFinite }), convolution.isPossible else { return nil }
        convolution.key =
            convolution.scales.map { Int64($0.bitPattern) } + convolution.biases.map { Int64($0) }
            + [Int64(p.zero)] + (convolution.realBias ?? []).map { Int64($0.bitPattern) }
            + q.zeros.map { Int64($0) }
        return made(convolution, [x], [w], last)
    }

    /// One bias value per output; nil when the operand is something else.
    private func biases(_ tensor: TensorID?, _ outputs: Int, axis: Int, rank: Int) -> [Float]? {
        guard let tensor else { return [Float](repeating: 0, count: outputs) }
        guard graph[tensor].dtype == .float32, let view = graph[tensor].constant, view.strides == nil else {
            return nil
        }
        let dims = [Int](repeating: 1, count: max(0, rank - graph[tensor].dims.count)) + graph[tensor].dims
        guard dims.count == rank,
            dims.indices.allSatisfy({ dims[$0] == 1 || $0 == axis && dims[$0] == outputs })
        else { return nil }
        let values = (0..<view.constant.count).compactMap { view.constant.double(at: $0).map { Float($0) } }
        guard values.count == view.constant.count, values.allSatisfy(\.isFinite) else { return nil }
        return values.count == 1 ? [Float](repeating: values[0], count: outputs) : values
    }

    private func empty(
        _ shape: tkernel_integer_convolution, _ weights: IntegerConvolution.Weights
    ) -> IntegerConvolution {
        IntegerConvolution(
            shape: shape, weights: weights, scales: [], biases: [], weightZeros: [], realBias: nil, inputZero: 0,
            finish: IntegerConvolution.Finish(), key: [])
    }

    private func convolution(
        _ anchor: RegionOp, _ x: TensorID, _ p: QuantizedParameters, _ w: TensorID, _ q: QuantizedParameters,
        _ last: RegionOp
    ) -> IntegerConvolution? {
        let (source, target, weights) = (graph[x].dims, graph[last.outputs[0]].dims, graph[w].dims)
        guard let strides = anchor.attributes.ints("strides"), let dilations = anchor.attributes.ints("dilation"),
            let padding = anchor.attributes.ints("padding"), let groups = anchor.attributes.int("groups"), groups > 0,
            source.count == weights.count, padding.count == 2 * strides.count,
            Int64(weights[0]) % groups == 0, Int64(source[1]) == Int64(weights[1]) * groups
        else { return nil }
        var shape = QuantizedFolding.geometry(
            source, target, kernel: weights.dropFirst(2).map { $0 }, strides: strides, dilations: dilations,
            pads: Array(padding.prefix(strides.count)))
        shape.batch = Int64(source[0])
        shape.groups = groups
        shape.inputs = Int64(weights[1])
        shape.outputs = Int64(weights[0]) / groups
        shape.is_signed = p.isSigned ? 1 : 0
        shape.zero = p.zero
        let taps = weights.dropFirst(2).reduce(1, *)
        return empty(
            shape,
            IntegerConvolution.Weights(
                tensor: w, isUnsigned: !q.isSigned, outputStride: weights[1] * taps, inputStride: taps, tapStride: 1))
    }

    /// A product as a convolution of single pixels.
    private func product(
        _ anchor: RegionOp, _ x: TensorID, _ p: QuantizedParameters, _ w: TensorID, _ q: QuantizedParameters,
        _ last: RegionOp
    ) -> IntegerConvolution? {
        let (source, weights) = (graph[x].dims, graph[w].dims)
        guard let inputs = source.last, source.count >= 2, weights.count == 2 else { return nil }
        let isDense = anchor.name == "nn.dense"
        guard weights[isDense ? 1 : 0] == inputs else { return nil }
        let outputs = weights[isDense ? 0 : 1]
        guard graph[last.outputs[0]].dims == Array(source.dropLast()) + [outputs] else { return nil }
        var shape = QuantizedFolding.geometry([], [], kernel: [], strides: [], dilations: [], pads: [])
        shape.batch = Int64(source.dropLast().reduce(1, *))
        shape.groups = 1
        shape.inputs = Int64(inputs)
        shape.outputs = Int64(outputs)
        shape.is_signed = p.isSigned ? 1 : 0
        shape.zero = p.zero
        var made = empty(
            shape,
            IntegerConvolution.Weights(
                tensor: w, isUnsigned: !q.isSigned, outputStride: isDense ? inputs : 1,
                inputStride: isDense ? 1 : outputs, tapStride: 1))
        made.isProduct = true
        return made
    }
}
