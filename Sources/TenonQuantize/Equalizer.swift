import TenonIR

/// Evens out the ranges of channels between two layers: what one weight is divided by, channel by channel, the next is multiplied
/// by. With one scale for a tensor of activations, or for a weight, small channels would have few steps.
///
/// Exact where nothing or ReLU stands between. Where a bound b stands there (ReLU6), channels are only made larger, and none beyond
/// what the samples showed to stay below b: what is clipped there stays clipped there.
struct Equalizer {
    let usage: Usage
    let layers: [Layer]
    let statistics: [ValueID: TensorStatistics]

    private struct Pair {
        let first: Int
        let second: Int
        /// The upper bound of a clip between them.
        let bound: Float?
        /// The tensor between them.
        let between: ValueID
    }

    /// The function with other weights and biases; nil when there is nothing to even out.
    func function() throws -> Function? {
        let pairs = self.pairs()
        guard !pairs.isEmpty else { return nil }
        var weights = layers.map { $0.weighted.map { $0.weight.withFloats { Array($0) } } ?? [] }
        var biases = layers.map { $0.weighted?.bias?.withFloats { Array($0) } ?? [] }
        var largest = pairs.map { statistics[$0.between]?.largest ?? [] }
        // Each pair changes what its neighbours see, so that it takes some rounds.
        for _ in 0..<8 {
            for (place, pair) in pairs.enumerated() {
                try Work.check()
                scale(pair, &weights, &biases, &largest[place])
            }
        }
        var function = usage.function
        for block in function.body.blocks.indices {
            for index in function.body.blocks[block].bindings.indices {
                let binding = function.body.blocks[block].bindings[index]
                guard case .call(var call) = binding.expression else { continue }
                for layer in layers.indices {
                    guard let weighted = layers[layer].weighted else { continue }
                    if layers[layer].anchor == binding.id {
                        call.arguments[1] = .constant(try Constant.floats(weighted.weight.shape, weights[layer]))
                    } else if layers[layer].output == binding.id, let bias = weighted.bias,
                        bias.count == biases[layer].count
                    {
                        let place = call.arguments.firstIndex { $0.constant != nil } ?? 1
                        call.arguments[place] = .constant(try Constant.floats(bias.shape, biases[layer]))
                    }
                }
                function.body.blocks[block].bindings[index].expression = .call(call)
            }
        }
        return function
    }

    /// Layers of which one alone takes what the other makes, channel by channel.
    private func pairs() -> [Pair] {
        var result: [Pair] = []
        for (first, layer) in layers.enumerated() {
            guard let weighted = layer.weighted, weighted.bias.map({ $0.count == weighted.outputs }) ?? true,
                weighted.weight.isFinite, let bound = bound(from: layer.output, to: layer.end),
                let user = usage.onlyUser(layer.end),
                let second = layers.firstIndex(where: { $0.anchor == user }), let next = layers[second].weighted,
                layers[second].inputs == [layer.end], next.dataAxis == weighted.channelAxis, next.weight.isFinite,
                inputChannels(next) == weighted.outputs, next.groups == 1 || isDepthwise(next)
            else { continue }
            if bound.isFinite {
                guard statistics[layer.end]?.largest.count == weighted.outputs else { continue }
            }
            result.append(
                Pair(first: first, second: second, bound: bound.isFinite ? bound : nil, between: layer.end))
        }
        return result
    }

    private func isDepthwise(_ weighted: Layer.Weighted) -> Bool {
        weighted.weight.shape[weighted.inputAxis] == 1 && weighted.groups == inputChannels(weighted)
    }

    private func inputChannels(_ weighted: Layer.Weighted) -> Int {
        Int(weighted.weight.shape[weighted.inputAxis]).multipliedReportingOverflow(by: weighted.groups).partialValue
    }

    /// The upper bound that stands between two values, infinite for none; nil where a bound does not grow with its input.
    private func bound(from start: ValueID, to end: ValueID) -> Float? {
        var bound = Float.infinity
        var current = end
        while current != start {
            guard let (op, call) = usage.makers[current], case .value(let next)? = call.arguments.first else {
                return nil
            }
            switch op.name {
            case "nn.relu": break
            case "nn.relu6": bound = min(bound, 6)
            default:
                guard call.arguments.count == 3, number(call.arguments[1]) == 0, let most = number(call.arguments[2]),
                    most > 0
                else { return nil }
                bound = min(bound, Float(most))
            }
            current = next
        }
        return bound
    }

    private func number(_ operand: Operand) -> Double? {
        switch operand {
        case .float(let value): value
        case .int(let value): Double(value)
        case .constant(let constant) where constant.count == 1: constant.double(at: 0)
        default: nil
        }
    }

    private func scale(_ pair: Pair, _ weights: inout [[Float]], _ biases: inout [[Float]], _ largest: inout [Float]) {
        guard let first = layers[pair.first].weighted, let second = layers[pair.second].weighted else { return }
        let channels = first.outputs
        func stride(_ weight: Constant, _ axis: Int) -> Int {
            weight.shape.dropFirst(axis + 1).reduce(into: 1) { $0 *= Int($1) }
        }
        let inner = stride(first.weight, first.outputAxis)
        // A depthwise layer has its channels along the outputs of its weight.
        let isDepthwise = second.groups > 1
        let axis = isDepthwise ? second.outputAxis : second.inputAxis
        let nextInner = stride(second.weight, axis)
        let multiplier = isDepthwise ? max(1, second.outputs / channels) : 1
        var made = [Float](repeating: 0, count: channels)
        var taken = made
        for (index, value) in weights[pair.first].enumerated() {
            let channel = index / inner % channels
            made[channel] = max(made[channel], value.magnitude)
        }
        let size = isDepthwise ? second.outputs : channels
        for (index, value) in weights[pair.second].enumerated() {
            let channel = min(channels - 1, index / nextInner % size / multiplier)
            taken[channel] = max(taken[channel], value.magnitude)
        }
        var divisors = [Float](repeating: 1, count: channels)
        for channel in divisors.indices where made[channel] > 0 && taken[channel] > 0 {
            var divisor = (made[channel] / taken[channel]).squareRoot()
            if let bound = pair.bound, largest.indices.contains(channel) {
                // A tenth more than was seen stays below the bound.
                divisor = max(min(divisor, 1), min(1, largest[channel] * 1.1 / bound))
            }
            guard divisor.isFinite, divisor > 1e-4, divisor < 1e4 else { continue }
            divisors[channel] = divisor
            if largest.indices.contains(channel) { largest[channel] /= divisor }
        }
        for index in weights[pair.first].indices { weights[pair.first][index] /= divisors[index / inner % channels] }
        for index in biases[pair.first].indices where index < channels { biases[pair.first][index] /= divisors[index] }
        for index in weights[pair.second].indices {
            let channel = min(channels - 1, index / nextInner % size / multiplier)
            weights[pair.second][index] *= divisors[channel]
        }
    }
}
