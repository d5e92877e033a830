import CKernels
import TenonIR
import TenonRuntime
import Testing

@testable import TenonDNNL

/// A 1×1 convolution and the depthwise one behind it as one step, against loops in double precision.
struct DepthwiseFusionTests {
    static let name = "1x1_dw:avx512"

    /// Whether this machine has the kernel at all.
    static let isThere: Bool = {
        var block = tkernel_block()
        (block.batch, block.inputs, block.channels, block.kernel, block.stride) = (1, 1, 1, 3, 1)
        (block.height, block.width, block.out_height, block.out_width) = (1, 1, 1, 1)
        return tkernel_block_is_supported(&block) != 0
    }()

    private func activation(_ net: inout Net, _ name: String, _ x: Operand) throws -> Operand {
        switch name {
        case "": x
        case "clip": try net.call("clip", [x, .float(-0.25), .float(0.5)])
        case "nn.leakyrelu": try net.call(name, [x], ["alpha": .float(0.125)])
        default: try net.call(name, [x])
        }
    }

    private func expect(_ run: Executable, _ count: Int, sourceLocation: SourceLocation = #_sourceLocation) {
        let found = run.steps.count { $0.implementation == Self.name }
        #expect(found == (Self.isThere ? count : 0), "\(run.composites)", sourceLocation: sourceLocation)
    }

    struct Shape: CustomStringConvertible {
        var batch: Int64 = 1
        var inputs: Int64
        var channels: Int64
        var height: Int64
        var width: Int64
        var kernel: Int64
        var stride: Int64
        var pads: [Int64]
        var description: String { "\(inputs)->\(channels) \(height)x\(width) k\(kernel) s\(stride) \(pads)" }
    }

    static let shapes = [
        Shape(inputs: 24, channels: 96, height: 28, width: 28, kernel: 3, stride: 1, pads: [1, 1, 1, 1]),
        Shape(inputs: 7, channels: 90, height: 29, width: 31, kernel: 3, stride: 2, pads: [1, 1, 1, 1]),
        Shape(inputs: 33, channels: 72, height: 20, width: 57, kernel: 5, stride: 1, pads: [2, 2, 2, 2]),
        Shape(inputs: 16, channels: 40, height: 41, width: 43, kernel: 5, stride: 2, pads: [1, 0, 2, 3]),
        Shape(inputs: 20, channels: 130, height: 32, width: 17, kernel: 3, stride: 1, pads: [0, 2, 1, 0]),
        Shape(batch: 3, inputs: 19, channels: 48, height: 23, width: 25, kernel: 3, stride: 2, pads: [0, 0, 0, 0]),
    ]

    @Test(
        arguments: shapes,
        [["nn.relu", "nn.relu"], ["nn.silu", "nn.silu"], ["clip", "nn.hard_swish"], ["nn.leakyrelu", ""]])
    func equalsTheTwo(shape: Shape, functions: [String]) throws {
        let threads = 1 + Int(shape.inputs + shape.stride + Int64(functions[0].count)) % 3
        var net = Net(seed: UInt64(threads))
        let x = net.input([shape.batch, shape.inputs, shape.height, shape.width])
        let wide = try activation(&net, functions[0], try net.conv(x, shape.channels, kernel: 1))
        let weight = try net.constant([shape.channels, 1, shape.kernel, shape.kernel])
        let deep = try net.call(
            "nn.conv2d", [wide, weight],
            [
                "padding": .ints(shape.pads), "strides": .ints([shape.stride, shape.stride]),
                "groups": .int(shape.channels),
            ])
        let bias = try net.call("add", [deep, try net.constant([1, shape.channels, 1, 1])])
        let y = try activation(&net, functions[1], bias)
        // A neighbour that reads what lies in blocks, or by channels.
        let run = try check(try net.module(try net.conv(y, 24, kernel: 1)), tolerance: 1e-5, threads: threads)
        expect(run, 1)
    }

    private func pair(_ net: inout Net, _ x: Operand, bias: Bool = true) throws -> (wide: Operand, deep: Operand) {
        let wide = try net.call("nn.relu", [try net.conv(x, 96, kernel: 1, bias: bias)])
        return (wide, try net.conv(wide, 96, groups: 96, bias: bias))
    }

    @Test func withoutBiasAndBehindEachOther() throws {
        var net = Net()
        let x = net.input([1, 24, 28, 28])
        let first = try pair(&net, x, bias: false).deep
        let second = try pair(&net, try net.conv(first, 24, kernel: 1)).deep
        expect(try check(try net.module(try net.call("nn.relu", [second])), tolerance: 1e-4), 2)
    }

    /// Two biases behind the first convolution, as moving a bias through a convolution gives.
    @Test func severalBiases() throws {
        var net = Net()
        let wide = try net.conv(net.input([1, 24, 28, 28]), 96, kernel: 1)
        let more = try net.call("nn.relu", [try net.call("add", [wide, try net.constant([1, 96, 1, 1])])])
        expect(try check(try net.module(try net.conv(more, 96, groups: 96))), 1)
    }

    @Test func resultsGoStraightIntoAConcatenation() throws {
        var net = Net()
        let x = net.input([1, 24, 28, 28])
        let parts = [try pair(&net, x).deep, try pair(&net, x).deep]
        let joined = try net.call("concat", [.tuple(parts)], ["axis": 1])
        expect(try check(try net.module(try net.conv(joined, 16, kernel: 1)), tolerance: 1e-4), 2)
    }

    // MARK: - What stays apart

    @Test func whatLiesBetweenIsUsedElsewhere() throws {
        var net = Net()
        let (wide, deep) = try pair(&net, net.input([1, 24, 28, 28]))
        expect(try check(try net.module(deep, wide)), 0)
        var other = Net()
        let both = try pair(&other, other.input([1, 24, 28, 28]))
        expect(try check(try other.module(try other.call("add", [both.deep, both.wide]))), 0)
    }

    @Test func smallPictures() throws {
        var net = Net()
        expect(try check(try net.module(try pair(&net, net.input([1, 24, 9, 9])).deep)), 0)
    }

    @Test func firstConvolutionThatLooksAround() throws {
        for (kernel, stride) in [(3, 1), (1, 2)] as [(Int64, Int64)] {
            var net = Net()
            let wide = try net.conv(net.input([1, 16, 56, 56]), 96, kernel: kernel, stride: stride)
            expect(try check(try net.module(try net.conv(wide, 96, groups: 96)), tolerance: 1e-4), 0)
        }
    }

    @Test func secondConvolutionThatIsNotDepthwiseOrDilated() throws {
        var net = Net()
        let wide = try net.conv(net.input([1, 16, 28, 28]), 96, kernel: 1)
        expect(try check(try net.module(try net.conv(wide, 96, groups: 48)), tolerance: 1e-4), 0)
        for attributes in [
            ["dilation": .ints([2, 2]), "groups": 96], ["strides": .ints([3, 3]), "groups": 96],
            ["strides": .ints([1, 2]), "groups": 96],
        ] as [Attributes] {
            var net = Net()
            let wide = try net.conv(net.input([1, 16, 28, 28]), 96, kernel: 1)
            let weight = try net.constant([96, 1, 3, 3])
            expect(try check(try net.module(try net.call("nn.conv2d", [wide, weight], attributes))), 0)
        }
    }

    @Test func multipliersAndEvenKernels() throws {
        for (outputs, kernel) in [(192, 3), (96, 2), (96, 7)] as [(Int64, Int64)] {
            var net = Net()
            let wide = try net.conv(net.input([1, 16, 28, 28]), 96, kernel: 1)
            expect(try check(try net.module(try net.conv(wide, outputs, kernel: kernel, groups: 96))), 0)
        }
    }

    @Test func stepsThatTheKernelHasNot() throws {
        for steps in [["tanh"], ["nn.relu", "nn.silu"], ["clip above zero"]] {
            var net = Net()
            var wide = try net.conv(net.input([1, 16, 28, 28]), 96, kernel: 1)
            for step in steps {
                wide =
                    step == "clip above zero"
                    ? try net.call("clip", [wide, .float(0.25), .float(1)]) : try net.call(step, [wide])
            }
            expect(try check(try net.module(try net.conv(wide, 96, groups: 96))), 0)
        }
    }

    @Test func weightsThatComeFromOutside() throws {
        var net = Net()
        let x = net.input([1, 16, 28, 28])
        let weight = net.input([96, 16, 1, 1], "w")
        let wide = try net.call("nn.conv2d", [x, weight])
        expect(try check(try net.module(try net.conv(wide, 96, groups: 96))), 0)
    }

    // MARK: - Memory

    @Test(.enabled(if: DepthwiseFusionTests.isThere, "needs AVX-512")) func executablesOfOneModuleShareWeights() throws
    {
        var net = Net()
        let module = try net.module(try pair(&net, net.input([1, 24, 28, 28])).deep)
        let main = try asComposite(try #require(module.main))
        let runs = try (1...2).map { try RegionRun(main, threads: $0) }
        #expect(runs.allSatisfy { $0.implementations.contains(Self.name) })
        let weights = runs.map { Set($0.region.sharedWeights.map { ObjectIdentifier($0 as AnyObject) }) }
        #expect(!weights[0].isEmpty && weights[0] == weights[1])
    }

    /// NaN in one pixel is NaN in its neighbourhood, and nowhere else.
    @Test(.enabled(if: DepthwiseFusionTests.isThere, "needs AVX-512")) func notANumber() throws {
        for function in ["nn.relu", "nn.silu", "clip", "nn.hard_swish", "nn.leakyrelu"] {
            var net = Net()
            let wide = try activation(&net, function, try net.conv(net.input([1, 24, 28, 28]), 96, kernel: 1))
            let module = try net.module(try activation(&net, function, try net.conv(wide, 96, groups: 96)))
            let run = try Executable(
                module: try partitioned(module), backends: [DNNLBackend()], options: CompileOptions(threads: 2))
            expect(run, 1)
            var values = [Float](repeating: 0.5, count: 24 * 28 * 28)
            values[10 * 28 + 13] = .nan
            let found = try run.run([try .floats([1, 24, 28, 28], values)])[0].doubleElements ?? []
            for (index, value) in found.enumerated() {
                let (y, x) = (index / 28 % 28, index % 28)
                #expect(value.isNaN == ((9...11).contains(y) && (12...14).contains(x)))
            }
        }
    }
}
