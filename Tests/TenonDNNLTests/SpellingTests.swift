import Testing

@testable import TenonDNNL

/// One layer in the many ways that exporters write it: what runs in the end, and that it computes the same.
@Suite(.serialized) struct SpellingTests {
    private static func primitives(
        _ body: String, results: String = "%y", withKernels: Bool = false
    ) throws -> [String] {
        try OptimisedRun.primitives(
            "%x: f32[2,4,6,6], %r: f32[2,8,6,6], %v: f32[5,12], %q: f32[2,8,36], %p: f32[8], %m: f32[12,5]", body,
            results: results, withKernels: withKernels)
    }

    private static let conv = "%c = nn.conv2d(%x, R[8,4,3,3]) {padding=[1,1,1,1]}\n"

    @Test(arguments: [
        // The operands of the addition swapped, every shape of a bias.
        "%y = add(R[8,1,1], %c)", "%y = add(%c, R[1,8,1,1])", "%y = add(%c, R[])", "%y = add(R[1], %c)",
        // By subtraction, and in several steps.
        "%y = subtract(%c, R[8,1,1])", "%s = add(%c, R[8,1,1])\n%t = subtract(%s, R[])\n%y = add(R[1,8,1,1], %t)",
        // A parameter, reshaped, and repeated to the full shape first.
        "%b = reshape(%p, shape[1,8,1,1])\n%y = add(%b, %c)",
        "%b = reshape(%p, shape[8,1,1])\n%e = broadcast_to(%b, shape[2,8,6,6])\n%y = add(%c, %e)",
        // Behind moved data.
        "%s = reshape(%c, shape[2,8,36])\n%t = add(%s, R[8,1])\n%y = nn.relu(%t)",
        "%s = expand_dims(%c) {axis=[1]}\n%t = add(R[1,8,1,1], %s)\n%u = nn.relu(%t)\n%y = squeeze(%u) {axis=[1]}",
        "%s = permute_dims(%c) {axes=[0,2,3,1]}\n%t = add(%s, R[8])\n%y = nn.silu(%t)",
        "%s = permute_dims(%c) {axes=[0,2,3,1]}\n%t = add(%p, %s)\n%y = nn.relu(%t)",
        "%s = permute_dims(%c) {axes=[2,0,3,1]}\n%t = reshape(%s, shape[12,48])\n%y = nn.relu(%t)",
        "%s = flatten(%c)\n%y = multiply(%s, R[])",
        // A residual, before and behind an activation, also moved the same way.
        "%s = add(%c, %r)\n%y = nn.relu(%s)", "%s = nn.relu(%c)\n%y = add(%r, %s)",
        "%s = nn.silu(%c)\n%t = add(%s, %r)\n%y = nn.relu(%t)",
        "%s = reshape(%c, shape[2,8,36])\n%z = reshape(%r, shape[2,8,36])\n%t = add(%z, %s)\n%y = nn.relu(%t)",
        "%s = reshape(%c, shape[2,8,36])\n%t = add(%q, %s)\n%y = nn.relu(%t)",
        // Batch normalisation in all its places.
        "%n = nn.batch_norm(%c, R[8], R[8], R[8], P[8])\n%b = %n.0\n%y = nn.relu(%b)",
        "%s = add(%c, R[8,1,1])\n%n = nn.batch_norm(%s, R[8], R[8], R[8], P[8])\n%b = %n.0\n%y = nn.relu(%b)",
        "%i = %c\n%n = nn.batch_norm(%i, R[8], R[8], R[8], P[8])\n%b = %n.0\n%j = %b\n%y = nn.relu(%j)",
        "%s = multiply(%c, R[8,1,1])\n%y = add(%s, R[8,1,1])", "%s = multiply(R[], %c)\n%y = divide(%s, P[8,1,1])",
        "%s = permute_dims(%c) {axes=[0,2,3,1]}\n%n = nn.batch_norm(%s, R[8], R[8], R[8], P[8]) {axis=3}\n%b = %n.0\n%y = nn.relu(%b)",
        "%s = reshape(%c, shape[2,8,36])\n%n = nn.batch_norm(%s, R[8], R[8], R[8], P[8])\n%b = %n.0\n%y = nn.relu(%b)",
    ])
    func oneConvolution(rest: String) throws {
        let found = try Self.primitives(Self.conv + rest)
        #expect(found == ["dnnl.conv2d_post_ops"] || found == ["dnnl.conv2d_reshape_add_relu"])
    }

    @Test(arguments: [
        // What varies along another axis is no bias, what has two users or leaves stays, and nothing moves over what moves
        // other values.
        ("%y = add(%c, R[6])", ["dnnl.conv2d_post_ops"]),
        ("%y = add(%c, R[2,1,1,1])", ["dnnl.conv2d_post_ops"]),
        ("%s = reshape(%c, shape[2,8,36])\n%y = add(%s, R[36])", ["dnnl.conv2d_post_ops"]),
        (
            "%s = reshape(%c, shape[2,8,36])\n%t = nn.relu(%s)\n%u = tanh(%s)\n%y = add(%t, %u)",
            ["dnnl.conv2d_post_ops", "dnnl.eltwise_post_ops", "dnnl.eltwise_post_ops"]
        ),
        (
            "%s = permute_dims(%c) {axes=[0,2,3,1]}\n%z = reshape(%r, shape[2,6,6,8])\n%y = add(%s, %z)",
            ["dnnl.conv2d_post_ops", "dnnl.eltwise_post_ops"]
        ),
        ("%s = reshape(%c, shape[16,36])\n%y = add(%s, R[16,1])", ["dnnl.conv2d_post_ops"]),
        (
            "%y = nn.max_pool2d(%c) {pool_size=[2,2], strides=[2,2]}\n%z = tanh(%y)",
            // Pooling, and the look for infinities in its result.
            ["dnnl.conv2d_post_ops", "dnnl.max_pool2d", "dnnl.max_pool2d", "dnnl.eltwise_post_ops"]
        ),
    ])
    func moreThanOneConvolution(rest: String, primitives: [String]) throws {
        let results = rest.contains("%z = tanh") ? "%y, %z" : "%y"
        let found = try Self.primitives(Self.conv + rest, results: results)
        #expect(found.first == "dnnl.conv2d_post_ops")
        #expect(found.filter { $0 != "dnnl.eltwise_post_ops" } == primitives.filter { $0 != "dnnl.eltwise_post_ops" })
    }

    @Test func anIntermediateThatIsReturnedStays() throws {
        let found = try Self.primitives(
            Self.conv + "%s = reshape(%c, shape[2,8,36])\n%y = nn.relu(%s)", results: "%y, %s")
        #expect(found == ["dnnl.conv2d_post_ops", "dnnl.eltwise_post_ops"])
    }

    @Test func twoConvolutionsShareABias() throws {
        let found = try Self.primitives(
            """
            %b = reshape(%p, shape[1,8,1,1])
            %c = nn.conv2d(%x, R[8,4,3,3]) {padding=[1,1,1,1]}
            %d = nn.conv2d(%x, R[8,4,1,1])
            %s = add(%c, %b)
            %t = add(%b, %d)
            %y = add(%s, %t)
            """)
        #expect(found == ["dnnl.conv2d_post_ops", "dnnl.conv2d_post_ops"])
    }

    @Test(arguments: [
        "%d = nn.dense(%v, R[7,12])\n%y = add(%d, R[7])", "%d = nn.dense(%v, R[7,12])\n%y = add(R[1,7], %d)",
        "%d = nn.dense(%v, R[7,12])\n%s = reshape(%d, shape[5,7,1])\n%t = add(%s, R[7,1])\n%y = nn.gelu(%t)",
        "%d = nn.dense(%v, R[7,12])\n%n = nn.batch_norm(%d, R[7], R[7], R[7], P[7])\n%b = %n.0\n%y = nn.relu(%b)",
        "%n = nn.batch_norm(%v, R[12], R[12], R[12], P[12])\n%b = %n.0\n%y = nn.dense(%b, R[7,12])",
        "%s = add(%v, R[12])\n%t = multiply(%s, R[])\n%y = nn.dense(%t, R[7,12])",
        // Gemm: alpha, beta, both transposes, constants and parameters.
        "%w = permute_dims(R[7,12])\n%d = matmul(%v, %w)\n%s = multiply(%d, R[])\n%k = multiply(R[7], R[])\n%y = add(%s, %k)",
        "%s = multiply(%v, R[])\n%w = permute_dims(R[12,7])\n%d = nn.dense(%s, %w)\n%y = add(R[7], %d)",
    ])
    func oneDenseLayer(body: String) throws {
        let found = try Self.primitives(body)
        #expect(found == ["dnnl.dense_post_ops"] || found == ["dnnl.matmul_post_ops"])
    }

    @Test(arguments: [
        "%d = matmul(%q, R[36,10])\n%s = add(%d, R[10])\n%t = add(%s, R[])\n%y = nn.gelu(%t)",
        "%d = nn.dense(%q, R[10,36])\n%s = multiply(%d, R[10])\n%y = add(%s, R[1,1,10])",
        "%d = matmul(%q, R[36,10])\n%s = permute_dims(%d) {axes=[0,2,1]}\n%n = nn.batch_norm(%s, R[10], R[10], R[10], P[10])\n%b = %n.0\n%y = nn.relu(%b)",
        "%d = matmul(%q, R[36,10])\n%s = reshape(%d, shape[2,8,5,2])\n%y = nn.relu(%s)",
        "%s = multiply(%q, R[36])\n%t = add(%s, R[36])\n%y = matmul(%t, R[36,10])",
    ])
    func oneProductOfMoreDimensions(body: String) throws {
        let found = try Self.primitives(body)
        #expect(found == ["dnnl.matmul_post_ops"] || found == ["dnnl.dense_post_ops"])
    }

    @Test(arguments: [
        (
            "%p1 = nn.max_pool2d(%c) {pool_size=[3,3], strides=[2,2], padding=[1,1,1,1]}\n%y = nn.relu(%p1)",
            "dnnl.max_pool2d"
        ),
        ("%p1 = nn.max_pool2d(%c) {pool_size=[2,2], strides=[2,2]}\n%y = clip(%p1, 0.0, 0.25)", "dnnl.max_pool2d"),
        ("%y = mean(%c) {axis=[2,3], keepdims=true}", "dnnl.adaptive_avg_pool2d"),
        ("%y = mean(%c) {axis=[-1,-2]}", "dnnl.adaptive_avg_pool2d"),
    ])
    func aConvolutionAndAPooling(rest: String, pooling: String) throws {
        #expect(try Self.primitives(Self.conv + rest) == ["dnnl.conv2d_post_ops", pooling])
    }

    @Test(arguments: [
        // Padding of its own, two pads in a row, a pad of nothing, transposed convolutions, no shift before padding.
        "%a = nn.pad(%x) {pad_width=[0,0,0,0,1,0,0,1]}\n%b = nn.pad(%a) {pad_width=[0,0,0,0,0,1,1,0]}\n%y = nn.conv2d(%b, R[8,4,3,3])",
        "%a = nn.pad(%x) {pad_width=[0,0,0,0,0,0,0,0]}\n%y = nn.conv2d(%a, R[8,4,3,3])",
        "%a = multiply(%x, R[4,1,1])\n%y = nn.conv2d(%a, R[8,4,3,3]) {padding=[1,1,1,1]}",
        "%a = add(%x, R[4,1,1])\n%y = nn.conv2d(%a, R[8,4,3,3])",
    ])
    func whatStandsBefore(body: String) throws {
        #expect(try Self.primitives(body) == ["dnnl.conv2d_post_ops"])
    }

    @Test(arguments: [
        "%c = nn.conv2d_transpose(%x, R[4,6,3,3]) {strides=[2,2]}\n%n = nn.batch_norm(%c, R[6], R[6], R[6], P[6])\n%b = %n.0\n%y = nn.relu(%b)",
        "%a = multiply(%x, R[4,1,1])\n%y = nn.conv2d_transpose(%a, R[4,6,3,3]) {strides=[2,2], padding=[1,1,1,1]}",
        "%a = multiply(%x, R[4,1,1])\n%y = nn.conv2d_transpose(%a, R[4,3,3,3]) {groups=2}",
    ])
    func oneTransposedConvolution(body: String) throws {
        #expect(try Self.primitives(body) == ["dnnl.conv2d_transpose_post_ops"])
    }

    @Test(arguments: [
        // A shift in front of padding, or of a transposed convolution, is not one number per channel behind it.
        "%a = add(%x, R[4,1,1])\n%y = nn.conv2d(%a, R[8,4,3,3]) {padding=[1,1,1,1]}",
        "%a = add(%x, R[4,1,1])\n%y = nn.conv2d_transpose(%a, R[4,6,3,3])",
        "%a = multiply(%x, R[6])\n%y = nn.conv2d(%a, R[8,4,3,3])",
    ])
    func whatStandsBeforeAndStays(body: String) throws {
        #expect(try Self.primitives(body, withKernels: true).count == 2)
    }
}
