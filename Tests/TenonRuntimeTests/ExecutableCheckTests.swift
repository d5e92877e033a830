import Glibc
import TenonIR
import Testing

@testable import TenonRuntime

/// What a caller can do wrong, and what he is told.
@Suite struct ExecutableCheckTests {
    private let executable: Executable
    private let a = TestTensor([2, 3], [1, 2, 3, 4, 5, 6])
    private let b = TestTensor([2, 3], [1, 2, 3, 4, 5, 6])
    private let out = TestTensor([2, 3], [Float](repeating: 0, count: 6))

    init() throws {
        executable = try Executable(module: try Sample.region("probe", [2, 3]), backends: [ProbeBackend()])
    }

    private func refusal(_ inputs: [TensorView], _ outputs: [TensorView]) -> TenonError? {
        #expect(throws: TenonError.self) { try executable.runViews(inputs, outputs) }
    }

    @Test func wrongCounts() {
        let none = refusal([], [out.view()])
        #expect(none?.status == .invalidArgument)
        #expect(none?.message == "expected 2 inputs ('a', 'b'), found 0")
        #expect(refusal([a.view(), b.view()], [])?.message == "expected 1 output ('joined'), found 0")
    }

    @Test func wrongTypes() {
        let dtype = refusal([a.view(), b.view(dtype: .int32)], [out.view()])
        #expect(dtype?.status == .invalidType)
        #expect(dtype?.message == "input 'b' expects f32[2,3], found i32[2,3]")
        let flat = TestTensor([6], [1, 2, 3, 4, 5, 6])
        let rank = refusal([flat.view(), b.view()], [out.view()])
        #expect(rank?.status == .invalidShape)
        #expect(rank?.message == "input 'a' expects f32[2,3], found f32[6]")
        let turned = TestTensor([3, 2], [1, 2, 3, 4, 5, 6])
        #expect(
            refusal([a.view(), b.view()], [turned.view()])?.message
                == "output 'joined' expects f32[2,3], found f32[3,2]")
        let negative = TestTensor([-2, 3], [])
        #expect(
            refusal([negative.view(), b.view()], [out.view()])?.message == "input 'a' expects f32[2,3], found f32[-2,3]"
        )
    }

    @Test func missingMemory() {
        var null = a.view()
        null.data = nil
        #expect(
            refusal([null, b.view()], [out.view()])?.message
                == "input 'a' expects 24 bytes of data, found a null pointer")
        #expect(
            refusal([a.view(byteCount: 23), b.view()], [out.view()])?.message
                == "input 'a' expects 24 bytes for f32[2,3], found 23")
        var shapeless = a.view()
        shapeless.shape = nil
        #expect(refusal([shapeless, b.view()], [out.view()])?.message == "input 'a' has rank 2 and no shape")
        let far = TestTensor([2, 3], strides: [.max, 1], [1, 2, 3, 4, 5, 6])
        #expect(
            refusal([far.view(), b.view()], [out.view()])?.message
                == "input 'a' has strides that reach further than memory can")
    }

    @Test func outputsThatCannotBeWritten() {
        let strided = TestTensor([2, 3], strides: [1, 2], [Float](repeating: 0, count: 6))
        #expect(
            refusal([a.view(), b.view()], [strided.view()])?.message
                == "output 'joined' expects a dense row-major tensor, found strides")
        var crooked = out.view()
        crooked.data = crooked.data.map { $0 + 1 }
        #expect(
            refusal([a.view(), b.view()], [crooked])?.message
                == "output 'joined' expects memory aligned to 4 bytes, found f32[2,3]")
    }

    @Test func aFailedRunLeavesOutputsAndExecutableAlone() throws {
        _ = refusal([a.view(), b.view(dtype: .int32)], [out.view()])
        #expect(out.elements == [Float](repeating: 0, count: 6))
        try executable.runViews([a.view(), b.view()], [out.view()])
        #expect(out.elements == [2, 4, 6, 8, 10, 12])
    }

    @Test func stridedMisalignedAndOverlappingInputsAreCopied() throws {
        // b transposed: [[1, 3, 5], [2, 4, 6]].
        let transposed = TestTensor([2, 3], strides: [1, 2], [1, 2, 3, 4, 5, 6])
        try executable.runViews([a.view(), transposed.view(byteCount: 24)], [out.view()])
        #expect(out.elements == [2, 5, 8, 6, 9, 12])

        let bytes = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
        defer { bytes.deallocate() }
        for index in 0..<6 { (bytes + 1 + index * 4).storeBytes(of: Float(index) * 10, as: Float.self) }
        var crooked = b.view()
        crooked.data = bytes + 1
        try executable.runViews([a.view(), crooked], [out.view()])
        #expect(out.elements == [1, 12, 23, 34, 45, 56])

        // The output over the first input: the sum is still that of the old values.
        let inPlace = TestTensor([2, 3], [1, 2, 3, 4, 5, 6])
        try executable.runViews([inPlace.view(), b.view()], [inPlace.view()])
        #expect(inPlace.elements == [2, 4, 6, 8, 10, 12])
    }

    @Test func packingStridedInputsObeysTheCap() throws {
        let tight = try Executable(
            module: try Sample.region("probe", [2, 3]), backends: [ProbeBackend()],
            options: CompileOptions(memoryLimit: 140))
        let transposed = TestTensor([2, 3], strides: [1, 2], [1, 2, 3, 4, 5, 6])
        let error = #expect(throws: TenonError.self) {
            try tight.runViews([transposed.view(), b.view()], [out.view()])
        }
        #expect(error?.status == .limitExceeded)
        try tight.runViews([a.view(), b.view()], [out.view()])
    }

    @Test func modulesThatCannotBeRun() throws {
        let none = #expect(throws: TenonError.self) { try Executable(module: Module(), backends: []) }
        #expect(none?.status == .notFound)
        let module = try Sample.region("probe", [2])
        let threads = #expect(throws: TenonError.self) {
            try Executable(module: module, backends: [ProbeBackend()], options: CompileOptions(threads: 0))
        }
        #expect(threads?.status == .invalidArgument)
    }

    @Test func functionsThatCallThemselvesAreRefused() throws {
        var builder = FunctionBuilder()
        let x = builder.parameter("x", Sample.f32([2]))
        let again = builder.bind(.call(Call(.function("main"), [.value(x)])), Sample.f32([2]), name: "again")
        let module = Module(functions: ["main": try builder.finish(.value(again))])
        let error = #expect(throws: TenonError.self) { try Executable(module: module, backends: []) }
        #expect(error?.status == .invalidGraph)
        let interpreted = #expect(throws: TenonError.self) {
            try Interpreter(module: module).run([try Sample.ramp([2])])
        }
        #expect(interpreted?.status == .invalidGraph)
    }

    @Test func externalFunctionsAreRefused() throws {
        let module = try Sample.module { builder in
            let x = builder.parameter("x", Sample.f32([2]))
            return .value(builder.bind(.call(Call(.external("mystery"), [.value(x)])), Sample.f32([2]), name: "y"))
        }
        let error = #expect(throws: TenonError.self) { try Executable(module: module, backends: []) }
        #expect(error?.message == "y: external function 'mystery' cannot be run")
    }
}
