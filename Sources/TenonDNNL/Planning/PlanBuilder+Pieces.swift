import CDNNL
import TenonIR
import TenonRuntime

extension PlanBuilder {
    /// One step for each piece of a primitive that would take too long.
    mutating func emitPieces(_ node: RegionNode, _ candidate: Candidate, _ pieces: Pieces, _ index: Int) throws {
        var whole: [BufferID] = []
        for operand in pieces.operands { whole.append(try memory(operand, pieces.cut, node)) }
        let output = try result(node, candidate, index, whole)
        var description = describe(node, candidate)
        description.bytes /= pieces.cut.count
        description.flops /= pieces.cut.count
        let primitive = try Primitive(pieces.descriptor)
        let all = zip(pieces.operands + [pieces.result], whole + [output])
        for piece in 0..<pieces.cut.samplePieces {
            for channel in 0..<pieces.cut.channels {
                let operands = all.map { operand, buffer -> PlanOperand in
                    let offset = pieces.cut.start(piece) &* operand.sampleBytes &+ channel &* operand.channelStep
                    let descriptor = operand.bound.descriptor
                    let place = addBuffer(descriptor.byteCount, .alias(buffer, offset))
                    return (operand.bound.argument, place, descriptor)
                }
                try append(primitive, pieces.descriptor, operands, description)
            }
        }
    }

    private mutating func memory(
        _ operand: Pieces.Operand, _ cut: Pieces.Cut, _ node: RegionNode
    ) throws -> BufferID {
        guard case .packed = operand.bound.place, operand.channelStep > 0,
            let view = graph[operand.bound.tensor].constant
        else {
            // Row-major values of each channel are what the whole takes too, in one piece.
            return try memory(whole(operand.bound), node)
        }
        return try packedWeights(operand.bound, view, pieces: cut.channels)
    }

    /// An operand that is not packed, without a piece's dimensions.
    private func whole(_ operand: BoundOperand) throws -> BoundOperand {
        guard case .layout(let layout) = operand.place, graph[operand.tensor].isConstant else { return operand }
        var operand = operand
        operand.descriptor = try context.descriptor(operand.tensor, layout)
        return operand
    }
}
