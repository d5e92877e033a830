import CParallel
import TenonIR

/// A dense, row-major tensor of known size as kernels see it.
public struct TensorSpec: Hashable, Sendable {
    public var dtype: DataType
    public var shape: [Int]

    public init(_ dtype: DataType, _ shape: [Int]) {
        self.dtype = dtype
        self.shape = shape
    }

    /// From a type whose dtype and dimensions are all known and whose size in bytes is representable; nil otherwise.
    public init?(_ type: TensorType) {
        guard let dtype = type.dtype, let dims = type.staticShape, type.byteCount != nil else { return nil }
        self.init(dtype, dims.map { Int($0) })
    }

    /// Cannot overflow: `init?(_:)` has checked the product, and what a schema derives is checked there.
    public var count: Int { shape.reduce(1, *) }
    public var byteCount: Int { count * dtype.byteCount }
}

/// One call of an operator with everything known that preparation needs.
public struct KernelCall: Sendable {
    public var op: OperatorID
    /// One per argument; an argument that is a tuple of tensors gives one entry per field. Literals that are not tensors
    /// (shapes, numbers) are not listed here but stand in `arguments`.
    public var inputs: [TensorSpec]
    /// The contents of the inputs that are known, by the same index.
    public var constants: [Constant?]
    /// One per tensor of the result.
    public var outputs: [TensorSpec]
    public var attributes: Attributes
    public var arguments: [Operand]

    public init(
        op: OperatorID, inputs: [TensorSpec], constants: [Constant?] = [], outputs: [TensorSpec],
        attributes: Attributes, arguments: [Operand] = []
    ) {
        self.op = op
        self.inputs = inputs
        self.constants = constants
        self.outputs = outputs
        self.attributes = attributes
        self.arguments = arguments
    }
}

/// What a kernel gets when it runs. Outputs never overlap inputs.
public struct KernelArguments {
    public var inputs: UnsafePointer<UnsafeRawPointer>
    public var outputs: UnsafePointer<UnsafeMutableRawPointer>
    /// `scratchBytes` bytes, aligned to 64, with undefined contents.
    public var scratch: UnsafeMutableRawPointer
    public var parallel: Parallel

    public init(
        inputs: UnsafePointer<UnsafeRawPointer>, outputs: UnsafePointer<UnsafeMutableRawPointer>,
        scratch: UnsafeMutableRawPointer, parallel: Parallel
    ) {
        self.inputs = inputs
        self.outputs = outputs
        self.scratch = scratch
        self.parallel = parallel
    }
}

/// A call made ready: all checks done, all geometry computed. Running it allocates nothing.
public struct PreparedKernel: Sendable {
    public var scratchBytes: Int
    /// Bytes of weights that the kernel has packed for itself.
    public var packedBytes = 0
    /// Packed weights that other kernels may hold too; not counted in `packedBytes`.
    public var sharedWeights: [any SharedWeights] = []
    /// Inputs whose contents the kernel has taken over: it does not read them when it runs.
    public var absorbedInputs: [Int] = []
    /// Roughly how long a run takes on one thread, where the kernel knows better than by the bytes it moves.
    public var expectedNanoseconds: Double?
    /// Who made it, as reports say it.
    public internal(set) var provider = "tenon"
    /// Throws only for what depends on the data (an index out of range, say).
    public var run: @Sendable (borrowing KernelArguments) throws -> Void

    public init(scratchBytes: Int = 0, run: @escaping @Sendable (borrowing KernelArguments) throws -> Void) {
        self.scratchBytes = scratchBytes
        self.run = run
    }
}

/// Splits loops over the threads of a run.
public struct Parallel: Sendable {
    public typealias Body = @convention(c) (_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int) -> Void

    public let threads: Int
    /// What ends the loops before they are done: the rest of a loop is left out, and whoever runs the step throws.
    public var limits: WorkLimits?
    /// Runs `body` over [0, count) in at most `threads` pieces and returns when all are done; nil: in place.
    let fork:
        (@convention(c) (_ threads: Int32, _ count: Int, _ body: Body, _ context: UnsafeMutableRawPointer?) -> Void)?

    public static let serial = Parallel(threads: 1, fork: nil)

    /// These loops on the calling thread.
    public var serially: Parallel {
        var serial = Parallel.serial
        serial.limits = limits
        return serial
    }

    /// Loops on the OpenMP team of the thread that runs, which oneDNN uses too.
    public static func openMP(threads: Int) -> Parallel {
        threads > 1 ? Parallel(threads: threads, fork: tenon_parallel_fork) : serial
    }

    public init(
        threads: Int,
        fork: (
            @convention(c) (_ threads: Int32, _ count: Int, _ body: Body, _ context: UnsafeMutableRawPointer?) -> Void
        )?
    ) {
        self.threads = threads
        self.fork = fork
    }

    /// Calls `body` with disjoint ranges that cover [0, count); pieces smaller than `grain` are not worth a thread.
    @inlinable public func forEach(_ count: Int, grain: Int = 1, _ body: (Range<Int>) -> Void) {
        forEachRange(count, grain, body)
    }

    @usableFromInline func forEachRange(_ count: Int, _ grain: Int, _ body: (Range<Int>) -> Void) {
        guard count > 0 else { return }
        let pieces = min(threads, count / max(grain, 1))
        if let limits {
            return forked(pieces, count) { range in limits.inParts(range, grain: grain, body) }
        }
        forked(pieces, count, body)
    }

    private func forked(_ pieces: Int, _ count: Int, _ body: (Range<Int>) -> Void) {
        guard pieces > 1, let fork else { return body(0..<count) }
        // A struct around the closure: a bare closure behind a pointer would be wrapped once more, on the heap.
        withoutActuallyEscaping(body) { escaping in
            var loop = Loop(body: escaping)
            withUnsafeMutablePointer(to: &loop) { pointer in
                fork(
                    Int32(truncatingIfNeeded: pieces), count,
                    { context, begin, end in
                        guard begin < end else { return }
                        context?.assumingMemoryBound(to: Loop.self).pointee.body(begin..<end)
                    }, pointer)
            }
        }
    }

    private struct Loop {
        let body: (Range<Int>) -> Void
    }
}

/// Finds and prepares the Swift kernel of an operator.
public enum Kernels {
    public typealias Prepare = @Sendable (KernelCall) throws -> PreparedKernel

    /// Indexed by operator; nil where there is no kernel.
    private static let table: [Prepare?] = {
        var table = [Prepare?](repeating: nil, count: Operators.all.count)
        for family in families {
            for (name, prepare) in family {
                if let id = Operators.named(name) { table[Int(id.index)] = prepare }
            }
        }
        return table
    }()

    public static func isAvailable(_ op: OperatorID) -> Bool {
        table.indices.contains(Int(op.index)) && table[Int(op.index)] != nil
    }

    public static func prepare(_ call: KernelCall) throws -> PreparedKernel {
        guard isAvailable(call.op), let prepare = table[Int(call.op.index)] else {
            throw TenonError(.unsupported, "\(call.op.name): no kernel", operatorName: call.op.name)
        }
        return try prepare(call)
    }
}
