import Synchronization
import TenonIR

/// Runs a program for callers: sizes from their tensors, results into their memory or into new tensors.
final class ProgramRunner: Sendable {
    let state: ProgramState
    private let registration: ForkRegistration
    private let signature: Signature
    /// Nanoseconds that the last run took, without waiting.
    private let lastTime = Atomic<UInt64>(.max)
    private let isSolo = Atomic<Bool>(false)
    private let threads: Int
    private let mayChangeThreads: Bool

    init(_ state: ProgramState, _ signature: Signature, _ options: CompileOptions) {
        self.state = state
        registration = ForkRegistration(state)
        self.signature = signature
        threads = options.threads
        mayChangeThreads = options.threads > 1 && !options.isReproducible
    }

    /// Whether the next run is done by the caller's thread: of little work it makes an end before others wake up.
    var runsOnCaller: Bool { threads == 1 || isSolo.load(ordering: .relaxed) }

    /// A run shorter than this is not worth handing over, and one longer than the other is not worth doing alone.
    private static let soloBelow: UInt64 = 80_000
    private static let soloUpTo: UInt64 = 250_000

    private func learn(_ nanoseconds: UInt64, wasSolo: Bool) {
        guard mayChangeThreads else { return }
        // One slow run says little: the shorter of two counts.
        let best = min(nanoseconds, lastTime.exchange(nanoseconds, ordering: .relaxed))
        if wasSolo {
            if best > ProgramRunner.soloUpTo { isSolo.store(false, ordering: .relaxed) }
        } else if best < ProgramRunner.soloBelow {
            isSolo.store(true, ordering: .relaxed)
        }
    }

    // MARK: - Running

    /// Into the caller's tensors. Those whose sizes follow from the inputs' are checked before anything is written.
    func run(
        _ inputs: UnsafeBufferPointer<TensorView>, into outputs: UnsafeBufferPointer<TensorView>,
        isProfiled: Bool, environment: borrowing RunEnvironment
    ) throws {
        let context = state.take()
        defer { state.give(context) }
        try enter(context, inputs, outputs, environment.limits)
        for index in outputs.indices {
            guard let spec = try outputSpec(context, index) else { continue }
            try TensorCheck.output(outputs[index], spec, signature.outputs[index])
        }
        try disjoint(context, outputs)
        for (root, index) in state.direct { context.roots[root] = outputs[index].data ?? PlanInstance.empty }
        try run(context, isProfiled: isProfiled, environment)
        // What only the run knows is checked before any of it is copied.
        for index in outputs.indices where state.program.outputDims[index] == nil {
            let spec = try context.spec(state.program.outputs[index])
            try TensorCheck.output(outputs[index], spec, signature.outputs[index])
        }
        for index in outputs.indices where !isDirect(index) {
            let tensor = state.program.outputs[index]
            let bytes = try context.spec(tensor).byteCount
            if bytes > 0, let target = outputs[index].data {
                target.copyMemory(from: context.pointer(tensor), byteCount: bytes)
            }
        }
    }

    /// Into new tensors.
    func run(
        _ inputs: UnsafeBufferPointer<TensorView>, isProfiled: Bool, environment: borrowing RunEnvironment
    ) throws -> [Constant] {
        let context = state.take()
        defer { state.give(context) }
        try enter(context, inputs, UnsafeBufferPointer(start: nil, count: 0), environment.limits)
        var memory = [AlignedBytes?](repeating: nil, count: state.program.outputs.count)
        for (root, index) in state.direct {
            guard let spec = try outputSpec(context, index) else { continue }
            let made = try AlignedBytes(spec.byteCount)
            memory[index] = made
            context.roots[root] = made.base
        }
        try run(context, isProfiled: isProfiled, environment)
        return try state.program.outputs.enumerated().map { index, tensor in
            let spec = try context.spec(tensor)
            let own = try memory[index] ?? AlignedBytes(spec.byteCount)
            if memory[index] == nil { own.base.copyMemory(from: context.pointer(tensor), byteCount: spec.byteCount) }
            return try Constant(
                dtype: spec.dtype, shape: spec.shape.map { Int64($0) },
                borrowing: UnsafeRawBufferPointer(start: own.base, count: spec.byteCount), owner: own)
        }
    }

    private func isDirect(_ output: Int) -> Bool {
        state.direct[state.program.tensors[state.program.outputs[output]].root] == output
    }

    private func run(
        _ context: ProgramContext, isProfiled: Bool, _ environment: borrowing RunEnvironment
    ) throws {
        context.isProfiled = isProfiled
        context.threads = environment.parallel.threads
        let start = MonotonicClock.now
        try context.run(Program.main, environment)
        try environment.limits?.checkCut()
        let time = MonotonicClock.now &- start
        learn(time, wasSolo: context.threads == 1)
        if isProfiled { state.setProfile(context, total: time) }
    }

    // MARK: - Sizes

    /// The sizes of the inputs in the table, and where they lie.
    private func enter(
        _ context: ProgramContext, _ inputs: UnsafeBufferPointer<TensorView>,
        _ outputs: UnsafeBufferPointer<TensorView>, _ limits: WorkLimits?
    ) throws {
        try bind(context, inputs)
        for (index, input) in state.program.inputs.enumerated() {
            let view = inputs[index]
            let spec = try context.spec(input.tensor)
            try TensorCheck.input(view, spec, signature.inputs[index])
            let bytes = spec.byteCount
            let root = state.program.tensors[input.tensor].root
            guard bytes > 0, let data = view.data else {
                context.roots[root] = PlanInstance.empty
                continue
            }
            let isReadable = view.isDense && view.isAligned && !overlaps(data, bytes, outputs)
            context.roots[root] = isReadable ? data : try context.pack(view, index, bytes: bytes, limits)
        }
    }

    /// Fills the table from the sizes of the inputs.
    func bind(_ context: ProgramContext, _ inputs: UnsafeBufferPointer<TensorView>) throws {
        let program = state.program
        for (index, input) in program.inputs.enumerated() {
            let (view, port) = (inputs[index], signature.inputs[index])
            guard view.rank >= 0, view.rank == 0 || view.shape != nil else {
                throw TensorCheck.error(.invalidArgument, port, "input", "has rank \(view.rank) and no shape")
            }
            let tensor = program.tensors[input.tensor]
            guard let dims = input.dims else {
                context.specs[input.tensor] = try free(view, port)
                continue
            }
            guard dims.count == view.rank else { throw mismatch(inputs) }
            if let dtype = tensor.dtype, dtype != view.dtype {
                throw TensorCheck.error(.invalidType, port, "input", "expects \(port.type), found \(view.text)")
            }
            for (axis, dim) in dims.enumerated() {
                guard view.dim(axis) >= 0 else { throw mismatch(inputs) }
                if case .bind(let slot) = dim { context.table[Int(slot)] = view.dim(axis) }
            }
            if !tensor.isPlanned { context.specs[input.tensor] = try free(view, port) }
        }
        try program.sizes.evaluate(program.entry, context.table)
        for (index, input) in program.inputs.enumerated() {
            for (axis, dim) in (input.dims ?? []).enumerated() {
                guard case .check(let size) = dim,
                    SizeProgram.value(size, context.table) != inputs[index].dim(axis)
                else { continue }
                throw mismatch(inputs)
            }
        }
        try program.sizes.evaluate(program.outputSizes, context.table)
    }

    private func free(_ view: TensorView, _ port: Signature.Port) throws -> TensorSpec {
        let type = TensorType(view.dtype, (0..<view.rank).map { .fixed(view.dim($0)) })
        guard let spec = TensorSpec(type), spec.dtype != .string else {
            throw TensorCheck.error(.invalidShape, port, "input", "has sizes below 0 or too large: \(view.text)")
        }
        return spec
    }

    /// What is wrong with inputs that do not have the sizes of the signature.
    private func mismatch(_ inputs: UnsafeBufferPointer<TensorView>) -> any Error {
        do {
            _ = try TensorCheck.specs(inputs, signature.inputs)
        } catch { return error }
        return TenonError(.invalidShape, "the inputs do not have the sizes that main expects")
    }

    private func outputSpec(_ context: ProgramContext, _ output: Int) throws -> TensorSpec? {
        guard let dims = state.program.outputDims[output] else { return nil }
        var tensor = state.program.tensors[state.program.outputs[output]]
        tensor.dims = dims
        return try NodePreparation.spec(tensor, UnsafePointer(context.table))
    }

    /// Makes what can be made before a run with inputs of these sizes.
    func prepare(_ inputs: UnsafeBufferPointer<TensorView>) throws -> Executable.RunNeeds {
        let context = state.take()
        defer { state.give(context) }
        try bind(context, inputs)
        var needs = Executable.RunNeeds(isComplete: true)
        for number in state.program.blocks[Program.main].stages {
            let stage = state.program.stages[number]
            try state.program.sizes.evaluate(stage.sizes, context.table)
            if !stage.nodes.isEmpty {
                let plan = try state.plan(number, UnsafePointer(context.table), threads: threads)
                needs.bytes =
                    needs.bytes.addingReportingOverflow(plan.bytes).overflow ? Int.max : needs.bytes &+ plan.bytes
            }
            if stage.end != nil {
                needs.isComplete = false
                break
            }
        }
        needs.outputs = []
        for index in state.program.outputs.indices {
            guard let spec = try outputSpec(context, index) else {
                needs.outputs = nil
                break
            }
            needs.outputs?.append(spec)
        }
        return needs
    }

    // MARK: - Memory of the caller

    private func overlaps(
        _ data: UnsafeMutableRawPointer, _ bytes: Int, _ outputs: UnsafeBufferPointer<TensorView>
    ) -> Bool {
        for output in outputs {
            guard let other = output.data else { continue }
            let length = output.byteCount ?? TensorCheck.bytes(output)
            if other < data + bytes, data < other + length { return true }
        }
        return false
    }

    /// No output may share memory with another one.
    private func disjoint(_ context: ProgramContext, _ outputs: UnsafeBufferPointer<TensorView>) throws {
        guard outputs.count > 1 else { return }
        for first in outputs.indices {
            guard let a = outputs[first].data else { continue }
            for second in outputs.indices where second > first {
                guard let b = outputs[second].data else { continue }
                let (p, q) = (TensorCheck.bytes(outputs[first]), TensorCheck.bytes(outputs[second]))
                if p > 0, q > 0, a < b + q, b < a + p {
                    throw TensorCheck.error(
                        .invalidArgument, signature.outputs[second], "output",
                        "shares memory with output '\(signature.outputs[first].name)'")
                }
            }
        }
    }
}

extension TensorCheck {
    /// Bytes of a dense tensor of a view's sizes; 0 where they cannot be.
    static func bytes(_ view: TensorView) -> Int {
        var bytes = view.dtype.byteCount
        for axis in 0..<max(view.rank, 0) {
            let size = view.dim(axis)
            guard size > 0, let size = Int(exactly: size) else { return 0 }
            let (product, overflow) = bytes.multipliedReportingOverflow(by: size)
            if overflow { return 0 }
            bytes = product
        }
        return bytes
    }
}
