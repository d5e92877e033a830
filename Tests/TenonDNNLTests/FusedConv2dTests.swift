import Glibc
import TenonIR
import Testing

@testable import TenonDNNL

@Suite struct FusedConv2dTests {
    private func geometry(_ edit: (inout FusedConv2d.Geometry) -> Void = { _ in }) -> FusedConv2d.Geometry {
        var geometry = FusedConv2d.Geometry(
            batch: 2, inChannels: 6, height: 9, width: 8, outChannels: 4, groups: 2, pads: [1, 0, 2, 1],
            kernel: [3, 2], strides: [2, 1], dilations: [1, 2])
        edit(&geometry)
        return geometry
    }

    /// The same by naive loops.
    private func expected(_ g: FusedConv2d.Geometry, _ x: [Float], _ w: [Float], _ b: [Float]) throws -> [Float] {
        var net = Net()
        let data = net.input([g.batch, g.inChannels, g.height, g.width])
        let weights = net.input([g.outChannels, g.inChannels / g.groups, g.kernel[0], g.kernel[1]], "w")
        let bias = net.input([g.outChannels], "b")
        let y = try net.call(
            "nn.conv2d", [data, weights],
            [
                "padding": .ints(g.pads), "strides": .ints(g.strides), "dilation": .ints(g.dilations),
                "groups": .int(g.groups),
            ])
        let sum = try net.call("add", [y, try net.call("reshape", [bias, .shape([1, .fixed(g.outChannels), 1, 1])])])
        let main = try #require(try net.module(try net.call("nn.relu", [sum])).main)
        return try Reference.run(main, [x, w, b])[0]
    }

    private func check(_ g: FusedConv2d.Geometry) throws {
        var numbers = Numbers(5)
        let x = numbers.list(Int(g.batch * g.inChannels * g.height * g.width))
        let w = numbers.list(Int(g.outChannels * g.inChannels / g.groups * g.kernel[0] * g.kernel[1]))
        let b = numbers.list(Int(g.outChannels))
        let wanted = try expected(g, x, w, b)
        var y = [Float](repeating: .nan, count: wanted.count + 1)
        try FusedConv2d.run(source: x, weights: w, bias: b, destination: &y, geometry: g)
        #expect(zip(y, wanted).allSatisfy { abs($0 - $1) < 1e-4 })
        #expect(y[wanted.count].isNaN)
    }

    @Test func agreesWithLoops() throws {
        try check(geometry())
        try check(
            geometry {
                $0.inChannels = 32
                $0.outChannels = 64
                $0.groups = 1
                $0.dilations = [1, 1]
            })
    }

    @Test func moreGeometriesThanTheCacheHolds() throws {
        for _ in 0..<2 {
            for width in 0..<Int64(FusedConv2d.cacheCapacity + 4) { try check(geometry { $0.width = 5 + width }) }
        }
    }

    @Test func fromSeveralThreads() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask { for _ in 0..<10 { try check(geometry { $0.height = Int64(7 + task % 3) }) } }
            }
            try await group.waitForAll()
        }
    }

    @Test func refusalsNameTheArgument() throws {
        let cases: [(String, (inout FusedConv2d.Geometry) -> Void)] = [
            ("batch", { $0.batch = 0 }), ("in_channels", { $0.inChannels = -1 }), ("height", { $0.height = .max }),
            ("width", { $0.width = .min }), ("out_channels", { $0.outChannels = 0 }), ("groups", { $0.groups = 4 }),
            ("groups", { $0.groups = 0 }), ("pad_top", { $0.pads[0] = -1 }), ("pad_right", { $0.pads[3] = .max }),
            ("kernel_h", { $0.kernel[0] = 0 }), ("kernel_w", { $0.kernel[1] = 100 }),
            ("stride_w", { $0.strides[1] = 0 }),
            ("dilation_h", { $0.dilations[0] = .max }), ("kernel_h", { $0.dilations[0] = 2_000_000_000 }),
            ("src", { g in (g.batch, g.height, g.width) = (2_000_000_000, 2_000_000_000, 2_000_000_000) }),
        ]
        var memory = [Float](repeating: 0, count: 4096)
        for (name, edit) in cases {
            let error = #expect(throws: TenonError.self) {
                try FusedConv2d.run(
                    source: memory, weights: memory, bias: memory, destination: &memory, geometry: geometry(edit))
            }
            #expect(error?.status == .invalidArgument)
            #expect(error?.message.contains("'\(name)'") == true, "\(error?.message ?? "")")
        }
        let error = #expect(throws: TenonError.self) {
            try FusedConv2d.run(source: memory, weights: nil, bias: memory, destination: &memory, geometry: geometry())
        }
        #expect(error?.message.contains("'weights'") == true)
    }
}
