import Testing

@testable import TenonIR

@Suite struct FunctionBuilderTests {
    @Test func convolutionGetsItsType() throws {
        var builder = FunctionBuilder()
        let x = builder.parameter("x", .tensor(.float32, [1, 3, 224, 224] as [Int64]))
        let w = builder.parameter("w", .tensor(.float32, [64, 3, 7, 7] as [Int64]))
        let y = try builder.call(
            "nn.conv2d", [.value(x), .value(w)], ["strides": .ints([2, 2]), "padding": .ints([3, 3, 3, 3])])
        #expect(builder.type(of: .value(y)) == .tensor(.float32, [1, 64, 112, 112] as [Int64]))
    }

    @Test func sumsOfSymbolsCompareByValue() {
        let n = Dim.symbol("n")
        let m = Dim.symbol("m")
        #expect(Dim.adding(n, m) == Dim.adding(m, n))
        #expect(Dim.subtracting(n, n) == .fixed(0))
        #expect(Dim.multiplying(n, m) != Dim.adding(n, m))
        #expect(Dim.multiplying(.fixed(.max), 2) == nil)
    }
}

@Suite struct DimTests {
    @Test func divisionsInDivisionsBecomeOne() throws {
        var size = Dim.symbol("n")
        for _ in 0..<5 {
            size = try #require(Dim.adding(size, 1).flatMap { Dim.floorDividing($0, by: 2 as Int64) })
        }
        #expect(size.description == "floordiv(n + 31, 32)")
        for n in [1, 31, 32, 33, 640, 1000] as [Int64] {
            var expected = n
            for _ in 0..<5 { expected = (expected + 1) / 2 }
            #expect(size.evaluate(["n": n]) == expected)
        }
    }

    @Test func expressionsDoNotGrowWithoutBound() {
        var size = Dim.symbol("n")
        var steps = 0
        while steps < 10_000 {
            guard let sum = Dim.adding(size, .symbol("m")), let half = Dim.floorDividing(sum, by: 3 as Int64),
                let other = Dim.subtracting(.symbol("k"), sum), let next = Dim.maximum(half, other)
            else { break }
            size = next
            steps += 1
        }
        #expect(steps > 2 && steps < 100)
    }
}
