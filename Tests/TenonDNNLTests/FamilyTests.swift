import TenonIR
import TenonRewrite
import Testing

@testable import TenonDNNL

/// Reductions, resampling, parametric ReLU, shuffles and transposed products: what oneDNN takes, that it computes the same
/// over odd sizes, and what stays with the kernels.
@Suite(.serialized) struct FamilyTests {
    @Test(arguments: ["sum", "mean", "prod"])
    func reduction(name: String) throws {
        for (shape, attributes) in [
            ("7,33", "axis=[1], keepdims=true"), ("7,33", "axis=[-1]"), ("3,5,17", "axis=[1,2]"),
            ("2,3,5,7", "axis=[2,3], keepdims=true"), ("2,16,9,5", "axis=[-1], keepdims=true"), ("1,40", "axis=[1]"),
        ] {
            let found = try OptimisedRun.primitives("%x: f32[\(shape)]", "%y = \(name)(%x) {\(attributes)}")
            if shape.split(separator: ",").count == 4 && name == "mean" && attributes.hasPrefix("axis=[2,3]") {
                #expect(found == ["dnnl.adaptive_avg_pool2d"])
            } else if attributes.contains("-1") || attributes.contains("[1]") && shape != "3,5,17" {
                #expect(found == ["dnnl.reduction_" + name], "\(shape) \(attributes)")
            }
        }
    }

    /// Along leading dimensions oneDNN has reference loops only; a size of 1 is nothing to reduce.
    @Test(arguments: ["axis=[0]", "axis=[0], keepdims=true", "axis=[2]", "axis=[2], keepdims=true", "axis=[0,1,2]"])
    func reductionAlongOtherDimensions(attributes: String) throws {
        _ = try OptimisedRun.primitives("%x: f32[6,11,1]", "%y = sum(%x) {\(attributes)}")
    }

    @Test(arguments: [
        ("16,5,7", "10,14", "method=\"linear\""), ("3,5,7", "9,4", "method=\"linear\""),
        ("20,8,6", "13,17", "method=\"linear\", coordinate_transformation_mode=\"pytorch_half_pixel\""),
        (
            "16,5,7", "10,21",
            "method=\"nearest_neighbor\", coordinate_transformation_mode=\"asymmetric\", rounding_method=\"floor\""
        ),
        ("5,5,7", "15,7", "method=\"nearest_neighbor\""),
        ("16,3,4", "6,8", "method=\"nearest_neighbor\", scales=[2.0, 2.0]"),
    ])
    func resampling(image: String, size: String, attributes: String) throws {
        let found = try OptimisedRun.primitives(
            "%x: f32[2,\(image)]", "%y = image.resize2d(%x, shape[\(size)]) {\(attributes)}")
        #expect(found == ["dnnl.resampling"])
    }

    @Test(arguments: [
        // Other positions, other neighbours, another scale, no whole multiple, smoothing, cubic.
        ("10,14", "method=\"linear\", coordinate_transformation_mode=\"align_corners\""),
        ("10,14", "method=\"linear\", coordinate_transformation_mode=\"asymmetric\""),
        ("10,14", "method=\"nearest_neighbor\", coordinate_transformation_mode=\"asymmetric\""),
        ("10,14", "method=\"nearest_neighbor\", rounding_method=\"ceil\""), ("8,14", "method=\"nearest_neighbor\""),
        ("3,4", "method=\"linear\", antialias=true"), ("10,14", "method=\"cubic\""),
        ("11,15", "method=\"linear\", scales=[2.25, 2.15]"),
    ])
    func otherResamplingStays(size: String, attributes: String) throws {
        let found = try OptimisedRun.primitives(
            "%x: f32[1,16,5,7]", "%y = image.resize2d(%x, shape[\(size)]) {\(attributes)}")
        #expect(found.isEmpty)
    }

    @Test(arguments: ["16,1,1", "1,16,1,1", "2,16,5,7"]) func parametricReLU(slope: String) throws {
        #expect(
            try OptimisedRun.primitives("%x: f32[2,16,5,7]", "%y = nn.prelu(%x, R[\(slope)])") == ["dnnl.prelu"])
    }

    /// For these oneDNN 2.6 has reference loops only; whoever computes them, the numbers are the same.
    @Test(arguments: ["16,5,7", "1", "7", "5,1"]) func parametricReLUWithOtherSlopes(slope: String) throws {
        _ = try OptimisedRun.primitives("%x: f32[2,16,5,7]", "%y = nn.prelu(%x, R[\(slope)])")
    }

    @Test func parametricReLUBehindAConvolution() throws {
        let found = try OptimisedRun.primitives(
            "%x: f32[1,3,9,11], %s: f32[20,1,1]",
            "%c = nn.conv2d(%x, R[20,3,3,3])\n%b = add(%c, R[20,1,1])\n%y = nn.prelu(%b, %s)")
        #expect(found == ["dnnl.conv2d_post_ops", "dnnl.prelu"])
    }

    @Test(arguments: [("2,32,5,7", 2, 16), ("1,48,3,3", 3, 16), ("2,6,5,4", 2, 3)])
    func shuffle(shape: String, groups: Int, size: Int) throws {
        let sizes = shape.split(separator: ",")
        let body = """
            %a = reshape(%x, shape[\(sizes[0]),\(groups),\(size),\(sizes[2]),\(sizes[3])])
            %b = permute_dims(%a) {axes=[0,2,1,3,4]}
            %y = reshape(%b, shape[\(shape)])
            """
        // Of channels that fill no block oneDNN 2.6 has reference loops only.
        let found = try OptimisedRun.primitives("%x: f32[\(shape)]", body)
        #expect(found == ["dnnl.shuffle"] || groups * size < 16)
    }

    @Test(arguments: ["axes=[0,1,2,4,3]", "axes=[0,2,1,4,3]"])
    func anotherPermutationIsNoShuffle(axes: String) throws {
        let body =
            "%a = reshape(%x, shape[2,2,8,5,5])\n%b = permute_dims(%a) {\(axes)}\n%y = reshape(%b, shape[2,16,5,5])"
        #expect(try OptimisedRun.primitives("%x: f32[2,16,5,5]", body).isEmpty)
    }

    @Test(arguments: [
        ("2,3,5,8", "2,3,7,8", "[0,1,3,2]"), ("4,1,9", "4,6,9", "[0,2,1]"), ("5,8", "7,8", "[1,0]"),
        ("1,2,17,16", "1,2,17,16", "[0,1,3,2]"),
    ])
    func transposedProduct(a: String, b: String, axes: String) throws {
        let found = try OptimisedRun.primitives(
            "%x: f32[\(a)], %w: f32[\(b)]",
            "%t = permute_dims(%w) {axes=\(axes)}\n%p = matmul(%x, %t)\n%s = multiply(%p, R[])\n%y = nn.relu(%s)")
        #expect(found == [a == "5,8" ? "dnnl.dense_post_ops" : "dnnl.matmul_transposed_post_ops"])
    }

    /// The transposed operand is needed elsewhere, or is transposed otherwise, or is the other one.
    @Test(arguments: [
        "%t = permute_dims(%w) {axes=[0,2,1]}\n%p = matmul(%x, %t)\n%u = tanh(%t)\n%v = permute_dims(%u) {axes=[0,2,1]}\n%y = matmul(%p, %v)",
        "%t = permute_dims(%w) {axes=[1,2,0]}\n%z = reshape(%t, shape[3,9,6])\n%y = matmul(%x, %z)",
        "%t = permute_dims(%x) {axes=[0,2,1]}\n%y = matmul(%w, %t)",
        "%t = permute_dims(%x) {axes=[0,2,1]}\n%y = matmul(%x, %t)",
    ])
    func transposesInOtherPlaces(body: String) throws {
        _ = try OptimisedRun.primitives("%x: f32[3,5,9], %w: f32[3,6,9]", body)
    }

    // MARK: - What the backend refuses

    private func refusals(_ parameters: String, _ body: String) throws -> [Explanation.NearMiss] {
        let module = try OptimisedRun.module(parameters, body)
        return try explain(module, FuseOpsByPattern(try DNNLPatternTable.rules())).nearMisses.filter {
            $0.kind == .backendRefused
        }
    }

    @Test func aRefusalOfTheBackendIsExplained() throws {
        // A window of even size is not symmetric.
        let misses = try refusals("%x: f32[1,16,5,5]", "%y = nn.lrn(%x) {size=4}")
        #expect(misses.map(\.rule) == ["dnnl.lrn"])
        #expect(misses.first?.root == "y")
        #expect(misses.first?.found == "no implementation in oneDNN of nn.lrn with these attributes and sizes")
        #expect(misses.first?.expected == "an optimised implementation in oneDNN")
        #expect(try refusals("%x: f32[1,16,5,5]", "%y = nn.lrn(%x) {size=5}").isEmpty)
    }

    /// oneDNN has only its reference loops for them.
    @Test func sumsOfValuesThatLieApartAreRefused() throws {
        let misses = try refusals("%x: f32[6,11,3]", "%y = sum(%x) {axis=[0]}")
        #expect(misses.map(\.rule) == ["dnnl.reduction_sum"])
        #expect(misses.first?.found == "no implementation in oneDNN of sum with these attributes and sizes")
        #expect(try refusals("%x: f32[6,11,3]", "%y = sum(%x) {axis=[2]}").isEmpty)
    }

    @Test func whatIsRefusedFusesAsFarAsItMay() throws {
        let module = try OptimisedRun.module(
            "%x: f32[1,16,8,8]",
            "%c = nn.conv2d(%x, R[16,16,3,3])\n%r = nn.relu(%c)\n%s = nn.softplus(%r)\n%y = tanh(%s)")
        let explanation = try explain(module, FuseOpsByPattern(try DNNLPatternTable.rules()))
        let fused = try #require(explanation.fusions.first { $0.rule == "dnnl.conv2d_post_ops" })
        #expect(fused.members.map(\.binding) == ["c", "r"])
    }
}
