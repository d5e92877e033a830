import TenonIR
import Testing

@testable import TenonRuntime

/// What kernels refuse, before the run where the shapes tell and in the run where the data does.
@Suite struct KernelErrorTests {
    private let runner = KernelRunner()

    private func f32(_ dims: [Int64], _ elements: [Float]? = nil) throws -> Operand {
        .constant(try Constant(.float32, dims, elements ?? [Float](repeating: 1, count: Int(dims.reduce(1, *)))))
    }

    private func i64(_ elements: [Int64]) throws -> Operand {
        .constant(try Constant(.int64, [Int64(elements.count)], elements))
    }

    private func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return ""
        } catch {
            return "\(error)"
        }
    }

    @Test(arguments: [[5], [-6], [0, 9]] as [[Int64]]) func takeOutOfRange(indices: [Int64]) throws {
        let text = try message { _ = try runner.run("take", [try f32([5]), try i64(indices)]) }
        #expect(text.hasPrefix("take: index "))
        #expect(text.contains("size 5"))
    }

    @Test func positionsOutOfRange() throws {
        #expect(
            try message { _ = try runner.run("gather_elements", [try f32([3]), try i64([3])]) }.contains("out of range")
        )
        let tuple = try Constant(.int64, [1, 1] as [Int64], [7] as [Int64])
        #expect(try message { _ = try runner.run("gather_nd", [try f32([3]), .constant(tuple)]) }.contains("7"))
        #expect(
            try message {
                _ = try runner.run("scatter_nd", [try f32([3]), .constant(tuple), try f32([1])])
            }.contains("7"))
        #expect(
            try message {
                _ = try runner.run("reverse_sequence", [try f32([3, 1]), try i64([4])])
            }.contains("length 4 is out of range"))
        let rois = try f32([1, 5], [2, 0, 0, 1, 1])
        #expect(
            try message {
                _ = try runner.run("vision.roi_align", [try f32([1, 1, 2, 2]), rois], ["pooled_size": .ints([1, 1])])
            }.contains("batch index 2"))
        let endless = try f32([1, 5], [0, 0, 0, .infinity, 1])
        #expect(
            try message {
                _ = try runner.run(
                    "vision.roi_align", [try f32([1, 1, 2, 2]), endless], ["pooled_size": .ints([1, 1])])
            }.contains("region 0"))
    }

    /// A call whose specifications contradict each other, as no schema would let it pass.
    private func prepare(
        _ op: String, _ inputs: [TensorSpec], _ outputs: [TensorSpec], _ attributes: Attributes = Attributes(),
        _ arguments: [Operand] = []
    ) throws -> PreparedKernel {
        let id = try Operators.require(op)
        return try Kernels.prepare(
            KernelCall(op: id, inputs: inputs, outputs: outputs, attributes: attributes, arguments: arguments))
    }

    @Test func contradictionsAreErrors() {
        func spec(_ shape: [Int], _ dtype: DataType = .float32) -> TensorSpec { TensorSpec(dtype, shape) }
        let window: Attributes = [
            "strides": .ints([1, 1]), "padding": .ints([0, 0, 0, 0]), "dilation": .ints([1, 1]), "groups": 1,
        ]
        #expect(throws: TenonError.self) { try prepare("add", [spec([2])], [spec([2])]) }
        #expect(throws: TenonError.self) { try prepare("add", [spec([2]), spec([2], .int32)], [spec([2])]) }
        #expect(throws: TenonError.self) { try prepare("add", [spec([2]), spec([3])], [spec([2])]) }
        #expect(throws: TenonError.self) { try prepare("nn.relu", [spec([2])], [spec([3])]) }
        #expect(throws: TenonError.self) { try prepare("nn.relu", [spec([2], .string)], [spec([2], .string)]) }
        #expect(throws: TenonError.self) { try prepare("exp", [spec([2], .int32)], [spec([2], .int32)]) }
        #expect(throws: TenonError.self) { try prepare("reshape", [spec([4])], [spec([5])]) }
        #expect(throws: TenonError.self) {
            try prepare("permute_dims", [spec([2, 3])], [spec([3, 2])], ["axes": .ints([0, 0])])
        }
        #expect(throws: TenonError.self) { try prepare("matmul", [spec([2, 3]), spec([4, 5])], [spec([2, 5])]) }
        #expect(throws: TenonError.self) {
            try prepare("nn.conv2d", [spec([1, 3, 4, 4]), spec([2, 4, 3, 3])], [spec([1, 2, 2, 2])], window)
        }
        #expect(throws: TenonError.self) {
            try prepare("nn.conv2d", [spec([1, 3, 4, 4]), spec([2, 3, 3, 3])], [spec([1, 2, 2, 2])])
        }
        #expect(throws: TenonError.self) { try prepare("sum", [spec([2, 3])], [spec([4])], ["axis": .ints([0])]) }
        #expect(throws: TenonError.self) { try prepare("sum", [spec([2, 3])], [spec([3])], ["axis": .ints([5])]) }
        #expect(throws: TenonError.self) { try prepare("concat", [spec([2]), spec([3])], [spec([6])], ["axis": 0]) }
        #expect(throws: TenonError.self) { try prepare("clip", [spec([2])], [spec([2])]) }
    }

    /// Sizes whose product overflows, also beside a size of 0.
    @Test func enormousSizesAreErrors() {
        let large = 1 << 40
        for shape in [[large, large], [large, large, 0], [1 << 62], [0, .max, .max]] {
            let spec = TensorSpec(.float32, shape)
            #expect(throws: TenonError.self) { try prepare("nn.relu", [spec], [spec]) }
            #expect(throws: TenonError.self) { try prepare("concat", [spec], [spec], ["axis": 0]) }
            #expect(throws: TenonError.self) { try prepare("nn.softmax", [spec], [spec], ["axis": -1]) }
            #expect(throws: TenonError.self) { try prepare("sort", [spec], [spec], ["axis": -1]) }
        }
    }

    @Test func noKernelForStrings() throws {
        let names = try Constant(shape: [2], strings: ["a", "b"])
        #expect(try message { _ = try runner.run("nonzero", [.constant(names)]) } != "")
    }
}
