import CKernels
import Glibc
import TenonIR

/// A recurrent layer in single precision whose weights are known when it is prepared: packed once, for kernels with wide
/// vectors that multiply the states with all gates' rows of 16 units together and go on to the units' next states.
final class PackedRecurrence: @unchecked Sendable {
    private typealias Layer = RecurrentKernels.Layer

    /// Elements of the gates computed ahead.
    private static let ahead = 1 << 16
    /// Multiplications and additions that are worth a thread: some microseconds.
    private static let grain = 200_000

    private let layer: RecurrentKernels.Layer
    /// One per direction.
    private var kernels: [tkernel_recurrent]
    private let weights: UnsafeMutablePointer<Float>
    private let weightCount: Int
    /// Steps computed ahead.
    private let chunk: Int
    private let scratchPerDirection: Int

    var packedBytes: Int { weightCount * layer.reverse.count * MemoryLayout<Float>.stride }

    /// The kernel, or nil where weights are not known or the machine has no such vectors.
    static func prepare(_ layer: RecurrentKernels.Layer, _ call: KernelCall) throws -> PreparedKernel? {
        // Where everything is known the result is computed once, and packing would be most of the work.
        guard call.constants.count == call.inputs.count, call.constants[0] == nil, layer.steps > 0, layer.batch > 0,
            layer.functions.allSatisfy({ $0.allSatisfy { $0.kernelFunction != nil } }),
            let packed = try PackedRecurrence(layer, call)
        else { return nil }
        var prepared = PreparedKernel(scratchBytes: packed.scratchPerDirection * layer.reverse.count * 4) { arguments in
            packed.run(arguments)
        }
        prepared.packedBytes = packed.packedBytes
        // Few samples read the weights faster than they multiply them.
        let products = Double(layer.steps * layer.batch) * Double(packed.weightCount * layer.reverse.count)
        prepared.expectedNanoseconds = 1000 + products * 2 / 60
        prepared.absorbedInputs = layer.gates == 4 ? [1, 2, 3, 6] : [1, 2, 3]
        return prepared
    }

    private init?(_ layer: RecurrentKernels.Layer, _ call: KernelCall) throws {
        func known(_ index: Int) -> UnsafePointer<Float>? {
            call.constants[index]?.bytes.baseAddress?.assumingMemoryBound(to: Float.self)
        }
        guard let weight = known(1), let recurrence = known(2), let bias = known(3) else { return nil }
        var peephole: UnsafePointer<Float>?
        if layer.gates == 4 {
            guard let given = known(6) else { return nil }
            if (0..<layer.reverse.count * 3 * layer.hidden).contains(where: { given[$0] != 0 }) { peephole = given }
        }
        self.layer = layer
        kernels = layer.functions.map { functions in
            func number(_ index: Int) -> Int32 {
                functions.indices.contains(index) ? functions[index].kernelFunction ?? 0 : 0
            }
            return tkernel_recurrent(
                gates: Int64(layer.gates), inputs: Int64(layer.inputs), hidden: Int64(layer.hidden),
                functions: (number(0), number(1), number(2)), input_forget: layer.inputForget ? 1 : 0,
                linear_before_reset: layer.linearBeforeReset ? 1 : 0, has_peephole: peephole == nil ? 0 : 1,
                clip: layer.clip.map { Float($0) } ?? .infinity)
        }
        guard tkernel_recurrent_is_supported(&kernels[0]) != 0 else { return nil }
        weightCount = Int(tkernel_recurrent_weights(&kernels[0]))
        let size = CheckedSize(call: call)
        let perStep = try size.multiply(layer.batch, Int(tkernel_recurrent_gates(&kernels[0])))
        chunk = max(1, min(layer.steps, Self.ahead / max(1, perStep)))
        // The gates, and the states that GRU's reset gates let through, in whole cache lines.
        let states = try size.multiply(layer.batch, (layer.hidden + 15) / 16 * 16)
        let (scratch, overflow) = try size.multiply(chunk, perStep).addingReportingOverflow(states)
        guard !overflow else { throw call.error(.limitExceeded, "its gates need more bytes than can be addressed") }
        scratchPerDirection = scratch
        _ = try size.multiply(scratch, layer.reverse.count, 4)
        let bytes = try size.multiply(weightCount, layer.reverse.count, MemoryLayout<Float>.stride)
        guard let memory = AlignedMemory.allocate(bytes) else {
            throw call.error(.outOfMemory, "\(bytes) bytes of packed weights are not to be had")
        }
        weights = memory.bindMemory(to: Float.self, capacity: weightCount * layer.reverse.count)
        let rows = layer.gates * layer.hidden
        for direction in kernels.indices {
            tkernel_recurrent_pack(
                &kernels[direction], weight + direction * rows * layer.inputs,
                recurrence + direction * rows * layer.hidden,
                bias + direction * 2 * rows, peephole.map { $0 + direction * 3 * layer.hidden },
                weights + direction * weightCount)
        }
    }

    deinit { free(weights) }

    private func run(_ arguments: borrowing KernelArguments) {
        let parallel = arguments.parallel
        let first = direction(0, arguments)
        guard kernels.count == 2 else { return first.run(parallel) }
        let second = direction(1, arguments)
        // Directions know nothing of each other: with two threads each takes one, and never waits.
        guard parallel.threads == 2 else {
            first.run(parallel)
            return second.run(parallel)
        }
        parallel.forEach(2) { range in
            for index in range { index == 0 ? first.run(.serial) : second.run(.serial) }
        }
    }

    private func direction(_ index: Int, _ arguments: borrowing KernelArguments) -> Direction {
        let state = index * layer.batch * layer.hidden
        return Direction(
            kernel: kernels[index], layer: layer, index: index, chunk: chunk, x: arguments.input(0, Float.self),
            weights: weights + index * weightCount, y: arguments.output(0, Float.self),
            initial: arguments.input(4, Float.self) + state, h: arguments.output(1, Float.self) + state,
            initialCell: layer.gates == 4 ? arguments.input(5, Float.self) + state : nil,
            c: layer.gates == 4 ? arguments.output(2, Float.self) + state : nil,
            gates: arguments.scratch.assumingMemoryBound(to: Float.self) + index * scratchPerDirection)
    }

    /// One direction of a run.
    private struct Direction {
        let kernel: tkernel_recurrent
        let layer: RecurrentKernels.Layer
        let index: Int
        let chunk: Int
        let x: UnsafePointer<Float>
        let weights: UnsafePointer<Float>
        let y: UnsafeMutablePointer<Float>
        let initial: UnsafePointer<Float>
        let h: UnsafeMutablePointer<Float>
        let initialCell: UnsafePointer<Float>?
        let c: UnsafeMutablePointer<Float>?
        let gates: UnsafeMutablePointer<Float>

        func run(_ parallel: Parallel) {
            var kernel = kernel
            let isReverse = layer.reverse[index]
            let (batch, states, steps) = (layer.batch, layer.batch * layer.hidden, layer.steps)
            let perStep = batch * Int(tkernel_recurrent_gates(&kernel))
            let reset = gates + chunk * perStep
            if let c, let initialCell { c.update(from: initialCell, count: states) }
            var before = initial
            var first = 0
            while first < steps {
                let count = min(chunk, steps - first)
                // Backwards, the chunk's earliest step in time is its last.
                let earliest = isReverse ? steps - first - count : first
                overBlocks(kernel, count * batch * layer.inputs, parallel) { blocks in
                    var kernel = kernel
                    tkernel_recurrent_project(
                        &kernel, Int64(blocks.lowerBound), Int64(blocks.upperBound), Int64(count * batch),
                        x + earliest * batch * layer.inputs, weights, gates)
                }
                for step in 0..<count {
                    let ahead = isReverse ? count - 1 - step : step
                    let after = y + ((earliest + ahead) * layer.reverse.count + index) * states
                    for part in 0..<tkernel_recurrent_parts(&kernel) {
                        overBlocks(kernel, states, parallel) { blocks in
                            var kernel = kernel
                            tkernel_recurrent_step(
                                &kernel, part, Int64(blocks.lowerBound), Int64(blocks.upperBound), Int64(batch),
                                weights, gates + ahead * perStep, before, c, after, reset)
                        }
                    }
                    before = UnsafePointer(after)
                }
                first += count
            }
            h.update(from: before, count: states)
        }

        /// `work`: multiplications per row of weights.
        private func overBlocks(
            _ kernel: tkernel_recurrent, _ work: Int, _ parallel: Parallel, _ body: (Range<Int>) -> Void
        ) {
            var kernel = kernel
            let perBlock = max(1, work * layer.gates * 32)
            parallel.forEach(
                Int(tkernel_recurrent_blocks(&kernel)), grain: max(1, PackedRecurrence.grain / perBlock), body)
        }
    }
}

extension RecurrentKernels.Activation {
    /// Nil for what the kernel does not know.
    fileprivate var kernelFunction: Int32? {
        switch self {
        case .sigmoid: Int32(TKERNEL_SIGMOID.rawValue)
        case .tanh: Int32(TKERNEL_TANH.rawValue)
        case .relu: Int32(TKERNEL_RELU.rawValue)
        default: nil
        }
    }
}
