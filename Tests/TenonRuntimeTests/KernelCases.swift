import Foundation
import TenonIR

@testable import TenonRuntime

/// One call from `Tests/Fixtures/operators/cases.json`, whose numbers lie in `cases.bin`.
struct KernelCase: Decodable {
    var name: String
    var op: String
    var args: [Argument]
    var attrs: [String: Attribute]
    var outputs: [Tensor]
    var rtol: Double
    var atol: Double

    struct Tensor: Decodable {
        var dtype: DataType
        var shape: [Int64]
        var offset: Int

        init(from decoder: any Decoder) throws {
            var list = try decoder.unkeyedContainer()
            let name = try list.decode(String.self)
            guard let dtype = DataType(name: name) else { throw TenonError(.invalidType, "\(name)") }
            self.dtype = dtype
            shape = try list.decode([Int64].self)
            offset = try list.decode(Int.self)
        }
    }

    struct Argument: Decodable {
        var t: Tensor?
        var s: [Int64]?
        var u: [Argument]?
        var i: Int64?
        var f: String?
    }

    struct Attribute: Decodable {
        var b: Bool?
        var i: Int64?
        var f: String?
        var n: String?
        var d: String?
        var fs: [String]?
        var ns: [String]?
        var `is`: [Int64]?

        var value: AttributeValue? {
            if let b { return .bool(b) }
            if let i { return .int(i) }
            if let f { return Double(f).map { .float($0) } }
            if let n { return .string(n) }
            if let d { return DataType(name: d).map { .dtype($0) } }
            if let fs { return .floats(fs.compactMap { Double($0) }) }
            if let ns { return .strings(ns) }
            return `is`.map { .ints($0) }
        }
    }
}

/// The committed cases.
struct KernelCases {
    let cases: [KernelCase]
    private let blob: Data

    static let all: Result<KernelCases, any Error> = Result { try KernelCases() }

    private init() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/operators")
        cases = try JSONDecoder().decode(
            [KernelCase].self, from: Data(contentsOf: folder.appendingPathComponent("cases.json")))
        blob = try Data(contentsOf: folder.appendingPathComponent("cases.bin"))
    }

    func constant(_ tensor: KernelCase.Tensor) throws -> Constant {
        let type = TensorType(tensor.dtype, tensor.shape.map { .fixed($0) })
        guard let count = type.byteCount else { throw TenonError(.invalidShape, "\(type)") }
        return try blob.withUnsafeBytes { bytes in
            guard tensor.offset >= 0, tensor.offset + count <= bytes.count else {
                throw TenonError(.invalidModel, "cases.bin ends at \(bytes.count)")
            }
            return try Constant(
                dtype: tensor.dtype, shape: tensor.shape,
                copying: UnsafeRawBufferPointer(rebasing: bytes[tensor.offset..<tensor.offset + count]))
        }
    }

    func operand(_ argument: KernelCase.Argument) throws -> Operand {
        if let tensor = argument.t { return .constant(try constant(tensor)) }
        if let dims = argument.s { return .shape(dims.map { .fixed($0) }) }
        if let fields = argument.u { return .tuple(try fields.map { try operand($0) }) }
        if let number = argument.i { return .int(number) }
        if let text = argument.f, let number = Double(text) { return .float(number) }
        throw TenonError(.parseError, "an argument of no kind")
    }
}
