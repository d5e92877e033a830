import TenonIR
import TenonRewrite
import TenonRuntime

/// How a module is to be quantised.
public struct QuantizationOptions: Sendable {
    /// Where the scales of activations come from.
    public enum Mode: UInt32, Sendable {
        /// From samples, once for all.
        case calibrated = 0
        /// From each tensor as it comes. Of convolutions and products with known weights.
        case dynamic = 1
    }

    /// Which part of the values met a scale covers.
    public enum Calibration: UInt32, Sendable {
        /// All.
        case minMax = 0
        /// All but the outermost, `percentile` of them.
        case percentile = 1
        /// The part whose distribution 256 steps tell best (Kullback–Leibler divergence).
        case entropy = 2
        /// The part with the smallest mean squared error.
        case squaredError = 3
    }

    public var mode = Mode.calibrated
    public var calibration = Calibration.minMax
    /// Of the values, in percent.
    public var percentile = 99.99
    /// u8 or i8.
    public var activations = DataType.uint8
    /// One scale for all of a weight, instead of one per output channel.
    public var isPerTensor = false
    /// Evens out the ranges of channels between two layers first.
    public var equalizesRanges = false
    /// Takes the mean error that rounded weights make out of biases.
    public var correctsBias = false
    /// The largest relative error of the outputs; nil for any.
    public var tolerance: Double?
    /// Layers, by name, that stay as they are.
    public var excluded: [String] = []
    /// So many samples are compared and timed.
    public var measuredSamples = 8
    /// Whether times are measured.
    public var measuresTime = true
    /// Told of the stages "calibrate" and "compare".
    public var progress: ProgressReport?
    /// For the runs that calibrating and comparing need.
    public var compile = CompileOptions()

    public init() {}

    func check() throws {
        guard percentile > 50, percentile <= 100 else {
            throw TenonError(
                .invalidArgument, "quantize: percentile expects a number above 50 and up to 100, found \(percentile)")
        }
        guard activations == .uint8 || activations == .int8 else {
            throw TenonError(
                .invalidArgument, "quantize: activations expects u8 or i8, found \(activations.name)")
        }
        if let tolerance, !(tolerance >= 0 && tolerance.isFinite) {
            throw TenonError(.invalidArgument, "quantize: tolerance expects a number from 0, found \(tolerance)")
        }
        guard measuredSamples > 0 else {
            throw TenonError(
                .invalidArgument, "quantize: measured_samples expects a number above 0, found \(measuredSamples)")
        }
        guard mode == .dynamic else { return }
        guard activations == .uint8 else {
            throw TenonError(
                .invalidArgument,
                "quantize: activations expects u8 where they are quantised as they come, found \(activations.name)")
        }
        if equalizesRanges || correctsBias {
            throw TenonError(
                .invalidArgument,
                "quantize: \(equalizesRanges ? "equalize" : "correct_bias") expects calibration, found dynamic quantisation"
            )
        }
    }
}

/// What quantising did, layer by layer.
public struct QuantizationReport: Sendable {
    public struct Layer: Sendable {
        /// The value that the layer's operator makes.
        public var name: String
        public var op: String
        public var isQuantized: Bool
        /// Why not; empty for a layer that is quantised.
        public var reason = ""
        /// What quantising this layer alone adds to the outputs: the root of the summed squares of the differences over that of
        /// the summed squares of the outputs. NaN where it was not measured.
        public var error = Double.nan
        /// Nanoseconds of a run that the layer takes less; below 0 where it takes more, NaN where it was not measured.
        public var gain = Double.nan
    }

    public var layers: [Layer] = []
    /// The same measure for all quantised layers together; NaN without samples.
    public var error = Double.nan
    /// Nanoseconds of a run before and after; NaN where they were not measured.
    public var nanoseconds = (before: Double.nan, after: Double.nan)

    public init() {}
}
