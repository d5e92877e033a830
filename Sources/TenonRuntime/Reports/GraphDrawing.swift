import TenonIR

/// What `main` computes as a graph to be drawn: one node per operation, regions opened, times of a profile beside.
public struct GraphDrawing {
    enum Kind: String {
        case input, operation, output
    }

    struct Node {
        var kind: Kind
        var name: String
        /// The operator, the composite or the function called.
        var label: String
        /// Operators inside a composite, in program order.
        var operators: [String]
        /// The function of the region that the node lies in; empty outside.
        var region: String
        var backend: String
        var type: String
        var inputs: [Int]
        /// Entries of the profile that belong here.
        var steps: [Int] = []
    }

    /// Where a value comes from.
    private indirect enum Source {
        case nothing
        case node(Int)
        case tuple([Source])

        func forEachNode(_ body: (Int) -> Void) {
            switch self {
            case .nothing: break
            case .node(let index): body(index)
            case .tuple(let fields): for field in fields { field.forEachNode(body) }
            }
        }
    }

    private let module: Module
    private(set) var nodes: [Node] = []
    private(set) var profile: RunProfile?

    /// Throws when the module has no `main`.
    public init(_ module: Module, profile: RunProfile? = nil) throws {
        guard let main = module.main else { throw TenonError(.notFound, "the module has no function 'main'") }
        self.module = module
        let arguments = main.parameters.map { id in
            Source.node(add(.input, main, id, label: "", operators: [], region: "", inputs: []))
        }
        let result = visit(main, arguments, region: "")
        let names = (try? Signature(main))?.outputs.map(\.name) ?? []
        var index = 0
        result.forEachNode { source in
            let name = names.indices.contains(index) ? names[index] : "output \(index)"
            nodes.append(
                Node(
                    kind: .output, name: name, label: "", operators: [], region: "", backend: "",
                    type: nodes[source].type, inputs: [source]))
            index += 1
        }
        if let profile { assign(profile) }
    }

    // MARK: - Nodes

    private mutating func add(
        _ kind: Kind, _ function: Function, _ id: ValueID, label: String, operators: [String], region: String,
        inputs: [Int]
    ) -> Int {
        let info = function.info(id)
        // A tuple's type may be long, and stands beside every edge from it.
        var type = info?.type.description ?? ""
        if type.utf8.count > 256 { type = String(type.prefix(255)) + "…" }
        nodes.append(
            Node(
                kind: kind, name: info?.name ?? "", label: label, operators: operators, region: region,
                backend: module[region]?.codegen ?? "", type: type, inputs: inputs))
        return nodes.count - 1
    }

    /// Adds the nodes of a function and returns what its result comes from. Regions are opened, which nest in nothing.
    private mutating func visit(_ function: Function, _ arguments: [Source], region: String) -> Source {
        var values = [Source](repeating: .nothing, count: function.values.count)
        var locals: [ValueID: Function] = [:]
        for (id, argument) in zip(function.parameters, arguments) where values.indices.contains(id.int) {
            values[id.int] = argument
        }
        for block in function.body.blocks {
            for binding in block.bindings where values.indices.contains(binding.id.int) {
                let source: Source
                switch binding.expression {
                case .function(let local):
                    locals[binding.id] = local
                    source = .nothing
                case .call(let call):
                    source = visit(call, binding, function, locals, values, region: region)
                case .tuple(let fields): source = .tuple(fields.map { GraphDrawing.source($0, values) })
                case .tupleGetItem(let operand, let index):
                    let tuple = GraphDrawing.source(operand, values)
                    if case .tuple(let fields) = tuple, fields.indices.contains(index) {
                        source = fields[index]
                    } else {
                        source = tuple
                    }
                case .operand(let operand), .matchCast(let operand, _): source = GraphDrawing.source(operand, values)
                case .conditional:
                    let inputs = inputs(of: binding.expression, values)
                    source = .node(
                        add(
                            .operation, function, binding.id, label: "if", operators: [], region: region, inputs: inputs
                        ))
                }
                values[binding.id.int] = source
            }
        }
        return GraphDrawing.source(function.body.result, values)
    }

    private mutating func visit(
        _ call: Call, _ binding: Binding, _ function: Function, _ locals: [ValueID: Function], _ values: [Source],
        region: String
    ) -> Source {
        var (label, callee) = ("", Function?.none)
        switch call.callee {
        case .op(let op): label = op.name
        case .external(let name): label = name
        case .local(let id): callee = locals[id]
        case .function(let name):
            label = name
            callee = module[name]
            if let callee, callee.codegen != nil, region.isEmpty {
                return visit(callee, call.arguments.map { GraphDrawing.source($0, values) }, region: name)
            }
        }
        var operators: [String] = []
        callee?.forEachBinding {
            if case .call(let inner) = $0.expression, case .op(let op) = inner.callee { operators.append(op.name) }
        }
        let inputs = inputs(of: binding.expression, values)
        return .node(
            add(
                .operation, function, binding.id, label: callee?.composite ?? label, operators: operators,
                region: region, inputs: inputs))
    }

    private func inputs(of expression: Expression, _ values: [Source]) -> [Int] {
        var inputs: [Int] = []
        expression.forEachValue { id in
            guard values.indices.contains(id.int) else { return }
            values[id.int].forEachNode { if !inputs.contains($0) { inputs.append($0) } }
        }
        return inputs
    }

    private static func source(_ operand: Operand, _ values: [Source]) -> Source {
        switch operand {
        case .value(let id): values.indices.contains(id.int) ? values[id.int] : .nothing
        case .tuple(let fields): .tuple(fields.map { source($0, values) })
        default: .nothing
        }
    }

    // MARK: - Times

    private struct Place: Hashable {
        var region: String
        var name: String
    }

    /// Gives each step to the node that it computes. Names may repeat; then the composite decides, and the order.
    private mutating func assign(_ profile: RunProfile) {
        self.profile = profile
        var places: [Place: [Int]] = [:]
        var names: [String: [Int]] = [:]
        for (index, node) in nodes.enumerated() where node.kind == .operation {
            places[Place(region: node.region, name: node.name), default: []].append(index)
            names[node.name, default: []].append(index)
        }
        for (number, step) in profile.steps.enumerated() {
            let candidates = places[Place(region: step.region, name: step.binding)] ?? names[step.binding] ?? []
            let fresh = candidates.first { nodes[$0].label == step.composite && nodes[$0].steps.isEmpty }
            guard let index = fresh ?? candidates.last(where: { !nodes[$0].steps.isEmpty }) ?? candidates.first
            else { continue }
            nodes[index].steps.append(number)
        }
    }

    func nanoseconds(_ node: Node) -> UInt64? {
        guard let profile, !node.steps.isEmpty else { return nil }
        return node.steps.reduce(0) {
            profile.nanoseconds.indices.contains($1) ? $0 &+ profile.nanoseconds[$1] : $0
        }
    }
}
