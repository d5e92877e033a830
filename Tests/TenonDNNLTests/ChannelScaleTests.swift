import CKernels
import TenonIR
import TenonRuntime
import Testing

@testable import TenonDNNL

/// A multiplication by one value per channel that goes into the weights of the convolution behind it.
struct ChannelScaleTests {
    static let name = "scale_weights:avx512"

    private func expect(_ run: Executable, _ number: Int, sourceLocation: SourceLocation = #_sourceLocation) {
        let found = run.steps.count { $0.implementation == Self.name }
        #expect(
            found == (tkernel_scale_is_supported() != 0 ? number : 0), "\(run.steps.map(\.implementation))",
            sourceLocation: sourceLocation)
    }

    /// A picture and one computed value for each of its channels.
    private func parts(
        _ net: inout Net, _ channels: Int64, batch: Int64 = 1, size: Int64 = 18
    ) throws -> (x: Operand, scale: Operand) {
        let x = try net.call("nn.relu", [try net.conv(net.input([batch, 4, size, size]), channels)])
        let scale = try net.call(
            "sigmoid", [try net.call("nn.adaptive_avg_pool2d", [x], ["output_size": .ints([1, 1])])])
        return (x, scale)
    }

    @Test(arguments: [(32, 16), (37, 24), (48, 7), (17, 1), (6, 10), (144, 24)] as [(Int64, Int64)], [1, 2])
    func equalsTheReference(sizes: (Int64, Int64), threads: Int) throws {
        for function in ["", "nn.relu", "nn.silu"] {
            var net = Net(seed: UInt64(sizes.0))
            let (x, scale) = try parts(&net, sizes.0)
            let y = try net.call("multiply", function == "nn.relu" ? [scale, x] : [x, scale])
            var z = try net.conv(y, sizes.1, kernel: 1, bias: function != "")
            if function != "" { z = try net.call(function, [z]) }
            let run = try check(try net.module(try net.conv(z, 8)), tolerance: 1e-5, threads: threads)
            expect(run, 1)
        }
    }

    /// A residual behind the convolution, and a large result with a function of its own.
    @Test func withAResidualAndATail() throws {
        var net = Net()
        let (x, scale) = try parts(&net, 48, size: 36)
        let y = try net.conv(try net.call("multiply", [x, scale]), 48, kernel: 1)
        let sum = try net.call("nn.silu", [try net.call("add", [y, x])])
        expect(try check(try net.module(try net.conv(sum, 8, kernel: 1)), tolerance: 1e-5), 1)
    }

    @Test func valuesFromOutsideTheRegion() throws {
        var net = Net()
        let x = net.input([1, 32, 18, 18])
        let y = try net.call("multiply", [x, net.input([1, 32, 1, 1], "scale")])
        expect(try check(try net.module(try net.conv(y, 16, kernel: 1)), tolerance: 1e-5), 1)
    }

    // MARK: - What stays apart

    @Test func productsThatAreUsedElsewhere() throws {
        var net = Net()
        let (x, scale) = try parts(&net, 32)
        let y = try net.call("multiply", [x, scale])
        expect(try check(try net.module(try net.conv(y, 16, kernel: 1), y), tolerance: 1e-5), 0)
        var twice = Net()
        let (a, b) = try parts(&twice, 32)
        let z = try twice.call("multiply", [a, b])
        let sum = try twice.call("add", [try twice.conv(z, 32, kernel: 1), z])
        expect(try check(try twice.module(sum), tolerance: 1e-5), 0)
    }

    @Test func convolutionsThatAreNoPlainProducts() throws {
        for number in 0..<4 {
            var net = Net()
            let (x, scale) = try parts(&net, 32)
            let y = try net.call("multiply", [x, scale])
            let z =
                switch number {
                case 0: try net.conv(y, 16)
                case 1: try net.conv(y, 16, kernel: 1, stride: 2)
                case 2: try net.conv(y, 16, kernel: 1, groups: 2)
                default: try net.call("nn.conv2d", [y, net.input([16, 32, 1, 1], "w")])
                }
            expect(try check(try net.module(z), tolerance: 1e-5), 0)
        }
    }

    @Test func otherOperations() throws {
        for number in 0..<4 {
            var net = Net()
            let (x, scale) = try parts(&net, 32)
            var y = try net.call(number == 0 ? "subtract" : "multiply", [x, number == 1 ? x : scale])
            if number == 2 { y = try net.call("nn.relu", [y]) }
            if number == 3 { y = try net.call("multiply", [x, try net.conv(x, 1, kernel: 1)]) }
            let module = try net.module(try net.conv(y, 16, kernel: 1))
            expect(try check(module, tolerance: 1e-4, mayLeaveOperators: number == 3), 0)
        }
    }

    /// Where there are more weights than the picture has elements, the picture is scaled; with several pictures there is no one scale.
    @Test func smallPicturesAndSeveral() throws {
        var net = Net()
        let (x, scale) = try parts(&net, 32, size: 5)
        expect(try check(try net.module(try net.conv(try net.call("multiply", [x, scale]), 16, kernel: 1))), 0)
        var several = Net()
        let (a, b) = try parts(&several, 32, batch: 2)
        let y = try several.conv(try several.call("multiply", [a, b]), 16, kernel: 1)
        expect(try check(try several.module(y), tolerance: 1e-4, mayLeaveOperators: true), 0)
    }

    @Test func mapsOfWeights() {
        func map(_ numbers: [Float]) -> ChannelMap { numbers.withUnsafeBufferPointer { ChannelMap($0) } }
        let rows = map([Float](repeating: 3, count: 12) + [0, 0, 0, 0] + [Float](repeating: 0, count: 16))
        #expect(rows.groupSize == 16 && rows.channels == [2, 0])
        let mixed = map((0..<32).map { Float($0 % 2 + 1) })
        #expect(mixed.groupSize == 1 && mixed.channels == (0..<32).map { Int32($0 % 2) })
        let odd = map([1, 2, 0])
        #expect(odd.groupSize == 1 && odd.channels == [0, 1, 0])
    }
}
