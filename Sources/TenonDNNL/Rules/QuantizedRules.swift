import TenonIR
import TenonRewrite

/// What goes from small integers to small integers: `[dequantize] → anchor → chain → [quantize]`. Our integer kernels compute it
/// with exact sums; the check asks them, so that the explanation says why something stays in single precision.
enum QuantizedRules {
    static func rules() throws -> [FusionPattern] {
        let layers = Operators.all(with: .linear).filter { !$0.has(.transposedConvolution) }.map(\.name)
        // With a quantised result first: the shorter match is part of the longer one.
        return try layers.map { try layer($0, isQuantized: true) } + [sum(), functions()] + pools()
            + layers.map { try layer($0, isQuantized: false) } + [alone("quantize"), alone("dequantize")]
    }

    private static func real(_ data: Pattern) throws -> Pattern { try isOp("dequantize")(data, wildcard(), wildcard()) }

    private static func quantized(_ data: Pattern) throws -> Pattern {
        try isOp("quantize")(data, wildcard(), wildcard()).named("root")
    }

    private static func bounds() throws -> [ChainStep] {
        Operators.all(with: .clamps).map { ChainStep($0) }
    }

    /// A convolution or product with known weights, its bias, and bounds of the result.
    private static func layer(_ name: String, isQuantized: Bool) throws -> FusionPattern {
        let (data, weight) = (wildcard().named("data"), wildcard().named("weight"))
        let anchor = try isOp(name)(try real(data), try real(weight)).named("anchor")
        let bias = ChainStep(try Operators.require("add"), other: wildcard(), chainOperand: nil)
        let chain = anchor.followed(by: [bias] + (try bounds()), 0...4)
        let short = name.hasPrefix("nn.") ? String(name.dropFirst(3)) : name
        return FusionPattern(
            "dnnl.int8_" + short + (isQuantized ? "" : "_f32"), isQuantized ? try quantized(chain) : chain,
            annotations: [("data", data), ("weight", weight), ("anchor", anchor)],
            check: QuantizedSupport.refusal, allowsLeak: false)
    }

    /// A sum or product of two tensors.
    private static func sum() throws -> FusionPattern {
        let (a, b) = (wildcard().named("a"), wildcard().named("b"))
        let (x, y) = (try real(a), try real(b))
        let anchor = (try isOp("add")(x, y) | (try isOp("multiply")(x, y))).named("anchor")
        return FusionPattern(
            "dnnl.int8_binary", try quantized(anchor.followed(by: try bounds(), 0...3)),
            annotations: [("a", a), ("b", b), ("anchor", anchor)], check: QuantizedSupport.refusal, allowsLeak: false)
    }

    /// Functions of one tensor, or another scale: a table.
    private static func functions() throws -> FusionPattern {
        let data = wildcard().named("data")
        let chain = try real(data).followed(by: try PostOperations.steps(), 0...8)
        return FusionPattern(
            "dnnl.int8_table", try quantized(chain), annotations: [("data", data)], check: QuantizedSupport.refusal,
            allowsLeak: false)
    }

    private static func pools() throws -> [FusionPattern] {
        try ["max_pool", "avg_pool", "adaptive_avg_pool"].flatMap { kind in (1...3).map { "nn.\(kind)\($0)d" } }
            .map { $0 }.appending("mean").map { name in
                let data = wildcard().named("data")
                let anchor = try isOp(name)(try real(data)).named("anchor")
                let short = name.hasPrefix("nn.") ? String(name.dropFirst(3)) : name
                return FusionPattern(
                    "dnnl.int8_" + short, try quantized(anchor.followed(by: try bounds(), 0...2)),
                    annotations: [("data", data), ("anchor", anchor)], check: QuantizedSupport.refusal,
                    allowsLeak: false)
            }
    }

    /// At the borders of what is quantised.
    private static func alone(_ name: String) throws -> FusionPattern {
        let data = wildcard().named("data")
        let anchor = try isOp(name)(data, wildcard(), wildcard()).named("anchor")
        return FusionPattern(
            "dnnl." + name, anchor, annotations: [("data", data), ("anchor", anchor)],
            check: QuantizedSupport.refusal, allowsLeak: false)
    }
}

extension Array {
    fileprivate func appending(_ element: Element) -> [Element] { self + [element] }
}

/// Asks our integer kernels.
enum QuantizedSupport {
    @Sendable static func refusal(_ candidate: FusionCandidate) -> Refusal? {
        // Our kernels take any size, so that one stands for all.
        guard let function = CandidateFunction(candidate, assumedSize: 64)?.function,
            var graph = try? RegionReader.read(function)
        else {
            return Refusal(.shape, found: "sizes that are not known", expected: "known dimensions")
        }
        graph.composites = ["asked"]
        for index in graph.ops.indices { graph.ops[index].composite = 0 }
        if QuantizedFolding.node(graph.ops, graph) != nil { return nil }
        return Refusal(
            .backendRefused, found: "no integer kernel for \(graph.ops.map(\.name).joined(separator: ", "))",
            expected:
                "u8 or i8, known weights, known positive scales: one for data and results, one per output for weights")
    }
}

/// Everything quantised that our integer kernels compute.
public struct FuseQuantizedOpsForDNNL: ModulePass {
    public init() {}

    public var name: String { "FuseQuantizedOpsForDNNL" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        try FuseOpsByPattern(try QuantizedRules.rules()).run(on: module, context)
    }
}
