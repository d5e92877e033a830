import Glibc
import TenonIR
import TenonRuntime
import Testing

@testable import TenonDNNL

@Suite(.serialized) struct PlanningTests {
    // MARK: - Concatenation

    /// Parts of one image are computed where the result wants them.
    @Test func concatOfOneImageCopiesNothing() throws {
        var net = Net()
        let x = net.input([1, 16, 8, 8])
        let stem = try net.call("nn.relu", [try net.conv(x, 32)])
        let parts = try [32, 64, 16].map { size in
            try net.call("nn.relu", [try net.conv(stem, Int64(size), kernel: size == 64 ? 1 : 3)])
        }
        let joined = try net.call("concat", [.tuple(parts)], ["axis": 1])
        let run = try check(try net.module(try net.call("nn.relu", [try net.conv(joined, 32)])), tolerance: 1e-4)
        let layout = run.steps.last { $0.composite.hasPrefix("dnnl.conv2d") }?.layouts ?? ""
        if !layout.hasPrefix("nhwc") { #expect(!run.composites.contains("dnnl.concat")) }
    }

    /// Each layer reads everything before it: parts are shared between concatenations that grow.
    @Test(arguments: [1, 2] as [Int64]) func growingConcatenations(batch: Int64) throws {
        var net = Net()
        let x = net.input([batch, 3, 10, 10])
        var parts = [try net.call("nn.relu", [try net.conv(x, 32)])]
        for _ in 0..<4 {
            let all = parts.count == 1 ? parts[0] : try net.call("concat", [.tuple(parts)], ["axis": 1])
            let narrow = try net.call("nn.relu", [try net.conv(all, 32, kernel: 1)])
            parts.append(try net.conv(narrow, 16))
        }
        let all = try net.call("concat", [.tuple(parts)], ["axis": 1])
        try check(try net.module(try net.conv(all, 16, kernel: 1), parts[2]), tolerance: 1e-4)
    }

    @Test func concatOfPartsUsedTwiceAndOfInputs() throws {
        var net = Net()
        let x = net.input([1, 16, 6, 6])
        let a = try net.call("nn.relu", [try net.conv(x, 16)])
        let b = try net.call("nn.relu", [try net.conv(a, 16)])
        let joined = try net.call("concat", [.tuple([a, a, b, x])], ["axis": 1])
        let other = try net.call("concat", [.tuple([b, a])], ["axis": 1])
        let sum = try net.call("add", [try net.conv(joined, 16), try net.conv(other, 16)])
        try check(try net.module(try net.call("nn.relu", [sum]), joined), tolerance: 1e-4)
    }

    // MARK: - Random graphs

    /// Convolutions, residuals, pools, concatenations and activations in random order: everything that memory and layout
    /// planning can get wrong.
    @Test(arguments: 0..<30) func randomGraph(seed: Int) throws {
        var net = Net(seed: UInt64(seed + 500))
        var random = Numbers(UInt64(seed * 7 + 3))
        func pick(_ count: Int) -> Int { min(Int((random.next() + 1) / 2 * Float(count)), count - 1) }
        let batch = Int64(1 + pick(2))
        let channels: [Int64] = [16, 32, 48, 10]
        var values = [net.input([batch, channels[pick(4)], 8, 8])]
        for _ in 0..<(6 + pick(8)) {
            let x = values[max(0, values.count - 1 - pick(3))]
            let dims = net.builder.type(of: x).asTensor?.staticShape ?? []
            let same = values.filter { net.builder.type(of: $0) == net.builder.type(of: x) }
            switch pick(7) {
            case 0, 1, 2:
                var y = try net.conv(x, channels[pick(4)], kernel: pick(2) == 0 ? 1 : 3)
                let shape = net.builder.type(of: y)
                if let residual = values.last(where: { net.builder.type(of: $0) == shape }), pick(2) == 0 {
                    y = try net.call("add", pick(2) == 0 ? [y, residual] : [residual, y])
                }
                values.append(pick(3) == 0 ? y : try net.call(pick(2) == 0 ? "nn.relu" : "nn.silu", [y]))
            case 3: values.append(try net.call("nn.relu", [try net.conv(x, dims[1], groups: dims[1])]))
            case 4:
                let other = values.filter {
                    (net.builder.type(of: $0).asTensor?.staticShape ?? [])[2...] == dims[2...]
                }
                values.append(try net.call("concat", [.tuple([x, other[pick(other.count)]])], ["axis": 1]))
            case 5:
                let window: Attributes = ["pool_size": .ints([3, 3]), "padding": .ints([1, 1, 1, 1])]
                values.append(try net.call(pick(2) == 0 ? "nn.max_pool2d" : "nn.avg_pool2d", [x], window))
            default: values.append(try net.call("add", [x, same[pick(same.count)]]))
            }
        }
        var results = [values[values.count - 1]]
        if pick(2) == 0 { results.append(values[pick(values.count)]) }
        let result: Operand = results.count == 1 ? results[0] : .tuple(results)
        let module = Module(functions: ["main": try net.builder.finish(result)])
        // Sums of many layers lose digits, and so does Winograd.
        try check(module, tolerance: 1e-3, threads: 1 + seed % 2, mayLeaveOperators: true)
    }

    // MARK: - Memory

    @Test func lifetimesShareMemory() throws {
        var net = Net()
        var x = net.input([1, 16, 16, 16])
        for _ in 0..<10 { x = try net.call("nn.relu", [try net.conv(x, 16)]) }
        let main = try #require(try net.module(x).main)
        let plan = try RegionPlanner.plan(main, options: CompileOptions())
        #expect(plan.arenaBytes <= 3 * 16 * 16 * 16 * 4)
    }

    @Test func buffersAliveTogetherDoNotOverlap() throws {
        var net = Net()
        let x = net.input([1, 16, 9, 9])
        let parts = try (0..<6).map { _ in try net.conv(x, 24) }
        var sum = parts[0]
        for part in parts.dropFirst() { sum = try net.call("add", [sum, part]) }
        let main = try #require(try net.module(sum).main)
        let plan = try RegionPlanner.plan(main, options: CompileOptions())
        let buffers = plan.buffers.filter { buffer in
            if case .workspace = buffer.storage { return buffer.lastStep >= 0 }
            return false
        }
        for (index, a) in buffers.enumerated() {
            #expect(a.offset % 64 == 0 && a.offset + a.bytes <= plan.arenaBytes)
            for b in buffers[(index + 1)...] where a.firstStep <= b.lastStep && b.firstStep <= a.lastStep {
                #expect(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset)
            }
        }
    }

    // MARK: - Tuning

    private func directory() throws -> String {
        var template = Array("/tmp/tenon-tuning-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } }
        return String(cString: try #require(made))
    }

    @Test func tuningKeepsResultsAndFillsTheCache() throws {
        let cache = TuningCache(directory: try directory() + "/deep")
        var net = Net()
        var x = net.input([1, 32, 14, 14])
        for _ in 0..<3 { x = try net.call("nn.relu", [try net.conv(x, 32)]) }
        let main = try #require(try net.module(x).main)
        let engine = try Engine.shared()
        let folded = try ChainFolding.fold(try RegionReader.read(asComposite(main)))
        var nodes: [RegionNode] = []
        var candidates: [[Candidate]] = []
        let context = PlanContext(
            engine: engine, graph: folded.graph, threads: 1, blockSize: PlanContext.preferredBlockSize(engine),
            costs: CostModel(threads: 1))
        for node in folded.nodes {
            nodes.append(node)
            candidates.append(try CandidateMaker(context: context).candidates(node))
        }
        let before = candidates.map { $0.map(\.time) }
        try Tuner(engine, threads: 1, milliseconds: 2000, cache: cache).tune(nodes, &candidates, context)
        #expect(candidates.map { $0.map(\.time) } != before)
        #expect(candidates.joined().allSatisfy { $0.time > 0 && $0.time.isFinite })
        // With everything known, no budget is needed.
        let first = candidates.map { $0.map(\.time) }
        try Tuner(engine, threads: 1, milliseconds: 0, cache: cache).tune(nodes, &candidates, context)
        #expect(candidates.map { $0.map(\.time) } == first)
    }

    @Test func damagedCacheIsIgnored() throws {
        let place = try directory()
        let cache = TuningCache(directory: place)
        cache.record(1, 100)
        cache.record(2, 200)
        cache.save()
        #expect(TuningCache(directory: place).time(2) == 200)
        let file = place + "/tuning-1.txt"
        for text in ["", "\u{0}\u{0}", "1 64 0\n2 c8", String(repeating: "f", count: 100_000), "1 64 zz\n-1 2 3\n"] {
            let handle = try #require(fopen(file, "w"))
            fputs(text, handle)
            fclose(handle)
            let damaged = TuningCache(directory: place)
            #expect(damaged.time(1) == nil && damaged.time(2) == nil)
            damaged.record(3, 300)
            damaged.save()
            #expect(TuningCache(directory: place).time(3) == 300)
        }
        // What another process wrote meanwhile stays.
        let (one, two) = (TuningCache(directory: place), TuningCache(directory: place))
        one.record(10, 1)
        two.record(11, 2)
        one.save()
        two.save()
        #expect(TuningCache(directory: place).time(10) == 1)
        #expect(TuningCache(directory: place).time(11) == 2)
    }
}
