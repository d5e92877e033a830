import TenonIR

extension Interpreter {
    static let loop = Operators.named("loop")

    /// Calls the body again and again; see the schema of `loop`.
    func loop(_ arguments: [Value], depth: Int) throws -> Value {
        guard arguments.count == 5, case .function(let body) = arguments[0], case .tensor(let trips) = arguments[1],
            case .tensor(let flag) = arguments[2], case .tuple(var state) = arguments[3],
            case .tuple(let captures) = arguments[4], let most = trips.int(at: 0)
        else { throw error("expects a function, a number, a condition and two tuples") }
        var condition = flag
        var scans: [[Constant]]?
        var iteration: Int64 = 0
        while iteration < most, try holds(condition) {
            try environment.check()
            let given: [Value] = [.tensor(try Constant.ints([], [iteration])), .tensor(condition)]
            guard case .tuple(let results) = try evaluate(body, given + state + captures, depth: depth),
                results.count > state.count, case .tensor(let next) = results[0]
            else { throw error("its body gives no condition and state") }
            condition = next
            let values = results.dropFirst(state.count + 1)
            state = Array(results.dropFirst().prefix(state.count))
            if scans == nil { scans = [[Constant]](repeating: [], count: values.count) }
            for (index, value) in values.enumerated() {
                guard case .tensor(let constant) = value, scans?.indices.contains(index) == true else {
                    throw error("a scan value is no tensor")
                }
                scans?[index].append(constant)
            }
            iteration += 1
        }
        let stacked = try scans.map { try $0.map(stack) } ?? nothing(body, states: state.count)
        return .tuple(state + stacked.map { .tensor($0) })
    }

    private func error(_ message: ErrorMessage) -> TenonError {
        TenonError(.invalidGraph, "loop: \(message)", operatorName: "loop")
    }

    private func holds(_ condition: Constant) throws -> Bool {
        guard condition.count == 1, let value = condition.double(at: 0) else {
            throw error("a condition is one number or bool, found \(condition.type)")
        }
        return value != 0
    }

    /// Values of equal type along a new first axis.
    private func stack(_ values: [Constant]) throws -> Constant {
        guard let first = values.first else { throw error("a scan value is missing") }
        let (bytes, overflow) = first.bytes.count.multipliedReportingOverflow(by: values.count)
        guard !overflow, first.dtype != .string else { throw error("scan values of \(first.type) cannot be stacked") }
        let memory = try AlignedBytes(counted: bytes)
        for (index, value) in values.enumerated() {
            guard value.shape == first.shape, value.dtype == first.dtype else {
                throw TenonError(
                    .invalidShape, "loop: a scan value is \(value.type) in iteration \(index), \(first.type) before",
                    operatorName: "loop")
            }
            guard let source = value.bytes.baseAddress else { continue }
            (memory.base + index * first.bytes.count).copyMemory(from: source, byteCount: first.bytes.count)
        }
        return try Constant(
            dtype: first.dtype, shape: [Int64(values.count)] + first.shape,
            borrowing: UnsafeRawBufferPointer(start: memory.base, count: bytes), owner: memory)
    }

    /// The scan values of a loop that never ran: of the body's type, unknown sizes as 0.
    private func nothing(_ body: Function, states: Int) throws -> [Constant] {
        guard case .tuple(let fields) = body.resultType, fields.count > states else {
            throw error("its body gives no condition and state")
        }
        return try fields.dropFirst(states + 1).map { field in
            guard let type = field.asTensor, let dtype = type.dtype, let rank = type.rank else {
                throw error("the type of a scan value is not known")
            }
            let shape = type.shape?.map { $0.value ?? 0 } ?? [Int64](repeating: 0, count: rank)
            return try Constant.filled(dtype, [0] + shape, 0)
        }
    }
}
