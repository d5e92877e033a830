import TenonIR
import TenonRewrite
import TenonRuntime

/// Runs modules on samples.
struct SampleRunner {
    let backends: [any Backend]
    /// What makes a module fast before it is compiled.
    let pipeline: any ModulePass
    let context: PassContext
    let options: CompileOptions
    let samples: [[Constant]]

    func executable(_ module: Module) throws -> Executable {
        try Executable(module: try pipeline.apply(to: module, context), backends: backends, options: options)
    }

    /// An error says which sample it is about.
    func run(_ executable: Executable, _ index: Int) throws -> [Constant] {
        try Work.check()
        do {
            return try executable.run(
                samples[index], options: RunOptions(cancel: Work.limits?.cancel, deadline: Work.limits?.deadline))
        } catch var error as TenonError {
            error.message = "quantize: sample \(index): \(error.message)"
            throw error
        }
    }

    /// The outputs for the first samples.
    func outputs(_ module: Module, _ count: Int) throws -> [[Constant]] {
        let executable = try executable(module)
        return try samples.indices.prefix(count).map { try run(executable, $0) }
    }
}

/// Watches the tensors of a module while samples run through it.
struct Calibrator {
    let runner: SampleRunner
    let report: ProgressReport?

    /// That samples are numbers: what is not would be the range of everything behind it.
    func checkSamples(_ names: [String]) throws {
        for (index, sample) in runner.samples.enumerated() {
            try Work.check()
            for (place, input) in sample.enumerated() where input.dtype.isFloatingPoint {
                let isFinite =
                    input.dtype == .float32
                    ? input.isFinite : (0..<input.count).allSatisfy { input.double(at: $0)?.isFinite ?? true }
                guard isFinite else {
                    let name = place < names.count ? names[place] : "\(place)"
                    throw TenonError(
                        .invalidArgument,
                        "quantize: sample \(index): input '\(name)' expects finite numbers, found NaN or infinity",
                        node: name)
                }
            }
        }
    }

    /// - Parameter axes: the tensors to watch, and the axis of the channels of each.
    func statistics(
        _ module: Module, _ axes: [ValueID: Int], histograms: Bool
    ) throws -> [ValueID: TensorStatistics] {
        let observed = axes.keys.sorted()
        let executable = try runner.executable(try exposing(observed, of: module))
        var result = [TensorStatistics](repeating: TensorStatistics(), count: observed.count)
        let passes = histograms ? 2 : 1
        let total = runner.samples.count * passes
        for pass in [0, 1].prefix(passes) {
            for index in runner.samples.indices {
                try report?("calibrate", pass * runner.samples.count + index, total)
                let values = try runner.run(executable, index)
                guard values.count == observed.count else {
                    throw TenonError(.internal, "quantize: a value is missing")
                }
                for (place, value) in values.enumerated() {
                    if pass == 0 {
                        result[place].add(value, channelAxis: axes[observed[place]] ?? 0)
                    } else {
                        result[place].count(value)
                    }
                }
            }
        }
        try report?("calibrate", total, total)
        return Dictionary(zip(observed, result)) { first, _ in first }
    }

    /// The module giving the tensors.
    private func exposing(_ observed: [ValueID], of module: Module) throws -> Module {
        guard var main = module.main else { throw TenonError(.notFound, "the module has no function 'main'") }
        main.body.result = .tuple(observed.map { .value($0) })
        for value in observed { main.values[value.int].isDataflow = false }
        main.attributes["output_names"] = nil
        var exposed = module
        exposed["main"] = main
        return exposed
    }
}
