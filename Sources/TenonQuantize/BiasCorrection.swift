import TenonIR

/// The mean that rounding a weight adds to each output, taken with the means of the data that calibration saw: the rounded
/// weight less the weight, times the mean of each input channel.
enum BiasCorrection {
    /// What to add to the bias; nil where the data's channels were not seen.
    static func values(_ weighted: Layer.Weighted, _ weight: QuantizedWeight, _ means: [Double]) -> [Float]? {
        let perGroup = Int(weighted.weight.shape[weighted.inputAxis])
        let (inputs, overflow) = perGroup.multipliedReportingOverflow(by: weighted.groups)
        let outputs = weighted.outputs
        guard !overflow, inputs == means.count, weighted.groups > 0, outputs % weighted.groups == 0 else { return nil }
        func stride(_ axis: Int) -> Int {
            weighted.weight.shape.dropFirst(axis + 1).reduce(into: 1) { $0 *= Int($1) }
        }
        let (outer, inner) = (stride(weighted.outputAxis), stride(weighted.inputAxis))
        let outputsPerGroup = max(1, outputs / weighted.groups)
        var sums = [Double](repeating: 0, count: outputs)
        for (index, difference) in weight.differences(from: weighted.weight).enumerated() {
            let output = index / outer % outputs
            let input = index / inner % perGroup + output / outputsPerGroup * perGroup
            sums[output] -= Double(difference) * means[input]
        }
        return sums.map { Float($0) }
    }
}
