/// Tensors of small integers that stand for real numbers: (q - zero_point) · scale. Scales and zero points are values: one, one
/// per index of an axis, or one per block along an axis.
package enum QuantizationOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "quantize",
            "saturate(round(x / scale) + zero_point), halves to even; NaN gives the zero point, save in 8-bit floats. Those become infinity or NaN beyond their range without saturate (default true). The quotient is rounded to precision: f32, or f64 for scales of f64.",
            inputs: [.init("x"), .init("scale"), .init("zero_point")],
            attributes: [
                .defaulted("axis", -1), .defaulted("block", 0), .defaulted("out_dtype", .dtype(.int8)),
                .optional("saturate", .bool), .optional("precision", .dtype),
            ], infer: quantize),
        OperatorSchema(
            "dequantize", "(x - zero_point) · scale.",
            inputs: [.init("x"), .init("scale"), .init("zero_point")],
            attributes: [
                .defaulted("axis", -1), .defaulted("block", 0), .defaulted("out_dtype", .dtype(.float32)),
            ], infer: dequantize),
        OperatorSchema(
            "dynamic_quantize",
            "x quantised to u8 over the range of its own values and 0: the result, its scale and its zero point.",
            inputs: [.init("x")]
        ) { site in
            let x = try site.tensor(0)
            if let dtype = x.dtype, dtype != .float32 { throw site.inputError(0, .invalidType, expects: "f32") }
            let point = { (dtype: DataType) in ValueType.tensor(TensorType(dtype, [])) }
            return .tuple([.tensor(x.with(.uint8)), point(.float32), point(.uint8)])
        },
        OperatorSchema(
            "matmul_integer",
            "Product of (a - a_zero) and (b - b_zero) as matmul's, summed in i32; a_zero one value or one per row, b_zero one or one per column.",
            inputs: [.init("a"), .init("b"), .init("a_zero", optional: true), .init("b_zero", optional: true)]
        ) { site in try product(site, b: 1, zeros: [(2, 0), (3, 1)], dtype: .int32) },
        OperatorSchema(
            "quantized_matmul",
            "Product of the numbers that (a, a_scale, a_zero) and (b, b_scale, b_zero) stand for, plus bias; b's per column. Sums are exact.",
            inputs: [
                .init("a"), .init("a_scale"), .init("a_zero"), .init("b"), .init("b_scale"), .init("b_zero"),
                .init("bias", optional: true),
            ]
        ) { site in
            for index in [1, 4, 6] where site.has(index) {
                if let dtype = try site.tensor(index).dtype, dtype != .float32 {
                    throw site.inputError(index, .invalidType, expects: "f32")
                }
            }
            for index in [1, 2] {
                if let shape = try site.tensor(index).shape, !isOne(shape) {
                    throw site.inputError(index, expects: "one value")
                }
            }
            let type = try product(site, b: 3, zeros: [(2, 0), (5, 3)], dtype: .float32)
            for index in [4, 5, 6] where site.has(index) {
                guard let shape = try site.tensor(index).shape, let columns = try site.tensor(3).shape?.last else {
                    continue
                }
                guard isOne(shape) || shape.count == 1 && agree(shape[0], columns) else {
                    throw site.inputError(index, expects: "one value or one per column (\(columns))")
                }
            }
            return type
        },
    ]

    /// The types that tensors are quantised to.
    package static func isQuantized(_ dtype: DataType) -> Bool {
        switch dtype {
        case .uint8, .int8, .uint16, .int16: true
        default: dtype.isStorageOnly && dtype != .float8e8m0
        }
    }

    private static let quantizedNames = "u8, i8, u16, i16, an integer of 2 or 4 bits or a float of 4 or 8"

    /// Powers of two are scales of blocks.
    private static func checkScale(_ site: CallSite) throws {
        if let dtype = try site.tensor(1).dtype, !dtype.isFloatingPoint, dtype != .float8e8m0 {
            throw site.inputError(1, .invalidType, expects: "floating-point numbers")
        }
    }

    private static func isOne(_ shape: [Dim]) -> Bool { shape.allSatisfy { $0.value == 1 } }

    private static func agree(_ a: Dim, _ b: Dim) -> Bool {
        guard let a = a.value, let b = b.value else { return true }
        return a == b
    }

    private static func quantize(_ site: CallSite) throws -> ValueType {
        let x = try site.tensor(0)
        guard let dtype = site.attributes.dtype("out_dtype"), isQuantized(dtype) else {
            throw site.attributeError("out_dtype", expects: quantizedNames)
        }
        if let precision = site.attributes.dtype("precision"), !precision.isFloatingPoint {
            throw site.attributeError("precision", expects: "a floating-point type")
        }
        if let given = x.dtype, !given.isFloatingPoint {
            throw site.inputError(0, .invalidType, expects: "floating-point numbers")
        }
        if let zero = try site.tensor(2).dtype, zero != dtype {
            throw site.inputError(2, .invalidType, expects: "the element type of the result (\(dtype.name))")
        }
        try checkParameters(site, x)
        return .tensor(x.with(dtype))
    }

    private static func dequantize(_ site: CallSite) throws -> ValueType {
        let x = try site.tensor(0)
        guard let dtype = site.attributes.dtype("out_dtype"), dtype.isFloatingPoint else {
            throw site.attributeError("out_dtype", expects: "a floating-point type")
        }
        if let given = x.dtype, !isQuantized(given), given != .int32 {
            throw site.inputError(0, .invalidType, expects: quantizedNames + ", or i32")
        }
        if let given = x.dtype, let zero = try site.tensor(2).dtype, zero != given {
            throw site.inputError(2, .invalidType, expects: "the element type of 'x' (\(given.name))")
        }
        try checkParameters(site, x)
        return .tensor(x.with(dtype))
    }

    /// Scale and zero point have one value, or one per index of the axis, or with blocks one per block.
    private static func checkParameters(_ site: CallSite, _ x: TensorType) throws {
        let block = try site.int("block")
        guard block >= 0 else { throw site.attributeError("block", expects: "0 or the length of a block") }
        try checkScale(site)
        for index in [1, 2] {
            guard let shape = try site.tensor(index).shape, !(shape.count <= 1 && isOne(shape)) else { continue }
            guard let rank = x.rank else { continue }
            let axis = try site.axis(try site.int("axis"), rank: rank)
            guard let dims = x.shape else { continue }
            if block == 0 {
                guard shape.count == 1, agree(shape[0], dims[axis]) else {
                    throw site.inputError(index, expects: "one value or one per index of axis \(axis) of \(x)")
                }
                continue
            }
            guard shape.count == rank else {
                throw site.inputError(index, expects: "\(rank) dimensions, one value per block of \(block)")
            }
            for (place, (found, whole)) in zip(shape, dims).enumerated() {
                guard let found = found.value, let whole = whole.value else { continue }
                let (blocks, rest) = whole.quotientAndRemainder(dividingBy: block)
                let expected = place == axis ? blocks + (rest > 0 ? 1 : 0) : whole
                guard found == expected else {
                    throw site.inputError(index, expects: "\(expected) in dimension \(place), for blocks of \(block)")
                }
            }
        }
    }

    /// Types and shapes as those of matmul, whatever the integer types.
    private static func product(
        _ site: CallSite, b: Int, zeros: [(zero: Int, of: Int)], dtype: DataType
    ) throws -> ValueType {
        for index in [0, b] {
            if let type = try site.tensor(index).dtype, type != .uint8, type != .int8 {
                throw site.inputError(index, .invalidType, expects: "u8 or i8")
            }
        }
        for (zero, of) in zeros where site.has(zero) {
            if let type = try site.tensor(zero).dtype, let expected = try site.tensor(of).dtype, type != expected {
                throw site.inputError(
                    zero, .invalidType, expects: "the element type of '\(site.inputName(of))' (\(expected.name))")
            }
        }
        let alike = CallSite(
            schema: site.schema, arguments: [site.arguments[0], site.arguments[b]],
            types: [0, b].map { index in
                guard case .tensor(let type) = site.types[index] else { return site.types[index] }
                return .tensor(type.with(dtype))
            }, constants: [nil, nil], attributes: Attributes())
        return try LinearOperators.matmul(alike)
    }
}

extension TensorType {
    /// The same dimensions with another element type.
    fileprivate func with(_ dtype: DataType) -> TensorType {
        guard let shape else { return TensorType(dtype: dtype, rank: rank) }
        return TensorType(dtype, shape)
    }
}
