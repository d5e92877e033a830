import CKernels
import TenonIR
import TenonRuntime
import Testing

@testable import TenonDNNL

/// Networks whose convolutions run in the Winograd kernel of ours, and those that must not.
struct WinogradCandidateTests {
    static let name = "wino_4x3:avx512"

    private func expect(_ run: Executable, _ count: Int, sourceLocation: SourceLocation = #_sourceLocation) {
        let found = run.steps.count { $0.implementation == Self.name }
        let wanted = WinogradTests.isThere ? count : 0
        #expect(found == wanted, "\(run.steps.map(\.implementation))", sourceLocation: sourceLocation)
    }

    /// The candidates of the only convolution of a network.
    private func candidates(_ net: inout Net, _ y: Operand) throws -> [Candidate] {
        let main = try #require(try net.module(y).main)
        let folded = try ChainFolding.fold(try RegionReader.read(asComposite(main)))
        let engine = try Engine.shared()
        let context = PlanContext(
            engine: engine, graph: folded.graph, threads: 2, blockSize: PlanContext.preferredBlockSize(engine),
            costs: CostModel(threads: 2))
        #expect(folded.nodes.count == 1)
        return try CandidateMaker(context: context).candidates(folded.nodes[0]).filter {
            $0.kernel is WinogradImplementation
        }
    }

    @Test(arguments: ["", "nn.relu", "nn.silu", "nn.hard_swish", "nn.leakyrelu", "clip"], [1, 2])
    func chains(function: String, threads: Int) throws {
        var net = Net(seed: UInt64(threads))
        func activation(_ x: Operand) throws -> Operand {
            switch function {
            case "": x
            case "clip": try net.call("clip", [x, .float(-0.25), .float(0.5)])
            case "nn.leakyrelu": try net.call(function, [x], ["alpha": .float(0.125)])
            default: try net.call(function, [x])
            }
        }
        let x = try activation(try net.conv(net.input([1, 32, 14, 14]), 32))
        let y = try activation(try net.conv(x, 32, bias: false))
        let z = try activation(try net.call("add", [try net.conv(y, 32), x]))
        expect(try check(try net.module(z), tolerance: 1e-4, threads: threads), 3)
    }

    /// The residual is the source, an input of the region, needed again behind, or gone.
    @Test func residuals() throws {
        var net = Net()
        let x = net.input([1, 32, 14, 14])
        let first = try net.call("nn.relu", [try net.call("add", [try net.conv(x, 32), x])])
        let second = try net.call("nn.relu", [try net.call("add", [first, try net.conv(first, 32)])])
        let third = try net.call("nn.relu", [try net.call("add", [try net.conv(second, 32), first])])
        let last = try net.call("nn.relu", [try net.call("add", [try net.conv(third, 32), second])])
        expect(try check(try net.module(last, second), tolerance: 1e-4), 4)
    }

    @Test func resultsGoStraightIntoAConcatenation() throws {
        var net = Net()
        let x = net.input([1, 32, 14, 14])
        let parts = [try net.conv(x, 32), try net.conv(x, 48)]
        let joined = try net.call("concat", [.tuple(parts)], ["axis": 1])
        let run = try check(try net.module(try net.conv(joined, 32)), tolerance: 1e-4)
        expect(run, 3)
        if WinogradTests.isThere { #expect(!run.steps.contains { $0.layouts == "a:a" }) }
    }

    @Test func batchesAndOddSizes() throws {
        for (batch, inputs, outputs, size) in [(2, 50, 70, 27), (3, 32, 24, 12)] as [(Int64, Int64, Int64, Int64)] {
            var net = Net()
            let x = net.input([batch, inputs, size, size])
            let weight = try net.constant([outputs, inputs, 3, 3], scale: 0.1)
            let y = try net.call("nn.conv2d", [x, weight], ["padding": .ints([1, 0, 0, 1])])
            expect(try check(try net.module(try net.conv(y, outputs)), tolerance: 1e-4), 2)
        }
    }

    // MARK: - What the kernel is not for

    @Test(.enabled(if: WinogradTests.isThere, "needs AVX-512")) func everyLayoutAndBothWaysToAdd() throws {
        var net = Net()
        let x = net.input([1, 32, 14, 14])
        #expect(try candidates(&net, try net.conv(x, 32)).count == 4)
        var other = Net()
        let y = other.input([1, 32, 14, 14])
        #expect(try candidates(&other, try other.call("add", [try other.conv(y, 32), y])).count == 8)
    }

    @Test func otherConvolutions() throws {
        for attributes in [
            ["strides": .ints([2, 2])], ["strides": .ints([1, 2])], ["dilation": .ints([2, 2])],
            ["padding": .ints([3, 3, 3, 3])],
        ] as [Attributes] {
            var net = Net()
            let weight = try net.constant([32, 32, 3, 3])
            let y = try net.call("nn.conv2d", [net.input([1, 32, 14, 14]), weight], attributes)
            #expect(try candidates(&net, y).isEmpty, "\(attributes)")
        }
        for (kernel, groups) in [(5, 1), (1, 1), (3, 2), (3, 32)] as [(Int64, Int64)] {
            var net = Net()
            let y = try net.conv(net.input([1, 32, 14, 14]), 32, kernel: kernel, groups: groups, bias: false)
            #expect(try candidates(&net, y).isEmpty, "\(kernel) \(groups)")
        }
        var net = Net()
        let x = net.input([1, 32, 14, 14])
        let y = try net.call("nn.conv2d", [x, net.input([32, 32, 3, 3], "w")])
        #expect(try candidates(&net, y).isEmpty, "weights that come from outside")
    }

    @Test func stepsThatTheKernelHasNot() throws {
        func chain(_ steps: (inout Net, Operand) throws -> Operand) throws -> Int {
            var net = Net()
            return try candidates(&net, try steps(&net, try net.conv(net.input([1, 32, 14, 14]), 32))).count
        }
        #expect(try chain { try $0.call("tanh", [$1]) } == 0)
        #expect(try chain { try $0.call("clip", [$1, .float(0.25), .float(1)]) } == 0)
        #expect(try chain { try $0.call("nn.relu", [try $0.call("nn.silu", [$1])]) } == 0)
        #expect(try chain { try $0.call("multiply", [$1, $0.input([1, 32, 14, 14], "r")]) } == 0)
        #expect(try chain { try $0.call("add", [$1, $0.input([1, 32, 1, 1], "r")]) } == 0)
        // Added behind the function.
        #expect(try chain { try $0.call("add", [try $0.call("nn.relu", [$1]), $0.input([1, 32, 14, 14], "r")]) } == 0)
    }

    // MARK: - Weights and measuring

    @Test(.enabled(if: WinogradTests.isThere, "needs AVX-512")) func executablesOfOneModuleShareWeights() throws {
        var net = Net()
        let module = try net.module(try net.conv(net.input([1, 32, 14, 14]), 32))
        let main = try asComposite(try #require(module.main))
        let runs = try (1...2).map { try RegionRun(main, threads: $0) }
        #expect(runs.allSatisfy { $0.implementations.contains(Self.name) })
        let weights = runs.map { Set($0.region.sharedWeights.map { ObjectIdentifier($0 as AnyObject) }) }
        #expect(!weights[0].isEmpty && weights[0] == weights[1])
    }

    @Test(.enabled(if: WinogradTests.isThere, "needs AVX-512")) func tuningMeasuresKernelsOfOurs() throws {
        var net = Net()
        let x = net.input([1, 32, 14, 14])
        let y = try net.call("nn.relu", [try net.call("add", [try net.conv(x, 32), x])])
        let main = try #require(try net.module(y).main)
        let folded = try ChainFolding.fold(try RegionReader.read(asComposite(main)))
        let engine = try Engine.shared()
        let context = PlanContext(
            engine: engine, graph: folded.graph, threads: 2, blockSize: PlanContext.preferredBlockSize(engine),
            costs: CostModel(threads: 2))
        var found = [try CandidateMaker(context: context).candidates(folded.nodes[0])]
        // A time that no model gives and that only a measurement replaces.
        for number in found[0].indices where found[0][number].kernel is WinogradImplementation {
            found[0][number].time = 7
        }
        let cache = TuningCache(directory: nil)
        try Tuner(engine, threads: 2, milliseconds: 5000, cache: cache).tune(folded.nodes, &found, context)
        #expect(
            found[0].filter { $0.kernel is WinogradImplementation }.allSatisfy { $0.time > 100 && $0.time.isFinite })
    }
}
