import TenonIR

/// Types of graph inputs.
enum InputType {
    /// The tensor type that `input` declares, with the caller's shapes and dimensions put in.
    static func tensor(
        _ input: ONNXValueInfoProto, options: ONNXImportOptions, symbols: inout SymbolTable
    ) throws -> TensorType {
        guard case .tensorType(let tensor)? = input.type.value else {
            throw TenonError(.unsupported, "ONNX: input \(quoted(input.name)): expected a tensor type")
        }
        guard let dtype = DataType(onnx: tensor.elemType) else {
            throw TenonError(
                .unsupported,
                "ONNX: input \(quoted(input.name)): element type \(DataType.nameOfONNX(tensor.elemType)) is not supported"
            )
        }
        let given = options.inputShapes[input.name]
        if let given {
            guard checkedElementCount(given) != nil else {
                throw TenonError(
                    .invalidShape, "ONNX: input \(quoted(input.name)): the shape \(given) that was given is not valid")
            }
        }
        guard tensor.hasShape else {
            return given.map { TensorType(dtype, $0.map { .fixed($0) }) } ?? TensorType(dtype: dtype, rank: nil)
        }
        let declared = tensor.shape.dim
        guard declared.count <= options.limits.rank else {
            throw TenonError.onnxLimit("input \(quoted(input.name)): \(declared.count) dimensions")
        }
        if let given, given.count != declared.count {
            throw TenonError(
                .invalidShape,
                "ONNX: input \(quoted(input.name)): \(given.count) dimensions were given, the model declares \(declared.count)"
            )
        }
        var shape: [Dim] = []
        for (axis, dim) in declared.enumerated() {
            let known = try size(dim, input.name, axis, options, &symbols)
            if let given {
                if let size = known.value, size != given[axis] {
                    throw TenonError(
                        .invalidShape,
                        "ONNX: input \(quoted(input.name)): dimension \(axis) is \(size) in the model, \(given[axis]) was given"
                    )
                }
                shape.append(.fixed(given[axis]))
            } else {
                shape.append(known)
            }
        }
        if shape.allSatisfy(\.isFixed), TensorType(dtype, shape).elementCount == nil {
            throw TenonError.malformedONNX("input \(quoted(input.name)): the product of its dimensions does not fit")
        }
        return TensorType(dtype, shape)
    }

    /// That `value` can stand for `input`: its element type, and its sizes where the model declares them.
    static func check(_ value: Constant, _ input: ONNXValueInfoProto) throws {
        guard case .tensorType(let tensor)? = input.type.value else {
            throw TenonError(.unsupported, "ONNX: input \(quoted(input.name)): expected a tensor type")
        }
        let fits =
            tensor.shape.dim.count == value.shape.count
            && zip(tensor.shape.dim, value.shape).allSatisfy { dim, size in
                if case .dimValue(let declared)? = dim.value, declared >= 0 { return declared == size }
                return true
            }
        guard DataType(onnx: tensor.elemType) == value.dtype, fits || !tensor.hasShape else {
            throw TenonError(
                .invalidType,
                "ONNX: input \(quoted(input.name)): \(value.type) was given, which is not what the model declares")
        }
    }

    private static func size(
        _ dim: ONNXTensorShapeProto.Dimension, _ input: String, _ axis: Int, _ options: ONNXImportOptions,
        _ symbols: inout SymbolTable
    ) throws -> Dim {
        switch dim.value {
        case .dimValue(let value)? where value >= 0:
            return .fixed(value)
        case .dimParam(let name)?:
            if let size = options.dimensions[name] {
                guard size >= 0 else {
                    throw TenonError(
                        .invalidShape, "ONNX: size \(size) given for dimension \(quoted(name)), expected >= 0")
                }
                return .fixed(size)
            }
            return .symbol(symbols.symbol(for: name) ?? symbols.fresh("\(input)_\(axis)"))
        default:
            // Negative or absent: a size that has no name.
            return .symbol(symbols.fresh("\(input)_\(axis)"))
        }
    }
}

/// Symbols for dimension names, which may hold any characters in a file.
struct SymbolTable {
    private var byName: [String: String] = [:]
    private var taken: Set<String> = []
    /// By the start of a symbol: the first number that may be free behind it.
    private var suffixes: [String: Int] = [:]

    /// The symbol of `name`, the same each time; nil for a name without a letter or digit, such as "?".
    mutating func symbol(for name: String) -> String? {
        if let known = byName[name] { return known }
        guard name.utf8.contains(where: SymbolTable.isPlain) else { return nil }
        let symbol = fresh(name)
        byName[name] = symbol
        return symbol
    }

    /// A symbol like `base` that nothing else has.
    mutating func fresh(_ base: String) -> String {
        var plain = String(
            decoding: base.utf8.prefix(48).map { SymbolTable.isPlain($0) ? $0 : UInt8(ascii: "_") }, as: UTF8.self)
        if let first = plain.utf8.first, !(first >= UInt8(ascii: "0") && first <= UInt8(ascii: "9")) {
        } else {
            plain = "d" + plain
        }
        var symbol = plain
        while !taken.insert(symbol).inserted {
            let suffix = suffixes[plain] ?? 1
            symbol = "\(plain)_\(suffix)"
            suffixes[plain] = suffix + 1
        }
        return symbol
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}
