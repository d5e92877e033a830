import Glibc
import TenonIR

/// How the activations of one tensor are quantised.
struct ActivationParameters {
    var scale: Float
    var zero: Int32

    /// Covers `low` to `high` and 0, which is an integer.
    init(low: Float, high: Float, _ dtype: DataType) {
        let (low, high) = (Double(min(low, 0)), Double(max(high, 0)))
        let least = dtype == .int8 ? -128.0 : 0
        // Sums of products of scales must not vanish.
        let step = Float(max((high - low) / 255, 1e-30))
        scale = high > low && step.isFinite ? step : 1
        zero = Int32(clamping: max(least, min(least + 255, (least - low / Double(scale)).rounded(.toNearestOrEven))))
    }

    init(scale: Float, zero: Int32) { (self.scale, self.zero) = (scale, zero) }
}

/// What calibration has seen of one tensor.
struct TensorStatistics {
    static let bins = 2048

    var low = Float.infinity
    var high = -Float.infinity
    /// A value was NaN or infinite.
    var isBroken = false
    /// Per index of the axis of the channels: sum, number and largest of the values.
    var sums: [Double] = []
    var counts: [Double] = []
    var largest: [Float] = []
    /// Values that are not 0, by magnitude between `low` and `high`; zeros are exact whatever the scale.
    var histogram: [Double] = []

    var isEmpty: Bool { low > high }

    mutating func add(_ constant: Constant, channelAxis: Int) {
        guard constant.shape.indices.contains(channelAxis) else { return }
        let channels = Int(constant.shape[channelAxis])
        let inner = constant.shape.dropFirst(channelAxis + 1).reduce(into: 1) { $0 *= Int($1) }
        if sums.count != channels {
            sums = [Double](repeating: 0, count: channels)
            counts = sums
            largest = [Float](repeating: -.infinity, count: channels)
        }
        constant.withFloats { values in
            var begin = 0
            while begin < values.count, inner > 0, channels > 0 {
                let channel = begin / inner % channels
                var (sum, least, most) = (0.0, Float.infinity, -Float.infinity)
                for value in values.dropFirst(begin).prefix(inner) {
                    guard value.isFinite else {
                        isBroken = true
                        continue
                    }
                    sum += Double(value)
                    least = min(least, value)
                    most = max(most, value)
                }
                sums[channel] += sum
                counts[channel] += Double(inner)
                largest[channel] = max(largest[channel], most)
                low = min(low, least)
                high = max(high, most)
                begin += inner
            }
        }
    }

    /// The mean of each channel; 0 of those that were never seen.
    var means: [Double] { zip(sums, counts).map { $1 > 0 ? $0 / $1 : 0 } }

    mutating func count(_ constant: Constant) {
        if histogram.isEmpty { histogram = [Double](repeating: 0, count: Self.bins) }
        let width = (Double(high) - Double(low)) / Double(Self.bins)
        guard width > 0, width.isFinite else { return }
        constant.withFloats { values in
            for value in values where value != 0 && value.isFinite {
                let bin = Int(clamping: (Double(value) - Double(low)) / width)
                histogram[max(0, min(Self.bins - 1, bin))] += 1
            }
        }
    }
}

/// Which part of the values met a scale covers.
struct RangeChoice {
    let options: QuantizationOptions

    func range(_ statistics: TensorStatistics) -> (low: Float, high: Float) {
        let whole = (statistics.low, statistics.high)
        guard statistics.high > statistics.low, statistics.histogram.contains(where: { $0 > 0 }) else { return whole }
        switch options.calibration {
        case .minMax: return whole
        case .percentile: return percentile(statistics)
        case .squaredError: return best(statistics) { squaredError(statistics, $0, $1) }
        case .entropy: return best(statistics) { divergence(statistics, $0, $1) }
        }
    }

    /// Cuts half of what the percentile leaves at either side. Zeros count as values here.
    private func percentile(_ statistics: TensorStatistics) -> (low: Float, high: Float) {
        let total = statistics.counts.reduce(into: 0.0) { $0 += $1 }
        let cut = total * (100 - options.percentile) / 200
        let width = (Double(statistics.high) - Double(statistics.low)) / Double(TensorStatistics.bins)
        func edge(_ counts: some Sequence<Double>) -> Double {
            var (seen, bins) = (0.0, 0.0)
            for count in counts {
                seen += count
                if seen > cut { break }
                bins += 1
            }
            return bins * width
        }
        let low = Double(statistics.low) + edge(statistics.histogram)
        let high = Double(statistics.high) - edge(statistics.histogram.reversed())
        // 0 is covered in any case.
        return (Float(statistics.low < 0 ? min(low, 0) : low), Float(statistics.high > 0 ? max(high, 0) : high))
    }

    /// The smallest loss over parts of the range: both sides cut alike, then each side alone.
    private func best(
        _ statistics: TensorStatistics, _ loss: (Double, Double) -> Double
    ) -> (low: Float, high: Float) {
        let (low, high) = (min(Double(statistics.low), 0), max(Double(statistics.high), 0))
        var found = (low: 1.0, high: 1.0, loss: loss(low, high))
        func consider(_ a: Double, _ b: Double) {
            let value = loss(low * a, high * b)
            if value < found.loss { found = (a, b, value) }
        }
        let parts = (16..<64).map { Double($0) / 64 }
        for part in parts { consider(part, part) }
        if low < 0, high > 0 {
            let both = found
            for part in parts { consider(part, both.high) }
            let first = found
            for part in parts { consider(first.low, part) }
        }
        return (Float(low * found.low), Float(high * found.high))
    }

    private func centres(_ statistics: TensorStatistics) -> (first: Double, width: Double) {
        let width = (Double(statistics.high) - Double(statistics.low)) / Double(TensorStatistics.bins)
        return (Double(statistics.low) + width / 2, width)
    }

    private func squaredError(_ statistics: TensorStatistics, _ low: Double, _ high: Double) -> Double {
        let (first, width) = centres(statistics)
        let step = (high - low) / 255
        var total = 0.0
        for (bin, count) in statistics.histogram.enumerated() where count > 0 {
            let value = first + width * Double(bin)
            let beyond = max(0, low - value, value - high)
            total += count * (beyond > 0 ? beyond * beyond : step * step / 12)
        }
        return total
    }

    /// How much of what the distribution tells is lost when 256 steps of the range tell it, values beyond it at its ends.
    private func divergence(_ statistics: TensorStatistics, _ low: Double, _ high: Double) -> Double {
        let (first, width) = centres(statistics)
        let step = (high - low) / 255
        guard step > 0 else { return .infinity }
        var clipped = [Double](repeating: 0, count: TensorStatistics.bins)
        var inside = clipped
        var (sums, filled) = ([Double](repeating: 0, count: 256), [Double](repeating: 0, count: 256))
        func place(_ value: Double) -> Int { max(0, min(255, Int(clamping: ((value - low) / step).rounded()))) }
        func bin(_ value: Double) -> Int {
            max(0, min(TensorStatistics.bins - 1, Int(clamping: ((value - first) / width).rounded())))
        }
        for (index, count) in statistics.histogram.enumerated() where count > 0 {
            let value = first + width * Double(index)
            if value >= low, value <= high {
                inside[index] += count
                clipped[index] += count
                sums[place(value)] += count
            } else {
                clipped[bin(max(low, min(high, value)))] += count
            }
        }
        for (index, count) in clipped.enumerated() where count > 0 { filled[place(first + width * Double(index))] += 1 }
        let all = clipped.reduce(into: 0.0) { $0 += $1 }
        let kept = inside.reduce(into: 0.0) { $0 += $1 }
        guard all > 0, kept > 0 else { return .infinity }
        var total = 0.0
        for (index, count) in clipped.enumerated() where count > 0 {
            let at = place(first + width * Double(index))
            let told = max(sums[at] / max(filled[at], 1) / kept, 1e-12)
            total += count / all * log(count / all / told)
        }
        return total
    }
}
