import TenonIR
import TenonRuntime

/// How long the layers of a module take, from the profile of runs: what a step makes tells which layer it belongs to.
struct LayerTimes {
    let layers: [Layer]
    let usage: Usage

    /// By the name of a value: the layer that it belongs to.
    private var owners: [String: Int] {
        var owners: [String: Int] = [:]
        for (index, layer) in layers.enumerated() {
            for input in layer.inputs where owners[usage.name(input)] == nil { owners[usage.name(input)] = index }
        }
        for (index, layer) in layers.enumerated() {
            var current = layer.end
            while true {
                owners[usage.name(current)] = index
                guard current != layer.anchor, let (_, call) = usage.makers[current] else { break }
                guard let next = call.arguments.lazy.compactMap(\.valueID).first else { break }
                current = next
            }
        }
        return owners
    }

    /// Nanoseconds per layer, the fastest of a few runs; the last element is the whole run.
    func measure(_ executable: Executable, _ runner: SampleRunner) throws -> [Double] {
        let owners = owners
        var best = [Double](repeating: .infinity, count: layers.count + 1)
        var options = RunOptions(cancel: Work.limits?.cancel, deadline: Work.limits?.deadline)
        options.isProfiled = true
        guard let sample = runner.samples.first else { return best }
        for _ in 0..<5 {
            try Work.check()
            _ = try executable.run(sample, options: options)
            guard let profile = executable.lastProfile else { continue }
            var times = [Double](repeating: 0, count: layers.count + 1)
            for (step, time) in zip(profile.steps, profile.nanoseconds) {
                if let owner = owner(step.binding, owners) { times[owner] += Double(time) }
            }
            times[layers.count] = Double(profile.totalNanoseconds)
            for index in best.indices { best[index] = min(best[index], times[index]) }
        }
        return best
    }

    /// Conversions in front of a layer carry the name of what they convert.
    private func owner(_ name: String, _ owners: [String: Int]) -> Int? {
        if let known = owners[name] { return known }
        for ending in ["_q", "_dq", "_all", "_scale", "_zero", "_product"] where name.hasSuffix(ending) {
            if let known = owners[String(name.dropLast(ending.count))] { return known }
        }
        return nil
    }
}
