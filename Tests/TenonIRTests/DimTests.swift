import Testing

@testable import TenonIR

/// Expressions over sizes, held against arithmetic on numbers for many values of the symbols.
@Suite struct SizeExpressionTests {
    private typealias Operation = (
        name: String, dim: @Sendable (Dim, Dim) -> Dim?, number: @Sendable (Int64, Int64) -> Int64?
    )

    @Sendable private static func floorDivide(_ a: Int64, _ b: Int64) -> Int64? {
        if b == 0 { return nil }
        return Int64((Double(a) / Double(b)).rounded(.down))
    }

    private static let operations: [Operation] = [
        ("add", Dim.adding, { $0 + $1 }), ("sub", Dim.subtracting, { $0 - $1 }), ("mul", Dim.multiplying, { $0 * $1 }),
        ("max", Dim.maximum, { max($0, $1) }), ("min", Dim.minimum, { min($0, $1) }),
        ("broadcast", Dim.broadcasting, { $0 == $1 || $1 == 1 ? $0 : $0 == 1 ? $1 : nil }),
        ("floordiv", { Dim.floorDividing($0, by: $1) }, floorDivide),
        ("truncdiv", { Dim.truncatedDividing($0, by: $1) }, { $1 == 0 ? nil : $0 / $1 }),
        ("mod", { Dim.floorRemainder($0, by: $1) }, { a, b in floorDivide(a, b).map { a - b * $0 } }),
        ("fmod", { Dim.truncatedRemainder($0, by: $1) }, { $1 == 0 ? nil : $0 % $1 }),
        ("less", Dim.less, { $0 < $1 ? 1 : 0 }), ("equal", Dim.equal, { $0 == $1 ? 1 : 0 }),
    ]

    private struct Sample {
        var dim: Dim
        /// By values of n and m.
        var value: (Int64, Int64) -> Int64?
    }

    @Test func expressionsHaveTheValuesOfTheirOperations() throws {
        var random = RandomModules(seed: 7)
        let grid: [(Int64, Int64)] = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (1, 7), (3, 3), (5, 2), (8, 13), (64, 6)]
        var compared = 0
        for _ in 0..<4000 {
            var samples: [Sample] = [
                Sample(dim: .symbol("n")) { n, _ in n }, Sample(dim: .symbol("m")) { _, m in m },
            ]
            for _ in 0..<3 {
                let number = Int64(random.below(9)) - 4
                samples.append(Sample(dim: .fixed(number)) { _, _ in number })
            }
            for _ in 0..<4 {
                let (a, b) = (random.pick(samples), random.pick(samples))
                let operation = random.pick(Self.operations)
                guard let dim = operation.dim(a.dim, b.dim) else { continue }
                let value: (Int64, Int64) -> Int64? = { n, m in
                    guard let x = a.value(n, m), let y = b.value(n, m) else { return nil }
                    return operation.number(x, y)
                }
                for (n, m) in grid {
                    // An operation that has no value may have been simplified away: n / n is 1, also for 0.
                    guard let expected = value(n, m) else { continue }
                    #expect(
                        dim.evaluate(["n": n, "m": m]) == expected,
                        "\(operation.name)(\(a.dim), \(b.dim)) = \(dim) for n = \(n), m = \(m)")
                    compared += 1
                    let fixed = dim.substituting(["n": .fixed(n), "m": .fixed(m)])
                    #expect(fixed == .fixed(expected), "\(dim) with numbers put in")
                    if dim.isNonNegative { #expect(expected >= 0, "\(dim)") }
                    if dim.isTruth { #expect(expected == 0 || expected == 1, "\(dim)") }
                }
                samples.append(Sample(dim: dim, value: value))
            }
        }
        #expect(compared > 50_000)
    }

    @Test func normalForms() throws {
        let (n, m): (Dim, Dim) = (.symbol("n"), .symbol("m"))
        let sum = try #require(Dim.adding(n, m))
        func check(_ dim: Dim?, _ text: String, at location: SourceLocation = #_sourceLocation) {
            #expect(dim?.description == text, sourceLocation: location)
        }
        // A broadcast of one size with itself is that size, also by way of another.
        check(Dim.broadcasting(n, n), "n")
        check(Dim.broadcasting(n, 1), "n")
        check(Dim.broadcasting(n, 4), "4")
        let both = try #require(Dim.broadcasting(n, m))
        check(both, "broadcast(m, n)")
        check(Dim.broadcasting(both, n), "broadcast(m, n)")
        check(Dim.broadcasting(m, both), "broadcast(m, n)")
        #expect(Dim.broadcasting(2, 3) == nil)
        #expect(both.evaluate(["n": 2, "m": 3]) == nil)
        #expect(both.evaluate(["n": 0, "m": 1]) == 0)
        // Sizes are not negative.
        check(Dim.maximum(n, sum), "m + n")
        check(Dim.minimum(n, sum), "n")
        check(Dim.maximum(n, -1), "n")
        check(Dim.less(n, 0), "0")
        check(Dim.equal(n, -1), "0")
        check(Dim.maximum(n, m), "max(m, n)")
        // What divides goes out, of sums of products too.
        let product = try #require(Dim.multiplying(sum, n))
        check(Dim.floorDividing(product, by: sum), "n")
        check(Dim.floorDividing(product, by: n), "m + n")
        check(Dim.floorDividing(sum, by: n), "floordiv(m + n, n)")
        let square = try #require(Dim.multiplying(sum, sum))
        check(Dim.floorDividing(square, by: sum), "m + n")
        check(
            Dim.truncatedDividing(try #require(Dim.subtracting(n, 5)), by: 2),
            "-floordiv(max(-n + 5, 0), 2) + floordiv(max(0, n - 5), 2)")
    }

    @Test func whatOverflowsOrDividesByZeroHasNoValue() {
        let n: Dim = .symbol("n")
        #expect(Dim.floorDividing(n, by: 0 as Dim) == nil)
        #expect(Dim.truncatedDividing(5, by: 0) == nil)
        #expect(Dim.truncatedDividing(.fixed(.min), by: -1) == nil)
        #expect(Dim.floorDividing(.fixed(.min), by: -1 as Dim) == nil)
        #expect(Dim.negating(.fixed(.min)) == nil)
        #expect(Dim.multiplying(n, .fixed(.max))?.evaluate(["n": 3]) == nil)
        #expect(Dim.floorDividing(100, by: n)?.evaluate(["n": 0]) == nil)
        #expect(Dim.maximum(.fixed(.min), n)?.evaluate([:]) == nil)
    }

    @Test func manyNestedOperationsStaySmall() {
        // Each step would double the expression; past a bound there is none, and the caller says so.
        var dim: Dim? = .symbol("n")
        for index in 0..<200 {
            guard let own = dim else { return }
            dim = Dim.multiplying(own, own).flatMap { Dim.adding($0, .symbol("s\(index)")) }.flatMap {
                Dim.maximum($0, own)
            }
        }
        #expect(dim == nil)
    }
}
