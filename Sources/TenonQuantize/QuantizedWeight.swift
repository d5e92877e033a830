import TenonIR

/// A weight as i8, symmetric: the integers, one scale or one per output channel, zero points of 0.
struct QuantizedWeight {
    let integers: Constant
    let scale: Constant
    let zero: Constant
    /// One per output channel.
    let scales: [Float]
    let axis: Int

    /// - Parameter least: no scale is smaller, per output channel. A bias counts in units of scales, and must fit.
    init(_ weight: Constant, axis: Int, isPerTensor: Bool, least: [Float]) throws {
        let channels = Int(weight.shape[axis])
        let inner = weight.shape.dropFirst(axis + 1).reduce(into: 1) { $0 *= Int($1) }
        var largest = [Float](repeating: 0, count: channels)
        var integers = [Int8](repeating: 0, count: weight.count)
        var scales = [Float](repeating: 0, count: channels)
        weight.withFloats { values in
            for (index, value) in values.enumerated() {
                let channel = index / inner % channels
                largest[channel] = max(largest[channel], value.magnitude)
            }
            if isPerTensor, let most = largest.max() { largest = [Float](repeating: most, count: channels) }
            let common = isPerTensor ? least.max() ?? 0 : 0
            for channel in largest.indices {
                let smallest = max(isPerTensor ? common : least[channel], Float.leastNormalMagnitude * 256)
                scales[channel] = largest[channel] > 0 ? max(largest[channel] / 127, smallest) : max(1, smallest)
            }
            for (index, value) in values.enumerated() {
                let quotient = (value / scales[index / inner % channels]).rounded(.toNearestOrEven)
                integers[index] = Int8(max(-127, min(127, quotient)))
            }
        }
        self.integers = try Constant(.int8, weight.shape, integers)
        self.scales = scales
        self.axis = axis
        if isPerTensor, let first = scales.first {
            scale = try Constant.floats([], [first])
            zero = try Constant.scalar(.int8, 0)
        } else {
            scale = try Constant.floats([Int64(channels)], scales)
            zero = try Constant.filled(.int8, [Int64(channels)], 0)
        }
    }

    /// Those of a matrix, with rows and columns exchanged.
    func transposedIntegers() throws -> Constant {
        guard integers.shape.count == 2 else { throw TenonError(.internal, "quantize: a weight is no matrix") }
        let (rows, columns) = (Int(integers.shape[0]), Int(integers.shape[1]))
        let turned = integers.bytes.withMemoryRebound(to: Int8.self) { values in
            values.indices.map { values[$0 % rows * columns + $0 / rows] }
        }
        return try Constant(.int8, [integers.shape[1], integers.shape[0]], turned)
    }

    /// What the integers stand for, less the weight: element by element.
    func differences(from weight: Constant) -> [Float] {
        let channels = scales.count
        let inner = weight.shape.dropFirst(axis + 1).reduce(into: 1) { $0 *= Int($1) }
        return weight.withFloats { values in
            integers.bytes.withMemoryRebound(to: Int8.self) { integers in
                values.indices.map { Float(integers[$0]) * scales[$0 / inner % channels] - values[$0] }
            }
        }
    }
}

extension Constant {
    /// The elements of an f32 tensor; none of others.
    func withFloats<T>(_ body: (UnsafeBufferPointer<Float>) throws -> T) rethrows -> T {
        guard dtype == .float32 else { return try body(UnsafeBufferPointer(start: nil, count: 0)) }
        return try withExtendedLifetime(self) { try bytes.withMemoryRebound(to: Float.self, body) }
    }

    var isFinite: Bool { withFloats { values in values.allSatisfy(\.isFinite) } }
}
