import Glibc
import TenonIR

/// `nn.linear_attention`: token after token, one state per sample and head at a time.
enum LinearAttentionKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("nn.linear_attention", { call in try call.dispatchReal(call.inputs.first?.dtype ?? .float32, Loops(call)) })
    ]

    private struct Loops: RealVisitor {
        let dtype: DataType
        let batch: Int
        let tokenCount: Int
        let heads: Int
        /// Query heads that share a state.
        let groupCount: Int
        /// Of a state: the sizes of a key and of a value.
        let rowCount: Int
        let columnCount: Int
        /// Numbers per token of decay and beta; 0 where there are none.
        var decayWidth = 0
        var betaWidth = 0
        let scale: Double
        /// Numbers that the tokens of one head go through.
        let work: Int

        init(_ call: KernelCall) throws {
            try call.require(inputs: 4, outputs: 2)
            for index in 0..<3 { try call.requireRank(index, 3) }
            try call.requireRank(3, 4)
            try call.requireSameType(0, 1, 2)
            let (q, state) = (call.inputs[0].shape, call.inputs[3].shape)
            dtype = call.inputs[0].dtype
            (batch, tokenCount) = (q[0], q[1])
            (heads, rowCount, columnCount) = (state[1], state[2], state[3])
            let queryHeads = try call.int("query_heads")
            guard heads > 0, queryHeads > 0, queryHeads % heads == 0 else {
                throw call.error(.invalidShape, "\(queryHeads) query heads for \(heads) states per sample")
            }
            groupCount = queryHeads / heads
            let size = CheckedSize(call: call)
            try call.requireShape(0, [batch, tokenCount, try size.multiply(queryHeads, rowCount)])
            try call.requireShape(1, [batch, tokenCount, try size.multiply(heads, rowCount)])
            try call.requireShape(2, [batch, tokenCount, try size.multiply(heads, columnCount)])
            try call.requireShape(3, [batch, heads, rowCount, columnCount])
            try call.requireOutput(0, [batch, tokenCount, try size.multiply(queryHeads, columnCount)])
            try call.requireOutput(1, state)
            let wide: DataType = dtype == .float64 ? .float64 : .float32
            guard call.outputs[0].dtype == dtype, call.outputs[1].dtype == wide, call.inputs[3].dtype == wide else {
                throw call.unsupported(call.inputs[3].dtype)
            }
            if call.inputs.count > 4 {
                try call.requireSameType(0, 4)
                let isWide = call.inputs[4].shape.last != heads
                decayWidth = isWide ? try size.multiply(heads, rowCount) : heads
                try call.requireShape(4, [batch, tokenCount, decayWidth])
            }
            if call.inputs.count > 5 {
                try call.requireSameType(0, 5)
                betaWidth = call.inputs[5].shape.last == 1 ? 1 : heads
                try call.requireShape(5, [batch, tokenCount, betaWidth])
            }
            work = try size.multiply(tokenCount, rowCount, columnCount)
            scale = call.attributes.float("scale") ?? (rowCount > 0 ? 1 / Double(rowCount).squareRoot() : 1)
        }

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel where S.Value: RealNumber {
            // What is written for a token, and a sum; in lines of their own for every piece.
            let lineBytes = (columnCount * MemoryLayout<S.Value>.stride + 63) / 64 * 64
            return PreparedKernel(scratchBytes: 2 * lineBytes * Pieces.most) { arguments in
                let scratch = arguments.scratch
                let (inputs, outputs) = (arguments.inputs, arguments.outputs)
                Pieces.forEach(arguments.parallel, batch * heads, grain: max(1, 16_384 / max(work, 1))) {
                    piece, range in
                    let written = scratch + 2 * piece * lineBytes
                    for index in range {
                        head(
                            S.self, index / heads, index % heads, inputs, outputs,
                            written.assumingMemoryBound(to: S.Value.self),
                            (written + lineBytes).assumingMemoryBound(to: S.Value.self))
                    }
                }
            }
        }

        /// All tokenCount of one head of a sample. The state is worked on where its result lies.
        private func head<S: Storage>(
            _: S.Type, _ sample: Int, _ head: Int, _ inputs: UnsafePointer<UnsafeRawPointer>,
            _ outputs: UnsafePointer<UnsafeMutableRawPointer>, _ written: UnsafeMutablePointer<S.Value>,
            _ sum: UnsafeMutablePointer<S.Value>
        ) where S.Value: RealNumber {
            let stateCount = rowCount * columnCount
            let place = (sample * heads + head) * stateCount
            let state = outputs[1].assumingMemoryBound(to: S.Value.self) + place
            state.update(from: inputs[3].assumingMemoryBound(to: S.Value.self) + place, count: stateCount)
            func line(_ index: Int, _ token: Int, _ width: Int) -> UnsafePointer<S> {
                inputs[index].assumingMemoryBound(to: S.self) + (sample * tokenCount + token) * width
            }
            let factor = S.Value(scale)
            for token in 0..<tokenCount {
                let key = line(1, token, heads * rowCount) + head * rowCount
                let value = line(2, token, heads * columnCount) + head * columnCount
                if decayWidth > 0 {
                    let isOne = decayWidth == heads
                    let decay = line(4, token, decayWidth) + (isOne ? head : head * rowCount)
                    for row in 0..<rowCount {
                        let kept = S.Value(exp(decay[isOne ? 0 : row].value.double))
                        for column in 0..<columnCount { state[row * columnCount + column] *= kept }
                    }
                }
                for column in 0..<columnCount { written[column] = value[column].value }
                if betaWidth > 0 {
                    let beta = line(5, token, betaWidth)[betaWidth == 1 ? 0 : head].value
                    read(state, key, into: sum)
                    for column in 0..<columnCount { written[column] = beta * (written[column] - sum[column]) }
                }
                for row in 0..<rowCount {
                    let part = key[row].value
                    for column in 0..<columnCount { state[row * columnCount + column] += part * written[column] }
                }
                for member in 0..<groupCount {
                    let own = head * groupCount + member
                    read(state, line(0, token, heads * groupCount * rowCount) + own * rowCount, into: sum)
                    let result =
                        outputs[0].assumingMemoryBound(to: S.self)
                        + (sample * tokenCount + token) * heads * groupCount * columnCount + own * columnCount
                    for column in 0..<columnCount { result[column] = S(storing: factor * sum[column]) }
                }
            }
        }

        /// The rows of the state, weighed by a key or a query.
        @inline(__always) private func read<S: Storage>(
            _ state: UnsafeMutablePointer<S.Value>, _ weights: UnsafePointer<S>, into sum: UnsafeMutablePointer<S.Value>
        ) where S.Value: RealNumber {
            for column in 0..<columnCount { sum[column] = 0 }
            for row in 0..<rowCount {
                let weight = weights[row].value
                for column in 0..<columnCount { sum[column] += weight * state[row * columnCount + column] }
            }
        }
    }
}
