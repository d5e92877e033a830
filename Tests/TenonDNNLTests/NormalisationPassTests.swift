import Testing

@testable import TenonDNNL
@testable import TenonIR
@testable import TenonRewrite
@testable import TenonRuntime

/// Passes that rewrite arithmetic must leave the numbers as they are; the Swift kernels say what those are.
@Suite struct NormalisationPassTests {
    private static func scalar(_ value: Double) -> String { "const f32[](\(Float(value)))" }

    private func inputs(_ module: Module) throws -> [Constant] {
        var state: UInt64 = 42
        return try #require(module.main).parameterTypes.map { type in
            let tensor = try #require(type.asTensor)
            let shape = try #require(tensor.staticShape)
            let count = try #require(tensor.elementCount)
            let values = (0..<count).map { _ -> Double in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return Double(state >> 40) / Double(1 << 24) * 4 - 1.5
            }
            return try Constant.from(doubles: values, .float32, shape)
        }
    }

    private func largestDifference(_ a: [Constant], _ b: [Constant]) throws -> Double {
        #expect(a.count == b.count)
        var largest = 0.0
        for (x, y) in zip(a, b) {
            #expect(x.shape == y.shape)
            let (p, q) = (try #require(x.doubleElements), try #require(y.doubleElements))
            for (u, v) in zip(p, q) where u != v && !(u.isNaN && v.isNaN) { largest = max(largest, abs(u - v)) }
        }
        return largest
    }

    /// Applies passes, checks the numbers, and returns the operators that are left.
    private func rewrite(_ text: String, _ passes: [any ModulePass]) throws -> [String] {
        let module = try Module(text: text)
        try module.verify()
        let rewritten = try Sequential(passes + [EliminateDeadCode()]).apply(to: module, PassContext(verifies: true))
        let given = try inputs(module)
        let before = try Interpreter(module: module).run(given)
        let after = try Interpreter(module: rewritten).run(given)
        #expect(try largestDifference(before, after) < 2e-5)
        var names: [String] = []
        rewritten.main?.forEachBinding { binding in
            if case .call(let call) = binding.expression, case .op(let op) = call.callee { names.append(op.name) }
        }
        return names
    }

    private func vector(_ bindings: String) -> String {
        """
        fn @main(%x: f32[2,3,8], %g: f32[8], %b: f32[8]) {
          dataflow {
            \(bindings)
            output %y
          }
          return %y
        }
        """
    }

    @Test(arguments: [
        "%d2 = power(%d, \(scalar(2)))", "%d2 = multiply(%d, %d)", "%d2 = square(%d)",
    ])
    func layerNormIsRecomposed(square: String) throws {
        let left = try rewrite(
            vector(
                """
                %m = mean(%x) {axis=[-1], keepdims=true}
                %d = subtract(%x, %m)
                \(square)
                %v = mean(%d2) {axis=[2], keepdims=true}
                %e = add(%v, \(Self.scalar(1e-5)))
                %s = sqrt(%e)
                %n = divide(%d, %s)
                %w = multiply(%n, %g)
                %y = add(%w, %b)
                """), [RecomposeNormalization()])
        #expect(left == ["nn.layer_norm"])
    }

    @Test func layerNormWithoutScaleIsRecomposed() throws {
        let left = try rewrite(
            vector(
                """
                %m = mean(%x) {axis=[-1], keepdims=true}
                %d = subtract(%x, %m)
                %d2 = multiply(%d, %d)
                %v = mean(%d2) {axis=[-1], keepdims=true}
                %e = add(%v, \(Self.scalar(1e-6)))
                %s = rsqrt(%e)
                %y = multiply(%d, %s)
                """), [RecomposeNormalization()])
        #expect(left == ["nn.layer_norm"])
    }

    /// What is centred along another axis is no layer normalisation, but still divided by the root of its own mean square.
    @Test func aDifferentlyCentredValueIsRMSNormalized() throws {
        let left = try rewrite(
            vector(
                """
                %m = mean(%x) {axis=[1], keepdims=true}
                %d = subtract(%x, %m)
                %q = square(%d)
                %v = mean(%q) {axis=[-1], keepdims=true}
                %e = add(%v, \(Self.scalar(1e-5)))
                %s = sqrt(%e)
                %y = divide(%d, %s)
                """), [RecomposeNormalization()])
        #expect(left == ["mean", "subtract", "nn.rms_norm"])
    }

    @Test func rmsNormIsRecomposed() throws {
        let left = try rewrite(
            vector(
                """
                %x2 = power(%x, \(Self.scalar(2)))
                %v = mean(%x2) {axis=[-1], keepdims=true}
                %e = add(%v, \(Self.scalar(1e-6)))
                %s = rsqrt(%e)
                %n = multiply(%x, %s)
                %y = multiply(%g, %n)
                """), [RecomposeNormalization()])
        #expect(left == ["nn.rms_norm"])
    }

    @Test func softmaxIsRecomposed() throws {
        let left = try rewrite(
            vector(
                """
                %m = max(%x) {axis=[1], keepdims=true}
                %d = subtract(%x, %m)
                %e = exp(%d)
                %s = sum(%e) {axis=[1], keepdims=true}
                %y = divide(%e, %s)
                """), [RecomposeNormalization()])
        #expect(left == ["nn.softmax"])
    }

    @Test(arguments: [
        // A variance of something else, another power.
        "%m = mean(%x) {axis=[-1], keepdims=true}\n%d = subtract(%x, %m)\n%q = square(%x)\n%v = mean(%q) {axis=[-1], keepdims=true}",
        "%m = mean(%x) {axis=[-1], keepdims=true}\n%d = subtract(%x, %m)\n%q = power(%d, \(scalar(4)))\n%v = mean(%q) {axis=[-1], keepdims=true}",
    ])
    func whatIsNoLayerNormStays(head: String) throws {
        let left = try rewrite(
            vector(head + "\n%e = add(%v, \(Self.scalar(1e-5)))\n%s = sqrt(%e)\n%y = divide(%d, %s)"),
            [RecomposeNormalization()])
        #expect(!left.contains("nn.layer_norm"))
        #expect(!left.contains("nn.rms_norm"))
    }

    @Test(arguments: [
        // Variance as an operator, a sum instead of a mean, the root held above a tiny number.
        (
            "nn.layer_norm",
            "%m = mean(%x) {axis=[2], keepdims=true}\n%d = subtract(%x, %m)\n%v = variance(%x) {axis=[-1], keepdims=true}\n%e = add(%v, \(scalar(1e-5)))\n%s = sqrt(%e)\n%y = divide(%d, %s)"
        ),
        (
            "nn.rms_norm",
            "%q = multiply(%x, %x)\n%v = sum(%q) {axis=[-1], keepdims=true}\n%e = add(\(scalar(1e-3)), %v)\n%s = power(%e, \(scalar(0.5)))\n%y = divide(%x, %s)"
        ),
        (
            "nn.lp_normalize",
            "%q = square(%x)\n%v = sum(%q) {axis=[1], keepdims=true}\n%s = sqrt(%v)\n%y = divide(%x, %s)"
        ),
        (
            "nn.lp_normalize",
            "%v = sum_square(%x) {axis=[-1], keepdims=true}\n%s = sqrt(%v)\n%c = maximum(%s, \(scalar(1e-12)))\n%y = divide(%x, %c)"
        ),
        (
            "nn.lp_normalize",
            "%s = l2_norm(%x) {axis=[2], keepdims=true}\n%c = clip(%s, 1e-12, inf)\n%i = reciprocal(%c)\n%y = multiply(%i, %x)"
        ),
        ("nn.log_softmax", "%s = nn.softmax(%x) {axis=1}\n%y = log(%s)"),
        (
            "nn.log_softmax",
            "%m = max(%x) {axis=[2], keepdims=true}\n%d = subtract(%x, %m)\n%e = exp(%d)\n%s = sum(%e) {axis=[2], keepdims=true}\n%l = log(%s)\n%y = subtract(%d, %l)"
        ),
        ("nn.log_softmax", "%s = log_sum_exp(%x) {axis=[1], keepdims=true}\n%y = subtract(%x, %s)"),
    ])
    func isRecomposed(name: String, bindings: String) throws {
        #expect(try rewrite(vector(bindings), [RecomposeNormalization()]) == [name])
    }

    @Test(arguments: [
        // Epsilon outside the root, along another axis, of another value, held too high, an axis that is gone, another sum.
        "%m = mean(%x) {axis=[-1], keepdims=true}\n%d = subtract(%x, %m)\n%q = square(%d)\n%v = mean(%q) {axis=[-1], keepdims=true}\n%s = sqrt(%v)\n%e = add(%s, \(scalar(1e-5)))\n%y = divide(%d, %e)",
        "%m = mean(%x) {axis=[1], keepdims=true}\n%d = subtract(%x, %m)\n%v = variance(%x) {axis=[-1], keepdims=true}\n%e = add(%v, \(scalar(1e-5)))\n%s = sqrt(%e)\n%y = divide(%d, %s)",
        "%t = tanh(%x)\n%q = square(%t)\n%v = sum(%q) {axis=[1], keepdims=true}\n%s = sqrt(%v)\n%y = divide(%x, %s)",
        "%s = l2_norm(%x) {axis=[2], keepdims=true}\n%c = maximum(%s, \(scalar(0.001)))\n%y = divide(%x, %c)",
        "%s = l2_norm(%x) {axis=[1,2], keepdims=true}\n%y = divide(%x, %s)",
        "%e = exp(%x)\n%s = sum(%e) {axis=[1,2], keepdims=true}\n%y = divide(%e, %s)",
        // Without the largest taken away the exponentials overflow.
        "%e = exp(%x)\n%s = sum(%e) {axis=[2], keepdims=true}\n%y = divide(%e, %s)",
        "%s = log_sum_exp(%x) {axis=[1], keepdims=true}\n%t = tanh(%x)\n%y = subtract(%t, %s)",
    ])
    func whatIsNoNormalisationStays(bindings: String) throws {
        let left = try rewrite(vector(bindings), [RecomposeNormalization()])
        #expect(left.count == bindings.split(separator: "\n").count)
    }

    /// A value in between that something else uses, or that leaves.
    @Test func aSharedSumOfSquaresStays() throws {
        let left = try rewrite(
            vector(
                """
                %q = square(%x)
                %v = sum(%q) {axis=[1], keepdims=true}
                %s = sqrt(%v)
                %n = divide(%x, %s)
                %y = add(%n, %s)
                """), [RecomposeNormalization()])
        #expect(left == ["square", "sum", "sqrt", "divide", "add"])
    }

    private func convolution(_ bindings: String, pad: Int = 0) -> String {
        """
        fn @main(%x: f32[1,2,6,6]) {
          dataflow {
            \(bindings)
            output %y
          }
          return %y
        }
        """
    }

    private static let weight =
        "const f32[3,2,2,2](0.1, -0.2, 0.3, 0.4, -0.5, 0.6, 0.7, -0.8, 0.9, 1.0, -1.1, 0.2, 0.3, 0.1, 0.5, -0.4, 0.2, 0.8, -0.3, 0.6, 0.1, -0.9, 0.4, 0.7)"
    private static let norm3 =
        "const f32[3](1.5, 0.5, -2.0), const f32[3](0.1, -0.2, 0.3), const f32[3](0.4, 0.5, -0.6), const f32[3](0.9, 1.2, 0.3)"
    private static let norm2 =
        "const f32[2](1.5, -0.5), const f32[2](0.1, -0.2), const f32[2](0.4, 0.5), const f32[2](0.9, 1.2)"

    @Test(arguments: [
        // After the convolution, with and without a bias in between.
        "%c = nn.conv2d(%x, \(weight)) {padding=[1,1,0,0]}\n%n = nn.batch_norm(%c, \(norm3))\n%y = %n.0",
        "%c = nn.conv2d(%x, \(weight))\n%s = add(%c, const f32[3,1,1](1.0, 2.0, 3.0))\n%n = nn.batch_norm(%s, \(norm3))\n%y = %n.0",
        // As a multiplication and an addition.
        "%c = nn.conv2d(%x, \(weight))\n%m = multiply(%c, const f32[1,3,1,1](2.0, -1.0, 0.5))\n%y = add(%m, const f32[1,3,1,1](0.1, 0.2, 0.3))",
        // Before the convolution, where nothing is padded.
        "%n = nn.batch_norm(%x, \(norm2))\n%b = %n.0\n%y = nn.conv2d(%b, \(weight))",
    ])
    func batchNormIsFolded(bindings: String) throws {
        let left = try rewrite(convolution(bindings), [FoldBatchNorm()])
        #expect(left.filter { $0 != "reshape" } == ["nn.conv2d", "add"])
    }

    private static let point = "const f32[2,3,1,1](0.5, -0.25, 0.75, 1.0, 0.5, -0.5)"

    /// The layer that it follows adds it at no cost, and two additions of different signs behind the next one would not be joined.
    @Test func aBiasStaysWithItsLayer() throws {
        let left = try rewrite(
            convolution(
                """
                %c = nn.conv2d(%x, \(Self.weight))
                %a = add(%c, const f32[3,1,1](0.25, -0.5, 1.0))
                %d = nn.conv2d(%a, \(Self.point))
                %y = add(%d, const f32[2,1,1](-0.5, 0.75))
                """), [FoldBatchNorm()])
        #expect(left == ["nn.conv2d", "add", "nn.conv2d", "add"])
    }

    @Test(arguments: [
        // Of no layer, and of one whose result is used once more.
        ("%c = nn.relu(%x)\n%a = add(%c, const f32[2,1,1](0.25, -0.5))\n%y = nn.conv2d(%a, \(weight))", "nn.relu"),
        (
            "%c = nn.conv2d(%x, \(weight))\n%a = add(%c, const f32[3,1,1](0.25, -0.5, 1.0))\n%d = nn.conv2d(%a, \(point))\n%e = nn.conv2d(%c, \(point))\n%y = multiply(%d, %e)",
            "nn.conv2d"
        ),
    ])
    func anAdditionMovesBehindALayer(bindings: String, first: String) throws {
        let left = try rewrite(convolution(bindings), [FoldBatchNorm()]).filter { $0 != "reshape" }
        #expect(Array(left.prefix(3)) == [first, "nn.conv2d", "add"])
    }

    @Test func batchNormBeforeAPaddedConvolutionStays() throws {
        let left = try rewrite(
            convolution(
                "%n = nn.batch_norm(%x, \(Self.norm2))\n%b = %n.0\n%y = nn.conv2d(%b, \(Self.weight)) {padding=[1,1,1,1]}"
            ),
            [FoldBatchNorm()])
        #expect(left == ["multiply", "add", "nn.conv2d"])
    }

    @Test func batchNormOfASharedConvolutionStays() throws {
        let left = try rewrite(
            convolution(
                "%c = nn.conv2d(%x, \(Self.weight))\n%n = nn.batch_norm(%c, \(Self.norm3))\n%b = %n.0\n%y = add(%b, %c)"
            ),
            [FoldBatchNorm()])
        #expect(left == ["nn.conv2d", "multiply", "add", "add"])
    }

    @Test func batchNormIsFoldedIntoATransposedConvolution() throws {
        let left = try rewrite(
            convolution(
                """
                %c = nn.conv2d_transpose(%x, const f32[2,2,2,2](0.1, -0.2, 0.3, 0.4, -0.5, 0.6, 0.7, -0.8, 0.9, 1.0, -1.1, 0.2, 0.3, 0.1, 0.5, -0.4))
                %n = nn.batch_norm(%c, \(Self.norm2))
                %y = %n.0
                """), [FoldBatchNorm()])
        #expect(left == ["nn.conv2d_transpose", "reshape", "add"])
    }

    @Test(arguments: [
        "%p = nn.pad(%x) {pad_width=[0,0,0,0,1,2,0,1]}\n%y = nn.conv2d(%p, \(weight)) {padding=[1,1,0,0]}",
        "%p = nn.pad(%x) {pad_width=[0,0,0,0,1,1,1,1]}\n%y = nn.avg_pool2d(%p) {pool_size=[3,3]}",
        "%r = nn.relu(%x)\n%p = nn.pad(%r) {pad_width=[0,0,0,0,1,1,1,1]}\n%y = nn.max_pool2d(%p) {pool_size=[3,3], strides=[2,2]}",
        "%p = nn.pad(%x) {pad_width=[0,0,0,0,1,1,1,1], pad_value=-inf}\n%y = nn.max_pool2d(%p) {pool_size=[2,2], strides=[2,2]}",
    ])
    func paddingIsFolded(bindings: String) throws {
        #expect(try !rewrite(convolution(bindings), [FoldPadding()]).contains("nn.pad"))
    }

    @Test(arguments: [
        // Not zero, reflected, a channel axis, cut, a window inside the padding, of what may be negative, counted otherwise.
        "%p = nn.pad(%x) {pad_width=[0,0,0,0,1,1,1,1], pad_value=1.0}\n%y = nn.conv2d(%p, \(weight))",
        "%p = nn.pad(%x) {pad_width=[0,0,0,0,1,1,1,1], pad_mode=\"reflect\"}\n%y = nn.conv2d(%p, \(weight))",
        "%p = nn.pad(%x) {pad_width=[0,0,0,0,-1,1,1,1]}\n%y = nn.conv2d(%p, \(weight))",
        "%r = nn.relu(%x)\n%p = nn.pad(%r) {pad_width=[0,0,0,0,2,2,2,2]}\n%y = nn.max_pool2d(%p) {pool_size=[2,2]}",
        "%p = nn.pad(%x) {pad_width=[0,0,0,0,1,1,1,1]}\n%y = nn.max_pool2d(%p) {pool_size=[3,3]}",
        "%p = nn.pad(%x) {pad_width=[0,0,0,0,1,1,1,1]}\n%y = nn.avg_pool2d(%p) {pool_size=[3,3], padding=[1,1,1,1]}",
        "%p = nn.pad(%x) {pad_width=[0,0,0,0,1,1,1,1]}\n%c = nn.conv2d(%p, \(weight))\n%q = tanh(%p)\n%f = flatten(%q)\n%g = flatten(%c)\n%y = concat((%f, %g))",
    ])
    func paddingThatIsAnotherFunctionStays(bindings: String) throws {
        #expect(try rewrite(convolution(bindings), [FoldPadding()]).contains("nn.pad"))
    }

    @Test(arguments: [
        (["nn.dense"], "%f = reshape(%x, shape[12,6])\n%w = permute_dims(%v)\n%y = matmul(%f, %w)"),
        ([], "%a = reshape(%x, shape[6,12])\n%y = reshape(%a, shape[1,2,6,6])"),
        (["reshape"], "%a = squeeze(%x) {axis=[0]}\n%b = expand_dims(%a) {axis=[1]}\n%y = flatten(%b)"),
        ([], "%a = permute_dims(%x) {axes=[0,2,3,1]}\n%y = permute_dims(%a) {axes=[0,3,1,2]}"),
        (["permute_dims"], "%a = permute_dims(%x) {axes=[0,2,3,1]}\n%y = permute_dims(%a) {axes=[0,2,1,3]}"),
        (["reshape"], "%y = permute_dims(%x) {axes=[1,0,2,3]}"),
        // Dimensions in front of a transposed matrix are split and joined again.
        (
            [],
            "%a = permute_dims(%x) {axes=[0,1,3,2]}\n%b = reshape(%a, shape[2,6,6])\n%y = permute_dims(%b) {axes=[0,2,1]}"
        ),
        (
            ["permute_dims"],
            "%a = reshape(%x, shape[2,6,6])\n%b = permute_dims(%a) {axes=[0,2,1]}\n%c = reshape(%b, shape[1,2,6,6])\n%y = permute_dims(%c) {axes=[0,3,2,1]}"
        ),
        // What a reshape joins is no longer what the first permutation moved.
        (
            ["permute_dims", "permute_dims"],
            "%a = permute_dims(%x) {axes=[0,2,1,3]}\n%b = reshape(%a, shape[12,6])\n%y = permute_dims(%b) {axes=[1,0]}"
        ),
        // One element of an axis is taken first.
        (["take"], "%a = permute_dims(%x) {axes=[1,0,2,3]}\n%y = take(%a, const i64[](1)) {axis=0}"),
        (["take", "permute_dims"], "%a = permute_dims(%x) {axes=[3,0,2,1]}\n%y = take(%a, const i64[](-1)) {axis=0}"),
        (["permute_dims", "take"], "%a = permute_dims(%x) {axes=[3,0,2,1]}\n%y = take(%a, const i64[1](2)) {axis=0}"),
        ([], "%a = multiply(%x, const f32[](1.0))\n%y = add(const f32[1,1,1,1](0.0), %a)"),
        (["nn.relu"], "%a = nn.relu(%x)\n%y = nn.relu(%a)"),
        (["multiply"], "%y = multiply(%x, const f32[](2.0))"),
        // Slices, pads, tiles and concatenations that change nothing; constants in a row; a power of 1.
        ([], "%a = strided_slice(%x, shape[1,2], shape[0,0], shape[2,6])\n%y = tile(%a) {repeats=[1,1,1,1]}"),
        (["strided_slice"], "%y = strided_slice(%x, (2,), (-1,), (-7,), (-1,))"),
        (["strided_slice"], "%y = strided_slice(%x, shape[2], shape[0], shape[5])"),
        ([], "%a = nn.pad(%x) {pad_width=[0,0,0,0,0,0,0,0]}\n%y = concat((%a,)) {axis=1}"),
        (["nn.pad"], "%a = nn.pad(%x) {pad_width=[0,0,0,0,1,0,0,1]}\n%y = nn.pad(%a) {pad_width=[0,0,0,0,0,1,2,0]}"),
        (
            ["nn.pad", "nn.pad"],
            "%a = nn.pad(%x) {pad_width=[0,0,0,0,1,0,0,1]}\n%y = nn.pad(%a) {pad_width=[0,0,0,0,0,1,2,0], pad_value=1.0}"
        ),
        (
            ["nn.pad", "nn.pad"],
            "%a = nn.pad(%x) {pad_width=[0,0,0,0,1,0,0,1]}\n%y = nn.pad(%a) {pad_width=[0,0,0,0,-1,1,2,0]}"
        ),
        (
            ["add"],
            "%a = add(%x, const f32[2,1,1](1, 2))\n%b = subtract(%a, const f32[](-3))\n%y = add(const f32[2,1,1](4, 5), %b)"
        ),
        (["multiply"], "%a = multiply(%x, const f32[2,1,1](1, 2))\n%y = multiply(const f32[](3), %a)"),
        (["add", "add"], "%a = add(%x, const f32[2,1,1](1, 2))\n%y = add(%a, const f32[6](1, 2, 3, 4, 5, 6))"),
        // Of opposite signs, which would give back what the first one has dropped.
        (["add", "add"], "%a = add(%x, const f32[](12582912))\n%y = subtract(%a, const f32[](12582912))"),
        (["multiply", "multiply"], "%a = multiply(%x, const f32[](3e38))\n%y = multiply(%a, const f32[](1e-38))"),
        (["add", "multiply"], "%a = add(%x, const f32[](1))\n%y = multiply(%a, const f32[](2))"),
        (["add", "add", "add"], "%a = add(%x, const f32[](1))\n%b = add(%a, const f32[](2))\n%y = add(%a, %b)"),
        ([], "%y = power(%x, const f32[](1.0))"),
        (["square"], "%y = power(%x, const f32[](2.0))"), (["square"], "%y = power(%x, const f32[2,1,1](2.0, 2.0))"),
        (["power"], "%y = power(%x, const f32[](3.0))"), (["power"], "%y = power(%x, const f32[2,1,1](2.0, 3.0))"),
        (
            ["matmul"],
            "%f = reshape(%x, shape[12,6])\n%g = reshape(%x, shape[6,12])\n%u = permute_dims(%g)\n%y = nn.dense(%f, %u)"
        ),
        (["add"], "%y = add(%x, const f32[2,1,1,1](0.0, 0.0))"),
    ])
    func whatChangesNothingGoes(left: [String], bindings: String) throws {
        let text = convolution(bindings).replacing("%x: f32[1,2,6,6]", with: "%x: f32[1,2,6,6], %v: f32[5,6]")
        #expect(try rewrite(text, [SimplifyExpressions()]).filter { $0 != "reshape" || left == ["reshape"] } == left)
    }

    /// Sizes that a text can name and nobody has memory for: passes make no parameters of them, and nothing ends the process.
    @Test func parametersOfAnySizeAreNotMade() throws {
        for axis in ["88888888888", "4611686018427387903"] {
            let module = try Module(
                text: """
                    fn @main(%x: f32[1,\(axis)]) {
                      dataflow {
                        %m = mean(%x) {axis=[1], keepdims=true}
                        %d = subtract(%x, %m)
                        %q = multiply(%d, %d)
                        %v = mean(%q) {axis=[1], keepdims=true}
                        %e = add(%v, const f32[](1e-05))
                        %s = sqrt(%e)
                        %y = divide(%d, %s)
                        output %y
                      }
                      return %y
                    }
                    """)
            _ = try DefaultPipeline.make().run(on: module, PassContext(verifies: true))
        }
    }
}
