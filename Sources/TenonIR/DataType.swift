/// Element types of tensors. Raw values are those of ONNX's `TensorProto.DataType` and of `tenon_dtype`.
public enum DataType: UInt8, Sendable, CaseIterable, Hashable {
    case float32 = 1
    case uint8 = 2
    case int8 = 3
    case uint16 = 4
    case int16 = 5
    case int32 = 6
    case int64 = 7
    case string = 8
    case bool = 9
    case float16 = 10
    case float64 = 11
    case uint32 = 12
    case uint64 = 13
    case bfloat16 = 16
    case float8e4m3fn = 17
    case float8e4m3fnuz = 18
    case float8e5m2 = 19
    case float8e5m2fnuz = 20
    case uint4 = 21
    case int4 = 22
    case float4e2m1 = 23
    case float8e8m0 = 24
    case uint2 = 25
    case int2 = 26

    /// Bytes of one element; 0 for strings, which have no fixed size.
    @inlinable public var byteCount: Int {
        switch self {
        case .bool, .int8, .uint8: 1
        case .float16, .bfloat16, .int16, .uint16: 2
        case .float32, .int32, .uint32: 4
        case .float64, .int64, .uint64: 8
        case .string: 0
        default: 1
        }
    }

    /// Of at most 8 bits, stored and converted but not computed in: neither floating-point nor integer to operators. `SmallTypes`
    /// has their values.
    public var isStorageOnly: Bool { rawValue > DataType.bfloat16.rawValue }

    public var isFloatingPoint: Bool {
        switch self {
        case .float32, .float64, .float16, .bfloat16: true
        default: false
        }
    }

    public var isSignedInteger: Bool {
        switch self {
        case .int8, .int16, .int32, .int64: true
        default: false
        }
    }

    public var isUnsignedInteger: Bool {
        switch self {
        case .uint8, .uint16, .uint32, .uint64: true
        default: false
        }
    }

    public var isInteger: Bool { isSignedInteger || isUnsignedInteger }

    /// The short name of the text form: `f32`, `i64`, `bool`, …
    public var name: String {
        switch self {
        case .float32: "f32"
        case .float64: "f64"
        case .float16: "f16"
        case .bfloat16: "bf16"
        case .int8: "i8"
        case .int16: "i16"
        case .int32: "i32"
        case .int64: "i64"
        case .uint8: "u8"
        case .uint16: "u16"
        case .uint32: "u32"
        case .uint64: "u64"
        case .bool: "bool"
        case .string: "str"
        case .float8e4m3fn: "f8e4m3fn"
        case .float8e4m3fnuz: "f8e4m3fnuz"
        case .float8e5m2: "f8e5m2"
        case .float8e5m2fnuz: "f8e5m2fnuz"
        case .uint4: "u4"
        case .int4: "i4"
        case .float4e2m1: "f4e2m1"
        case .float8e8m0: "f8e8m0"
        case .uint2: "u2"
        case .int2: "i2"
        }
    }

    /// Reads the short name, or the long one that NumPy and ONNX use (`float32`, `double`, …).
    public init?(name: String) {
        switch name {
        case "f32", "float32", "float": self = .float32
        case "f64", "float64", "double": self = .float64
        case "f16", "float16": self = .float16
        case "bf16", "bfloat16": self = .bfloat16
        case "i8", "int8": self = .int8
        case "i16", "int16": self = .int16
        case "i32", "int32": self = .int32
        case "i64", "int64": self = .int64
        case "u8", "uint8": self = .uint8
        case "u16", "uint16": self = .uint16
        case "u32", "uint32": self = .uint32
        case "u64", "uint64": self = .uint64
        case "bool": self = .bool
        case "str", "string": self = .string
        case "f8e4m3fn", "float8e4m3fn", "float8_e4m3fn": self = .float8e4m3fn
        case "f8e4m3fnuz", "float8e4m3fnuz", "float8_e4m3fnuz": self = .float8e4m3fnuz
        case "f8e5m2", "float8e5m2", "float8_e5m2": self = .float8e5m2
        case "f8e5m2fnuz", "float8e5m2fnuz", "float8_e5m2fnuz": self = .float8e5m2fnuz
        case "u4", "uint4": self = .uint4
        case "i4", "int4": self = .int4
        case "f4e2m1", "float4e2m1", "float4_e2m1fn": self = .float4e2m1
        case "f8e8m0", "float8e8m0", "float8_e8m0fnu": self = .float8e8m0
        case "u2", "uint2": self = .uint2
        case "i2", "int2": self = .int2
        default: return nil
        }
    }
}
