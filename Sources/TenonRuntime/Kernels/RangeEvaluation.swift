import TenonIR

/// Numbers from a start to before an end.
enum RangeEvaluation {
    static func evaluate(_ call: KernelCall, _ inputs: [Constant]) throws -> [Constant] {
        let dtype = inputs[0].dtype
        for input in inputs where input.count != 1 || input.dtype != dtype {
            throw call.error(.invalidShape, "start, end and step expect one number each, found \(input.type)")
        }
        if dtype.isInteger {
            let numbers = inputs.compactMap { $0.intElements?.first }
            guard numbers.count == 3 else { throw call.unsupported(dtype) }
            return [try integers(call, dtype, start: numbers[0], end: numbers[1], step: numbers[2])]
        }
        let numbers = inputs.compactMap { $0.double(at: 0) }
        guard numbers.count == 3, dtype.isFloatingPoint else { throw call.unsupported(dtype) }
        let (start, end, step) = (numbers[0], numbers[1], numbers[2])
        let steps = ((end - start) / step).rounded(.up)
        guard steps.isFinite, steps < Double(limit) else { throw tooLong(call) }
        try KernelMemory.require(Int(max(0, steps)), 16, call)
        let values = (0..<Int(max(0, steps))).map { start + Double($0) * step }
        return [try Constant.from(doubles: values, dtype, [Int64(values.count)])]
    }

    /// More values than memory is likely to hold.
    private static let limit = 1 << 26

    private static func tooLong(_ call: KernelCall) -> TenonError {
        call.error(.invalidArgument, "expects an end that steps reach within \(limit) values")
    }

    private static func integers(
        _ call: KernelCall, _ dtype: DataType, start: Int64, end: Int64, step: Int64
    ) throws -> Constant {
        guard step != 0 else { throw call.error(.invalidArgument, "the step is 0") }
        let (distance, overflow) = end.subtractingReportingOverflow(start)
        guard !overflow, distance.magnitude < UInt64(limit) else { throw tooLong(call) }
        var values: [Int64] = []
        if (distance > 0) == (step > 0), distance != 0 {
            let count = (distance.magnitude - 1) / step.magnitude + 1
            try KernelMemory.require(Int(count), 24, call)
            values.reserveCapacity(Int(count))
            // Between start and end, so that nothing overflows.
            for index in 0..<Int64(count) { values.append(start + index * step) }
        }
        let shape = [Int64(values.count)]
        return dtype == .int64
            ? try Constant.ints(shape, values)
            : try Constant.from(doubles: values.map { Double($0) }, dtype, shape)
    }
}
