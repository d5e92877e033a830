import TenonIR

/// How a tensor of small integers stands for real numbers: one scale and zero point, or one per index of an axis, all known.
struct QuantizedParameters {
    var scales: [Float]
    var zeros: [Int32]
    var axis: Int
    var dtype: DataType

    var scale: Float { scales[0] }
    var zero: Int32 { zeros[0] }
    var isOne: Bool { scales.count == 1 && zeros.count == 1 }
    var isSigned: Bool { dtype == .int8 }
    var least: Int32 { dtype == .int8 ? -128 : 0 }
    var most: Int32 { dtype == .int8 ? 127 : 255 }

    func scale(_ index: Int) -> Float { scales.count == 1 ? scales[0] : scales[index] }
    func zero(_ index: Int) -> Int32 { zeros.count == 1 ? zeros[0] : zeros[index] }

    /// Of a `quantize` or `dequantize`: of bytes, with positive finite scales.
    init?(_ op: RegionOp, _ graph: RegionGraph) {
        guard op.name == "quantize" || op.name == "dequantize", op.inputs.count == 3, op.outputs.count == 1,
            op.attributes.int("block") == 0, let scale = graph[op.inputs[1]].constant,
            let zero = graph[op.inputs[2]].constant
        else { return nil }
        let small = graph[op.name == "quantize" ? op.outputs[0] : op.inputs[0]]
        let real = graph[op.name == "quantize" ? op.inputs[0] : op.outputs[0]]
        guard small.dtype == .uint8 || small.dtype == .int8, real.dtype == .float32 else { return nil }
        dtype = small.dtype
        guard let scales = QuantizedParameters.numbers(scale), let zeros = QuantizedParameters.numbers(zero),
            scales.allSatisfy({ $0 > 0 && $0.isFinite }), !scales.isEmpty, !zeros.isEmpty
        else { return nil }
        self.scales = scales.map { Float($0) }
        self.zeros = zeros.map { Int32($0) }
        guard self.scales.allSatisfy({ $0 > 0 && $0.isFinite }) else { return nil }
        axis = 0
        if self.scales.count > 1 || self.zeros.count > 1 {
            guard let place = op.axis(rank: small.dims.count) else { return nil }
            axis = place
            guard self.scales.count == 1 || self.scales.count == small.dims[place],
                self.zeros.count == 1 || self.zeros.count == small.dims[place]
            else { return nil }
        }
    }

    private static func numbers(_ view: ConstantView) -> [Double]? {
        guard view.strides == nil else { return nil }
        let numbers = (0..<view.constant.count).compactMap { view.constant.double(at: $0) }
        return numbers.count == view.constant.count ? numbers : nil
    }
}

/// Bounds of real numbers that ReLU and clip leave.
struct RealRange {
    var low = -Float.infinity
    var high = Float.infinity

    mutating func clip(_ least: Float, _ most: Float) {
        low = Swift.min(Swift.max(low, least), most)
        high = Swift.min(Swift.max(high, least), most)
    }

    /// The same in units of a quantised tensor, zero point not counted; no further than its type.
    func bounds(_ parameters: QuantizedParameters) -> (low: Float, high: Float) {
        let least = Float(parameters.least - parameters.zero)
        let most = Float(parameters.most - parameters.zero)
        return (
            Swift.min(Swift.max(low / parameters.scale, least), most),
            Swift.max(Swift.min(high / parameters.scale, most), least)
        )
    }
}
