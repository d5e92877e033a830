import TenonIR
import Testing

@testable import TenonRuntime

/// Repetition and branches, which are interpreted.
@Suite struct LoopTests {
    private static let sums = """
        fn @main(%n: i64[], %go: bool[], %x: f32[2]) {
          %all: (f32[2], f32[k,2]) = loop(@step, %n, %go, (%x,), (%x,))
          %last = %all.0
          %each = %all.1
          %y = (%last, %each)
          return %y
        }
        fn @step(%i: i64[], %go: bool[], %s: f32[2], %x: f32[2]) {
          %t = add(%s, %x)
          return (%go, %t, %t)
        }
        """

    private func run(_ text: String, _ inputs: [Constant], _ options: RunOptions = RunOptions()) throws -> [Constant] {
        let executable = try Executable(module: try Module(text: text), backends: [])
        return try executable.run(inputs, options: options)
    }

    private func inputs(_ trips: Int64, _ go: Bool = true) throws -> [Constant] {
        [
            try Constant.ints([], [trips]), try Constant.filled(.bool, [], go ? 1 : 0),
            try Constant(.float32, [2], [1, 2] as [Float]),
        ]
    }

    @Test func stateAndEachValueComeOut() throws {
        let found = try run(Self.sums, try inputs(3))
        #expect(found.first?.floats == [4, 8])
        #expect(found.last?.shape == [3, 2])
        #expect(found.last?.floats == [2, 4, 3, 6, 4, 8])
    }

    @Test(arguments: [(0, true), (-5, true), (7, false)] as [(Int64, Bool)])
    func aLoopThatNeverRunsGivesItsState(trips: Int64, go: Bool) throws {
        let found = try run(Self.sums, try inputs(trips, go))
        #expect(found.first?.floats == [1, 2])
        #expect(found.last?.shape == [0, 2])
    }

    @Test func anEndlessLoopCanBeEnded() throws {
        let endless = """
            fn @main(%n: i64[], %go: bool[], %x: f32[2]) {
              %all: (f32[2],) = loop(@step, %n, %go, (%x,), ())
              %y = %all.0
              return %y
            }
            fn @step(%i: i64[], %go: bool[], %s: f32[2]) {
              return (%go, %s)
            }
            """
        let late = RunOptions(deadline: MonotonicClock.now + 20_000_000)
        #expect(throws: TenonError.self) { try run(endless, try inputs(.max), late) }
        let token = CancelToken()
        token.cancel()
        #expect(throws: TenonError.self) { try run(endless, try inputs(.max), RunOptions(cancel: token)) }
    }

    @Test func bodiesThatAreNoneAreErrors() throws {
        for text in [
            "fn @step(%i: i64[], %go: bool[]) { return (%go, %go) }",
            "fn @step(%i: i64[], %go: bool[], %s: f32[2]) { return %go }",
            "fn @step(%i: i64[], %go: bool[], %s: f32[2]) { return (%s, %s) }",
        ] {
            let main = """
                fn @main(%n: i64[], %go: bool[], %x: f32[2]) {
                  %all: (f32[2],) = loop(@step, %n, %go, (%x,), ())
                  %y = %all.0
                  return %y
                }
                """
            #expect(throws: TenonError.self, "\(text)") { try run(main + "\n" + text, try inputs(2)) }
        }
    }

    @Test func bodiesThatCallThemselvesAreErrors() throws {
        let nested = """
            fn @main(%n: i64[], %go: bool[], %x: f32[2]) {
              %y = @step(%n, %go, %x)
              %z = %y.1
              return %z
            }
            fn @step(%i: i64[], %go: bool[], %s: f32[2]) {
              %all: (f32[2],) = loop(@step, const i64[](1), %go, (%s,), ())
              %y = %all.0
              return (%go, %y)
            }
            """
        #expect(throws: TenonError.self) { try run(nested, try inputs(1)) }
    }

    @Test func valuesOfDifferentShapesDoNotStack() throws {
        let growing = """
            fn @main(%n: i64[], %go: bool[], %x: f32[2]) {
              %all: (f32[k], f32[...]) = loop(@step, %n, %go, (%x,), (%x,))
              %y = %all.1
              return %y
            }
            fn @step(%i: i64[], %go: bool[], %s: f32[m], %x: f32[2]) {
              %t = concat((%s, %x)) {axis=0}
              return (%go, %t, %t)
            }
            """
        #expect(throws: TenonError.self) { try run(growing, try inputs(2)) }
        #expect(try run(growing, try inputs(1)).first?.shape == [1, 4])
    }

    @Test(arguments: [true, false]) func aBranchIsChosenByTheRun(go: Bool) throws {
        let text = """
            fn @main(%n: i64[], %go: bool[], %x: f32[2]) {
              %y: f32[2] = if %go {
                %a = add(%x, %x)
                yield %a
              } else {
                %b = negative(%x)
                yield %b
              }
              return %y
            }
            """
        #expect(try run(text, try inputs(0, go)).first?.floats == (go ? [2, 4] : [-1, -2]))
    }
}
