import TenonIR

extension GraphDrawing {
    /// In the language of Graphviz: regions are clusters, and a node is the darker the more of the run it takes.
    public func dot() -> String {
        var text = "digraph main {\n"
        text += "  graph [rankdir=TB, fontname=\"sans-serif\", fontsize=10];\n"
        text += "  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"sans-serif\", fontsize=10];\n"
        var regions: [String] = []
        var members: [String: [Int]] = [:]
        for (index, node) in nodes.enumerated() {
            if members[node.region] == nil { regions.append(node.region) }
            members[node.region, default: []].append(index)
        }
        for (number, region) in regions.enumerated() {
            let indices = members[region] ?? []
            if region.isEmpty {
                for index in indices { text += "  " + statement(index) }
                continue
            }
            var label = nodes[indices[0]].backend
            let times = indices.compactMap { nanoseconds(nodes[$0]) }
            if !times.isEmpty { label += "\n" + Report.microseconds(times.reduce(0, &+)) + " µs" }
            text += "  subgraph cluster_\(number) {\n"
            text += "    label=\(quoted(label)); style=\"rounded,filled\"; color=gray; fillcolor=\"#eef3fa\";\n"
            for index in indices { text += "    " + statement(index) }
            text += "  }\n"
        }
        for (index, node) in nodes.enumerated() {
            for input in node.inputs { text += "  n\(input) -> n\(index);\n" }
        }
        return text + "}\n"
    }

    private func statement(_ index: Int) -> String {
        let node = nodes[index]
        guard node.kind == .operation else {
            return "n\(index) [shape=ellipse, label=\(quoted(node.name + "\n" + node.type))];\n"
        }
        var label = node.label
        if node.operators.count > 1 { label += "\n" + node.operators.joined(separator: " → ") }
        label += "\n%" + node.name + ": " + node.type
        for step in node.steps {
            guard let profile else { break }
            let description = profile.steps[step]
            label += "\n" + description.implementation
            if !description.layouts.isEmpty { label += " " + description.layouts }
        }
        var color = ""
        if let time = nanoseconds(node) {
            label += "\n" + Report.microseconds(time) + " µs"
            let all = profile?.nanoseconds.reduce(0, &+) ?? 0
            // Saturation in thousandths: white to orange.
            let share = all > 0 ? min(1000, Int(Double(time) / Double(all) * 2500)) : 0
            let digits = String(share)
            color = share == 1000 ? "1.0" : "0." + String(repeating: "0", count: 3 - digits.count) + digits
            color = ", fillcolor=\"0.08 \(color) 1.0\""
        }
        return "n\(index) [label=\(quoted(label))\(color)];\n"
    }

    private func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// As data: an object with the lists `nodes` and `steps`. A node names its inputs and steps by their positions.
    public func json() -> String {
        let nodes = nodes.map { node in
            JSON.object([
                ("kind", JSON.string(node.kind.rawValue)), ("name", JSON.string(node.name)),
                ("operator", JSON.string(node.label)), ("operators", JSON.array(node.operators.map(JSON.string))),
                ("region", JSON.string(node.region)), ("backend", JSON.string(node.backend)),
                ("type", JSON.string(node.type)), ("inputs", JSON.array(node.inputs.map { "\($0)" })),
                ("steps", JSON.array(node.steps.map { "\($0)" })),
            ])
        }
        let steps = (profile?.steps ?? []).indices.map { index in
            JSON.object(profile.map { Report.fields($0, index) } ?? [])
        }
        return JSON.object([("nodes", JSON.array(nodes)), ("steps", JSON.array(steps))])
    }
}
