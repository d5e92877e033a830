import TenonIR

/// Element-wise arithmetic on known values.
enum ArithmeticFolding {
    static let table: [String: HostFolding.Fold] = [
        "Add": binary(Dim.adding) { $0 + $1 },
        "Sub": binary(Dim.subtracting) { $0 - $1 },
        "Mul": binary(Dim.multiplying) { $0 * $1 },
        "Div": binary(Dim.truncatedDividing) { $0 / $1 },
        "Mod": modulus,
        "Min": binary(Dim.minimum) { Swift.min($0, $1) },
        "Max": binary(Dim.maximum) { Swift.max($0, $1) },
        "Neg": unary({ Dim.negating($0) }) { -$0 },
        "Abs": unary({ size in Dim.negating(size).flatMap { Dim.maximum(size, $0) } }) { $0.magnitude },
        "Sign": unary(sign) { $0 > 0 ? 1 : $0 < 0 ? -1 : $0 },
        "Floor": unary({ $0 }) { $0.rounded(.down) },
        "Ceil": unary({ $0 }) { $0.rounded(.up) },
        "Relu": unary({ Dim.maximum($0, 0) }) { Swift.max($0, 0) },
        "Clip": clip,
        "Sqrt": unary({ _ in nil }) { $0.squareRoot() },
        "Equal": comparison(Dim.equal) { $0 == $1 },
        "Less": comparison(Dim.less) { $0 < $1 },
        "Greater": comparison({ Dim.less($1, $0) }) { $0 > $1 },
        "LessOrEqual": comparison({ Dim.less($1, $0).flatMap(Dim.not) }) { $0 <= $1 },
        "GreaterOrEqual": comparison({ Dim.less($0, $1).flatMap(Dim.not) }) { $0 >= $1 },
        "And": logic { Dim.multiplying($0, $1) },
        "Or": logic(either),
        "Xor": logic { Dim.equal($0, $1).flatMap(Dim.not) },
        "Not": unary({ $0.isTruth ? Dim.not($0) : nil }) { _ in nil },
        "Cast": cast,
        "ReduceProd": reduce(Dim.multiplying, start: 1),
        "ReduceSum": reduce(Dim.adding, start: 0),
        "ReduceMax": reduce(Dim.maximum),
        "ReduceMin": reduce(Dim.minimum),
        "CumSum": cumulative,
    ]

    // MARK: - Integers

    /// -1, 0 or 1.
    private static func sign(_ a: Dim) -> Dim? {
        guard let positive = Dim.less(0, a), let negative = Dim.less(a, 0) else { return nil }
        return Dim.subtracting(positive, negative)
    }

    private static func either(_ a: Dim, _ b: Dim) -> Dim? {
        guard let both = Dim.multiplying(a, b) else { return nil }
        return Dim.adding(a, b).flatMap { Dim.subtracting($0, both) }
    }

    /// Whether `value` is representable in integer type `dtype`.
    static func fits(_ dim: Dim, _ dtype: DataType) -> Bool {
        guard let value = dim.value else {
            // Of a symbol only the sign is known.
            return dtype == .bool ? dim.isTruth : !dtype.isUnsignedInteger || dim.isNonNegative
        }
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
            return [result]
        }
    }

    /// The remainder with the divisor's sign; with `fmod`, that of the dividend.
    private static let modulus: HostFolding.Fold = { node, inputs in
        let isTruncated = try node.int("fmod", 0) != 0
        let fold = binary({ isTruncated ? Dim.truncatedRemainder($0, by: $1) : Dim.floorRemainder($0, by: $1) }) {
            _, _ in nil
        }
        return try fold(node, inputs)
    }

    /// Bounds that are left out do not bind.
    private static let clip: HostFolding.Fold = { node, inputs in
        guard node.opset >= 11, var x = inputs.first ?? nil, x.dims != nil else { return nil }
        for index in 1..<3 where inputs.indices.contains(index) {
            guard let bound = inputs[index] else { continue }
            let isLower = index == 1
            let fold = binary({ isLower ? Dim.maximum($0, $1) : Dim.minimum($0, $1) }) { _, _ in nil }
            guard let next = try fold(node, [x, bound])?.first else { return nil }
            x = next
        }
        return [x]
    }

    /// An operator on truth values.
    private static func logic(_ combine: @escaping @Sendable (Dim, Dim) -> Dim?) -> HostFolding.Fold {
        binary({ a, b in a.isTruth && b.isTruth ? combine(a, b) : nil }) { _, _ in nil }
    }

    private static func comparison(
        _ integers: @escaping @Sendable (Dim, Dim) -> Dim?, _ floats: @escaping @Sendable (Double, Double) -> Bool
    ) -> HostFolding.Fold {
        { node, inputs in
            guard node.opset >= 7, inputs.count == 2, let a = inputs[0], let b = inputs[1], a.dtype == b.dtype,
                let broadcast = HostBroadcast([a.shape, b.shape])
            else { return nil }
            var elements: [Dim] = []
            for index in 0..<broadcast.count {
                let (i, j) = (broadcast.index(index, of: 0), broadcast.index(index, of: 1))
                let answer: Dim?
                switch (a.elements, b.elements) {
                case (.dims(let x), .dims(let y)): answer = integers(x[i], y[j])
                case (.floats(let x), .floats(let y)): answer = floats(x[i], y[j]) ? 1 : 0
                default: answer = nil
                }
                guard let answer else { return nil }
                elements.append(answer)
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
        guard inputs.count == 1, let x = inputs[0], let dtype = try node.dtype("to"), dtype != .string,
            !dtype.isStorageOnly
        else { return nil }
        node.ignore("saturate", "round_mode")
        if dtype.isFloatingPoint {
            guard let values = x.doubles else { return nil }
            return [try HostTensor(dtype, x.shape, .floats(values.map { rounded($0, dtype) }))]
        }
        switch x.elements {
        case .dims(let dims):
            let results: [Dim] =
                dtype == .bool ? dims.compactMap { Dim.equal($0, 0).flatMap(Dim.not) } : dims
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
    ///
    /// - Parameter start: what a reduction of nothing gives; nil for what has no such value.
    private static func reduce(
        _ combine: @escaping @Sendable (Dim, Dim) -> Dim?, start: Dim? = nil
    ) -> HostFolding.Fold {
        { node, inputs in
            guard let x = inputs.first ?? nil, let dims = x.dims, x.shape.count <= 1, x.dtype != .bool else {
                return nil
            }
            let axes = inputs.count > 1 ? inputs[1]?.ints : try node.ints("axes")
            guard (axes ?? [0]).allSatisfy({ $0 == 0 || $0 == -1 }), (axes ?? [0]).count == 1 else { return nil }
            if try node.bool("noop_with_empty_axes", false) { return nil }
            guard var total = start ?? dims.first else { return nil }
            for dim in start == nil ? dims.dropFirst() : dims[...] {
                guard let next = combine(total, dim), fits(next, x.dtype) else { return nil }
                total = next
            }
            let keeps = try node.bool("keepdims", true) && !x.shape.isEmpty
            return [try HostTensor(x.dtype, keeps ? [1] : [], .dims([total]))]
        }
    }

    /// Sums of a vector's first elements.
    private static let cumulative: HostFolding.Fold = { node, inputs in
        guard inputs.count == 2, let x = inputs[0], let dims = x.dims, x.shape.count == 1,
            let axis = inputs[1]?.ints?.first, axis == 0 || axis == -1,
            try !node.bool("exclusive", false), try !node.bool("reverse", false)
        else { return nil }
        var sums: [Dim] = []
        for dim in dims {
            guard let next = Dim.adding(sums.last ?? 0, dim), fits(next, x.dtype) else { return nil }
            sums.append(next)
        }
        return [try HostTensor(x.dtype, x.shape, .dims(sums))]
    }
}
