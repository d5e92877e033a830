import TenonIR

/// Choices from bytes; when there are no more, always the first.
struct Choices {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var at = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    var isEmpty: Bool { at >= bytes.count }

    mutating func below(_ bound: Int) -> Int {
        guard bound > 1, !isEmpty else { return 0 }
        at += 1
        return Int(bytes[at - 1]) % bound
    }

    mutating func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }

    mutating func chance(_ percent: Int) -> Bool { below(100) < percent && !isEmpty }

    // MARK: - What modules are made of

    mutating func dtype() -> DataType {
        pick([
            .float32, .float32, .float32, .float32, .int64, .int32, .bool, .float16, .float64, .uint8, .int8, .bfloat16,
        ])
    }

    mutating func integer() -> Int64 {
        if !chance(40) { return pick([0, 1, 1, 1, 2, -1]) }
        return pick([0, 1, 2, 3, -1, -2, 4, 5, 7, 8, 100, -100, 1 << 31, -(1 << 31), 1 << 62, Int64.min, Int64.max])
    }

    mutating func number() -> Double {
        pick([0, 1, 0.5, -1, 2.5, 1e-5, 1e30, -1e30, 1e-40, .infinity, .nan, 1e300])
    }

    mutating func attribute(_ attribute: OperatorSchema.Attribute) -> AttributeValue {
        switch attribute.kind {
        case .int: return .int(integer())
        case .float: return .float(number())
        case .bool: return .bool(below(2) == 1)
        case .dtype: return .dtype(dtype())
        case .string: return .string(word(attribute.allowed))
        case .ints: return .ints(list { $0.integer() })
        case .floats: return .floats(list { $0.number() })
        case .strings: return .strings(list { $0.word(attribute.allowed) })
        }
    }

    private mutating func word(_ allowed: [String]) -> String {
        if !allowed.isEmpty, chance(90) { return pick(allowed) }
        return pick([
            "", "NCHW", "NHWC", "OIHW", "relu", "tanh", "linear", "ij,jk->ik", "ii->i", "...i->...", "i,i", "ab,cb->ac",
            "max",
        ])
    }

    private mutating func list<T>(_ entry: (inout Choices) -> T) -> [T] {
        var result: [T] = []
        for _ in 0..<pick([1, 1, 2, 2, 3, 4, 4, 6, 0]) { result.append(entry(&self)) }
        return result
    }

    /// Values of a tensor: a few small numbers, one after the other.
    mutating func constant(_ dtype: DataType, _ shape: [Int64]) throws -> Constant {
        var state = UInt64(below(256)) &+ 1
        let scale = pick([1.0, 1, 1, 0, 3, 100])
        var values: [Double] = []
        for _ in 0..<(checkedElementCount(shape) ?? 0) {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let value = (Double(state >> 40) / Double(1 << 24) * 4 - 2) * scale
            values.append(dtype.isFloatingPoint ? value : value.rounded(.down))
        }
        if !dtype.isFloatingPoint {
            let least = dtype.isSignedInteger ? -100.0 : 0
            values = values.map { max($0, least) }
        }
        if dtype == .bool { values = values.map { $0 > 0 ? 1 : 0 } }
        return try .from(doubles: values, dtype, shape)
    }
}
