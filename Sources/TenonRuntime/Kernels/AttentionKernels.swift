import CKernels
import TenonIR

/// `nn.attention` on the C kernel, or on plain loops for other types and machines.
enum AttentionKernels {
    static let table: [(String, Kernels.Prepare)] = [("nn.attention", prepare)]

    private static func prepare(_ call: KernelCall) throws -> PreparedKernel {
        let (problem, mask) = try read(call)
        let hasLengths = call.inputs.count > 4
        guard call.inputs[0].dtype == .float32, tkernel_gemm_panel() > 0 else {
            return try call.dispatchReal(
                call.inputs[0].dtype,
                AttentionLoops(
                    call: call, problem: problem, mask: mask, hasLengths: hasLengths, scale: scale(call, problem.size)))
        }
        var attention = problem
        let scratch = Int(tkernel_attention_scratch(&attention))
        guard scratch < 1 << 40 else {
            throw call.error(.invalidShape, "heads of \(problem.size) values are too large")
        }
        let units = Double(problem.batch * problem.heads)
        let products =
            units * Double(problem.queries) * Double(problem.keys) * Double(problem.size + problem.value_size)
        let nanoseconds = products / (problem.queries < 3 ? 5 : 20) + 200
        var kernel = PreparedKernel(scratchBytes: scratch * 4 * Pieces.most) { arguments in
            let lengths = hasLengths ? arguments.input(4, Int64.self) : nil
            if let lengths { try check(lengths, problem, call) }
            let (q, k, v) = (
                arguments.input(0, Float.self), arguments.input(1, Float.self), arguments.input(2, Float.self)
            )
            let bias = mask == nil ? nil : arguments.inputs[3]
            let result = arguments.output(0, Float.self)
            let own = arguments.scratch.assumingMemoryBound(to: Float.self)
            GemmKernels.share(nanoseconds, arguments.parallel) { shares, share, place in
                var attention = problem
                _ = tkernel_attention_run(
                    &attention, Int64(shares), Int64(share), q, k, v, bias, lengths, result, own + place * scratch, nil)
            }
        }
        kernel.expectedNanoseconds = nanoseconds
        return kernel
    }

    /// One over the root of the heads' size where nothing else is said.
    private static func scale(_ call: KernelCall, _ size: Int64) -> Double {
        call.attributes.float("scale") ?? (size > 0 ? 1 / Double(size).squareRoot() : 1)
    }

    /// Lengths are data: they are checked in every build before anything is read.
    static func check(_ lengths: UnsafePointer<Int64>, _ problem: tkernel_attention, _ call: KernelCall) throws {
        for sample in 0..<Int(problem.batch) where lengths[sample] < 0 || lengths[sample] > problem.keys {
            throw call.error(
                .invalidArgument,
                "input 'lengths' expects numbers from 0 to \(problem.keys), found \(lengths[sample]) for sample \(sample)"
            )
        }
    }

    /// Sizes and places; the type of the mask where there is one.
    private static func read(_ call: KernelCall) throws -> (tkernel_attention, DataType?) {
        try call.require(inputs: 3)
        for index in 0..<3 { try call.requireRank(index, 4) }
        try call.requireSameType(0, 1, 2)
        guard call.outputs[0].shape.count == 4, call.outputs[0].dtype == call.inputs[0].dtype else {
            throw call.error(.invalidShape, "\(call.outputs[0].shape) is not the shape of the result")
        }
        let (q, query) = places(call.inputs[0].shape, call.attributes.string("query_layout"))
        let (k, key) = places(call.inputs[1].shape, call.attributes.string("key_layout"))
        let (v, value) = places(call.inputs[2].shape, call.attributes.string("value_layout"))
        let (r, result) = places(call.outputs[0].shape, call.attributes.string("out_layout"))
        guard q[0] == k[0], k[0] == v[0], k[1] == v[1], k[2] == v[2], q[3] == k[3], r == [q[0], q[1], q[2], v[3]],
            k[1] > 0 ? q[1] % k[1] == 0 : q[1] == 0
        else {
            throw call.error(
                .invalidShape, "\(call.inputs.prefix(3).map(\.shape)) do not give \(call.outputs[0].shape)")
        }
        var problem = tkernel_attention()
        (problem.batch, problem.heads, problem.kv_heads) = (Int64(q[0]), Int64(q[1]), Int64(max(k[1], 1)))
        (problem.queries, problem.keys) = (Int64(q[2]), Int64(k[2]))
        (problem.size, problem.value_size) = (Int64(q[3]), Int64(v[3]))
        (problem.query, problem.key, problem.value, problem.result) = (query, key, value, result)
        problem.scale = Float(scale(call, problem.size))
        problem.mask_value = Float(call.attributes.float("mask_value") ?? -.infinity)
        problem.softcap = Float(call.attributes.float("softcap") ?? 0)
        (problem.left, problem.right) = (Int64(try call.int("left_window")), Int64(try call.int("right_window")))
        problem.hidden_is_nan = call.attributes.string("hidden_value") == "nan" ? 1 : 0
        if let causal = call.attributes.string("causal_mask") {
            problem.is_causal = 1
            problem.follows_lengths = causal == "Lengths" ? 1 : 0
            problem.past = causal == "BottomRight" ? problem.keys - problem.queries : 0
        }
        if call.inputs.count > 4 {
            try call.requireShape(4, [q[0]])
            guard call.inputs[4].dtype == .int64 else { throw call.unsupported(call.inputs[4].dtype) }
        } else if problem.follows_lengths != 0 {
            throw call.error(.invalidArgument, "causal_mask 'Lengths' without input 'lengths'")
        }
        let mask = try readMask(call, [q[0], q[1], q[2], k[2]], &problem)
        return (problem, mask)
    }

    private static func readMask(
        _ call: KernelCall, _ whole: [Int], _ problem: inout tkernel_attention
    ) throws -> DataType? {
        guard call.inputs.count > 3 else { return nil }
        let (shape, dtype) = (call.inputs[3].shape, call.inputs[3].dtype)
        guard dtype == .bool || dtype == call.inputs[0].dtype else { throw call.unsupported(dtype) }
        guard let loop = BroadcastLoop.steps(of: shape, in: whole) else {
            throw call.error(.invalidShape, "input 'mask' expects a shape that broadcasts to \(whole), found \(shape)")
        }
        problem.mask = Int32((dtype == .bool ? TKERNEL_MASK_ALLOWED : TKERNEL_MASK_ADDED).rawValue)
        (problem.mask_batch, problem.mask_head) = (Int64(loop[0]), Int64(loop[1]))
        (problem.mask_query, problem.mask_key) = (Int64(loop[2]), Int64(loop[3]))
        return dtype
    }

    /// [batch, head, token, size], and where they lie.
    private static func places(_ shape: [Int], _ layout: String?) -> ([Int], tkernel_places) {
        let layout = AttentionLayout(layout)
        var (steps, step) = ([Int64](repeating: 1, count: 4), Int64(1))
        for axis in (0..<4).reversed() {
            steps[axis] = step
            step *= Int64(shape[axis])
        }
        let by = layout.byHead(steps)
        return (layout.byHead(shape), tkernel_places(batch: by[0], head: by[1], token: by[2]))
    }
}

extension BroadcastLoop {
    /// Steps of an operand per dimension of `shape`, 0 where it repeats; nil when it does not broadcast.
    static func steps(of operand: [Int], in shape: [Int]) -> [Int]? {
        guard operand.count <= shape.count else { return nil }
        var steps = [Int](repeating: 0, count: shape.count)
        var step = 1
        for (index, size) in operand.enumerated().reversed() {
            let target = index + shape.count - operand.count
            guard size == shape[target] || size == 1 else { return nil }
            if size != 1 { steps[target] = step }
            step *= size
        }
        return steps
    }
}
