/// What classical machine learning needs and tensors' operators do not say: trees, look-up of values, probabilities of pairs.
enum LearningOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "ml.tree_ensemble",
            """
            What decision trees give for each row of x [n, features]: [n, targets]. A node compares x[feature] with its \
            threshold (modes 0 to 5: <= < >= > = !=; 128 more: NaN counts as true) and goes on to true_nodes or false_nodes; a \
            number below 0 is leaf -1 - number, whose targets and weights are listed from leaf_offsets[leaf] on. The trees are \
            constants.
            """,
            inputs: [
                .init("x"), .init("features"), .init("thresholds"), .init("true_nodes"), .init("false_nodes"),
                .init("modes"), .init("roots"), .init("leaf_offsets"), .init("leaf_targets"), .init("leaf_weights"),
            ],
            attributes: [
                .required("targets", .int), .defaulted("aggregate", "SUM", allowed: ["SUM", "AVERAGE", "MIN", "MAX"]),
            ]
        ) { site in
            let x = try site.tensor(0, rank: 2)
            let targets = try site.int("targets")
            guard targets > 0 else { throw site.attributeError("targets", expects: "a number above 0") }
            for index in 1...9 { _ = try site.tensor(index, rank: 1) }
            let dtype = try site.tensor(9).dtype
            guard let shape = x.shape else { return .tensor(TensorType(dtype: dtype, rank: 2)) }
            return .tensor(TensorType(dtype, [shape[0], .fixed(targets)]))
        },
        OperatorSchema(
            "ml.lookup",
            """
            values[i] for each element of x that is keys[i], fallback for one that is none of them; NaN is the key NaN. Of equal \
            keys the first counts.
            """,
            inputs: [.init("x"), .init("keys"), .init("values"), .init("fallback")]
        ) { site in
            var type = try site.tensor(0)
            _ = try site.sameDType(0, 1)
            let (keys, values) = (try site.tensor(1, rank: 1), try site.tensor(2, rank: 1))
            if let a = keys.shape?.first, let b = values.shape?.first, a.isFixed, b.isFixed, a != b {
                throw site.inputError(2, expects: "one value per key (\(keys))")
            }
            type.dtype = try site.sameDType(2, 3)
            return .tensor(type)
        },
        OperatorSchema(
            "ml.pairwise_coupling",
            """
            Probabilities [n, classes] of classes whose probabilities against each other are the columns of x, in the order (0, \
            1), (0, 2), …, (1, 2), …, by Wu, Lin and Weng's second method, as libsvm has it.
            """,
            inputs: [.init("x")], attributes: [.required("classes", .int)]
        ) { site in
            let x = try site.tensor(0, rank: 2)
            let classes = try site.int("classes")
            guard classes > 1, classes < 1 << 15 else {
                throw site.attributeError("classes", expects: "a number above 1")
            }
            guard let shape = x.shape else { return .tensor(TensorType(dtype: x.dtype, rank: 2)) }
            if let pairs = shape[1].value, pairs != classes * (classes - 1) / 2 {
                throw site.inputError(0, expects: "a column for each of the \(classes * (classes - 1) / 2) pairs")
            }
            return .tensor(TensorType(x.dtype, [shape[0], .fixed(classes)]))
        },
    ]
}
