import TenonIR

/// Numbers from a start to before an end.
enum RangeEvaluation {
    static let table: [(String, Kernels.Prepare)] = [("arange", prepare)]

    /// With numbers that are known, so that it is known how many there are.
    private static func prepare(_ call: KernelCall) throws -> PreparedKernel {
        let output = call.outputs[0]
        if call.inputs.isEmpty {
            let numbers = try (0..<3).map { index -> Int64 in
                guard let number = try call.integers(index).first else {
                    throw call.error(.invalidArgument, "argument \(index) expects one number")
                }
                return Int64(number)
            }
            return fill(call, try integers(call, output.dtype, start: numbers[0], end: numbers[1], step: numbers[2]))
        }
        let known = call.constants.compactMap { $0 }
        guard known.count == 3 else { throw call.error(.unsupported, "numbers that are not known") }
        return fill(call, try evaluate(call, known)[0])
    }

    private static func fill(_ call: KernelCall, _ values: Constant) -> PreparedKernel {
        let bytes = min(values.bytes.count, call.outputs[0].byteCount)
        return PreparedKernel { arguments in
            guard bytes > 0, let base = values.bytes.baseAddress else { return }
            arguments.outputs[0].copyMemory(from: base, byteCount: bytes)
        }
    }

    static func evaluate(_ call: KernelCall, _ inputs: [Constant]) throws -> [Constant] {
        guard let dtype = inputs.first?.dtype, inputs.count == 3 else {
            throw call.error(.invalidArgument, "expects start, end and step as tensors")
        }
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
        guard let count = Counting.realCount(start, end, step) else { throw tooLong(call) }
        try KernelMemory.require(Int(count), 16, call)
        let values = (0..<count).map { start + Double($0) * step }
        return [try Constant.from(doubles: values, dtype, [Int64(values.count)])]
    }

    private static func tooLong(_ call: KernelCall) -> TenonError {
        call.error(.invalidArgument, "expects an end that steps reach within \(Counting.limit) values")
    }

    private static func integers(
        _ call: KernelCall, _ dtype: DataType, start: Int64, end: Int64, step: Int64
    ) throws -> Constant {
        guard step != 0 else { throw call.error(.invalidArgument, "the step is 0") }
        guard let count = Counting.count(from: .fixed(start), to: .fixed(end), step: .fixed(step))?.value,
            count <= Counting.limit
        else { throw tooLong(call) }
        try KernelMemory.require(Int(count), 24, call)
        // Between start and end, so that nothing overflows.
        let values = (0..<count).map { start + $0 * step }
        return dtype == .int64
            ? try Constant.ints([count], values)
            : try Constant.from(doubles: values.map { Double($0) }, dtype, [count])
    }
}
