/// The numbers that `arange` goes through.
package enum Counting {
    /// The most that a run makes; more is a mistake in a model.
    package static let limit: Int64 = 1 << 26

    static func infer(_ site: CallSite) throws -> ValueType {
        var numbers: [Dim] = []
        var dtype: DataType?
        var tensors = 0
        for index in 0..<3 {
            if let number = try literal(site, index) {
                numbers.append(number)
                continue
            }
            let tensor = try site.tensor(index)
            if let count = tensor.elementCount, count != 1 { throw site.inputError(index, expects: "one number") }
            if let own = tensor.dtype {
                if let dtype, dtype != own {
                    throw site.inputError(
                        index, .invalidType, expects: "the element type of the others (\(dtype.name))")
                }
                dtype = own
            }
            tensors += 1
            if site.constants.indices.contains(index), let values = site.constants[index]?.intElements,
                values.count == 1,
                site.constants[index]?.dtype.isInteger ?? false
            {
                numbers.append(.fixed(values[0]))
            }
        }
        guard tensors == 0 || tensors == 3 else {
            throw site.error(.invalidType, "start, end and step are all tensors or all sizes")
        }
        let result = site.attributes.dtype("dtype") ?? (tensors == 0 ? .int64 : dtype)
        if tensors == 3, let result, let dtype, result != dtype {
            throw site.attributeError("dtype", expects: dtype.name)
        }
        if result == .bool || result == .string { throw site.attributeError("dtype", expects: "a type of numbers") }
        if let step = numbers.last, numbers.count == 3, step == 0 {
            throw site.inputError(2, expects: "a step other than 0")
        }
        guard numbers.count == 3, let count = count(from: numbers[0], to: numbers[1], step: numbers[2]) else {
            if let count = realCount(site) { return .tensor(TensorType(result, [.fixed(count)])) }
            return .tensor(TensorType(dtype: result, rank: 1))
        }
        if let value = count.value, value > limit { throw site.inputError(1, expects: "at most \(limit) numbers") }
        return .tensor(TensorType(result, [count]))
    }

    /// A shape of one size or a number; nil for what is a tensor.
    private static func literal(_ site: CallSite, _ index: Int) throws -> Dim? {
        if site.arguments.indices.contains(index), case .int(let number) = site.arguments[index] {
            return .fixed(number)
        }
        guard site.types.indices.contains(index), case .shape(let dims) = site.types[index] else { return nil }
        guard let dims, dims.count == 1 else { throw site.inputError(index, expects: "a shape of one size") }
        return dims[0]
    }

    /// ⌈(end - start) / step⌉, none where that is negative; nil where it has no form.
    package static func count(from start: Dim, to end: Dim, step: Dim) -> Dim? {
        if step.value ?? 0 < 0 {
            guard let opposite = Dim.negating(step) else { return nil }
            return count(from: end, to: start, step: opposite)
        }
        guard step.value != 0, step.isNonNegative, let distance = Dim.subtracting(end, start),
            let positive = Dim.maximum(distance, 0)
        else { return nil }
        return Dim.adding(positive, step).flatMap { Dim.subtracting($0, 1) }.flatMap { Dim.floorDividing($0, by: step) }
    }

    /// How many there are of three known numbers that are not integers.
    private static func realCount(_ site: CallSite) -> Int64? {
        let values = site.constants.prefix(3).compactMap { constant -> Double? in
            guard let constant, constant.count == 1, constant.dtype.isFloatingPoint else { return nil }
            return constant.double(at: 0)
        }
        guard values.count == 3 else { return nil }
        return realCount(values[0], values[1], values[2])
    }

    package static func realCount(_ start: Double, _ end: Double, _ step: Double) -> Int64? {
        let steps = ((end - start) / step).rounded(.up)
        guard steps.isFinite, steps < Double(limit) else { return nil }
        return Int64(max(0, steps))
    }
}
