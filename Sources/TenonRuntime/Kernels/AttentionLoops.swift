import CKernels
import Glibc
import TenonIR

/// Attention by its definition, one query after another, in double precision: for types and machines without another kernel.
struct AttentionLoops: RealVisitor {
    let call: KernelCall
    let problem: tkernel_attention
    /// The type of the mask, if there is one.
    let mask: DataType?
    let hasLengths: Bool
    /// The factor of the products, as exactly as it is known.
    let scale: Double

    func visit<S: Storage>(_: S.Type) throws -> PreparedKernel where S.Value: RealNumber {
        let (p, keys) = (problem, Int(problem.keys))
        let rowBytes = keys * MemoryLayout<Double>.stride
        return PreparedKernel(scratchBytes: rowBytes * Pieces.most) { arguments in
            let lengths = hasLengths ? arguments.input(4, Int64.self) : nil
            if let lengths { try AttentionKernels.check(lengths, p, call) }
            let (inputs, result) = (arguments.inputs, arguments.output(0, S.self))
            let scratch = arguments.scratch
            let rows = Int(p.batch * p.heads * p.queries)
            Pieces.forEach(arguments.parallel, rows, grain: max(1, 4096 / max(1, keys * Int(p.size)))) { piece, range in
                let scores = (scratch + piece * rowBytes).assumingMemoryBound(to: Double.self)
                for row in range { self.row(row, lengths, scores, inputs, result) }
            }
        }
    }

    private func row<S: Storage>(
        _ row: Int, _ lengths: UnsafePointer<Int64>?, _ scores: UnsafeMutablePointer<Double>,
        _ inputs: UnsafePointer<UnsafeRawPointer>, _ results: UnsafeMutablePointer<S>
    ) where S.Value: RealNumber {
        let p = problem
        let (i, line) = (Int64(row) % p.queries, Int64(row) / p.queries)
        let (b, h) = (line / p.heads, line % p.heads)
        let group = h / (p.heads / p.kv_heads)
        func place(_ at: tkernel_places, _ head: Int64, _ token: Int64) -> Int {
            Int(b * at.batch + head * at.head + token * at.token)
        }
        let q = inputs[0].assumingMemoryBound(to: S.self) + place(p.query, h, i)
        let (k, v) = (inputs[1].assumingMemoryBound(to: S.self), inputs[2].assumingMemoryBound(to: S.self))
        let result = results + place(p.result, h, i)
        let length = lengths?[Int(b)] ?? p.keys
        let own = i + (p.follows_lengths != 0 ? length - p.queries : p.past)
        var largest = -Double.infinity
        for j in 0..<p.keys {
            var score = -Double.infinity
            let isSeen =
                j < length && (p.left < 0 || j >= own - p.left)
                && (p.right < 0 || j <= own + p.right)
            let at = Int(b * p.mask_batch + h * p.mask_head + i * p.mask_query + j * p.mask_key)
            if isSeen, p.is_causal != 0, j > own {
                score = Double(p.mask_value)
            } else if isSeen, mask == .bool, inputs[3].assumingMemoryBound(to: UInt8.self)[at] == 0 {
                score = Double(p.mask_value)
            } else if isSeen {
                let from = k + place(p.key, group, j)
                score = 0
                for d in 0..<Int(p.size) { score += q[d].value.double * from[d].value.double }
                score *= scale
                if p.softcap > 0 { score = Double(p.softcap) * tanh(score / Double(p.softcap)) }
                if let mask, mask != .bool { score += inputs[3].assumingMemoryBound(to: S.self)[at].value.double }
            }
            scores[Int(j)] = score
            largest = Double.larger(score, largest)
        }
        var sum = 0.0
        for j in 0..<Int(p.keys) {
            scores[j] = largest == -.infinity ? 0 : exp(scores[j] - largest)
            sum += scores[j]
        }
        for d in 0..<Int(p.value_size) {
            var value = largest == -.infinity ? (p.hidden_is_nan != 0 ? Double.nan : 0) : 0
            if largest != -.infinity {
                for j in 0..<p.keys where scores[Int(j)] != 0 {
                    value += scores[Int(j)] / sum * v[place(p.value, group, j) + d].value.double
                }
            }
            result[d] = S(storing: S.Value(converting: value))
        }
    }
}
