import TenonIR
import TenonRewrite

/// Pooling of 1 to 3 dimensions, global pooling among it.
enum PoolingRules {
    static func rules() throws -> [FusionPattern] {
        var rules: [FusionPattern] = []
        for spatial in 1...3 {
            for kind in ["max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool"] {
                let name = "nn.\(kind)\(spatial)d"
                let data = wildcard().named("data")
                let anchor = try isOp(name)(data).named("anchor")
                rules.append(
                    FusionPattern(
                        "dnnl.\(kind)\(spatial)d", anchor, annotations: [("data", data), ("anchor", anchor)],
                        check: { candidate in
                            guard candidate.tensorType(data)?.dtype == .float32 else {
                                return Refusal(
                                    .dtype, found: candidate.tensorType(data).map { "\($0)" } ?? "unknown",
                                    expected: "f32")
                            }
                            if kind.hasPrefix("adaptive"),
                                candidate.call(anchor)?.attributes.ints("output_size")?.contains(where: { $0 != 1 })
                                    != false
                            {
                                return Refusal(
                                    .attribute, found: "output_size other than 1", expected: "global pooling")
                            }
                            return nil
                        }, allowsLeak: false))
            }
        }
        return rules
    }
}
