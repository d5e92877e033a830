import TenonIR
import TenonRuntime
import Testing

@testable import TenonDNNL

/// Each operator as a region against naive loops, alone and fused.
@Suite(.serialized) struct LoweringTests {
    @Test func seedChainIsOnePrimitive() throws {
        var net = Net()
        let x = net.input([1, 3, 12, 12])
        let y = try net.call("nn.relu", [try net.conv(x, 16)])
        let run = try check(try net.module(y))
        #expect(run.composites == ["dnnl.conv2d_reshape_add_relu"])
    }

    @Test(
        arguments: [
            [1, 3, 17, 19, 16, 7, 2, 3, 1], [2, 16, 12, 12, 32, 3, 1, 1, 1], [1, 32, 9, 11, 48, 1, 1, 0, 1],
            [1, 32, 13, 13, 32, 3, 2, 1, 32], [1, 20, 10, 9, 12, 3, 1, 0, 4], [3, 1, 1, 6, 1, 1, 1, 0, 1],
            [1, 64, 14, 14, 64, 3, 1, 1, 1], [1, 5, 8, 8, 7, 5, 3, 2, 1],
        ] as [[Int64]])
    func convolution(_ c: [Int64]) throws {
        var net = Net()
        let x = net.input([c[0], c[1], c[2], c[3]])
        let y = try net.conv(x, c[4], kernel: c[5], stride: c[6], pad: c[7], groups: c[8])
        try check(try net.module(try net.call("nn.relu", [y])), tolerance: 1e-4)
    }

    @Test func asymmetricAndDilated() throws {
        var net = Net()
        let x = net.input([1, 8, 9, 10])
        let w = try net.constant([12, 8, 3, 2])
        let y = try net.call(
            "nn.conv2d", [x, w],
            ["padding": .ints([2, 0, 1, 1]), "strides": .ints([1, 2]), "dilation": .ints([2, 1])])
        try check(try net.module(y))
    }

    @Test func convolutionOfOneAndThreeDimensions() throws {
        var net = Net()
        let x = net.input([2, 6, 15])
        let y = try net.call("nn.conv1d", [x, try net.constant([8, 3, 3])], ["groups": 2, "padding": .ints([1, 1])])
        try check(try net.module(try net.call("tanh", [y])))
        net = Net()
        let v = net.input([1, 4, 5, 6, 7])
        let z = try net.call(
            "nn.conv3d", [v, try net.constant([8, 4, 3, 3, 3])], ["padding": .ints([1, 1, 1, 1, 1, 1])])
        try check(try net.module(z))
    }

    /// Sequences that were exported as pictures: kernel, stride, dilation, padding before and after, groups, channels.
    @Test(
        arguments: [
            [5, 1, 1, 0, 0, 1, 32], [3, 2, 1, 1, 0, 1, 24], [3, 1, 2, 2, 2, 4, 16], [5, 1, 1, 2, 2, 32, 32],
            [1, 1, 1, 0, 0, 1, 16],
        ] as [[Int64]])
    func columns(_ c: [Int64]) throws {
        for isTransposed in [false, true] where !(isTransposed && c[5] > 4) {
            var net = Net()
            let x = net.input([2, c[6], 33, 1])
            let w = try net.constant([c[6], c[6] / c[5], c[0], 1], scale: 0.3)
            let y = try net.call(
                isTransposed ? "nn.conv2d_transpose" : "nn.conv2d", [x, w],
                [
                    "strides": .ints([c[1], 1]), "dilation": .ints([c[2], 1]), "padding": .ints([c[3], 0, c[4], 0]),
                    "groups": .int(c[5]),
                ])
            let biased = try net.call("add", [y, try net.constant([1, c[6], 1, 1])])
            try check(try net.module(try net.call("nn.relu", [biased])), tolerance: 1e-4)
        }
    }

    @Test func columnsBesideWholePictures() throws {
        var net = Net()
        let (x, r) = (net.input([1, 16, 20, 1]), net.input([1, 16, 20, 1], "r"))
        let attributes: Attributes = ["padding": .ints([1, 0, 1, 0])]
        var y = try net.call("nn.conv2d", [x, try net.constant([16, 16, 3, 1], scale: 0.3)], attributes)
        y = try net.call("add", [y, r])
        y = try net.call("nn.conv2d", [y, try net.constant([16, 16, 3, 1], scale: 0.3)], attributes)
        y = try net.call("add", [y, try net.constant([1, 1, 20, 1])])
        y = try net.call(
            "nn.conv2d", [y, try net.constant([8, 16, 3, 3], scale: 0.3)], ["padding": .ints([1, 1, 1, 1])])
        try check(try net.module(y), tolerance: 1e-4, mayLeaveOperators: true)
    }

    @Test(arguments: [1, 2] as [Int64]) func transposedConvolution(groups: Int64) throws {
        var net = Net()
        let x = net.input([1, 8, 5, 6])
        let w = try net.constant([8, 6 / groups, 3, 3])
        let y = try net.call(
            "nn.conv2d_transpose", [x, w],
            [
                "strides": .ints([2, 2]), "padding": .ints([1, 1, 1, 1]), "output_padding": .ints([1, 0]),
                "groups": .int(groups),
            ])
        try check(try net.module(y))
    }

    @Test func weightsAsParameter() throws {
        var net = Net()
        let x = net.input([1, 16, 8, 8])
        let (w, b) = (net.input([32, 16, 3, 3], "w"), net.input([32], "b"))
        let y = try net.call("nn.conv2d", [x, w], ["padding": .ints([1, 1, 1, 1])])
        let sum = try net.call("add", [try net.call("reshape", [b, .shape([1, 32, 1, 1])]), y])
        try check(try net.module(try net.call("nn.relu", [sum])), tolerance: 1e-4)
    }

    // MARK: - Chains

    static let functions: [(String, Attributes)] = [
        ("nn.relu", [:]), ("nn.relu6", [:]), ("nn.leakyrelu", ["alpha": 0.2]),
        ("sigmoid", [:]), ("tanh", [:]), ("nn.silu", [:]), ("nn.gelu", [:]), ("nn.gelu_tanh", [:]),
        ("nn.hard_sigmoid", [:]), ("nn.hard_swish", [:]), ("nn.mish", [:]), ("abs", [:]),
        ("exp", [:]), ("square", [:]), ("round", [:]), ("negative", [:]),
    ]

    @Test(arguments: 0..<functions.count) func functionBehindConvolutionAndAlone(_ index: Int) throws {
        let (name, attributes) = Self.functions[index]
        // Rounding turns the smallest difference into 1, so it is tested on its own.
        var net = Net()
        var x = net.input([1, 16, 6, 7])
        if name != "round" { x = try net.conv(x, 32) }
        try check(try net.module(try net.call(name, [x], attributes)), tolerance: 2e-5)
    }

    @Test func longChain() throws {
        var net = Net()
        let x = net.input([1, 16, 8, 8])
        var y = try net.conv(x, 16)
        y = try net.call("clip", [y, .float(-0.5), .float(0.75)])
        y = try net.call("multiply", [y, try net.constant([16, 1, 1])])
        y = try net.call("subtract", [y, .constant(try .floats([], [0.25]))])
        y = try net.call("maximum", [y, try net.constant([1, 16, 8, 8])])
        y = try net.call("divide", [y, .constant(try .floats([1], [3]))])
        let run = try check(try net.module(try net.call("tanh", [y])))
        #expect(run.composites.count <= 3)
    }

    /// Chains of three steps in every order; some hold one function twice, which oneDNN 2.6 would compute wrongly.
    @Test func chainsInEveryOrder() throws {
        for order in 0..<216 {
            var net = Net(seed: UInt64(order))
            let x = net.input([1, 16, 5, 5])
            var y = try net.conv(x, 16)
            for step in [order / 36, order / 6 % 6, order % 6] {
                switch step {
                case 0: y = try net.call("clip", [y, .float(-0.5), .float(0.75)])
                case 1: y = try net.call("multiply", [y, try net.constant([16, 1, 1])])
                case 2: y = try net.call("subtract", [y, .constant(try .floats([], [0.25]))])
                case 3: y = try net.call("maximum", [y, try net.constant([1, 16, 5, 5])])
                case 4: y = try net.call("divide", [y, .constant(try .floats([1], [3]))])
                default: y = try net.call("tanh", [y])
                }
            }
            let main = try #require(try net.module(y).main)
            var numbers = Numbers(7)
            let input = numbers.list(400)
            let found = try RegionRun(asComposite(main), threads: 1).run([input], outputs: [400])
            let wanted = try Reference.run(main, [input])
            #expect(zip(found[0], wanted[0]).allSatisfy { abs($0 - $1) < 1e-4 }, "order \(order)")
        }
    }

    @Test func gatesBecomeOneFunction() throws {
        for gate in ["sigmoid", "nn.hard_sigmoid"] {
            var net = Net()
            let x = net.input([1, 16, 8, 8])
            let y = try net.conv(x, 16)
            let attributes: Attributes = gate == "sigmoid" ? [:] : ["alpha": .float(1.0 / 6), "beta": 0.5]
            let z = try net.call("multiply", [y, try net.call(gate, [y], attributes)])
            let module = try net.module(z)
            let main = try #require(module.main)
            let folded = try ChainFolding.fold(try RegionReader.read(asComposite(main)))
            #expect(folded.nodes.count == 1)
            let run = try RegionRun(asComposite(main))
            var numbers = Numbers(3)
            let input = numbers.list(1024)
            let (found, wanted) = (try run.run([input], outputs: [1024]), try Reference.run(main, [input]))
            #expect(zip(found[0], wanted[0]).allSatisfy { abs($0 - $1) < 1e-4 })
        }
    }

    // MARK: - Residuals

    @Test func residualInPlaceAndAlive() throws {
        var net = Net()
        let x = net.input([1, 32, 10, 10])
        let a = try net.call("nn.relu", [try net.conv(x, 64)])
        let b = try net.call("nn.relu", [try net.conv(a, 64)])
        let c = try net.call("nn.relu", [try net.call("add", [try net.conv(b, 64, kernel: 1), a])])
        // `c` lives on behind the second addition, so its memory must not be overwritten there.
        let d = try net.call("nn.relu", [try net.conv(c, 64)])
        let e = try net.call("nn.relu", [try net.call("add", [c, try net.conv(d, 64, kernel: 1)])])
        let f = try net.call("nn.relu", [try net.call("add", [try net.conv(e, 64), c])])
        try check(try net.module(f), tolerance: 1e-4)
    }

    @Test func residualIsInputOrOutput() throws {
        var net = Net()
        let x = net.input([2, 16, 6, 6])
        let a = try net.call("nn.relu", [try net.call("add", [try net.conv(x, 16), x])])
        let b = try net.call("nn.relu", [try net.call("add", [try net.conv(a, 16), a])])
        try check(try net.module(b, a), tolerance: 1e-4)
    }

    @Test func activationBeforeResidual() throws {
        var net = Net()
        let x = net.input([1, 32, 8, 8])
        let a = try net.call("nn.silu", [try net.conv(x, 32)])
        let b = try net.call("add", [try net.call("nn.silu", [try net.conv(a, 32, kernel: 1)]), a])
        try check(try net.module(try net.call("nn.silu", [try net.conv(b, 32)])), tolerance: 1e-4)
    }

    @Test func twoConvolutionsJoined() throws {
        var net = Net()
        let x = net.input([1, 24, 9, 9])
        let y = try net.call("add", [try net.conv(x, 48), try net.conv(x, 48, kernel: 1)])
        try check(try net.module(try net.call("nn.relu", [y])), tolerance: 1e-4)
    }

    // MARK: - Products

    @Test(arguments: [[1, 100, 10], [7, 33, 65], [64, 128, 96]] as [[Int64]]) func dense(_ c: [Int64]) throws {
        var net = Net()
        let x = net.input([c[0], c[1]])
        let y = try net.call("nn.dense", [x, try net.constant([c[2], c[1]], scale: 0.1)])
        try check(try net.module(try net.call("nn.relu", [try net.call("add", [y, try net.constant([c[2]])])])))
        net = Net()
        let a = net.input([c[0], c[1]])
        let b = try net.call("matmul", [a, try net.constant([c[1], c[2]], scale: 0.1)])
        try check(try net.module(try net.call("nn.gelu", [try net.call("add", [b, try net.constant([1, c[2]])])])))
    }

    @Test func productsOfHigherRank() throws {
        var net = Net()
        let x = net.input([2, 3, 20])
        let y = try net.call("matmul", [x, try net.constant([20, 12])])
        let z = try net.call("add", [try net.call("add", [y, try net.constant([12])]), net.input([2, 3, 12], "r")])
        let main = try #require(try net.module(z).main)
        var numbers = Numbers(7)
        let inputs = [numbers.list(120), numbers.list(72)]
        let run = try RegionRun(asComposite(main))
        #expect(run.composites == ["dnnl.test"])
        let (found, wanted) = (try run.run(inputs, outputs: [72]), try Reference.run(main, inputs))
        #expect(zip(found[0], wanted[0]).allSatisfy { abs($0 - $1) < 1e-4 })
        net = Net()
        let a = net.input([4, 5, 6])
        let b = net.input([4, 6, 7], "b")
        try check(try net.module(try net.call("tanh", [try net.call("matmul", [a, b])])))
    }

    @Test func weightsTransposedOutside() throws {
        var net = Net()
        let x = net.input([5, 24])
        let w = try net.call("permute_dims", [try net.constant([10, 24])])
        let main = try #require(try net.module(try net.call("matmul", [x, w])).main)
        var numbers = Numbers(4)
        let input = numbers.list(120)
        let found = try RegionRun(main).run([input], outputs: [50])
        let wanted = try Reference.run(main, [input])
        #expect(zip(found[0], wanted[0]).allSatisfy { abs($0 - $1) < 1e-4 })
    }

    // MARK: - Others

    @Test func pooling() throws {
        for (op, extra) in [
            ("nn.max_pool2d", [:]), ("nn.avg_pool2d", ["count_include_pad": true]),
            ("nn.avg_pool2d", ["count_include_pad": false]), ("nn.max_pool2d", ["ceil_mode": true]),
            ("nn.avg_pool2d", ["ceil_mode": true]),
        ] as [(String, Attributes)] {
            var attributes = extra
            attributes["pool_size"] = .ints([3, 2])
            attributes["strides"] = .ints([2, 2])
            attributes["padding"] = .ints([1, 0, 1, 1])
            var net = Net()
            let x = net.input([2, 16, 10, 11])
            try check(try net.module(try net.call(op, [x], attributes)))
            net = Net()
            let y = try net.conv(net.input([1, 3, 10, 11]), 32)
            try check(try net.module(try net.call(op, [y], attributes)), tolerance: 1e-4)
        }
    }

    @Test func headOfANetwork() throws {
        var net = Net()
        let x = net.input([2, 3, 16, 16])
        var y = try net.call("nn.relu", [try net.conv(x, 32, stride: 2)])
        y = try net.call("nn.adaptive_avg_pool2d", [try net.call("nn.relu", [try net.conv(y, 48)])])
        y = try net.call("reshape", [y, .shape([2, 48])])
        y = try net.call("add", [try net.call("nn.dense", [y, try net.constant([10, 48])]), try net.constant([10])])
        let main = try #require(try net.module(try net.call("nn.softmax", [y], ["axis": -1])).main)
        var numbers = Numbers(4)
        let input = numbers.list(2 * 3 * 256)
        let found = try RegionRun(main).run([input], outputs: [20])
        let wanted = try Reference.run(main, [input])
        #expect(zip(found[0], wanted[0]).allSatisfy { abs($0 - $1) < 1e-4 })
    }

    @Test func normalization() throws {
        var net = Net()
        let x = net.input([2, 20, 5, 6])
        let parameters = [
            try net.constant([20]), try net.constant([20]), try net.constant([20]),
            try net.constant([20], scale: 0.4, offset: 1),
        ]
        let y = try net.call("nn.batch_norm", [x] + parameters)
        let first = try net.builder.tupleGetItem(y, 0)
        let main = try #require(try net.module(.value(first)).main)
        var numbers = Numbers(4)
        let input = numbers.list(1200)
        let found = try RegionRun(main).run([input], outputs: [1200])
        let wanted = try Reference.run(main, [input])
        #expect(zip(found[0], wanted[0]).allSatisfy { abs($0 - $1) < 1e-4 })

        net = Net()
        let v = net.input([2, 3, 40])
        try check(
            try net.module(try net.call("nn.layer_norm", [v, try net.constant([40]), try net.constant([40])])),
            tolerance: 1e-4)
    }

    /// Along other axes than the last oneDNN has reference loops only; those stay with the kernels.
    @Test func softmaxOverEveryAxis() throws {
        for axis in 0..<4 {
            var net = Net()
            let x = net.input([2, 5, 3, 4])
            try check(
                try net.module(try net.call("nn.softmax", [x], ["axis": .int(Int64(axis))])), mayLeaveOperators: true)
        }
    }

    @Test func concatOfConvolutions() throws {
        for sizes in [[16, 32, 16], [10, 7, 20], [16, 5, 3]] as [[Int64]] {
            var net = Net()
            let x = net.input([2, 16, 7, 7])
            let parts = try sizes.enumerated().map { index, size in
                try net.call("nn.relu", [try net.conv(x, size, kernel: index == 1 ? 1 : 3)])
            }
            let joined = try net.call("concat", [.tuple(parts)], ["axis": 1])
            try check(try net.module(try net.call("nn.relu", [try net.conv(joined, 16)]), parts[0]), tolerance: 1e-4)
        }
    }

    @Test func scaleByOneValuePerChannel() throws {
        // Squeeze and excite.
        var net = Net()
        let x = net.input([1, 32, 9, 9])
        let y = try net.call("nn.silu", [try net.conv(x, 32, groups: 32)])
        var s = try net.call("nn.adaptive_avg_pool2d", [y])
        s = try net.call("nn.silu", [try net.conv(s, 8, kernel: 1)])
        s = try net.call("sigmoid", [try net.conv(s, 32, kernel: 1)])
        let z = try net.call("multiply", [y, s])
        try check(try net.module(try net.conv(z, 16, kernel: 1)), tolerance: 1e-4)
    }

    @Test func outputsThatAreInputsConstantsAndViews() throws {
        var net = Net()
        let x = net.input([1, 4, 3, 3])
        let y = try net.call("nn.relu", [x])
        let flat = try net.call("reshape", [y, .shape([4, 9])])
        let main = try #require(try net.module(y, flat, x, try net.constant([3]), y).main)
        var numbers = Numbers(4)
        let input = numbers.list(36)
        let found = try RegionRun(main).run([input], outputs: [36, 36, 36, 3, 36])
        let wanted = try Reference.run(main, [input])
        #expect(found == wanted)
    }
}
