import TenonIR
import Testing

@testable import TenonONNX

/// Bytes that are no message, or one that promises more than there is.
@Suite struct HostileWireTests {
    private func varint(_ value: UInt64) -> [UInt8] {
        var rest = value
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    private func field(_ number: UInt8, _ payload: [UInt8], length: UInt64? = nil) -> [UInt8] {
        [number << 3 | 2] + varint(length ?? UInt64(payload.count)) + payload
    }

    /// Lengths of the graph, of a node in it and of a tensor's data.
    @Test(arguments: [2, 1 << 20, 1 << 31, 1 << 32, 1 << 62, UInt64(Int64.max), 1 << 63, .max]) func hugeLengths(
        length: UInt64
    ) {
        let tensor = field(9, [1], length: length)
        for bytes in [
            field(7, [0], length: length), field(7, field(1, [0], length: length)), field(7, field(5, tensor)),
            field(7, field(5, field(4, [1], length: length))), field(7, field(5, field(1, [1], length: length))),
            field(25, [0], length: length), field(7, field(11, [0], length: length)),
        ] {
            #expect(failure { _ = try importBytes(bytes) }?.status == .invalidModel)
        }
    }

    /// A number of more than ten bytes, one that is cut off, field 0, and groups, which ONNX does not have.
    @Test func brokenKeysAndNumbers() {
        let endless = [UInt8](repeating: 0x80, count: 20)
        for bytes in [
            [0x3a] + endless, [0x3a] + endless + [1], endless + [1], [0x3a, 0x80], [0x02, 0x00], [0x3b], [0x3c], [0x3e],
            [0x3f],
            field(7, field(1, [0x3b])), field(7, [0x08] + endless + [1]),
        ] {
            #expect(failure { _ = try importBytes(bytes) }?.status == .invalidModel, "\(bytes)")
        }
    }

    /// A field of another wire type than it has: left out or refused, no more.
    @Test func fieldsOfAnotherKind() {
        for number in UInt8(1)...15 {
            for kind in [UInt8(0), 1, 5] {
                let payload = [number << 3 | kind] + [UInt8](repeating: 1, count: kind == 0 ? 1 : kind == 1 ? 8 : 4)
                for bytes in [payload, field(7, payload), field(7, field(1, payload)), field(7, field(5, payload))] {
                    #expect(failure { _ = try importBytes(bytes) } != nil)
                }
            }
        }
    }
}

/// Shapes that contradict each other: the message says where.
@Suite struct ContradictoryShapeTests {
    private func check(
        _ parts: [String], _ sourceLocation: SourceLocation = #_sourceLocation, build: (inout ModelBuilder) -> Void
    ) {
        var builder = ModelBuilder()
        builder.input("x", [2, 3])
        build(&builder)
        builder.output("y")
        guard let error = failure({ _ = try builder.load() }) else {
            Issue.record("imported", sourceLocation: sourceLocation)
            return
        }
        for part in parts {
            #expect(error.message.contains(part), "\(error.message)", sourceLocation: sourceLocation)
        }
    }

    @Test func operands() {
        check(["MatMul", "node_y", "3", "4"]) {
            $0.constant(ModelBuilder.floats("w", [4, 5]))
            $0.node("MatMul", ["x", "w"], ["y"])
        }
        check(["Gemm", "node_y"]) {
            $0.constant(ModelBuilder.floats("w", [4, 5]))
            $0.node("Gemm", ["x", "w"], ["y"])
        }
        check(["Add", "node_y", "3", "4"]) {
            $0.constant(ModelBuilder.floats("w", [4]))
            $0.node("Add", ["x", "w"], ["y"])
        }
        check(["Concat", "node_y"]) {
            $0.constant(ModelBuilder.floats("w", [2, 2, 2]))
            $0.node("Concat", ["x", "w"], ["y"], [attribute("axis", 0)])
        }
        check(["Split", "node_y"]) {
            $0.constant(ModelBuilder.ints("s", [1, 7]))
            $0.node("Split", ["x", "s"], ["y", "z"], [attribute("axis", 1)])
        }
        check(["Expand", "node_y"]) {
            $0.constant(ModelBuilder.ints("s", [5, 5]))
            $0.node("Expand", ["x", "s"], ["y"])
        }
        check(["Squeeze", "node_y"]) {
            $0.constant(ModelBuilder.ints("s", [1]))
            $0.node("Squeeze", ["x", "s"], ["y"])
        }
        check(["Where", "node_y"]) {
            $0.constant(ModelBuilder.floats("w", [7]))
            var condition = ModelBuilder.ints("c", [1, 0, 1])
            condition.dataType = 9
            condition.int32Data = [1, 0, 1]
            condition.int64Data = []
            $0.constant(condition)
            $0.node("Where", ["c", "x", "w"], ["y"])
        }
    }
}
