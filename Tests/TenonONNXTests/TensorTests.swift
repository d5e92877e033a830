import SwiftProtobuf
import TenonIR
import Testing

@testable import TenonONNX

/// Every place and type that tensor values have in a file.
@Suite struct TensorTests {
    /// The constant that `tensor` becomes, by way of a file.
    private func constant(_ tensor: ONNXTensorProto) throws -> Constant {
        var builder = ModelBuilder()
        var tensor = tensor
        tensor.name = "w"
        builder.constant(tensor)
        builder.output("w")
        let main = try builder.function()
        var found: Constant?
        main.forEachBinding { binding in
            if case .operand(.constant(let constant)) = binding.expression { found = constant }
        }
        return try #require(found)
    }

    private func tensor(
        _ type: ONNXTensorProto.DataType, _ dims: [Int64], _ change: (inout ONNXTensorProto) -> Void
    ) -> ONNXTensorProto {
        var tensor = ONNXTensorProto()
        tensor.dataType = Int32(type.rawValue)
        tensor.dims = dims
        change(&tensor)
        return tensor
    }

    @Test func typedLists() throws {
        #expect(try constant(tensor(.float, [2]) { $0.floatData = [1.5, -2] }).doubleElements == [1.5, -2])
        #expect(try constant(tensor(.double, [1]) { $0.doubleData = [0.1] }).doubleElements == [0.1])
        #expect(try constant(tensor(.int64, [2]) { $0.int64Data = [.min, .max] }).intElements == [.min, .max])
        #expect(try constant(tensor(.int32, [2]) { $0.int32Data = [-7, 7] }).intElements == [-7, 7])
        #expect(try constant(tensor(.int16, [1]) { $0.int32Data = [-32768] }).intElements == [-32768])
        #expect(try constant(tensor(.int8, [1]) { $0.int32Data = [-128] }).intElements == [-128])
        #expect(try constant(tensor(.uint8, [1]) { $0.int32Data = [255] }).intElements == [255])
        #expect(try constant(tensor(.uint16, [1]) { $0.int32Data = [65535] }).intElements == [65535])
        #expect(try constant(tensor(.uint32, [1]) { $0.uint64Data = [4_294_967_295] }).intElements == [4_294_967_295])
        #expect(try constant(tensor(.bool, [3]) { $0.int32Data = [0, 1, 1] }).intElements == [0, 1, 1])
        #expect(try constant(tensor(.float16, [2]) { $0.int32Data = [0x3c00, 0xc000] }).doubleElements == [1, -2])
        #expect(try constant(tensor(.bfloat16, [1]) { $0.int32Data = [0x3fc0] }).doubleElements == [1.5])
        #expect(
            try constant(tensor(.string, [2]) { $0.stringData = [.init("a".utf8), .init("öä".utf8)] }).strings
                == ["a", "öä"])
        #expect(try constant(tensor(.float, [0, 3]) { _ in }).count == 0)
        #expect(try constant(tensor(.int64, []) { $0.int64Data = [5] }).shape == [])
    }

    @Test(arguments: [3, 63, 64, 65, 5000]) func payloadsOfEverySize(count: Int) throws {
        let values = (0..<count).map { Float($0) * 0.5 - 7 }
        let raw = tensor(.float, [Int64(count)]) { tensor in
            tensor.rawData = values.withUnsafeBytes { .init($0) }
        }
        let listed = tensor(.float, [Int64(count)]) { $0.floatData = values }
        let doubles = tensor(.double, [Int64(count)]) { $0.doubleData = values.map(Double.init) }
        for tensor in [raw, listed, doubles] {
            #expect(try constant(tensor).doubleElements == values.map(Double.init))
        }
    }

    @Test func largePayloadsAreNotParsed() throws {
        var builder = ModelBuilder()
        builder.constant(ModelBuilder.floats("w", [1000]))
        builder.constant(ModelBuilder.floats("small", [10]))
        let bytes = try builder.bytes()
        try bytes.withUnsafeBytes { buffer in
            let stripped = try WireScanner.strip(buffer, limits: ONNXLimits())
            #expect(stripped.count < 300)
            let model = try ONNXImporter.parse(buffer, limits: ONNXLimits())
            let large = model.graph.initializer[0]
            #expect(large.floatData.isEmpty && large.payloadRange.count == 4000 && large.payloadRange.field == 4)
            let begin = Int(large.payloadRange.begin)
            #expect(buffer.loadUnaligned(fromByteOffset: begin + 4 * 6, as: Float.self) == 3)
            #expect(model.graph.initializer[1].floatData.count == 10)
        }
    }

    @Test func valuesInSeveralFieldsAreOneList() throws {
        // Two packed lists of one tensor, as a writer that merges messages leaves them.
        let first = try ModelBuilder.floats("w", [300], (0..<200).map(Float.init)).serializedBytes() as [UInt8]
        var rest = ONNXTensorProto()
        rest.floatData = (200..<300).map(Float.init)
        let tensor: [UInt8] = first + (try rest.serializedBytes() as [UInt8])
        let merged = try ONNXTensorProto(serializedBytes: tensor)
        #expect(try constant(merged).doubleElements == (0..<300).map(Double.init))
        // The same bytes as an initializer of a model: fields 7 and 5.
        let graph: [UInt8] = [0x2a, UInt8(tensor.count & 0x7f) | 0x80, UInt8(tensor.count >> 7)] + tensor
        let model: [UInt8] = [0x3a, UInt8(graph.count & 0x7f) | 0x80, UInt8(graph.count >> 7)] + graph
        try model.withUnsafeBytes { buffer in
            let parsed = try ONNXImporter.parse(buffer, limits: ONNXLimits())
            #expect(parsed.graph.initializer[0].floatData == (0..<300).map(Float.init))
        }
    }

    @Test func filesCannotPointIntoThemselves() throws {
        var forged = ModelBuilder.floats("w", [4])
        forged.floatData = []
        forged.payloadRange.begin = 0
        forged.payloadRange.count = 16
        forged.payloadRange.field = 9
        #expect(failure { _ = try constant(forged) }?.status == .invalidModel)
    }

    @Test func sparseTensorsBecomeDense() throws {
        func sparse(_ indices: ONNXTensorProto, dims: [Int64]) throws -> [Double]? {
            var builder = ModelBuilder()
            var sparse = ONNXSparseTensorProto()
            sparse.values = ModelBuilder.floats("s", [2], [5, 6])
            sparse.indices = indices
            sparse.dims = dims
            builder.model.graph.sparseInitializer = [sparse]
            builder.input("x", [2, 3])
            builder.node("Add", ["x", "s"], ["y"])
            builder.output("y")
            return try builder.function().call("add")?.arguments[1].constant?.doubleElements
        }
        #expect(try sparse(ModelBuilder.ints("i", [1, 5]), dims: [2, 3]) == [0, 5, 0, 0, 0, 6])
        #expect(try sparse(ModelBuilder.ints("i", [0, 2, 1, 0], dims: [2, 2]), dims: [2, 3]) == [0, 0, 5, 6, 0, 0])
        #expect(failure { _ = try sparse(ModelBuilder.ints("i", [1, 6]), dims: [2, 3]) }?.status == .invalidModel)
        #expect(failure { _ = try sparse(ModelBuilder.ints("i", [-1, 0]), dims: [2, 3]) }?.status == .invalidModel)
        #expect(failure { _ = try sparse(ModelBuilder.ints("i", [1]), dims: [2, 3]) }?.status == .invalidModel)
        #expect(
            failure { _ = try sparse(ModelBuilder.ints("i", [1, 2]), dims: [1 << 31, 1 << 31]) }?.status
                == .limitExceeded)
    }
}
