import TenonIR

/// One direction of a recurrent layer while it runs. The states live in the last outputs, the steps in the first.
struct RecurrentRun<S: Storage> where S.Value: RealNumber {
    typealias Value = S.Value

    private let layer: RecurrentKernels.Layer
    private let functions: [RecurrentKernels.Activation]
    private let isReverse: Bool
    private let direction: Int
    private let x: UnsafePointer<S>
    private let weight: UnsafePointer<S>
    private let recurrence: UnsafePointer<S>
    private let bias: UnsafePointer<S>
    private let peephole: UnsafePointer<S>?
    /// Every step's hidden state [steps, directions, batch, hidden].
    private let y: UnsafeMutablePointer<S>
    private let h: UnsafeMutablePointer<S>
    private let c: UnsafeMutablePointer<S>?
    /// [batch, gates, hidden], then [batch, hidden].
    private let scratch: UnsafeMutablePointer<Value>

    /// How many steps each sample has, where not all have all.
    private let lengths: IndexList?

    init(
        _ layer: RecurrentKernels.Layer, _ direction: Int, _ arguments: borrowing KernelArguments,
        _ lengths: IndexList? = nil
    ) {
        self.layer = layer
        self.lengths = lengths
        self.direction = direction
        functions = layer.functions[direction]
        isReverse = layer.reverse[direction]
        let (units, rows) = (layer.hidden, layer.gates * layer.hidden)
        x = arguments.input(0, S.self)
        weight = arguments.input(1, S.self) + direction * rows * layer.inputs
        recurrence = arguments.input(2, S.self) + direction * rows * units
        bias = arguments.input(3, S.self) + direction * 2 * rows
        peephole = layer.gates == 4 ? arguments.input(6, S.self) + direction * 3 * units : nil
        y = arguments.output(0, S.self)
        let state = direction * layer.batch * units
        h = arguments.output(1, S.self) + state
        c = layer.gates == 4 ? arguments.output(2, S.self) + state : nil
        scratch = arguments.scratch.assumingMemoryBound(to: Value.self)
        let count = layer.batch * units
        for index in 0..<count { h[index] = arguments.input(4, S.self)[state + index] }
        if let c {
            for index in 0..<count { c[index] = arguments.input(5, S.self)[state + index] }
        }
        // A sample without any step has no last state: zero, as ONNX Runtime gives.
        guard let lengths else { return }
        for sample in 0..<layer.batch where lengths[sample] == 0 {
            for place in sample * units..<(sample + 1) * units {
                h[place] = S(storing: .zero)
                c?[place] = S(storing: .zero)
            }
        }
    }

    /// Where a sample's step stands in time; nil behind its end.
    @inline(__always) private func moment(_ index: Int, _ sample: Int) -> Int? {
        let length = lengths?[sample] ?? layer.steps
        guard index < length else { return nil }
        return isReverse ? length - 1 - index : index
    }

    func step(_ index: Int, _ parallel: Parallel) {
        let (units, batch) = (layer.hidden, layer.batch)
        let work = max(1, layer.gates * (layer.inputs + units))
        let grain = max(1, 16_384 / work)
        // All gates from the old hidden state, before any unit changes it.
        parallel.forEach(batch * units, grain: grain) { range in
            for place in range {
                if let time = moment(index, place / units) { gates(place / units, place % units, time) }
            }
        }
        if layer.gates == 3 && !layer.linearBeforeReset {
            parallel.forEach(batch * units, grain: grain) { range in
                for place in range where moment(index, place / units) != nil {
                    resetHidden(place / units, place % units)
                }
            }
        }
        for place in 0..<batch * units {
            let (sample, unit) = (place / units, place % units)
            guard let time = moment(index, sample) else {
                y[((index * layer.reverse.count + direction) * batch + sample) * units + unit] = S(storing: .zero)
                continue
            }
            h[place] = S(storing: update(sample, unit))
            y[((time * layer.reverse.count + direction) * batch + sample) * units + unit] = h[place]
        }
    }

    @inline(__always) private func dot(_ a: UnsafePointer<S>, _ b: UnsafePointer<S>, _ count: Int) -> Value {
        var (s0, s1, s2, s3): (Value, Value, Value, Value) = (0, 0, 0, 0)
        var index = 0
        while index &+ 4 <= count {
            s0 += a[index].value * b[index].value
            s1 += a[index &+ 1].value * b[index &+ 1].value
            s2 += a[index &+ 2].value * b[index &+ 2].value
            s3 += a[index &+ 3].value * b[index &+ 3].value
            index &+= 4
        }
        while index < count {
            s0 += a[index].value * b[index].value
            index &+= 1
        }
        return (s0 + s1) + (s2 + s3)
    }

    @inline(__always) private func clipped(_ value: Value) -> Value {
        guard let clip = layer.clip else { return value }
        let bound = Value(clip)
        return value > bound ? bound : value < -bound ? -bound : value
    }

    @inline(__always) private func gate(_ sample: Int, _ gate: Int, _ unit: Int) -> UnsafeMutablePointer<Value> {
        scratch + ((sample &* layer.gates &+ gate) &* layer.hidden &+ unit)
    }

    private var old: UnsafePointer<S> { UnsafePointer(h) }

    private func gates(_ sample: Int, _ unit: Int, _ time: Int) {
        let (units, inputs) = (layer.hidden, layer.inputs)
        let source = x + (time * layer.batch + sample) * inputs
        let hidden = old + sample * units
        for index in 0..<layer.gates {
            let row = index * units + unit
            let fromInput = dot(weight + row * inputs, source, inputs) + bias[row].value
            let fromState = dot(recurrence + row * units, hidden, units) + bias[layer.gates * units + row].value
            if layer.gates == 3, index == 2 {
                gate(sample, 2, unit).pointee = fromInput
                // The reset gate, or what it multiplies, is kept for the second pass.
                scratch[layer.batch * 3 * units + sample * units + unit] = fromState
            } else {
                gate(sample, index, unit).pointee = fromInput + fromState
            }
        }
        if layer.gates == 3 {
            for index in 0..<2 {
                let place = gate(sample, index, unit)
                place.pointee = functions[0](clipped(place.pointee))
            }
        }
    }

    /// GRU's hidden gate over the reset hidden state, which needs the reset gates of all units.
    private func resetHidden(_ sample: Int, _ unit: Int) {
        let units = layer.hidden
        let row = 2 * units + unit
        var sum: Value = 0
        for other in 0..<units {
            sum +=
                recurrence[row * units + other].value
                * (gate(sample, 1, other).pointee * old[sample * units + other].value)
        }
        scratch[layer.batch * 3 * units + sample * units + unit] = sum + bias[3 * units + row].value
    }

    /// The unit's next hidden state.
    private func update(_ sample: Int, _ unit: Int) -> Value {
        let place = sample * layer.hidden + unit
        switch layer.gates {
        case 4: return cell(sample, unit, place)
        case 3:
            let (z, r) = (gate(sample, 0, unit).pointee, gate(sample, 1, unit).pointee)
            let state = scratch[layer.batch * 3 * layer.hidden + place]
            let reset = layer.linearBeforeReset ? r * state : state
            let n = functions[1](clipped(gate(sample, 2, unit).pointee + reset))
            return (1 - z) * n + z * h[place].value
        default: return functions[0](clipped(gate(sample, 0, unit).pointee))
        }
    }

    private func cell(_ sample: Int, _ unit: Int, _ place: Int) -> Value {
        guard let c, let peephole else { return 0 }
        let units = layer.hidden
        let before = c[place].value
        func seen(_ index: Int, _ value: Value) -> Value { peephole[index * units + unit].value * value }
        let i = functions[0](clipped(gate(sample, 0, unit).pointee + seen(0, before)))
        let f =
            layer.inputForget ? 1 - i : functions[0](clipped(gate(sample, 2, unit).pointee + seen(2, before)))
        let after = f * before + i * functions[1](clipped(gate(sample, 3, unit).pointee))
        let o = functions[0](clipped(gate(sample, 1, unit).pointee + seen(1, after)))
        c[place] = S(storing: after)
        return o * functions[2](after)
    }
}
