import TenonIR
import Testing

@testable import TenonRuntime

/// Operators whose attributes are tensors of the run.
@Suite struct DynamicFormTests {
    private func run(_ text: String, _ inputs: [Constant]) throws -> [Constant] {
        let module = try Module(text: text)
        let executable = try Executable(module: module, backends: [])
        return try executable.run(inputs)
    }

    private let rows: Constant

    init() throws { rows = try Constant(.float32, [2, 3], [1, 5, 2, 7, 0, 3] as [Float]) }

    private func ints(_ values: [Int64], scalar: Bool = false) throws -> Constant {
        try Constant.ints(scalar ? [] : [Int64(values.count)], values)
    }

    @Test(arguments: [([Int64(0)], [8, 5, 5] as [Float]), ([-1], [8, 10]), ([0, 1], [18])])
    func axesComeFromATensor(axes: [Int64], expected: [Float]) throws {
        let text = """
            fn @main(%x: f32[2,3], %axes: i64[\(axes.count)]) {
              %y = dyn.sum(%x, %axes)
              return %y
            }
            """
        let found = try run(text, [rows, try ints(axes)])
        #expect(found.first?.floats == expected)
    }

    @Test func positionsAndPaddingComeFromTensors() throws {
        let text = """
            fn @main(%x: f32[2,3], %k: i64[1], %widths: i64[4], %value: f32[]) {
              %best = dyn.topk(%x, %k)
              %values = %best.0
              %y = dyn.nn.pad(%values, %widths, %value)
              return %y
            }
            """
        let found = try run(
            text, [rows, try ints([1]), try ints([0, 1, 1, 0]), try Constant.floats([], [9])])
        #expect(found.first?.shape == [3, 2])
        #expect(found.first?.floats == [9, 5, 9, 7, 9, 9])
    }

    @Test func aShapeFromATensorIsBound() throws {
        let text = """
            fn @main(%x: f32[2,3], %shape: i64[2]) {
              %s = tensor_to_shape(%shape)
              %y = reshape(%x, %s)
              %z = match_cast(%y, f32[a,b])
              %w = broadcast_to(%z, shape[2,a,b])
              return %w
            }
            """
        let found = try run(text, [rows, try ints([3, -1])])
        #expect(found.first?.shape == [2, 3, 2])
    }

    @Test(
        arguments: [(0, 10, 3, [0, 3, 6, 9]), (5, 0, -2, [5, 3, 1]), (3, 3, 1, []), (0, 5, -1, [])]
            as [(Int64, Int64, Int64, [Int64])])
    func aRangeHasAsManyValuesAsItTakes(start: Int64, end: Int64, step: Int64, expected: [Int64]) throws {
        let text = """
            fn @main(%start: i64[], %end: i64[], %step: i64[]) {
              %y = arange(%start, %end, %step)
              return %y
            }
            """
        let found = try run(text, try [start, end, step].map { try ints([$0], scalar: true) })
        #expect(found.first?.intElements == expected)
    }

    @Test(
        arguments: [
            (0, 1, 0), (Int64.min, Int64.max, 1), (0, Int64.max, 1),
        ] as [(Int64, Int64, Int64)])
    func anEndlessRangeIsAnError(start: Int64, end: Int64, step: Int64) throws {
        let text = """
            fn @main(%start: i64[], %end: i64[], %step: i64[]) {
              %y = arange(%start, %end, %step)
              return %y
            }
            """
        #expect(throws: TenonError.self) { try run(text, try [start, end, step].map { try ints([$0], scalar: true) }) }
    }

    @Test func endsThatAreNoNumbersAreErrors() throws {
        let text = """
            fn @main(%start: f32[], %end: f32[], %step: f32[]) {
              %y = arange(%start, %end, %step)
              return %y
            }
            """
        for values in [[0, .nan, 1], [0, .infinity, 1], [0, 1, 0], [0, 1e30, 1]] as [[Float]] {
            #expect(throws: TenonError.self) { try run(text, try values.map { try Constant.floats([], [$0]) }) }
        }
        #expect(try run(text, try [0, -1e30, 1].map { try Constant.floats([], [$0]) }).first?.count == 0)
    }

    @Test(arguments: [[2], [-3], [0, 0], [Int64.min]] as [[Int64]])
    func axesThatAreNoneAreErrors(axes: [Int64]) throws {
        let text = """
            fn @main(%x: f32[2,3], %axes: i64[\(axes.count)]) {
              %y = dyn.sum(%x, %axes)
              return %y
            }
            """
        #expect(throws: TenonError.self) { try run(text, [rows, try ints(axes)]) }
    }

    @Test func attributesThatAreKnownMakeAPlan() throws {
        let text = """
            fn @main(%x: f32[2,3]) {
              %y = dyn.sum(%x, const i64[1](1))
              return %y
            }
            """
        let module = try Module(text: text)
        #expect(module.main?.resultType == .tensor(TensorType(.float32, [2])))
        #expect(try Executable(module: module, backends: []).prepare([[2, 3]]) != nil)
    }
}
