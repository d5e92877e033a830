import CDNNL
import TenonIR
import TenonRuntime

/// Where a tensor belongs in the result of a concatenation.
struct ConcatSlot {
    var node: Int
    /// In bytes.
    var offset: Int
}

struct PlacedTensor: Hashable {
    var tensor: TensorID
    var layout: Layout
}

extension PlanContext {
    /// Whether the parts of a concatenation lie one behind the other, each in one piece.
    func isContiguous(axis: Int, _ layout: Layout, _ shape: [Int]) -> Bool {
        switch layout {
        case .plain: shape[..<axis].allSatisfy { $0 == 1 }
        case .blocked: axis == 1 && shape[0] == 1
        case .channelsLast: false
        }
    }
}

/// Concatenation without copies: whoever computes a part writes it where the result wants it.
extension PlanBuilder {
    /// Gives parts their place, in the largest concatenation that contains them: those behind are looked at first.
    mutating func assignSlots(_ choices: [Candidate]) {
        var maker: [TensorID: Int] = [:]
        for (index, node) in nodes.enumerated() { for output in node.outputs { maker[output] = index } }
        let results = Set(graph.outputs)
        for index in nodes.indices.reversed() {
            guard case .concat(let axis) = nodes[index].operation,
                let offsets = partOffsets(nodes[index], axis, choices[index].output)
            else { continue }
            joinedBytes[index] = context.byteCount(nodes[index].output, choices[index].output)
            let layout = choices[index].output
            for (input, offset) in zip(nodes[index].inputs, offsets) {
                let key = PlacedTensor(tensor: input, layout: layout)
                guard slots[key] == nil, let made = maker[input],
                    nodes[index].inputs.filter({ $0 == input }).count == 1,
                    // The region's output has a place of its own.
                    layout != .plain || !results.contains(input)
                else { continue }
                // In another layout, the reorder that brings it over writes it in its place.
                if choices[made].output == layout {
                    guard choices[made].descriptor != nil || choices[made].isKernel,
                        choices[made].accumulates == nil
                    else { continue }
                    if case .concat = nodes[made].operation { continue }
                }
                slots[key] = ConcatSlot(node: index, offset: offset)
                owners.insert(index)
            }
        }
    }

    /// Where each part begins, in bytes; nil when parts are not in one piece or end inside a block of channels.
    private func partOffsets(_ node: RegionNode, _ axis: Int, _ layout: Layout) -> [Int]? {
        guard context.isContiguous(axis: axis, layout, graph[node.output].dims) else { return nil }
        var offsets: [Int] = []
        var offset = 0
        for (position, input) in node.inputs.enumerated() {
            let dims = graph[input].dims
            if layout == .blocked, dims[1] % context.blockSize != 0, position < node.inputs.count - 1 { return nil }
            offsets.append(offset)
            offset += context.byteCount(input, layout)
        }
        return offsets
    }

    mutating func slice(_ slot: ConcatSlot, _ bytes: Int) -> BufferID {
        addBuffer(bytes, .alias(memory(of: slot.node), slot.offset))
    }

    private mutating func memory(of node: Int) -> BufferID {
        if let known = joined[node] { return known }
        let buffer = addBuffer(joinedBytes[node] ?? 0, .workspace)
        joined[node] = buffer
        return buffer
    }

    /// Emits a concatenation of which parts are in place already; false when none is, and the primitive does it.
    mutating func joinInPlace(_ node: RegionNode, _ candidate: Candidate, _ index: Int) throws -> Bool {
        guard case .concat(let axis) = node.operation, let offsets = partOffsets(node, axis, candidate.output) else {
            return false
        }
        let layout = Int(candidate.output.rawValue)
        var parts: [BufferID] = []
        for input in node.inputs { parts.append(try buffer(input, candidate.output)) }
        if owners.contains(index) {
            let memory = memory(of: index)
            for (number, (part, offset)) in zip(parts, offsets).enumerated() {
                let (place, wanted) = (plan.place(part), plan.place(memory))
                if place.root == wanted.root, place.offset == wanted.offset + offset { continue }
                let bytes = context.byteCount(node.inputs[number], candidate.output)
                let dtype = graph[node.output].dtype
                let flat = try MemoryDescriptor.strided([bytes / dtype.byteCount], dtype)
                try addReorder(
                    part, flat, addBuffer(bytes, .alias(memory, offset)), flat, graph[node.inputs[number]].name)
            }
            places[node.output.index][layout] = memory
            return true
        }
        // Parts that lie behind one another in the memory of a larger concatenation are its beginning, or a piece of it.
        var begin: (root: BufferID, offset: Int)?
        for (part, offset) in zip(parts, offsets) {
            let place = plan.place(part)
            if let begin {
                guard begin.root == place.root, place.offset - begin.offset == offset else { return false }
            } else {
                begin = place
            }
        }
        guard let begin else { return false }
        places[node.output.index][layout] = addBuffer(
            context.byteCount(node.output, candidate.output), .alias(begin.root, begin.offset))
        return true
    }
}
