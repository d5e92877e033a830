import TenonIR
import TenonRewrite
import TenonRuntime

/// Makes a module compute with small integers where that costs little: calibrates, rewrites, compares.
public struct Quantizer {
    public var options: QuantizationOptions
    public var backends: [any Backend]
    /// What a module goes through before it is compiled; samples run through the result.
    public var pipeline: any ModulePass
    public var context: PassContext

    public init(
        options: QuantizationOptions, backends: [any Backend], pipeline: any ModulePass, context: PassContext
    ) {
        self.options = options
        self.backends = backends
        self.pipeline = pipeline
        self.context = context
    }

    /// The quantised module, and what was done. Each sample has one tensor per input of `main`.
    public func run(_ module: Module, samples: [[Constant]]) throws -> (module: Module, report: QuantizationReport) {
        try options.check()
        guard module.main != nil else { throw TenonError(.notFound, "quantize: the module has no function 'main'") }
        guard !module.isFused else {
            throw TenonError(
                .invalidState,
                "quantize: expects a module that is not fused yet, found functions with Composite or Codegen")
        }
        if samples.isEmpty, options.mode == .calibrated {
            throw TenonError(.invalidArgument, "quantize: samples expects one at least for calibration, found none")
        }
        if samples.isEmpty, options.tolerance != nil {
            throw TenonError(.invalidArgument, "quantize: tolerance expects samples to compare with, found none")
        }
        let prepared = try Preparation.run(module, context)
        let runner = SampleRunner(
            backends: backends, pipeline: pipeline, context: context, options: options.compile, samples: samples)
        var quantization = try Quantization(options, runner, prepared)
        return try quantization.run()
    }
}

/// The spelling in which layers are found: normalisations folded into weights, constants known.
enum Preparation {
    static func run(_ module: Module, _ context: PassContext) throws -> Module {
        let passes: [any ModulePass] = [
            ConvertToDataflow(minimumSize: 1), ExpandOperators(), CanonicalizeBindings(),
            FoldConstant(keepsQuantized: true),
            SimplifyExpressions(), RecomposeActivations(), RecomposeNormalization(), RecomposeGlobalPooling(),
            FoldPadding(),
            FoldBatchNorm(), FoldConstant(keepsQuantized: true), EliminateDeadCode(),
        ]
        var prepared = try Sequential(passes, name: "PrepareQuantization").run(on: module, context)
        prepared["main"]?.nameValues()
        return prepared
    }
}

/// One quantisation under way.
private struct Quantization {
    let options: QuantizationOptions
    let runner: SampleRunner
    let calibrator: Calibrator
    var module: Module
    var usage: Usage
    var layers: [Layer]
    var report = QuantizationReport()
    private var parameters: [ValueID: ActivationParameters] = [:]
    private var corrections: [Int: [Float]] = [:]

    init(_ options: QuantizationOptions, _ runner: SampleRunner, _ module: Module) throws {
        self.options = options
        self.runner = runner
        calibrator = Calibrator(runner: runner, report: options.progress)
        self.module = module
        guard let main = module.main else { throw TenonError(.notFound, "the module has no function 'main'") }
        usage = Usage(main)
        layers = LayerFinder(usage).layers(mode: options.mode)
    }

    mutating func run() throws -> (module: Module, report: QuantizationReport) {
        guard !layers.isEmpty else {
            throw TenonError(
                .unsupported,
                "quantize: expects convolutions or products of f32 with known weights, found none in 'main'"
            )
        }
        for name in options.excluded where !layers.contains(where: { $0.name == name }) {
            let names = layers.map(\.name).joined(separator: ", ")
            throw TenonError(
                .notFound, "quantize: excluded expects names of layers (\(names)), found '\(name)'", node: name)
        }
        report.layers = layers.map {
            QuantizationReport.Layer(name: $0.name, op: $0.op.name, isQuantized: false)
        }
        let compared = min(options.measuredSamples, runner.samples.count)
        var expected: [[Constant]] = []
        if compared > 0 {
            expected = try runner.outputs(module, compared)
            try calibrator.checkSamples(try Executable.inputNames(module))
        }
        let original = module
        var usable = Set(layers.indices.filter { !options.excluded.contains(layers[$0].name) })
        for index in layers.indices where !usable.contains(index) { report.layers[index].reason = "excluded" }
        for index in usable.sorted() {
            guard let reason = weightReason(layers[index]) else { continue }
            report.layers[index].reason = reason
            usable.remove(index)
        }
        if options.mode == .calibrated { try calibrate(&usable) }
        try measureErrors(usable, expected)
        let chosen = try choose(usable, expected)
        for index in layers.indices { report.layers[index].isQuantized = chosen.contains(index) }
        let result = try rewritten(chosen)
        try measureTimes(original, result)
        try result.verify()
        return (result, report)
    }

    private func weightReason(_ layer: Layer) -> String? {
        guard let weighted = layer.weighted else { return nil }
        if !weighted.weight.isFinite { return "its weight has values that are not finite" }
        if let bias = weighted.bias, !bias.isFinite { return "its bias has values that are not finite" }
        return nil
    }

    // MARK: - Calibration

    private mutating func calibrate(_ usable: inout Set<Int>) throws {
        let histograms = options.calibration != .minMax
        if options.equalizesRanges {
            let seen = try calibrator.statistics(module, watched(), histograms: false)
            if let main = try Equalizer(usage: usage, layers: layers, statistics: seen).function() {
                module["main"] = main
                usage = Usage(main)
                layers = LayerFinder(usage).layers(mode: options.mode)
                guard layers.count == report.layers.count else {
                    throw TenonError(.internal, "quantize: equalising changed the layers")
                }
            }
        }
        let statistics = try calibrator.statistics(module, watched(), histograms: histograms)
        let choice = RangeChoice(options: options)
        for (value, seen) in statistics where !seen.isBroken && !seen.isEmpty {
            let (low, high) = choice.range(seen)
            parameters[value] = ActivationParameters(low: low, high: high, options.activations)
        }
        for index in usable.sorted() {
            let layer = layers[index]
            var needed = layer.inputs
            if case .joining = layer.kind { needed.append(layer.end) }
            guard let missing = needed.first(where: { parameters[$0] == nil || parameters[usage.source($0)] == nil })
            else {
                continue
            }
            report.layers[index].reason = "'\(usage.name(missing))' was empty or not finite in a sample"
            usable.remove(index)
        }
        guard options.correctsBias else { return }
        for index in usable.sorted() {
            guard let weighted = layers[index].weighted, let input = layers[index].inputs.first,
                let seen = statistics[input]
            else { continue }
            let weight = try QuantizedWeight(
                weighted.weight, axis: weighted.outputAxis, isPerTensor: options.isPerTensor,
                least: [Float](repeating: 0, count: weighted.outputs))
            corrections[index] = BiasCorrection.values(weighted, weight, seen.means)
        }
    }

    /// Every tensor that may be quantised, with the axis of its channels.
    private func watched() -> [ValueID: Int] {
        var axes: [ValueID: Int] = [:]
        func watch(_ value: ValueID, _ axis: Int?) {
            let rank = usage.function.type(of: value).asTensor?.rank ?? 1
            if let axis {
                axes[value] = axis
            } else if axes[value] == nil {
                axes[value] = rank > 2 ? 1 : max(0, rank - 1)
            }
        }
        for layer in layers {
            for input in layer.inputs {
                watch(input, layer.weighted?.dataAxis)
                watch(usage.source(input), nil)
            }
            watch(layer.end, layer.weighted?.channelAxis)
        }
        return axes
    }

    // MARK: - Comparison

    private func rewritten(_ chosen: Set<Int>) throws -> Module {
        var result = module
        switch options.mode {
        case .calibrated:
            result["main"] = try StaticRewriter(
                usage: usage, layers: layers, parameters: parameters, corrections: corrections, options: options
            ).function(chosen)
        case .dynamic:
            result["main"] = try DynamicRewriter(usage: usage, layers: layers, options: options).function(chosen)
        }
        return result
    }

    private func error(_ chosen: Set<Int>, _ expected: [[Constant]]) throws -> Double {
        if chosen.isEmpty { return 0 }
        return OutputError.between(try runner.outputs(try rewritten(chosen), expected.count), expected)
    }

    private mutating func measureErrors(_ usable: Set<Int>, _ expected: [[Constant]]) throws {
        guard !expected.isEmpty else { return }
        for (done, index) in usable.sorted().enumerated() {
            try options.progress?("compare", done, usable.count)
            report.layers[index].error = try error([index], expected)
        }
        try options.progress?("compare", usable.count, usable.count)
    }

    /// As many layers as the tolerance allows; those that cost most are left out first.
    private mutating func choose(_ usable: Set<Int>, _ expected: [[Constant]]) throws -> Set<Int> {
        guard !expected.isEmpty else { return usable }
        report.error = try error(usable, expected)
        guard let tolerance = options.tolerance, report.error > tolerance else { return usable }
        let order = usable.sorted { (report.layers[$0].error, $1) > (report.layers[$1].error, $0) }
        // The fewest layers to leave out, by halving: the error falls with each.
        var (tooFew, enough) = (0, order.count)
        var found = (chosen: Set<Int>(), error: 0.0)
        while enough - tooFew > 1 {
            let count = (tooFew + enough) / 2
            let chosen = Set(order.dropFirst(count))
            let error = try error(chosen, expected)
            if error <= tolerance {
                (enough, found) = (count, (chosen, error))
            } else {
                tooFew = count
            }
        }
        for index in usable.subtracting(found.chosen) { report.layers[index].reason = "costs more than the tolerance" }
        report.error = found.error
        return found.chosen
    }

    private mutating func measureTimes(_ original: Module, _ result: Module) throws {
        guard options.measuresTime, !runner.samples.isEmpty else { return }
        let times = LayerTimes(layers: layers, usage: usage)
        let before = try times.measure(try runner.executable(original), runner)
        let after = try times.measure(try runner.executable(result), runner)
        for index in layers.indices where report.layers[index].isQuantized {
            report.layers[index].gain = before[index] - after[index]
        }
        report.nanoseconds = (before[layers.count], after[layers.count])
    }
}

extension Executable {
    /// The names of a module's inputs, as messages call them.
    fileprivate static func inputNames(_ module: Module) throws -> [String] {
        guard let main = module.main else { return [] }
        if case .strings(let names)? = main.attributes["input_names"] { return names }
        return main.parameters.map { main.info($0)?.name ?? "" }
    }
}
