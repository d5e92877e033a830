import CDNNL
import CKernels
import TenonIR
import TenonRuntime

/// Which channel each packed weight belongs to.
struct ChannelMap {
    /// Channels of groups of weights that lie side by side, 16 or 1 in each.
    var channels: [Int32] = []
    var groupSize: Int

    /// From a copy of the weights in which each is the number of its channel plus one, and padding is zero: whatever the layout
    /// is, it says where everything went.
    init(_ numbers: UnsafeBufferPointer<Float>) {
        groupSize = numbers.count % 16 == 0 ? 16 : 1
        if groupSize == 16 {
            for begin in stride(from: 0, to: numbers.count, by: 16) {
                // Padding may have any channel: it stays zero.
                var channel: Float = 0
                for number in numbers[begin..<begin + 16] where number != 0 && number != channel {
                    if channel != 0 { groupSize = 1 }
                    channel = number
                }
                channels.append(Int32(max(channel, 1)) - 1)
            }
        }
        if groupSize == 1 { channels = numbers.map { Int32(max($0, 1)) - 1 } }
    }

    /// The step that multiplies weights by the values of their channels.
    var kernel: PreparedKernel {
        let map = self
        return PreparedKernel { arguments in
            let weights = arguments.inputs[0].assumingMemoryBound(to: Float.self)
            let scale = arguments.inputs[1].assumingMemoryBound(to: Float.self)
            let target = arguments.outputs[0].assumingMemoryBound(to: Float.self)
            map.channels.withUnsafeBufferPointer { channels in
                guard let base = channels.baseAddress else { return }
                arguments.parallel.forEach(channels.count, grain: 8192 / map.groupSize) { range in
                    let begin = range.lowerBound * map.groupSize
                    tkernel_scale_run(
                        Int64(range.count), Int64(map.groupSize), base + range.lowerBound, weights + begin, scale,
                        target + begin)
                }
            }
        }
    }
}

extension PlanBuilder {
    /// Packed weights times the values of their input channels, anew in each run.
    mutating func scaledWeights(_ operand: BoundOperand, _ scale: TensorID, _ node: RegionNode) throws -> BufferID {
        let dims = operand.sourceDims
        guard let view = graph[operand.tensor].constant, dims.count == 4, dims[0] > 0 else {
            throw TenonError(.internal, "\(node.composite): scaled weights are not known")
        }
        let packed = try packedWeights(operand, view)
        let row = (1...max(dims[1], 1)).map { Float($0) }
        let numbers = try Constant(
            .float32, dims.map(Int64.init), (0..<dims[0]).flatMap { _ in row })
        let copy = try packer.pack(numbers, from: try .strided(dims, .float32), to: operand.descriptor)
        let bytes = operand.descriptor.byteCount
        // The copy may be the constant's own memory.
        let map = withExtendedLifetime((numbers, copy)) {
            ChannelMap(
                UnsafeBufferPointer(
                    start: UnsafePointer(copy.address.assumingMemoryBound(to: Float.self)), count: bytes / 4))
        }
        let values = try buffer(scale, .plain)
        let target = addBuffer(bytes, .workspace)
        plan.steps.append(
            PlanStep(
                action: .kernel(map.kernel, inputs: [packed, values], outputs: [target]), scratchBytes: 0,
                description: StepDescription(
                    binding: node.binding, composite: node.composite, implementation: "scale_weights:avx512",
                    bytes: bytes &* 2)))
        return target
    }
}
