import TenonIR

/// Element-wise arithmetic on known values.
enum ArithmeticFolding {
    static let table: [String: HostFolding.Fold] = [
        "Add": binary(Dim.adding) { $0 + $1 },
        "Sub": binary(Dim.subtracting) { $0 - $1 },
        "Mul": binary(Dim.multiplying) { $0 * $1 },
        "Div": binary(truncatedQuotient) { $0 / $1 },
        "Mod": binary(modulus) { _, _ in nil },
        "Min": binary({ a, b in both(a, b, Swift.min) }) { Swift.min($0, $1) },
        "Max": binary(Dim.maximum) { Swift.max($0, $1) },
        "Neg": unary({ Dim.subtracting(0, $0) }) { -$0 },
        "Floor": unary({ $0 }) { $0.rounded(.down) },
        "Ceil": unary({ $0 }) { $0.rounded(.up) },
        "Relu": unary({ Dim.maximum($0, 0) }) { Swift.max($0, 0) },
        "Sqrt": unary({ _ in nil }) { $0.squareRoot() },
        "Equal": comparison({ $0 == $1 ? true : $0.isFixed && $1.isFixed ? false : nil }) { $0 == $1 },
        "Less": comparison({ ordered($0, $1, <) }) { $0 < $1 },
        "Greater": comparison({ ordered($0, $1, >) }) { $0 > $1 },
        "LessOrEqual": comparison({ ordered($0, $1, <=) }) { $0 <= $1 },
        "GreaterOrEqual": comparison({ ordered($0, $1, >=) }) { $0 >= $1 },
        "And": binary({ a, b in both(a, b) { $0 & $1 } }) { _, _ in nil },
        "Or": binary({ a, b in both(a, b) { $0 | $1 } }) { _, _ in nil },
        "Not": unary({ $0.value.map { .fixed($0 == 0 ? 1 : 0) } }) { _ in nil },
        "Cast": cast,
        "ReduceProd": reduce(Dim.multiplying, start: 1),
        "ReduceSum": reduce(Dim.adding, start: 0),
    ]

    // MARK: - Integers

    private static func both(_ a: Dim, _ b: Dim, _ operation: (Int64, Int64) -> Int64) -> Dim? {
        guard let x = a.value, let y = b.value else { return a == b ? a : nil }
        return .fixed(operation(x, y))
    }

    private static func ordered(_ a: Dim, _ b: Dim, _ operation: (Int64, Int64) -> Bool) -> Bool? {
        guard let x = a.value, let y = b.value else { return nil }
        return operation(x, y)
    }

    /// Division towards zero; a symbolic size is not negative, so there it is the floor.
    private static func truncatedQuotient(_ a: Dim, _ b: Dim) -> Dim? {
        guard let divisor = b.value else { return a == b ? 1 : nil }
        guard let value = a.value else { return Dim.floorDividing(a, by: divisor) }
        let (quotient, overflow) = value.dividedReportingOverflow(by: divisor)
        return overflow ? nil : .fixed(quotient)
    }

    /// The remainder with the divisor's sign, as ONNX's Mod without fmod.
    private static func modulus(_ a: Dim, _ b: Dim) -> Dim? {
        guard let x = a.value, let y = b.value else { return nil }
        let (remainder, overflow) = x.remainderReportingOverflow(dividingBy: y)
        if overflow { return nil }
        return .fixed(remainder != 0 && (remainder < 0) != (y < 0) ? remainder + y : remainder)
    }

    /// Whether `value` is representable in integer type `dtype`.
    static func fits(_ dim: Dim, _ dtype: DataType) -> Bool {
        guard let value = dim.value else { return true }
        return switch dtype {
        case .int8: Int8(exactly: value) != nil
        case .int16: Int16(exactly: value) != nil
        case .int32: Int32(exactly: value) != nil
        case .uint8: UInt8(exactly: value) != nil
        case .uint16: UInt16(exactly: value) != nil
        case .uint32: UInt32(exactly: value) != nil
        case .uint64: value >= 0
        default: true
        }
    }

    /// `value` as floating-point type `dtype` holds it.
    static func rounded(_ value: Double, _ dtype: DataType) -> Double {
        switch dtype {
        case .float32: Double(Float(value))
        case .float16: Double(HalfPrecision.float(fromHalf: HalfPrecision.half(from: Float(value))))
        case .bfloat16: Double(HalfPrecision.float(fromBFloat16: HalfPrecision.bfloat16(from: Float(value))))
        default: value
        }
    }

    // MARK: - Operators

    /// An operator with NumPy's broadcasting over one or more operands of one type.
    private static func binary(
        _ integers: @escaping @Sendable (Dim, Dim) -> Dim?, _ floats: @escaping @Sendable (Double, Double) -> Double?
    ) -> HostFolding.Fold {
        { node, inputs in
            guard node.opset >= 7, inputs.count >= 1, let first = inputs[0] else { return nil }
            var result = first
            for input in inputs.dropFirst() {
                guard let input, input.dtype == result.dtype else { return nil }
                guard let broadcast = HostBroadcast([result.shape, input.shape]) else { return nil }
                switch (result.elements, input.elements) {
                case (.dims(let a), .dims(let b)):
                    var elements: [Dim] = []
                    for index in 0..<broadcast.count {
                        let (x, y) = (a[broadcast.index(index, of: 0)], b[broadcast.index(index, of: 1)])
                        guard let element = integers(x, y), fits(element, result.dtype) else { return nil }
                        elements.append(element)
                    }
                    result = try HostTensor(result.dtype, broadcast.shape, .dims(elements))
                case (.floats(let a), .floats(let b)):
                    var elements: [Double] = []
                    for index in 0..<broadcast.count {
                        let (x, y) = (a[broadcast.index(index, of: 0)], b[broadcast.index(index, of: 1)])
                        guard let element = floats(x, y) else { return nil }
                        elements.append(rounded(element, result.dtype))
                    }
                    result = try HostTensor(result.dtype, broadcast.shape, .floats(elements))
                default: return nil
                }
            }
            node.ignore("fmod")
            if node.proto.opType == "Mod", try node.int("fmod", 0) != 0 { return nil }
            return [result]
        }
    }

    private static func comparison(
        _ integers: @escaping @Sendable (Dim, Dim) -> Bool?, _ floats: @escaping @Sendable (Double, Double) -> Bool
    ) -> HostFolding.Fold {
        { node, inputs in
            guard node.opset >= 7, inputs.count == 2, let a = inputs[0], let b = inputs[1], a.dtype == b.dtype,
                let broadcast = HostBroadcast([a.shape, b.shape])
            else { return nil }
            var elements: [Dim] = []
            for index in 0..<broadcast.count {
                let (i, j) = (broadcast.index(index, of: 0), broadcast.index(index, of: 1))
                let answer: Bool?
                switch (a.elements, b.elements) {
                case (.dims(let x), .dims(let y)): answer = integers(x[i], y[j])
                case (.floats(let x), .floats(let y)): answer = floats(x[i], y[j])
                default: answer = nil
                }
                guard let answer else { return nil }
                elements.append(answer ? 1 : 0)
            }
            return [try HostTensor(.bool, broadcast.shape, .dims(elements))]
        }
    }

    private static func unary(
        _ integers: @escaping @Sendable (Dim) -> Dim?, _ floats: @escaping @Sendable (Double) -> Double?
    ) -> HostFolding.Fold {
        { node, inputs in
            guard inputs.count == 1, let x = inputs[0] else { return nil }
            switch x.elements {
            case .dims(let dims):
                let results = dims.compactMap(integers)
                guard results.count == dims.count, results.allSatisfy({ fits($0, x.dtype) }) else { return nil }
                return [try HostTensor(x.dtype, x.shape, .dims(results))]
            case .floats(let values):
                let results = values.compactMap(floats)
                guard results.count == values.count else { return nil }
                return [try HostTensor(x.dtype, x.shape, .floats(results.map { rounded($0, x.dtype) }))]
            }
        }
    }

    private static let cast: HostFolding.Fold = { node, inputs in
        guard inputs.count == 1, let x = inputs[0], let dtype = try node.dtype("to"), dtype != .string else {
            return nil
        }
        node.ignore("saturate", "round_mode")
        if dtype.isFloatingPoint {
            guard let values = x.doubles else { return nil }
            return [try HostTensor(dtype, x.shape, .floats(values.map { rounded($0, dtype) }))]
        }
        switch x.elements {
        case .dims(let dims):
            let results: [Dim] =
                dtype == .bool ? dims.compactMap { $0.value.map { .fixed($0 == 0 ? 0 : 1) } } : dims
            guard results.count == dims.count, results.allSatisfy({ fits($0, dtype) }) else { return nil }
            return [try HostTensor(dtype, x.shape, .dims(results))]
        case .floats(let values):
            let results: [Dim] = values.compactMap { value in
                if dtype == .bool { return .fixed(value == 0 ? 0 : 1) }
                return Int64(exactly: value.rounded(.towardZero)).map { .fixed($0) }
            }
            guard results.count == values.count, results.allSatisfy({ fits($0, dtype) }) else { return nil }
            return [try HostTensor(dtype, x.shape, .dims(results))]
        }
    }

    /// A reduction of integers over all of a vector, which is all that shape arithmetic needs.
    private static func reduce(
        _ combine: @escaping @Sendable (Dim, Dim) -> Dim?, start: Dim
    ) -> HostFolding.Fold {
        { node, inputs in
            guard let x = inputs.first ?? nil, let dims = x.dims, x.shape.count <= 1 else { return nil }
            let axes = inputs.count > 1 ? inputs[1]?.ints : try node.ints("axes")
            guard (axes ?? [0]).allSatisfy({ $0 == 0 || $0 == -1 }), (axes ?? [0]).count == 1 else { return nil }
            if try node.bool("noop_with_empty_axes", false) { return nil }
            var total = start
            for dim in dims {
                guard let next = combine(total, dim), fits(next, x.dtype) else { return nil }
                total = next
            }
            return [try HostTensor(x.dtype, try node.bool("keepdims", true) ? [1] : [], .dims([total]))]
        }
    }
}
