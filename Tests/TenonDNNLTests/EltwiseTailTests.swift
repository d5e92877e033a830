import TenonIR
import TenonRuntime
import Testing

@testable import TenonDNNL

/// Functions that run as a step of our own kernel, alone or behind a primitive, and depthwise convolutions of our own.
struct EltwiseTailTests {
    static let functions = ["nn.silu", "sigmoid", "tanh", "nn.gelu", "nn.gelu_tanh", "exp", "nn.mish"]

    private func count(_ run: Executable, _ name: String = EltwiseTail.implementation) -> Int {
        run.steps.count { $0.implementation == name }
    }

    private func expect(_ run: Executable, _ number: Int, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(
            count(run) == (EltwiseKernelTests.isThere ? number : 0), "\(run.steps.map(\.implementation))",
            sourceLocation: sourceLocation)
    }

    // MARK: - Behind a convolution

    @Test(arguments: functions, [16, 3, 40] as [Int64])
    func behindAConvolution(function: String, channels: Int64) throws {
        var net = Net(seed: UInt64(channels))
        let x = net.input([1, channels, 35, 33])
        let first = try net.call(function, [try net.conv(x, channels == 16 ? 32 : 37)])
        let run = try check(try net.module(try net.conv(first, 16)), tolerance: 1e-5, threads: Int(channels) % 3 + 1)
        #expect(count(run) <= 1)
    }

    @Test func behindALargeConvolution() throws {
        for threads in [1, 2] {
            var net = Net()
            let x = net.input([2, 8, 32, 32])
            let wide = try net.call("nn.gelu_tanh", [try net.conv(x, 48)])
            expect(try check(try net.module(try net.conv(wide, 16, kernel: 1)), threads: threads), 1)
        }
    }

    @Test func inFrontOfAResidual() throws {
        for threads in [1, 2] {
            var net = Net()
            let stem = try net.call("nn.relu", [try net.conv(net.input([1, 8, 36, 36]), 48)])
            let sum = try net.call("add", [stem, try net.call("nn.silu", [try net.conv(stem, 48)])])
            let run = try check(try net.module(try net.conv(sum, 16, kernel: 1)), tolerance: 1e-4, threads: threads)
            expect(run, 1)
            #expect(!run.composites.contains("dnnl.eltwise_post_ops"))
        }
    }

    /// The sum is in the primitive, perhaps on the residual's own memory, and the function behind it.
    @Test func behindAResidual() throws {
        var net = Net()
        let stem = try net.call("nn.relu", [try net.conv(net.input([1, 8, 36, 36]), 48)])
        let sum = try net.call("nn.gelu_tanh", [try net.call("add", [try net.conv(stem, 48), stem])])
        expect(try check(try net.module(try net.conv(sum, 16, kernel: 1)), tolerance: 1e-4), 1)
    }

    @Test func resultOfTheRegion() throws {
        var net = Net()
        let x = net.input([1, 8, 36, 36])
        let y = try net.call("nn.silu", [try net.conv(x, 48)])
        try check(try net.module(y, try net.conv(y, 8)), tolerance: 1e-4)
        var other = Net()
        try check(try other.module(try other.call("sigmoid", [try other.conv(other.input([1, 8, 36, 36]), 48)])))
    }

    @Test func resultsGoStraightIntoAConcatenation() throws {
        var net = Net()
        let x = net.input([1, 8, 36, 36])
        let parts = try (0..<2).map { _ in try net.call("nn.gelu_tanh", [try net.conv(x, 32)]) }
        let joined = try net.call("concat", [.tuple(parts)], ["axis": 1])
        expect(try check(try net.module(try net.conv(joined, 16, kernel: 1)), tolerance: 1e-4), 2)
    }

    @Test func behindAProduct() throws {
        for function in ["nn.gelu_tanh", "nn.silu"] {
            var net = Net()
            let x = net.input([2, 70, 32])
            let y = try net.call("nn.dense", [x, try net.constant([512, 32], scale: 0.2)])
            let biased = try net.call("add", [y, try net.constant([512])])
            let wide = try net.call(function, [biased])
            let z = try net.call("nn.dense", [wide, try net.constant([16, 512], scale: 0.05)])
            expect(try check(try net.module(z)), 1)
        }
    }

    // MARK: - What stays with its primitive

    @Test func smallResultsAndCheapFunctions() throws {
        for (function, size) in [("nn.silu", 12), ("nn.relu", 36), ("nn.hard_swish", 36)] as [(String, Int64)] {
            var net = Net()
            let wide = try net.call(function, [try net.conv(net.input([1, 8, size, size]), 48)])
            expect(try check(try net.module(try net.conv(wide, 16)), tolerance: 1e-4), 0)
        }
    }

    @Test func functionsInTheMiddleOfAChain() throws {
        var net = Net()
        let wide = try net.call("nn.silu", [try net.conv(net.input([1, 8, 36, 36]), 48)])
        let scaled = try net.call("nn.relu", [try net.call("multiply", [wide, try net.constant([1, 48, 1, 1])])])
        expect(try check(try net.module(try net.conv(scaled, 16)), tolerance: 1e-4), 0)
    }

    // MARK: - Alone

    @Test(arguments: functions) func alone(function: String) throws {
        for (threads, dims) in [(1, [2, 37, 11, 13]), (2, [1, 32, 26, 26]), (3, [20_001]), (2, [13, 1000])]
            as [(Int, [Int64])]
        {
            var net = Net()
            let x = net.input(dims)
            try check(try net.module(try net.call(function, [x])), tolerance: 1e-6, threads: threads)
        }
    }

    /// In place where nothing else wants the operand.
    @Test func operandsThatLiveOn() throws {
        for isUsedAgain in [false, true] {
            var net = Net()
            let pooled = try net.call(
                "nn.max_pool2d", [net.input([1, 16, 48, 48])],
                ["pool_size": .ints([3, 3]), "padding": .ints([1, 1, 1, 1])])
            let gate = try net.call("sigmoid", [pooled])
            let y = isUsedAgain ? try net.call("maximum", [gate, pooled]) : gate
            try check(try net.module(try net.conv(y, 16), gate), tolerance: 1e-4)
            var views = Net()
            let flat = try views.call("nn.max_pool2d", [views.input([1, 16, 48, 48])], ["pool_size": .ints([2, 2])])
            let shaped = try views.call("reshape", [flat, .shape([1, 16, 2209])])
            let silu = try views.call("nn.silu", [shaped])
            try check(try isUsedAgain ? views.module(silu, flat) : views.module(silu))
        }
    }

    // MARK: - Tuning

    @Test func tunedAndReproducible() throws {
        var net = Net()
        let x = net.input([1, 8, 36, 36])
        let wide = try net.call("nn.silu", [try net.conv(x, 48)])
        let deep = try net.call("nn.silu", [try net.conv(wide, 48, groups: 48)])
        let module = try net.module(try net.call("sigmoid", [try net.conv(deep, 16, kernel: 1)]))
        var numbers = Numbers(4)
        let values = numbers.list(8 * 36 * 36)
        let expected = try Reference.run(try #require(module.main), [values])[0]
        var options = CompileOptions(threads: 2)
        options.tuningMilliseconds = 100
        for isReproducible in [false, true] {
            options.isReproducible = isReproducible
            let run = try Executable(module: try partitioned(module), backends: [DNNLBackend()], options: options)
            let found = try run.run([try .floats([1, 8, 36, 36], values)])[0].doubleElements ?? []
            #expect(found.count == expected.count && zip(found, expected).count { !(abs(Float($0) - $1) < 1e-4) } == 0)
        }
    }
}

/// Depthwise convolutions alone.
struct DepthwiseKernelTests {
    static let name = "dw:avx512"

    private func expect(_ run: Executable, _ number: Int, sourceLocation: SourceLocation = #_sourceLocation) {
        let found = run.steps.count { $0.implementation == Self.name }
        #expect(
            found == (DepthwiseFusionTests.isThere ? number : 0), "\(run.steps.map(\.implementation))",
            sourceLocation: sourceLocation)
    }

    @Test(
        arguments: DepthwiseFusionTests.shapes,
        ["", "nn.silu", "nn.leakyrelu", "clip"])
    func equalsTheReference(shape: DepthwiseFusionTests.Shape, function: String) throws {
        let threads = 1 + Int(shape.inputs + shape.stride) % 3
        var net = Net(seed: UInt64(threads + function.count))
        let stem = try net.call(
            "nn.relu", [try net.conv(net.input([shape.batch, 2, shape.height, shape.width]), shape.channels)])
        let weight = try net.constant([shape.channels, 1, shape.kernel, shape.kernel])
        var y = try net.call(
            "nn.conv2d", [stem, weight],
            [
                "padding": .ints(shape.pads), "strides": .ints([shape.stride, shape.stride]),
                "groups": .int(shape.channels),
            ])
        y = try net.call("add", [y, try net.constant([1, shape.channels, 1, 1])])
        switch function {
        case "": break
        case "clip": y = try net.call("clip", [y, .float(-0.25), .float(0.5)])
        case "nn.leakyrelu": y = try net.call(function, [y], ["alpha": .float(0.125)])
        default: y = try net.call(function, [y])
        }
        let run = try check(try net.module(try net.conv(y, 24, kernel: 1)), tolerance: 1e-5, threads: threads)
        if function == "nn.silu" { expect(run, 1) }
    }

    @Test func whatTheKernelHasNot() throws {
        for (attributes, kernel) in [
            (["dilation": .ints([2, 2]), "groups": 64], 3), (["strides": .ints([3, 3]), "groups": 64], 3),
            (["strides": .ints([1, 2]), "groups": 64], 3), (["groups": 64], 7), (["groups": 64], 2),
            (["groups": 32], 3),
        ] as [(Attributes, Int64)] {
            var net = Net()
            let stem = try net.conv(net.input([1, 4, 28, 28]), 64)
            let weight = try net.constant([64, attributes.int("groups") == 32 ? 2 : 1, kernel, kernel])
            let deep = try net.call("nn.silu", [try net.call("nn.conv2d", [stem, weight], attributes)])
            expect(try check(try net.module(deep), tolerance: 1e-4), 0)
        }
    }

    @Test func chainsAndWeightsThatTheKernelHasNot() throws {
        var net = Net()
        let stem = try net.conv(net.input([1, 4, 28, 28]), 64)
        let deep = try net.conv(stem, 64, groups: 64)
        let residual = try net.call("nn.silu", [try net.call("add", [deep, stem])])
        expect(try check(try net.module(residual), tolerance: 1e-4), 0)
        var other = Net()
        let x = other.input([1, 64, 28, 28])
        let given = try other.call("nn.conv2d", [x, other.input([64, 1, 3, 3], "w")], ["groups": 64])
        expect(try check(try other.module(try other.call("nn.silu", [given]))), 0)
    }
}
