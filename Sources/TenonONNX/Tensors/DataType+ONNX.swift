import TenonIR

extension DataType {
    /// The element type with ONNX's number; nil for one that Tenon does not have.
    init?(onnx number: Int32) {
        guard let raw = UInt8(exactly: number), let dtype = DataType(rawValue: raw) else { return nil }
        self = dtype
    }

    /// How ONNX calls element type `number`.
    static func nameOfONNX(_ number: Int32) -> String {
        guard let known = ONNXTensorProto.DataType(rawValue: Int(number)) else { return "number \(number)" }
        return "\(known)".uppercased()
    }
}
