import Glibc
import TenonIR

/// One direction of a recurrent layer in single precision.
///
/// What the inputs contribute to the gates is computed for many steps at once, each row of weights read once for all of
/// them. A step then multiplies the hidden state with all gates' rows of a unit together and goes on to the unit's next
/// state, so that the threads meet once per step; GRU with the reset gate in front of the product needs a second pass.
struct FloatRecurrence {
    typealias Layer = RecurrentKernels.Layer
    typealias Activation = RecurrentKernels.Activation

    /// Units that one thread takes at a time: a cache line of floats.
    private static let block = 16
    /// Elements of the gates computed ahead.
    private static let ahead = 1 << 16

    private let layer: Layer
    private let functions: [Activation]
    private let isReverse: Bool
    private let direction: Int
    private let x: UnsafePointer<Float>
    private let weight: UnsafePointer<Float>
    private let recurrence: UnsafePointer<Float>
    private let bias: UnsafePointer<Float>
    private let peephole: UnsafePointer<Float>?
    private let y: UnsafeMutablePointer<Float>
    private let h: UnsafeMutablePointer<Float>
    private let c: UnsafeMutablePointer<Float>?
    /// Steps computed ahead, each [batch, gates, units].
    private let chunk: Int
    private let projected: UnsafeMutablePointer<Float>
    /// [batch, gates + 1, units]; the last is GRU's hidden gate as the state contributes to it.
    private let current: UnsafeMutablePointer<Float>
    /// [batch, units], the state times the reset gate.
    private let reset: UnsafeMutablePointer<Float>

    static func scratchBytes(_ layer: Layer, _ size: CheckedSize) throws -> Int {
        let step = try size.multiply(layer.batch, layer.hidden, layer.gates + 2)
        return try size.multiply(step, chunk(layer) + 1, MemoryLayout<Float>.stride)
    }

    private static func chunk(_ layer: Layer) -> Int {
        max(1, min(layer.steps, ahead / max(1, layer.batch * layer.hidden * layer.gates)))
    }

    init(_ layer: Layer, _ direction: Int, _ arguments: borrowing KernelArguments) {
        self.layer = layer
        self.direction = direction
        functions = layer.functions[direction]
        isReverse = layer.reverse[direction]
        let (units, rows) = (layer.hidden, layer.gates * layer.hidden)
        x = arguments.input(0, Float.self)
        weight = arguments.input(1, Float.self) + direction * rows * layer.inputs
        recurrence = arguments.input(2, Float.self) + direction * rows * units
        bias = arguments.input(3, Float.self) + direction * 2 * rows
        peephole = layer.gates == 4 ? arguments.input(6, Float.self) + direction * 3 * units : nil
        y = arguments.output(0, Float.self)
        let state = direction * layer.batch * units
        h = arguments.output(1, Float.self) + state
        c = layer.gates == 4 ? arguments.output(2, Float.self) + state : nil
        chunk = FloatRecurrence.chunk(layer)
        projected = arguments.scratch.assumingMemoryBound(to: Float.self)
        current = projected + chunk * layer.batch * rows
        reset = current + layer.batch * (rows + units)
        h.update(from: arguments.input(4, Float.self) + state, count: layer.batch * units)
        c?.update(from: arguments.input(5, Float.self) + state, count: layer.batch * units)
    }

    func run(_ parallel: Parallel) {
        var first = 0
        while first < layer.steps {
            let count = min(chunk, layer.steps - first)
            // Backwards, the chunk's earliest step in time is its last.
            let earliest = isReverse ? layer.steps - first - count : first
            project(earliest, count, parallel)
            for index in 0..<count {
                let ahead = isReverse ? count - 1 - index : index
                step(earliest + ahead, projected + ahead * layer.batch * layer.gates * layer.hidden, parallel)
            }
            first += count
        }
    }

    private func overUnits(_ work: Int, _ parallel: Parallel, _ body: (Range<Int>) -> Void) {
        let (units, block) = (layer.hidden, FloatRecurrence.block)
        parallel.forEach((units + block - 1) / block, grain: max(1, 16_384 / max(1, block * work))) { blocks in
            body(blocks.lowerBound * block..<min(units, blocks.upperBound * block))
        }
    }

    // MARK: - Products

    /// The gates' inputs of `count` steps from `time` on, biases added: GRU's hidden gate gets that of its state later.
    private func project(_ time: Int, _ count: Int, _ parallel: Parallel) {
        let (units, inputs, gates) = (layer.hidden, layer.inputs, layer.gates)
        let (samples, rows) = (count * layer.batch, gates * units)
        let source = x + time * layer.batch * inputs
        overUnits(samples * inputs * gates, parallel) { range in
            for unit in range {
                for sample in 0..<samples {
                    let sums = products(weight + unit * inputs, units * inputs, source + sample * inputs, inputs)
                    for gate in 0..<gates {
                        let row = gate * units + unit
                        let ofState = gates == 3 && gate == 2 ? 0 : bias[rows + row]
                        projected[sample * rows + row] = sums[gate] + bias[row] + ofState
                    }
                }
            }
        }
    }

    /// One row per gate, `step` apart, times a vector.
    @inline(__always) private func products(
        _ row: UnsafePointer<Float>, _ step: Int, _ vector: UnsafePointer<Float>, _ count: Int
    ) -> SIMD4<Float> {
        switch layer.gates {
        case 4: FloatRecurrence.dots(4, row, step, vector, count)
        case 3: FloatRecurrence.dots(3, row, step, vector, count)
        default: FloatRecurrence.dots(1, row, step, vector, count)
        }
    }

    @inline(__always) private static func dots(
        _ rows: Int, _ row: UnsafePointer<Float>, _ step: Int, _ vector: UnsafePointer<Float>, _ count: Int
    ) -> SIMD4<Float> {
        var (s0, s1, s2, s3) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
        var index = 0
        while index &+ 8 <= count {
            let v = Vector(loading: vector + index)
            s0 += Vector(loading: row + index) * v
            if rows > 1 {
                s1 += Vector(loading: row + (step &+ index)) * v
                s2 += Vector(loading: row + (2 &* step &+ index)) * v
            }
            if rows > 3 { s3 += Vector(loading: row + (3 &* step &+ index)) * v }
            index &+= 8
        }
        var sums = SIMD4<Float>(total(s0), total(s1), total(s2), total(s3))
        while index < count {
            let v = vector[index]
            sums[0] += row[index] * v
            if rows > 1 {
                sums[1] += row[step &+ index] * v
                sums[2] += row[2 &* step &+ index] * v
            }
            if rows > 3 { sums[3] += row[3 &* step &+ index] * v }
            index &+= 1
        }
        return sums
    }

    @inline(__always) private static func total(_ sums: Vector) -> Float {
        let four = sums.lowHalf + sums.highHalf
        let two = four.lowHalf + four.highHalf
        return two.x + two.y
    }

    // MARK: - Steps

    private func step(_ time: Int, _ ahead: UnsafePointer<Float>, _ parallel: Parallel) {
        let (units, batch, gates) = (layer.hidden, layer.batch, layer.gates)
        let (rows, stored) = (gates * units, (gates + 1) * units)
        let target = y + (time * layer.reverse.count + direction) * batch * units
        let needsReset = gates == 3 && !layer.linearBeforeReset
        overUnits(batch * units * gates, parallel) { range in
            for unit in range {
                for sample in 0..<batch {
                    let sums = products(recurrence + unit * units, units * units, h + sample * units, units)
                    let place = current + sample * stored + unit
                    for gate in 0..<gates {
                        let before = ahead[sample * rows + gate * units + unit]
                        place[gate * units] = gates == 3 && gate == 2 ? before : before + sums[gate]
                    }
                    if gates == 3 { place[3 * units] = sums[2] + bias[rows + 2 * units + unit] }
                }
            }
            for sample in 0..<batch {
                var unit = range.lowerBound
                while unit < range.upperBound {
                    let lanes = min(8, range.upperBound - unit)
                    if needsReset {
                        multiplyByReset(sample, unit, lanes)
                    } else {
                        update(sample, unit, lanes, target)
                    }
                    unit += 8
                }
            }
        }
        if needsReset {
            overUnits(batch * units, parallel) { range in
                for sample in 0..<batch {
                    for unit in range {
                        let row = 2 * units + unit
                        let sums = FloatRecurrence.dots(
                            1, recurrence + row * units, 0, reset + sample * units, units)
                        current[sample * stored + 3 * units + unit] = sums[0] + bias[rows + row]
                    }
                    var unit = range.lowerBound
                    while unit < range.upperBound {
                        update(sample, unit, min(8, range.upperBound - unit), target)
                        unit += 8
                    }
                }
            }
        }
        h.update(from: target, count: batch * units)
    }

    /// Up to eight floats; the other lanes are 0.
    @inline(__always) private static func load(_ place: UnsafePointer<Float>, _ lanes: Int) -> Vector {
        lanes == 8 ? Vector(loading: place) : Float.load(place, lanes: lanes, filling: 0)
    }

    @inline(__always) private static func store(_ value: Vector, _ place: UnsafeMutablePointer<Float>, _ lanes: Int) {
        if lanes == 8 { value.store(to: place) } else { Float.store(value, to: place, lanes: lanes) }
    }

    @inline(__always) private func gate(_ sample: Int, _ gate: Int, _ unit: Int, _ lanes: Int) -> Vector {
        let place = current + ((sample &* (layer.gates &+ 1) &+ gate) &* layer.hidden &+ unit)
        return FloatRecurrence.load(place, lanes)
    }

    @inline(__always) private func clipped(_ value: Vector) -> Vector {
        guard let clip = layer.clip else { return value }
        let bound = Vector(repeating: Float(clip))
        return VectorMath.select(value .> bound, bound, VectorMath.select(value .< -bound, -bound, value))
    }

    private func multiplyByReset(_ sample: Int, _ unit: Int, _ lanes: Int) {
        let place = sample * layer.hidden + unit
        let r = functions[0](clipped(gate(sample, 1, unit, lanes)))
        FloatRecurrence.store(r * FloatRecurrence.load(h + place, lanes), reset + place, lanes)
    }

    /// The next states of up to eight units.
    private func update(_ sample: Int, _ unit: Int, _ lanes: Int, _ target: UnsafeMutablePointer<Float>) {
        let place = sample * layer.hidden + unit
        let next: Vector
        switch layer.gates {
        case 4: next = cell(sample, unit, lanes, place)
        case 3:
            let z = functions[0](clipped(gate(sample, 0, unit, lanes)))
            var state = gate(sample, 3, unit, lanes)
            if layer.linearBeforeReset { state *= functions[0](clipped(gate(sample, 1, unit, lanes))) }
            let n = functions[1](clipped(gate(sample, 2, unit, lanes) + state))
            next = (1 - z) * n + z * FloatRecurrence.load(h + place, lanes)
        default: next = functions[0](clipped(gate(sample, 0, unit, lanes)))
        }
        FloatRecurrence.store(next, target + place, lanes)
    }

    @inline(__always) private func cell(_ sample: Int, _ unit: Int, _ lanes: Int, _ place: Int) -> Vector {
        guard let c, let peephole else { return .zero }
        func seen(_ index: Int, _ value: Vector) -> Vector {
            FloatRecurrence.load(peephole + (index &* layer.hidden &+ unit), lanes) * value
        }
        let before = FloatRecurrence.load(c + place, lanes)
        let i = functions[0](clipped(gate(sample, 0, unit, lanes) + seen(0, before)))
        let f = layer.inputForget ? 1 - i : functions[0](clipped(gate(sample, 2, unit, lanes) + seen(2, before)))
        let after = f * before + i * functions[1](clipped(gate(sample, 3, unit, lanes)))
        let o = functions[0](clipped(gate(sample, 1, unit, lanes) + seen(1, after)))
        FloatRecurrence.store(after, c + place, lanes)
        return o * functions[2](after)
    }
}

extension RecurrentKernels.Activation {
    @inline(__always) fileprivate func callAsFunction(_ x: Vector) -> Vector {
        switch self {
        case .sigmoid: VectorMath.sigmoid(x)
        case .tanh: VectorMath.tanh(x)
        // NaN is not below 0 and stays.
        case .relu: VectorMath.select(x .< 0, .zero, x)
        default: eachLane(x)
        }
    }

    private func eachLane(_ x: Vector) -> Vector {
        var result = x
        for lane in 0..<Vector.scalarCount { result[lane] = Float(general(Double(x[lane]))) }
        return result
    }
}
