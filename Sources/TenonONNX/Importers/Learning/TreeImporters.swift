import TenonIR

/// Trees of ai.onnx.ml. All three operators become `ml.tree_ensemble`; what follows a classifier's scores is arithmetic.
enum TreeImporters {
    static let table: [String: OperatorImporter] = [
        "ai.onnx.ml.TreeEnsembleClassifier": OperatorImporter(classifier),
        "ai.onnx.ml.TreeEnsembleRegressor": OperatorImporter(regressor),
        "ai.onnx.ml.TreeEnsemble": OperatorImporter(since: 5, ensemble),
    ]

    /// Nodes and leaves as `ml.tree_ensemble` takes them.
    private struct Trees {
        var features: [Int64] = []
        var thresholds: [Double] = []
        var onTrue: [Int64] = []
        var onFalse: [Int64] = []
        var modes: [Int64] = []
        var roots: [Int64] = []
        var offsets: [Int64] = [0]
        var targets: [Int64] = []
        var weights: [Double] = []

        func call(_ x: Operand, _ node: Node, targets count: Int, aggregate: String, dtype: DataType) throws -> Operand
        {
            func list(_ values: [Int64], _ dtype: DataType) throws -> Operand {
                let fits = values.allSatisfy { Int32(exactly: $0) != nil }
                guard fits else { throw node.error(.invalidArgument, "a number of a node is out of range") }
                return .constant(
                    try dtype == .uint8
                        ? Constant(.uint8, [Int64(values.count)], values.map { UInt8(truncatingIfNeeded: $0) })
                        : Constant(.int32, [Int64(values.count)], values.map { Int32(truncatingIfNeeded: $0) }))
            }
            func reals(_ values: [Double]) throws -> Operand {
                .constant(try Constant.from(doubles: values, dtype, [Int64(values.count)]))
            }
            return try node.call(
                "ml.tree_ensemble",
                [
                    x, list(features, .int32), reals(thresholds), list(onTrue, .int32), list(onFalse, .int32),
                    list(modes, .uint8), list(roots, .int32), list(offsets, .int32), list(targets, .int32),
                    reals(weights),
                ], ["targets": .int(Int64(count)), "aggregate": .string(aggregate)])
        }
    }

    private static let modes: [String: Int64] = [
        "BRANCH_LEQ": 0, "BRANCH_LT": 1, "BRANCH_GTE": 2, "BRANCH_GT": 3, "BRANCH_EQ": 4, "BRANCH_NEQ": 5,
    ]

    private struct Place: Hashable {
        var tree: Int64
        var node: Int64
    }

    /// The lists of versions 1 and 3: nodes by tree and number, weights with the leaf that they belong to.
    private static func trees(_ node: Node, _ prefix: String) throws -> Trees {
        func ints(_ name: String, count: Int? = nil) throws -> [Int64] {
            let values = try node.ints(name) ?? []
            if let count, values.count != count {
                throw node.error(.invalidArgument, "attribute '\(name)' expects \(count) values, found \(values.count)")
            }
            return values
        }
        node.ignore("nodes_hitrates", "nodes_hitrates_as_tensor")
        let treeIDs = try ints("nodes_treeids")
        let count = treeIDs.count
        let nodeIDs = try ints("nodes_nodeids", count: count)
        let (features, yes, no) = (
            try ints("nodes_featureids", count: count), try ints("nodes_truenodeids", count: count),
            try ints("nodes_falsenodeids", count: count)
        )
        let values = try node.numbers("nodes_values") ?? []
        let names = try node.strings("nodes_modes") ?? []
        let missing = try node.ints("nodes_missing_value_tracks_true") ?? []
        guard values.count == count, names.count == count, missing.isEmpty || missing.count == count else {
            throw node.error(.invalidArgument, "the lists of nodes are not of one length")
        }
        var weightsOf: [Place: [Int]] = [:]
        let (ownTrees, ownNodes) = (try ints("\(prefix)_treeids"), try ints("\(prefix)_nodeids"))
        let targets = try ints("\(prefix)_ids", count: ownTrees.count)
        let weights = try node.numbers("\(prefix)_weights") ?? []
        guard ownNodes.count == ownTrees.count, weights.count == ownTrees.count else {
            throw node.error(.invalidArgument, "the lists of weights are not of one length")
        }
        for index in ownTrees.indices {
            weightsOf[Place(tree: ownTrees[index], node: ownNodes[index]), default: []].append(index)
        }
        var trees = Trees()
        // What a branch to a node is written as: its number, or that of a leaf.
        var code: [Place: Int64] = [:]
        for index in 0..<count {
            let place = Place(tree: treeIDs[index], node: nodeIDs[index])
            guard code[place] == nil else {
                throw node.error(.invalidArgument, "node \(place.node) of tree \(place.tree) is there twice")
            }
            if names[index] == "LEAF" {
                for weight in weightsOf[place] ?? [] {
                    trees.targets.append(targets[weight])
                    trees.weights.append(weights[weight])
                }
                trees.offsets.append(Int64(trees.weights.count))
                code[place] = -Int64(trees.offsets.count - 1)
            } else {
                guard let mode = modes[names[index]] else {
                    throw node.error(.invalidArgument, "attribute 'nodes_modes' has \(quoted(names[index]))")
                }
                code[place] = Int64(trees.features.count)
                trees.features.append(features[index])
                trees.thresholds.append(values[index])
                trees.modes.append(mode + (missing.isEmpty || missing[index] == 0 ? 0 : 128))
            }
        }
        var isRooted: Set<Int64> = []
        for index in 0..<count {
            let tree = treeIDs[index]
            if isRooted.insert(tree).inserted { trees.roots.append(code[Place(tree: tree, node: nodeIDs[index])] ?? 0) }
            guard names[index] != "LEAF" else { continue }
            guard let onTrue = code[Place(tree: tree, node: yes[index])],
                let onFalse = code[Place(tree: tree, node: no[index])]
            else { throw node.error(.invalidArgument, "a branch of tree \(tree) leads to no node") }
            trees.onTrue.append(onTrue)
            trees.onFalse.append(onFalse)
        }
        return trees
    }

    private static func regressor(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(1...1)
        let x = try node.rows(try node.features(0))
        let trees = try trees(node, "target")
        let count = Int(clamping: try node.int("n_targets", 1))
        let dtype = try node.type(of: x).dtype ?? .float32
        var scores = try trees.call(
            x, node, targets: count, aggregate: try node.string("aggregate_function", "SUM"), dtype: dtype)
        if let base = try node.numbers("base_values"), !base.isEmpty {
            guard base.count == count else {
                throw node.error(
                    .invalidArgument, "attribute 'base_values' expects \(count) values, found \(base.count)")
            }
            scores = try node.add(scores, try node.floats(base, [count], like: scores))
        }
        scores = try node.cast(scores, .float32)
        return [.operand(try PostTransform.apply(try node.string("post_transform", "NONE"), to: scores, node))]
    }

    private static func classifier(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(1...1)
        let x = try node.rows(try node.features(0))
        var trees = try trees(node, "class")
        guard let labels = try ClassLabels(node, ints: "classlabels_int64s", strings: "classlabels_strings") else {
            throw node.error(.invalidArgument, "class labels are missing")
        }
        let mode = try node.string("post_transform", "NONE")
        let base = try node.numbers("base_values") ?? []
        let dtype = try node.type(of: x).dtype ?? .float32
        let isBinary = labels.count <= 2 && Set(trees.targets).count <= 1
        if isBinary { trees.targets = trees.targets.map { _ in 0 } }
        let count = isBinary ? 1 : labels.count
        guard base.isEmpty || base.count == count || isBinary && base.count == 2 else {
            throw node.error(.invalidArgument, "attribute 'base_values' expects \(count) values, found \(base.count)")
        }
        var scores = try trees.call(x, node, targets: count, aggregate: "SUM", dtype: dtype)
        if let last = base.last {
            scores = try node.add(scores, try node.floats(isBinary ? [last] : base, [count], like: scores))
        }
        scores = try node.cast(scores, .float32)
        guard isBinary else {
            return [
                .operand(try labels.best(scores, node)), .operand(try PostTransform.apply(mode, to: scores, node)),
            ]
        }
        let isPositive = trees.weights.allSatisfy { $0 >= 0 }
        let threshold = labels.count == 2 && isPositive ? 0.5 : 0
        let flat = try node.call("reshape", [scores, .shape([try node.type(of: scores).shape?.first ?? 1])])
        let isSecond = try node.call("greater", [flat, try node.scalar(threshold, like: flat)])
        let label: Operand
        if labels.count == 2 {
            label = try labels.pick(try node.cast(isSecond, .int64), node)
        } else {
            label = try node.cast(isSecond, .int64)
            return [
                .operand(label), .operand(mode == "PROBIT" ? try PostTransform.apply(mode, to: scores, node) : scores),
            ]
        }
        // The scores of both classes: of probabilities the rest to 1, of others the negative.
        let isShare = isPositive && mode == "NONE" || mode == "PROBIT"
        let other =
            isShare
            ? try node.call("subtract", [try node.scalar(1, like: scores), scores])
            : try node.call("negative", [scores])
        let both = try node.call("concat", [.tuple([other, scores])], ["axis": .int(1)])
        return [.operand(label), .operand(try PostTransform.apply(mode, to: both, node))]
    }

    private static func ensemble(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(1...1)
        node.ignore("nodes_hitrates")
        let x = try node.rows(try node.features(0))
        func list(_ name: String) throws -> [Int64] { try node.ints(name) ?? [] }
        guard let splits = try node.tensor("nodes_splits")?.doubleElements,
            let modes = try node.tensor("nodes_modes")?.intElements,
            let weights = try node.tensor("leaf_weights")
        else { throw node.error(.invalidArgument, "nodes_splits, nodes_modes and leaf_weights are needed") }
        let features = try list("nodes_featureids")
        let (yes, no) = (try list("nodes_truenodeids"), try list("nodes_falsenodeids"))
        let (yesLeaf, noLeaf) = (try list("nodes_trueleafs"), try list("nodes_falseleafs"))
        let missing = try list("nodes_missing_value_tracks_true")
        let count = features.count
        guard
            [splits.count, modes.count, yes.count, no.count, yesLeaf.count, noLeaf.count].allSatisfy({ $0 == count }),
            missing.isEmpty || missing.count == count
        else { throw node.error(.invalidArgument, "the lists of nodes are not of one length") }
        var trees = Trees()
        trees.features = features
        trees.thresholds = splits
        trees.onTrue = zip(yes, yesLeaf).map { $1 != 0 ? -1 &- $0 : $0 }
        trees.onFalse = zip(no, noLeaf).map { $1 != 0 ? -1 &- $0 : $0 }
        trees.modes = modes.enumerated().map { $1 + (missing.isEmpty || missing[$0] == 0 ? 0 : 128) }
        trees.roots = try list("tree_roots")
        trees.targets = try list("leaf_targetids")
        trees.weights = weights.doubleElements ?? []
        trees.offsets = (0...trees.weights.count).map { Int64($0) }
        try expandMembers(&trees, node)
        let aggregate = try node.int("aggregate_function", 1)
        let post = try node.int("post_transform", 0)
        let names = ["AVERAGE", "SUM", "MIN", "MAX"]
        let posts = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]
        guard names.indices.contains(Int(clamping: aggregate)), posts.indices.contains(Int(clamping: post)) else {
            throw node.error(.invalidArgument, "aggregate_function is \(aggregate), post_transform is \(post)")
        }
        let scores = try trees.call(
            x, node, targets: Int(clamping: try node.int("n_targets", 1)), aggregate: names[Int(aggregate)],
            dtype: try node.type(of: x).dtype ?? .float32)
        return [.operand(try PostTransform.apply(posts[Int(post)], to: scores, node))]
    }

    /// A node that asks for one of several numbers becomes one node per number.
    private static func expandMembers(_ trees: inout Trees, _ node: Node) throws {
        let members = try node.tensor("membership_values")?.doubleElements ?? []
        var next = members.startIndex
        for index in trees.modes.indices where trees.modes[index] & 127 == 6 {
            guard let end = members[next...].firstIndex(where: \.isNaN) else {
                throw node.error(.invalidArgument, "membership_values ends before every node has its numbers")
            }
            let numbers = members[next..<end]
            next = end + 1
            let missing = trees.modes[index] & 128
            guard let first = numbers.first else {
                // A number is never in an empty set.
                (trees.modes[index], trees.thresholds[index]) = (4 + missing, .nan)
                continue
            }
            (trees.modes[index], trees.thresholds[index]) = (4 + missing, first)
            let otherwise = trees.onFalse[index]
            var last = index
            for number in numbers.dropFirst() {
                trees.onFalse[last] = Int64(trees.features.count)
                last = trees.features.count
                trees.features.append(trees.features[index])
                trees.thresholds.append(number)
                trees.modes.append(4 + missing)
                trees.onTrue.append(trees.onTrue[index])
                trees.onFalse.append(otherwise)
            }
        }
    }
}
