import CKernels
import TenonIR

/// Products in single precision on the C kernels: weights packed once for any number of rows, or both sides data; what follows
/// element by element is done while the result is in the cache.
enum GemmKernels {
    /// `rows` × `depth` times `depth` × `columns`.
    typealias Geometry = MatMulKernels.Geometry

    /// The kernel, or nil where the machine has no such instructions or a size does not fit.
    static func prepare(
        _ call: KernelCall, _ geometry: Geometry, steps: KernelSteps = .none
    ) throws -> PreparedKernel? {
        guard tkernel_gemm_panel() > 0, call.inputs[0].dtype == .float32, call.outputs[0].dtype == .float32 else {
            return nil
        }
        if call.constants.count == call.inputs.count, let weights = call.constants[1], call.constants[0] == nil,
            geometry.offsets.count == 1
        {
            var kernel = try packed(geometry, weights, steps)
            kernel?.absorbedInputs = [1]
            return kernel
        }
        return both(geometry, steps)
    }

    /// Threads that a product is worth: waking one up takes some microseconds.
    static func threads(nanoseconds: Double, _ parallel: Parallel) -> Int {
        nanoseconds < 8000 ? 1 : max(1, min(parallel.threads, Int(min(nanoseconds / 4000, 1024)), Pieces.most))
    }

    /// Calls `body` with a number of shares, one of them, and scratch memory that no share has at the same time. With limits,
    /// long work is cut into rounds of some milliseconds, and what is left is left out when they are over. Elements of a
    /// result that nobody has written to yet take some time each, whatever is multiplied for them.
    static func share(
        _ nanoseconds: Double, results: Double = 0, _ parallel: Parallel,
        _ body: (_ shares: Int, _ share: Int, _ scratch: Int) -> Void
    ) {
        let count = threads(nanoseconds: nanoseconds, parallel)
        let expected = max(nanoseconds, 2 * results) / Double(count)
        let rounds = parallel.limits == nil ? 1 : max(1, Int(min(expected / 4e6, 1e6)))
        for round in 0..<rounds {
            if round > 0, let limits = parallel.limits, limits.isOver { return }
            parallel.forEach(count) { range in
                for thread in range { body(count * rounds, round * count + thread, thread) }
            }
        }
    }

    /// Reads the rows in its first input; `steps` say which inputs they read.
    static func packed(
        _ geometry: Geometry, _ weights: Constant, _ steps: KernelSteps
    ) throws -> PreparedKernel? {
        let (columns, depth) = (geometry.columns, geometry.depth)
        let size = Int(tkernel_gemm_weights(Int64(columns), Int64(depth)))
        guard size > 0, let source = weights.bytes.baseAddress else { return nil }
        let memory = try pack(weights, source.assumingMemoryBound(to: Float.self), geometry, size)
        let problem = Problem(geometry, steps)
        let scratch = Int(tkernel_gemm_scratch(&problem.base.pointee.gemm))
        // Many rows are as fast as multiplications are, few as the memory.
        let products = Double(geometry.rows) * Double(columns) * Double(depth)
        let nanoseconds = max(products / 40, Double(size) / 8) + 100
        let results = Double(geometry.rows) * Double(columns)
        var kernel = PreparedKernel(scratchBytes: scratch * 4 * Pieces.most) { arguments in
            let (a, c) = (arguments.input(0, Float.self), arguments.output(0, Float.self))
            let packed = UnsafePointer(memory.base.assumingMemoryBound(to: Float.self))
            let own = arguments.scratch.assumingMemoryBound(to: Float.self)
            let parallel = arguments.parallel
            steps.withOperands(arguments) { operands in
                share(nanoseconds, results: results, parallel) { shares, share, place in
                    _ = tkernel_gemm_run(
                        &problem.base.pointee.gemm, Int64(shares), Int64(share), a, packed, c, operands,
                        own + place * scratch, nil)
                }
            }
        }
        kernel.sharedWeights = [memory]
        kernel.expectedNanoseconds = 300 + nanoseconds
        return kernel
    }

    private static func pack(
        _ weights: Constant, _ source: UnsafePointer<Float>, _ geometry: Geometry, _ size: Int
    ) throws -> PackedConstant {
        let panel = Int(tkernel_gemm_panel())
        let (columns, depth) = (geometry.columns, geometry.depth)
        let recipe = PackedConstants.Recipe(
            "gemm.f32", version: 1, parameters: [panel, columns, depth, geometry.isTransposed ? 1 : 0])
        return try PackedConstants.shared.find([weights], recipe, bytes: size * 4) { memory in
            let (row, column) = geometry.isTransposed ? (1, depth) : (columns, 1)
            tkernel_gemm_pack(
                Int64(columns), Int64(depth), source, Int64(row), Int64(column),
                memory.assumingMemoryBound(to: Float.self), 0, Int64((columns + panel - 1) / panel))
            weights.releasePages()
        }
    }

    private static func both(_ geometry: Geometry, _ steps: KernelSteps) -> PreparedKernel? {
        let (rows, columns, depth) = (geometry.rows, geometry.columns, geometry.depth)
        let problem = Problem(geometry, steps)
        let scratch = Int(tkernel_products_scratch(problem.base))
        let work = Double(rows) * Double(columns) * Double(depth) * Double(geometry.offsets.count)
        let nanoseconds = work / (rows < 4 ? 10 : 30) + 100
        let results = Double(rows) * Double(columns) * Double(geometry.offsets.count)
        var kernel = PreparedKernel(scratchBytes: scratch * 4 * Pieces.most) { arguments in
            let (a, b) = (arguments.input(0, Float.self), arguments.input(1, Float.self))
            let c = arguments.output(0, Float.self)
            let own = arguments.scratch.assumingMemoryBound(to: Float.self)
            let parallel = arguments.parallel
            steps.withOperands(arguments) { operands in
                share(nanoseconds, results: results, parallel) { shares, share, place in
                    _ = tkernel_products_run(
                        problem.base, Int64(shares), Int64(share), a, b, c, operands, own + place * scratch, nil)
                }
            }
        }
        kernel.expectedNanoseconds = 300 + nanoseconds
        return kernel
    }

    /// What the C kernels read, in memory of its own: they keep pointers into each other.
    private final class Problem: @unchecked Sendable {
        let base: UnsafeMutablePointer<tkernel_products>
        private let offsets: UnsafeMutablePointer<Int64>
        private let steps: KernelSteps

        init(_ geometry: Geometry, _ steps: KernelSteps) {
            self.steps = steps
            let count = geometry.offsets.count
            offsets = .allocate(capacity: max(1, 2 * count))
            for (index, offset) in geometry.offsets.enumerated() {
                (offsets + index).initialize(to: Int64(offset.a))
                (offsets + count + index).initialize(to: Int64(offset.b))
            }
            let gemm = tkernel_gemm(
                rows: Int64(geometry.rows), columns: Int64(geometry.columns), depth: Int64(geometry.depth),
                lda: Int64(geometry.depth), ldc: Int64(geometry.columns), step_count: Int64(steps.count),
                steps: steps.base)
            base = .allocate(capacity: 1)
            base.initialize(
                to: tkernel_products(
                    count: Int64(count), gemm: gemm, b_row: Int64(geometry.isTransposed ? 1 : geometry.columns),
                    b_column: Int64(geometry.isTransposed ? geometry.depth : 1), a_offsets: offsets,
                    b_offsets: offsets + count))
        }

        deinit {
            base.deallocate()
            offsets.deallocate()
        }
    }
}
