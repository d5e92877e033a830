import TenonIR

/// Branches and loops: graphs in attributes, which see the names around them.
extension GraphExport {
    func conditional(
        _ condition: Value, _ type: ValueType, _ name: String, then: () throws -> Value, else other: () throws -> Value
    ) throws -> Value {
        let graphs = [
            try subgraph("then", []) { _ in try then() }, try subgraph("else", []) { _ in try other() },
        ]
        guard graphs[0].output.count == graphs[1].output.count else {
            throw TenonError(.invalidGraph, "ONNX: the branches of a conditional have different numbers of results")
        }
        let value = try fresh(type, name)
        var outputs: [Value] = []
        GraphExport.flatten(value, into: &outputs)
        guard outputs.count == graphs[0].output.count else {
            throw TenonError(.unsupported, "ONNX: a conditional whose result has type \(type)")
        }
        add("If", [try tensor(condition).name], try outputs.map { try tensor($0).name })
        attach(["then_branch", "else_branch"], graphs)
        return value
    }

    /// - Parameter run: the body: what it gives for its arguments.
    func loop(_ call: ExportCall, run: (Function, [Value]) throws -> Value) throws -> Value {
        guard call.arguments.count == 5, case .function(let body) = call.arguments[0],
            case .tuple(let state) = call.arguments[3], case .tuple(let captures) = call.arguments[4],
            body.parameters.count == 2 + state.count + captures.count
        else { throw call.unsupported("a body that is not a function of the module") }
        let parameters = body.parameters.prefix(2 + state.count).map { body.type(of: $0) }
        let graph = try subgraph("body", Array(parameters)) { inputs in try run(body, inputs + captures) }
        let value = try fresh(call.type, call.name)
        guard case .tuple(let outputs) = value, outputs.count + 1 == graph.output.count else {
            throw call.unsupported("a result of type \(call.type)")
        }
        add(
            "Loop", [try call.input(1), try call.input(2)] + (try state.map { try tensor($0).name }),
            try outputs.map { try tensor($0).name })
        attach(["body"], [graph])
        return value
    }

    /// The nodes that `body` adds, as a graph of their own.
    private func subgraph(_ name: String, _ parameters: [ValueType], _ body: ([Value]) throws -> Value) throws
        -> ONNXGraphProto
    {
        var graph = ONNXGraphProto()
        graph.name = unique(name)
        let outer = (nodes, scope)
        nodes = []
        defer { (nodes, scope) = outer }
        var inputs: [Value] = []
        for parameter in parameters {
            guard case .tensor(let type) = parameter else {
                throw TenonError(.unsupported, "ONNX: a parameter of type \(parameter) of a loop's body")
            }
            let input = unique(name + "_input")
            graph.input.append(try GraphExport.info(input, type, withSymbols: false))
            inputs.append(.tensor(input, type))
        }
        var outputs: [Value] = []
        GraphExport.flatten(try body(inputs), into: &outputs)
        for output in outputs {
            let (source, type) = try tensor(output)
            let given = unique(name + "_output")
            add("Identity", [source], [given])
            graph.output.append(try GraphExport.info(given, type, withSymbols: false))
        }
        graph.node = nodes
        return graph
    }

    /// Names for what a node gives.
    private func fresh(_ type: ValueType, _ name: String) throws -> Value {
        switch type {
        case .tensor(let tensor): return .tensor(unique(name), tensor)
        case .tuple(let fields): return .tuple(try fields.map { try fresh($0, name) })
        default: throw TenonError(.unsupported, "ONNX: control flow with a result of type \(type)")
        }
    }

    /// Gives the last node attributes that are graphs.
    private func attach(_ names: [String], _ graphs: [ONNXGraphProto]) {
        guard let last = nodes.indices.last else { return }
        for (name, graph) in zip(names, graphs) {
            var attribute = ONNXAttributeProto()
            attribute.name = name
            attribute.type = .graph
            attribute.g = graph
            nodes[last].attribute.append(attribute)
        }
    }
}
