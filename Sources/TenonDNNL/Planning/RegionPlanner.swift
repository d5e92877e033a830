import TenonIR
import TenonRuntime

/// From a region function to a plan.
struct RegionPlanner {
    private var context: PlanContext
    private var nodes: [RegionNode] = []
    private var candidates: [[Candidate]] = []

    static func plan(
        _ region: Function, options: CompileOptions, numerics: NumericsPolicy = .strict
    ) throws -> Plan {
        let engine = try Engine.shared()
        let folded = try ChainFolding.fold(
            try RegionReader.read(region), isExact: numerics == .exact, endsEarly: options.isCancellable,
            threads: options.threads)
        var planner = RegionPlanner(
            context: PlanContext(
                engine: engine, graph: folded.graph, threads: options.threads,
                blockSize: PlanContext.preferredBlockSize(engine), costs: CostModel(threads: options.threads),
                numerics: numerics, endsEarly: options.isCancellable))
        var folds = folded.nodes
        if numerics != .exact {
            folds = DepthwiseFolding.fold(folds, planner.context)
            folds = SqueezeExcitationFolding.fold(folds, planner.context)
            folds = ChannelScaleFolding.fold(folds, planner.context)
        }
        for node in folds {
            do {
                try planner.add(node)
            } catch let error as TenonError {
                throw error.located(at: node.binding)
            }
        }
        // Measurements differ from run to run, and with them the choice and its rounding.
        if options.tuningMilliseconds > 0 && !options.isReproducible && !options.isCancellable {
            try Tuner(engine, threads: options.threads, milliseconds: options.tuningMilliseconds)
                .tune(planner.nodes, &planner.candidates, planner.context, options.progress)
        }
        return try planner.plan()
    }

    private init(context: PlanContext) { self.context = context }

    /// Finds the candidates of a node. A chain that oneDNN refuses, or takes only in its reference implementation, is cut:
    /// its last step becomes a node of its own.
    private mutating func add(_ node: RegionNode) throws {
        var node = node
        var cut: [PostOp] = []
        let result = node.output
        while true {
            let found = try CandidateMaker(context: context).candidates(node)
            if !found.isEmpty && (CandidateMaker.isFast(found) || node.postOps.isEmpty) {
                nodes.append(node)
                candidates.append(found)
                break
            }
            guard let last = node.postOps.popLast() else { throw refusal(node) }
            cut.append(last)
            if cut.count == 1 || !node.postOps.isEmpty || node.output == result {
                node.outputs = [context.graph.addLike(result, name: last.binding)]
            }
        }
        guard !cut.isEmpty else { return }
        // The steps cut off follow, in their order, one behind the other.
        var source = nodes[nodes.count - 1].output
        for (index, step) in cut.reversed().enumerated() {
            let isLast = index == cut.count - 1
            let output = isLast ? result : context.graph.addLike(result, name: step.binding)
            let follower: RegionNode =
                switch step.kind {
                case .eltwise(let function):
                    RegionNode(
                        operation: .eltwise(function), inputs: [source], outputs: [output], binding: step.binding,
                        composite: node.composite)
                case .binary(let algorithm, let operand):
                    RegionNode(
                        operation: .binary(algorithm), inputs: [source, operand], outputs: [output],
                        binding: step.binding, composite: node.composite)
                }
            try add(follower)
            source = output
        }
    }

    private func refusal(_ node: RegionNode) -> TenonError {
        let types = node.operands.map { "\(context.graph[$0].dims)" }.joined(separator: ", ")
        return TenonError(.unsupported, "\(node.composite): oneDNN has no implementation for \(types)")
    }

    private func plan() throws -> Plan {
        let layouts = LayoutPlanner(context: context, nodes: nodes, candidates: candidates)
        let (choices, time) = layouts.plan()
        let chosen = zip(candidates, choices).map { $0[$1] }
        var plan = try PlanBuilder.build(context, nodes, chosen)
        plan.expectedNanoseconds = time
        return plan
    }
}
