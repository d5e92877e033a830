import TenonIR

/// Names a node in messages: "Conv 'layer1.0' (node 12, opset 13)".
struct NodePlace {
    let op: String
    let opset: Int64?
    let name: String

    init(_ proto: ONNXNodeProto, index: Int, opset: Int64?) {
        let domain = proto.domain.isEmpty || proto.domain == "ai.onnx" ? "" : proto.domain + "."
        op = cleaned(domain + proto.opType)
        self.opset = opset
        // Exporters may leave the name out; the first output tells the node as well.
        name = proto.name.isEmpty ? proto.output.first { !$0.isEmpty } ?? "#\(index)" : proto.name
    }

    func locating(_ error: TenonError) -> TenonError {
        guard error.node.isEmpty else { return error }
        var message = error.message
        if message.hasPrefix("ONNX: ") { message.removeFirst(6) }
        let version = opset.map { " (opset \($0))" } ?? ""
        var located = error
        located.message = "ONNX: \(op) \(quoted(name))\(version): \(message)"
        located.operatorName = op
        located.node = name
        return located
    }
}

/// Collects what is not supported, so that one error can say all of it.
struct UnsupportedReport {
    private struct Kind: Hashable {
        let op: String
        let opset: Int64?
        let reason: String
    }

    private var order: [Kind] = []
    var isEmpty: Bool { order.isEmpty }
    private var nodes: [Kind: [String]] = [:]

    mutating func add(_ place: NodePlace, _ reason: String) {
        let kind = Kind(op: place.op, opset: place.opset, reason: reason)
        if nodes[kind] == nil { order.append(kind) }
        nodes[kind, default: []].append(place.name)
    }

    func throwIfAny() throws {
        guard let first = order.first else { return }
        let parts = order.map { kind in
            let names = nodes[kind] ?? []
            let shown = names.prefix(4).map(quoted).joined(separator: ", ")
            let more = names.count > 4 ? " and \(names.count - 4) more" : ""
            let version = kind.opset.map { "opset \($0)" } ?? "no opset"
            let reason = kind.reason.isEmpty ? "" : ": \(kind.reason)"
            return "\(kind.op) (\(version), node \(shown)\(more))\(reason)"
        }
        throw TenonError(
            .unsupported, "ONNX: not supported: \(parts.joined(separator: "; "))", operatorName: first.op,
            node: nodes[first]?.first ?? "")
    }
}
