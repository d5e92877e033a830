/// Normalisation and softmax.
enum NormalizationOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "nn.batch_norm",
            """
            (x - mean) / sqrt(variance + epsilon) * gamma + beta, one value each per index of axis; a tuple of it, the \
            mean and the variance. With training, the statistics are the batch's and the moving ones move by momentum.
            """,
            inputs: [.init("data"), .init("gamma"), .init("beta"), .init("moving_mean"), .init("moving_var")],
            attributes: [
                .defaulted("axis", 1), .defaulted("epsilon", 1e-5), .defaulted("center", true),
                .defaulted("scale", true), .defaulted("momentum", 0.1), .defaulted("training", false),
            ], infer: batchNorm),
        OperatorSchema(
            "nn.layer_norm", "(x - mean) / sqrt(variance + epsilon) * gamma + beta with the statistics over axes.",
            inputs: [.init("data"), .init("gamma"), .init("beta")],
            attributes: [
                .defaulted("axes", .ints([-1])), .defaulted("epsilon", 1e-5), .defaulted("center", true),
                .defaulted("scale", true),
            ], infer: layerNorm),
        OperatorSchema(
            "nn.rms_norm", "x / sqrt(mean(x * x) + epsilon) * weight with the mean over axes.",
            inputs: [.init("data"), .init("weight")],
            attributes: [.defaulted("axes", .ints([-1])), .defaulted("epsilon", 1e-5)], infer: layerNorm),
        OperatorSchema(
            "nn.instance_norm",
            "(x - mean) / sqrt(variance + epsilon) * gamma + beta, statistics per sample and channel.",
            inputs: [.init("data"), .init("gamma"), .init("beta")],
            attributes: [
                .defaulted("channel_axis", 1), .defaulted("axes", .ints([2, 3])), .defaulted("epsilon", 1e-5),
                .defaulted("center", true), .defaulted("scale", true),
            ], infer: perChannel),
        OperatorSchema(
            "nn.group_norm",
            "(x - mean) / sqrt(variance + epsilon) * gamma + beta, statistics per sample and group of channels.",
            inputs: [.init("data"), .init("gamma"), .init("beta")],
            attributes: [
                .required("num_groups", .int), .defaulted("channel_axis", 1), .defaulted("axes", .ints([2, 3])),
                .defaulted("epsilon", 1e-5), .defaulted("center", true), .defaulted("scale", true),
            ], infer: groupNorm),
        OperatorSchema(
            "nn.lrn", "x / (bias + alpha / size * sum(x * x over size neighbours along axis)) ^ beta.",
            inputs: [.init("data")],
            attributes: [
                .defaulted("size", 5), .defaulted("axis", 1), .defaulted("alpha", 1e-4), .defaulted("beta", 0.75),
                .defaulted("bias", 1.0),
            ]
        ) { site in
            guard try site.int("size") > 0 else { throw site.attributeError("size", expects: "a number above 0") }
            return try alongAxis(site)
        },
        OperatorSchema(
            "nn.lp_normalize", "x / (sum(|x| ^ p) ^ (1 / p)) along axis; 0 where the norm is 0.",
            inputs: [.init("data")],
            attributes: [.defaulted("p", 2), .defaulted("axis", -1)]
        ) { site in
            guard (1...2).contains(try site.int("p")) else { throw site.attributeError("p", expects: "1 or 2") }
            return try alongAxis(site)
        },
        OperatorSchema(
            "nn.softmax", "exp(x) / sum(exp(x)) along axis.", inputs: [.init("x")],
            attributes: [.defaulted("axis", -1)], infer: alongAxis),
        OperatorSchema(
            "nn.log_softmax", "x - log(sum(exp(x))) along axis.", inputs: [.init("x")],
            attributes: [.defaulted("axis", -1)], infer: alongAxis),
    ]

    static func batchNorm(_ site: CallSite) throws -> ValueType {
        let data = try site.tensor(0)
        try checkPerChannel(site, data, axis: try site.int("axis"), inputs: 1...4)
        return .tuple([.tensor(data), .tensor(try site.tensor(3)), .tensor(try site.tensor(4))])
    }

    /// Inputs that hold one value per index of `axis`.
    private static func checkPerChannel(
        _ site: CallSite, _ data: TensorType, axis: Int64, inputs: ClosedRange<Int>
    ) throws {
        for index in inputs {
            let type = try site.tensor(index, rank: 1)
            guard let rank = data.rank else { continue }
            let axis = try site.axis(axis, rank: rank)
            if let channels = data.shape?[axis].value, let count = type.shape?[0].value, channels != count {
                throw site.inputError(index, expects: "\(channels) values, as dimension \(axis) of data (\(data))")
            }
        }
    }

    /// The axes of the attribute `axes`, from 0, each once.
    static func axes(_ site: CallSite, rank: Int) throws -> [Int] {
        let axes = try site.ints("axes").map { try site.axis($0, rank: rank, attribute: "axes") }
        guard Set(axes).count == axes.count else { throw site.attributeError("axes", expects: "different axes") }
        return axes
    }

    /// Scale and shift have the sizes of the normalised axes, or broadcast to them.
    private static func layerNorm(_ site: CallSite) throws -> ValueType {
        let data = try site.tensor(0)
        guard let rank = data.rank else { return .tensor(data) }
        let axes = try axes(site, rank: rank)
        guard let shape = data.shape else { return .tensor(data) }
        let normalised = axes.map { shape[$0] }
        for index in 1..<site.count {
            guard let given = try site.tensor(index).shape else { continue }
            guard Broadcast.shape(normalised, given) == normalised else {
                throw site.inputError(index, expects: "the sizes of axes \(axes) of data (\(data))")
            }
        }
        return .tensor(data)
    }

    private static func perChannel(_ site: CallSite) throws -> ValueType {
        let data = try site.tensor(0)
        try checkPerChannel(site, data, axis: try site.int("channel_axis"), inputs: 1...2)
        if let rank = data.rank {
            let channel = try site.axis(try site.int("channel_axis"), rank: rank, attribute: "channel_axis")
            guard try !axes(site, rank: rank).contains(channel) else {
                throw site.attributeError("axes", expects: "axes other than the channels'")
            }
        }
        return .tensor(data)
    }

    private static func groupNorm(_ site: CallSite) throws -> ValueType {
        let type = try perChannel(site)
        let groups = try site.int("num_groups")
        guard groups > 0 else { throw site.attributeError("num_groups", expects: "a number above 0") }
        if let shape = type.asTensor?.shape {
            let channel = try site.axis(try site.int("channel_axis"), rank: shape.count, attribute: "channel_axis")
            if let channels = shape[channel].value, channels % groups != 0 {
                throw site.attributeError("num_groups", expects: "a divisor of \(channels) channels")
            }
        }
        return type
    }

    static func alongAxis(_ site: CallSite) throws -> ValueType {
        let x = try site.tensor(0)
        if let rank = x.rank { _ = try site.axis(try site.int("axis"), rank: rank) }
        return .tensor(x)
    }
}
