/// Normalisation with statistics that are inputs, and softmax.
enum NormalizationOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "nn.batch_norm",
            "(x - moving_mean) / sqrt(moving_var + epsilon) * gamma + beta, one value each per index of axis.",
            inputs: [.init("data"), .init("gamma"), .init("beta"), .init("moving_mean"), .init("moving_var")],
            attributes: [.defaulted("axis", 1), .defaulted("epsilon", 1e-5)], infer: batchNorm),
        OperatorSchema(
            "nn.softmax", "exp(x) / sum(exp(x)) along axis.", inputs: [.init("x")],
            attributes: [.defaulted("axis", -1)], infer: alongAxis),
        OperatorSchema(
            "nn.log_softmax", "x - log(sum(exp(x))) along axis.", inputs: [.init("x")],
            attributes: [.defaulted("axis", -1)], infer: alongAxis),
    ]

    static func batchNorm(_ site: CallSite) throws -> ValueType {
        let data = try site.tensor(0)
        for index in 1...4 {
            let type = try site.tensor(index, rank: 1)
            guard let rank = data.rank else { continue }
            let axis = try site.axis(try site.int("axis"), rank: rank)
            if let channels = data.shape?[axis].value, let count = type.shape?[0].value, channels != count {
                throw site.inputError(index, expects: "\(channels) values, as dimension \(axis) of data (\(data))")
            }
        }
        return .tensor(data)
    }

    static func alongAxis(_ site: CallSite) throws -> ValueType {
        let x = try site.tensor(0)
        if let rank = x.rank { _ = try site.axis(try site.int("axis"), rank: rank) }
        return .tensor(x)
    }
}
