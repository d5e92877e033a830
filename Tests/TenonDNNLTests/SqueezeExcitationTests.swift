import CKernels
import TenonIR
import TenonRewrite
import TenonRuntime
import Testing

@testable import TenonDNNL

/// Pooling and the two products of a gate as one step, against the reference.
struct SqueezeExcitationTests {
    static let name = "squeeze_excitation:avx512"

    static let isThere: Bool = {
        var kernel = tkernel_squeeze()
        (kernel.batch, kernel.channels, kernel.hidden, kernel.pixels) = (1, 1, 1, 1)
        return tkernel_squeeze_is_supported(&kernel) != 0
    }()

    private func expect(_ run: Executable, _ number: Int, sourceLocation: SourceLocation = #_sourceLocation) {
        let found = run.steps.count { $0.implementation == Self.name }
        #expect(
            found == (Self.isThere ? number : 0), "\(run.steps.map(\.implementation))", sourceLocation: sourceLocation)
    }

    private func pool(_ net: inout Net, _ x: Operand) throws -> Operand {
        try net.call("nn.adaptive_avg_pool2d", [x], ["output_size": .ints([1, 1])])
    }

    /// The gate of `x`, with its hidden values.
    private func gate(
        _ net: inout Net, _ x: Operand, _ channels: Int64, hidden: Int64,
        _ functions: [String] = ["nn.relu", "sigmoid"],
        bias: Bool = true
    ) throws -> (pooled: Operand, hidden: Operand, gate: Operand) {
        let pooled = try pool(&net, x)
        let small = try activation(&net, functions[0], try net.conv(pooled, hidden, kernel: 1, bias: bias))
        let wide = try net.conv(small, channels, kernel: 1, bias: bias)
        return (pooled, small, try activation(&net, functions[1], wide))
    }

    private func activation(_ net: inout Net, _ name: String, _ x: Operand) throws -> Operand {
        switch name {
        case "": x
        case "nn.hard_sigmoid": try net.call(name, [x], ["alpha": .float(1.0 / 6), "beta": .float(0.5)])
        default: try net.call(name, [x])
        }
    }

    private func stem(_ net: inout Net, _ channels: Int64, _ size: Int64 = 14, batch: Int64 = 1) throws -> Operand {
        try net.call("nn.relu", [try net.conv(net.input([batch, 4, size, size + 1]), channels)])
    }

    @Test(
        arguments: [(48, 12), (64, 64), (37, 11), (144, 6), (17, 1), (8, 70)] as [(Int64, Int64)],
        [["nn.relu", "sigmoid"], ["nn.silu", "sigmoid"], ["nn.relu", "nn.hard_sigmoid"], ["", "tanh"]])
    func equalsTheReference(sizes: (Int64, Int64), functions: [String]) throws {
        for (batch, threads) in [(1, 2), (3, 1), (2, 3)] as [(Int64, Int)] {
            var net = Net(seed: UInt64(sizes.0))
            let x = try stem(&net, sizes.0, sizes.0 == 144 ? 7 : 14, batch: batch)
            let gate = try gate(&net, x, sizes.0, hidden: sizes.1, functions, bias: batch != 3).gate
            let y = try net.call("multiply", batch == 2 ? [gate, x] : [x, gate])
            let run = try check(
                try net.module(try net.conv(y, 24, kernel: 1)), tolerance: 1e-5, threads: threads,
                mayLeaveOperators: batch > 1)
            expect(run, 1)
        }
    }

    @Test func denseProducts() throws {
        var net = Net()
        let x = try stem(&net, 48)
        let pooled = try net.call("reshape", [try pool(&net, x), .shape([1, 48])])
        func product(_ x: Operand, _ outputs: Int64, _ inputs: Int64) throws -> Operand {
            let y = try net.call("nn.dense", [x, try net.constant([outputs, inputs], scale: 0.3)])
            return try net.call("add", [y, try net.constant([outputs])])
        }
        let hidden = try net.call("nn.silu", [try product(pooled, 12, 48)])
        let gate = try net.call("sigmoid", [try product(hidden, 48, 12)])
        let shaped = try net.call("reshape", [gate, .shape([1, 48, 1, 1])])
        let module = try net.module(try net.call("multiply", [x, shaped]))
        try check(module)
        let main = try #require(module.main)
        let run = try RegionRun(try asComposite(main), threads: 2)
        #expect(run.implementations.contains(Self.name) == Self.isThere)
        var numbers = Numbers(8)
        let values = numbers.list(4 * 14 * 15)
        let expected = try Reference.run(main, [values])
        let found = try run.run([values], outputs: expected.map(\.count))[0]
        #expect(zip(found, expected[0]).count { !(abs($0 - $1) < 1e-4) } == 0)
    }

    @Test func behindEachOtherAndAsResults() throws {
        var net = Net()
        var x = try stem(&net, 32)
        for _ in 0..<2 {
            x = try net.call("multiply", [x, try gate(&net, x, 32, hidden: 8).gate])
            x = try net.call("nn.relu", [try net.conv(x, 32)])
        }
        let last = try net.call("multiply", [x, try gate(&net, x, 32, hidden: 8).gate])
        expect(try check(try net.module(last, x), tolerance: 1e-4), 3)
    }

    @Test func whatIsPooledComesFromOutside() throws {
        var net = Net()
        let x = net.input([2, 19, 9, 11])
        let gate = try gate(&net, x, 19, hidden: 5).gate
        expect(try check(try net.module(try net.call("multiply", [x, gate])), mayLeaveOperators: true), 1)
    }

    // MARK: - What stays apart

    @Test func whatIsUsedElsewhere() throws {
        for number in 0..<3 {
            var net = Net()
            let x = try stem(&net, 32)
            let parts = try gate(&net, x, 32, hidden: 8)
            let y = try net.call("multiply", [x, parts.gate])
            let leak = [parts.pooled, parts.hidden, parts.gate][number]
            // The gate is there, and anybody may read it.
            expect(try check(try net.module(y, leak), tolerance: 1e-4), number == 2 ? 1 : 0)
        }
    }

    /// Whatever a gate is used for.
    @Test func gatesOfSomethingElse() throws {
        var net = Net()
        let x = try stem(&net, 32)
        let other = try net.conv(x, 32)
        let y = try net.call("multiply", [other, try gate(&net, x, 32, hidden: 8).gate])
        expect(try check(try net.module(y), tolerance: 1e-4), 1)
        var alone = Net()
        let v = try stem(&alone, 32)
        expect(try check(try alone.module(try gate(&alone, v, 32, hidden: 8).gate)), 1)
        var narrow = Net()
        let z = try stem(&narrow, 32)
        expect(try check(try narrow.module(try gate(&narrow, z, 16, hidden: 8).gate)), 0)
    }

    @Test func means() throws {
        func module(_ isMean: Bool) throws -> Module {
            var net = Net(seed: 3)
            let x = try stem(&net, 32)
            let pooled =
                isMean ? try net.call("mean", [x], ["axis": .ints([2, 3]), "keepdims": true]) : try pool(&net, x)
            let small = try net.call("nn.relu", [try net.conv(pooled, 8, kernel: 1)])
            return try net.module(try net.call("multiply", [x, try net.conv(small, 32, kernel: 1)]))
        }
        var numbers = Numbers(4)
        let values = numbers.list(4 * 14 * 15)
        let expected = try Reference.run(try #require(try module(false).main), [values])[0]
        let run = try Executable(
            module: try partitioned(try module(true)), backends: [DNNLBackend()], options: CompileOptions(threads: 2))
        expect(run, 1)
        let found = try run.run([try .floats([1, 4, 14, 15], values)])[0].doubleElements ?? []
        #expect(zip(found, expected).count { !(abs(Float($0) - $1) < 1e-4) } == 0)
    }

    @Test func otherPooling() throws {
        for number in 0..<2 {
            var net = Net()
            let x = net.input([1, 32, 8, 8])
            let pooled =
                number == 0
                ? try net.call("nn.max_pool2d", [x], ["pool_size": .ints([8, 8])])
                : try net.call("nn.avg_pool2d", [x], ["pool_size": .ints([7, 7]), "strides": .ints([2, 2])])
            let small = try net.call("nn.relu", [try net.conv(pooled, 8, kernel: 1)])
            let gate = try net.call("sigmoid", [try net.conv(small, 32, kernel: 1)])
            expect(try check(try net.module(try net.call("multiply", [x, gate]))), 0)
        }
    }

    @Test func productsThatTheKernelHasNot() throws {
        for number in 0..<4 {
            var net = Net()
            let x = net.input([1, 32, 8, 8])
            let pooled = try pool(&net, x)
            var small = try net.conv(pooled, 8, kernel: 1, groups: number == 0 ? 4 : 1)
            if number == 1 { small = try net.call("exp", [small]) }
            if number == 2 { small = try net.call("tanh", [try net.call("nn.relu", [small])]) }
            let wide =
                number == 3
                ? try net.call("nn.conv2d", [small, net.input([32, 8, 1, 1], "w")])
                : try net.conv(small, 32, kernel: 1)
            let gate = try net.call("sigmoid", [wide])
            expect(try check(try net.module(try net.call("multiply", [x, gate])), tolerance: 1e-4), 0)
        }
    }

    // MARK: - Memory, tuning, NaN

    @Test(.enabled(if: SqueezeExcitationTests.isThere, "needs AVX-512")) func executablesOfOneModuleShareWeights()
        throws
    {
        var net = Net()
        let x = try stem(&net, 32)
        let module = try net.module(try net.call("multiply", [x, try gate(&net, x, 32, hidden: 8).gate]))
        let main = try asComposite(try #require(module.main))
        let runs = try (1...2).map { try RegionRun(main, threads: $0) }
        #expect(runs.allSatisfy { $0.implementations.contains(Self.name) })
        let weights = runs.map { Set($0.region.sharedWeights.map { ObjectIdentifier($0 as AnyObject) }) }
        #expect(!weights[0].isEmpty && !weights[0].isDisjoint(with: weights[1]))
    }

    @Test func tuned() throws {
        var net = Net()
        let x = try stem(&net, 32)
        let module = try net.module(try net.call("multiply", [x, try gate(&net, x, 32, hidden: 8).gate]))
        var numbers = Numbers(4)
        let values = numbers.list(4 * 14 * 15)
        let expected = try Reference.run(try #require(module.main), [values])[0]
        var options = CompileOptions(threads: 2)
        options.tuningMilliseconds = 50
        let run = try Executable(module: try partitioned(module), backends: [DNNLBackend()], options: options)
        let found = try run.run([try .floats([1, 4, 14, 15], values)])[0].doubleElements ?? []
        #expect(zip(found, expected).count { !(abs(Float($0) - $1) < 1e-4) } == 0)
    }

    /// NaN in one picture is NaN in all of that picture, as its means are, and in no other.
    @Test(.enabled(if: SqueezeExcitationTests.isThere, "needs AVX-512")) func notANumber() throws {
        var net = Net()
        let x = net.input([2, 20, 5, 5])
        let module = try net.module(try net.call("multiply", [x, try gate(&net, x, 20, hidden: 3).gate]))
        let run = try Executable(
            module: try DefaultPipeline.make().apply(to: module), backends: [DNNLBackend()],
            options: CompileOptions(threads: 2))
        expect(run, 1)
        var values = [Float](repeating: 0.5, count: 2 * 20 * 25)
        values[7] = .nan
        let found = try run.run([try .floats([2, 20, 5, 5], values)])[0].doubleElements ?? []
        for (index, value) in found.enumerated() { #expect(value.isNaN == (index < 500)) }
    }
}
