import Testing

@testable import TenonDNNL
@testable import TenonIR
@testable import TenonRewrite
@testable import TenonRuntime

/// Layer normalisation by moments, normalised axes that are moved, and convolutions of pictures one pixel wide.
@Suite struct MomentNormalizationTests {
    private func rewrite(
        _ bindings: String, _ passes: [any ModulePass], results: String = "%y", parameters: String = "%x: f32[2,6,8]"
    ) throws -> [String] {
        try OptimisedRun.rewritten(parameters, bindings, passes, results: results)
    }

    /// The moments over axis 1 and what follows, piece by piece so that tests can exchange one.
    private static func moments(
        sum: String = "%s = sum(%x) {axis=[1]}", square: String = "%q = multiply(%x, %x)",
        squares: String = "%t = sum(%q) {axis=[1]}", mean: String = "%m = multiply(%s, const f32[](0.16666667))",
        meanSquare: String = "%u = multiply(%t, const f32[](0.16666667))", power: String = "%p = multiply(%m, %m)",
        variance: String = "%v0 = subtract(%u, %p)", held: String = "%v = nn.relu(%v0)",
        kept: String = "%k = reshape(%v, shape[2,1,8])", epsilon: String = "%e = add(%k, const f32[](0.000001))",
        root: String = "%r = sqrt(%e)\n%i = reciprocal(%r)", scale: String = "%w = multiply(%i, R[1,6,1])",
        seen: String = "%n = reshape(%m, shape[2,1,8])", difference: String = "%d = subtract(%x, %n)",
        product: String = "%z = multiply(%d, %w)", shift: String = "%y = add(%z, R[1,6,1])"
    ) -> String {
        [
            sum, square, squares, mean, meanSquare, power, variance, held, kept, epsilon, root, scale, seen, difference,
            product, shift,
        ].joined(separator: "\n")
    }

    @Test(arguments: [
        moments(),
        // Other spellings: means as they are, quotients, powers, held by `maximum` or not at all, the root in one.
        moments(sum: "", squares: "", mean: "%m = mean(%x) {axis=[-2]}", meanSquare: "%u = mean(%q) {axis=[1]}"),
        moments(mean: "%m = divide(%s, const f32[](6.0))", meanSquare: "%u = divide(%t, const f32[](6.0))"),
        moments(square: "%q = square(%x)", power: "%p = power(%m, const f32[](2.0))"),
        moments(held: "%v = maximum(const f32[](0.0), %v0)", root: "%i = rsqrt(%e)"),
        moments(held: "", kept: "%k = reshape(%v0, shape[2,1,8])"),
        // Epsilon before the reshape, both operands of products the other way, no scale at all, a scale of the whole shape.
        moments(kept: "%a = add(%v, const f32[](0.000001))", epsilon: "%e = reshape(%a, shape[2,1,8])"),
        moments(scale: "%w = multiply(R[6,1], %i)", product: "%z = multiply(%w, %d)"),
        moments(scale: "", product: "%z = multiply(%d, %i)"),
        moments(scale: "%g = multiply(%d, %i)", product: "%z = multiply(%g, R[6,1])"),
        moments(root: "%r = sqrt(%e)", scale: "%g = divide(%d, %r)", product: "%z = multiply(%g, R[6,1])"),
    ])
    func isLayerNorm(bindings: String) throws {
        // What the division or product needs stands in front of it.
        let lines = bindings.split(separator: "\n").map(String.init)
        let early = lines.filter { $0.hasPrefix("%n =") || $0.hasPrefix("%d =") }
        var ordered = lines.filter { !early.contains($0) }
        let at = ordered.firstIndex { $0.contains("%d") } ?? ordered.count
        ordered.insert(contentsOf: early, at: at)
        let left = try rewrite(ordered.joined(separator: "\n"), [RecomposeNormalization()])
        #expect(left == ["nn.layer_norm"])
    }

    @Test func overTheLastAxisWithDimensionsKept() throws {
        let left = try rewrite(
            """
            %m = mean(%x) {axis=[2], keepdims=true}
            %q = square(%x)
            %u = mean(%q) {axis=[-1], keepdims=true}
            %p = square(%m)
            %v = subtract(%u, %p)
            %e = add(%v, const f32[](0.001))
            %i = rsqrt(%e)
            %d = subtract(%x, %m)
            %w = multiply(%i, R[1,1,8])
            %z = multiply(%d, %w)
            %y = add(%z, R[1,8])
            """, [RecomposeNormalization()])
        #expect(left == ["nn.layer_norm"])
    }

    @Test(arguments: [
        // Of something else, over another axis, by another number, of another power, subtracted the other way, held elsewhere.
        moments(square: "%h = tanh(%x)\n%q = square(%h)"),
        moments(
            squares:
                "%b = sum(%q) {axis=[2]}\n%c = sum(%b) {axis=[1], keepdims=true}\n%t = broadcast_to(%c, shape[2,8])"),
        moments(mean: "%m = multiply(%s, const f32[](0.2))"),
        moments(meanSquare: "%u = multiply(%t, const f32[](0.2))"),
        moments(power: "%h = multiply(%m, %m)\n%p = multiply(%h, %m)"),
        moments(variance: "%h = subtract(%p, %u)\n%v0 = abs(%h)"),
        moments(held: "%v = maximum(const f32[](0.5), %v0)"),
        moments(epsilon: "%e = subtract(%k, const f32[](-3.0))"),
        // Scaled along another axis.
        moments(scale: "%w = multiply(%i, R[8])", shift: "%y = add(%z, R[8])"),
        moments(difference: "%d = add(%x, %n)"),
    ])
    func isSomethingElse(bindings: String) throws {
        #expect(try !rewrite(bindings, [RecomposeNormalization()]).contains("nn.layer_norm"))
    }

    /// What leaves, or has another user, keeps the arithmetic that makes it.
    @Test(arguments: ["%m", "%v", "%e", "%i", "%w", "%d", "%t", "%u"])
    func anIntermediateThatLeavesStays(value: String) throws {
        let left = try rewrite(Self.moments(), [RecomposeNormalization()], results: "%y, \(value)")
        #expect(!left.contains("nn.layer_norm"))
        let used = try rewrite(
            Self.moments(shift: "%z1 = add(%z, R[1,6,1])\n%o = tanh(\(value))")
                + "\n%o1 = sum(%o)\n%y = add(%z1, %o1)", [RecomposeNormalization()])
        #expect(!used.contains("nn.layer_norm"))
    }

    @Test func theAxisMovesAndMovementsCancel() throws {
        let norm = "%n = nn.layer_norm(%x, R[6], R[6]) {axes=[1]}\n"
        #expect(
            try rewrite(norm + "%y = tanh(%n)", [MoveNormalizedAxis()])
                == ["permute_dims", "nn.layer_norm", "permute_dims", "tanh"])
        let passes: [any ModulePass] = [MoveNormalizedAxis(), SimplifyExpressions()]
        #expect(
            try rewrite(norm + "%y = permute_dims(%n) {axes=[0,2,1]}", passes) == ["permute_dims", "nn.layer_norm"])
        #expect(
            try rewrite(norm + "%r = reshape(%n, shape[2,6,8,1])\n%y = permute_dims(%r) {axes=[0,2,1,3]}", passes)
                == ["permute_dims", "nn.layer_norm", "reshape"])
        #expect(
            try rewrite(norm + "%r = reshape(%n, shape[2,1,6,8])\n%y = permute_dims(%r) {axes=[3,1,0,2]}", passes)
                == ["permute_dims", "nn.layer_norm", "permute_dims", "reshape"])
        // A reshape that cuts dimensions is none that only adds some.
        #expect(
            try rewrite(norm + "%r = reshape(%n, shape[2,6,4,2])\n%y = permute_dims(%r) {axes=[0,2,1,3]}", passes)
                == ["permute_dims", "nn.layer_norm", "permute_dims", "reshape", "permute_dims"])
    }

    @Test(arguments: ["{axes=[-1]}", "{axes=[2]}", "{axes=[1,2]}"])
    func otherAxesStay(axes: String) throws {
        let sizes = axes.contains(",") ? "6,8" : "8"
        let left = try rewrite("%y = nn.layer_norm(%x, R[\(sizes)], R[\(sizes)]) \(axes)", [MoveNormalizedAxis()])
        #expect(left == ["nn.layer_norm"])
    }

    @Test(arguments: [
        (
            "%x: f32[2,4,9,1]",
            "%c = nn.conv2d(%x, R[6,4,3,1]) {padding=[1,0,1,0], strides=[2,1]}\n%y = reshape(%c, shape[2,6,5])"
        ),
        ("%x: f32[2,4,1,9]", "%c = nn.conv2d(%x, R[6,4,1,3]) {dilation=[1,2]}\n%y = reshape(%c, shape[2,6,5])"),
        ("%x: f32[2,4,9,1]", "%c = nn.conv2d(%x, R[8,1,3,1]) {groups=4}\n%y = reshape(%c, shape[2,8,7])"),
        (
            "%x: f32[2,4,9]",
            "%z = reshape(%x, shape[2,4,9,1])\n%c = nn.conv2d(%z, R[6,4,3,1])\n%y = reshape(%c, shape[2,6,7])"
        ),
    ])
    func convolutionsOfOneColumnAreSqueezed(parameters: String, bindings: String) throws {
        let left = try rewrite(bindings, [SqueezeConvolution()], parameters: parameters)
        #expect(left.filter { $0 != "reshape" } == ["nn.conv1d"])
        #expect(left.last == "nn.conv1d")
    }

    @Test(arguments: [
        // Padded beside the column, wider data, another shape behind it, used elsewhere.
        (
            "%x: f32[2,4,9,1]", "%c = nn.conv2d(%x, R[6,4,3,3]) {padding=[0,1,0,1]}\n%y = reshape(%c, shape[2,6,7])",
            "%y"
        ),
        ("%x: f32[2,4,9,3]", "%c = nn.conv2d(%x, R[6,4,3,3])\n%y = reshape(%c, shape[2,6,7])", "%y"),
        ("%x: f32[2,4,9,1]", "%c = nn.conv2d(%x, R[6,4,3,1])\n%y = reshape(%c, shape[12,7])", "%y"),
        ("%x: f32[2,4,9,1]", "%c = nn.conv2d(%x, R[6,4,3,1])\n%y = reshape(%c, shape[2,6,7])", "%y, %c"),
    ])
    func otherConvolutionsStay(parameters: String, bindings: String, results: String) throws {
        let left = try rewrite(bindings, [SqueezeConvolution()], results: results, parameters: parameters)
        #expect(left == ["nn.conv2d", "reshape"])
    }

    @Test(arguments: [
        // A product of more dimensions with its bias in any shape, and what follows it.
        "%d = matmul(%x, R[8,5])\n%s = add(%d, %b)\n%y = nn.gelu_tanh(%s)",
        "%d = nn.dense(%x, R[5,8])\n%c = reshape(%b, shape[5])\n%s = add(%c, %d)\n%y = nn.gelu(%s)",
        "%r = reshape(%x, shape[2,2,3,8])\n%d = nn.dense(%r, R[5,8])\n%c = reshape(%b, shape[1,1,1,5])\n%s = multiply(%d, %c)\n%y = nn.gelu(%s)",
    ])
    func productsTakeRows(bindings: String) throws {
        let found = try OptimisedRun.primitives("%x: f32[2,6,8], %b: f32[1,1,5]", bindings)
        #expect(found == ["dnnl.matmul_post_ops"] || found == ["dnnl.dense_post_ops"])
    }

    @Test func aColumnIsNoRow() throws {
        let found = try OptimisedRun.primitives(
            "%x: f32[2,6,8], %b: f32[2,1,5]", "%d = matmul(%x, R[8,5])\n%s = add(%d, %b)\n%y = nn.gelu(%s)")
        #expect(found.first == "dnnl.matmul_post_ops")
        #expect(found.count == 1 || found.last == "dnnl.eltwise_post_ops")
    }

    @Test(arguments: [
        ("%y = sum(%x) {axis=[2]}", ["dnnl.reduction_sum"]), ("%y = mean(%x) {axis=[1,2]}", ["dnnl.reduction_mean"]),
        // Values that lie apart are summed by the kernel.
        ("%y = sum(%x) {axis=[1]}", []), ("%y = mean(%x) {axis=[0], keepdims=true}", []),
    ])
    func reductionsSideBySideArePrimitives(bindings: String, primitives: [String]) throws {
        #expect(try OptimisedRun.primitives("%x: f32[2,6,8]", bindings) == primitives)
    }

    @Test func aGlobalMaximumIsAPooling() throws {
        let found = try OptimisedRun.primitives(
            "%x: f32[2,16,300]", "%c = nn.conv1d(%x, R[16,16,3])\n%y = nn.adaptive_max_pool1d(%c) {output_size=[1]}")
        #expect(found == ["dnnl.conv1d_post_ops", "dnnl.adaptive_max_pool1d", "dnnl.adaptive_max_pool1d"])
    }
}
