import TenonIR

/// The order in which nodes can be imported.
enum NodeOrder {
    /// Indices of the nodes such that every value stands before its use; the file's order where that holds.
    ///
    /// - Parameters:
    ///   - inputs: names that stand for values before the first node: initialisers, inputs.
    ///   - isOuter: whether a name stands for a value of an enclosing graph, which a node may hide.
    /// - Throws: for a value defined twice, a name that nothing defines, and a cycle.
    static func indices(
        of nodes: [ONNXNodeProto], inputs: Set<String>, isOuter: (String) -> Bool
    ) throws -> [Int] {
        var producers: [String: Int] = [:]
        for (index, node) in nodes.enumerated() {
            for output in node.output where !output.isEmpty {
                guard !inputs.contains(output), producers.updateValue(index, forKey: output) == nil else {
                    throw NodePlace(node, index: index, opset: nil).locating(
                        TenonError.malformedONNX("output \(quoted(output)) is defined a second time"))
                }
            }
        }
        var sorted = true
        for (index, node) in nodes.enumerated() {
            for input in node.input where !input.isEmpty && !inputs.contains(input) {
                guard let producer = producers[input] else {
                    if isOuter(input) { continue }
                    throw NodePlace(node, index: index, opset: nil).locating(
                        TenonError.malformedONNX("input \(quoted(input)) is defined by no node, input or initializer"))
                }
                if producer >= index { sorted = false }
            }
        }
        return sorted ? Array(nodes.indices) : try sort(nodes, producers, inputs)
    }

    /// Repeatedly takes nodes whose inputs are all there; linear in nodes and uses.
    private static func sort(
        _ nodes: [ONNXNodeProto], _ producers: [String: Int], _ inputs: Set<String>
    ) throws -> [Int] {
        var missing = [Int](repeating: 0, count: nodes.count)
        var users = [[Int]](repeating: [], count: nodes.count)
        for (index, node) in nodes.enumerated() {
            for input in node.input where !inputs.contains(input) {
                guard let producer = producers[input] else { continue }
                missing[index] += 1
                users[producer].append(index)
            }
        }
        var order = nodes.indices.filter { missing[$0] == 0 }
        var next = 0
        while next < order.count {
            for user in users[order[next]] {
                missing[user] -= 1
                if missing[user] == 0 { order.append(user) }
            }
            next += 1
        }
        guard order.count == nodes.count else {
            let index = missing.firstIndex { $0 > 0 } ?? 0
            throw NodePlace(nodes[index], index: index, opset: nil).locating(
                TenonError.malformedONNX("the node depends on its own output"))
        }
        return order
    }
}
