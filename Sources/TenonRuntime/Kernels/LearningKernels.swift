import Glibc
import TenonIR

/// Look-up of values by keys, and probabilities of classes from those of pairs.
enum LearningKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("ml.lookup", lookup), ("ml.pairwise_coupling", coupling),
    ]

    // MARK: - Look-up

    private static func lookup(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 4)
        try call.requireSameType(0, 1)
        try call.requireOutput(0, call.inputs[0].shape)
        let bytes = call.outputs[0].dtype.byteCount
        guard call.inputs[1].shape.count == 1, call.inputs[1].count == call.inputs[2].count, call.inputs[3].count == 1,
            bytes > 0, call.inputs[2].dtype == call.outputs[0].dtype, call.inputs[3].dtype == call.outputs[0].dtype
        else { throw call.error(.invalidShape, "expects one value per key and one fallback") }
        return try call.dispatch(
            call.inputs[0].dtype, allowingBool: true,
            Lookup(
                count: call.inputs[0].count, keyCount: call.inputs[1].count, bytes: bytes,
                keys: call.constants.indices.contains(1) ? call.constants[1] : nil))
    }

    private struct Lookup: StorageVisitor {
        let count: Int
        let keyCount: Int
        let bytes: Int
        /// The keys where they are known: their places are found once.
        let keys: Constant?

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let (count, keyCount, bytes) = (count, keyCount, bytes)
            @Sendable func found(_ keys: UnsafePointer<S>) -> [UInt64: Int] {
                var places: [UInt64: Int] = [:]
                for index in 0..<keyCount where places[Self.pattern(keys[index].value)] == nil {
                    places[Self.pattern(keys[index].value)] = index
                }
                return places
            }
            let known = keys.flatMap { $0.bytes.baseAddress?.assumingMemoryBound(to: S.self) }.map(found)
            return PreparedKernel { arguments in
                let x = arguments.input(0, S.self)
                let (values, fallback) = (arguments.inputs[2], arguments.inputs[3])
                let result = arguments.outputs[0]
                let places = known ?? found(arguments.input(1, S.self))
                for index in 0..<count {
                    let place = places[Self.pattern(x[index].value)]
                    (result + index * bytes).copyMemory(
                        from: place.map { values + $0 * bytes } ?? fallback, byteCount: bytes)
                }
            }
        }

        /// The same for equal values, and for all NaN.
        private static func pattern<V: Arithmetic>(_ value: V) -> UInt64 {
            guard V.isFloating else { return UInt64(bitPattern: value.bits) }
            let double = value.double
            return double.isNaN ? Double.nan.bitPattern : double == 0 ? 0 : double.bitPattern
        }
    }

    // MARK: - Pairs

    private static func coupling(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        try call.requireRank(0, 2)
        let classes = try call.int("classes")
        guard classes > 1, classes < 1 << 15 else { throw call.error(.invalidArgument, "classes is \(classes)") }
        let rows = call.inputs[0].shape[0]
        guard call.inputs[0].shape[1] == classes * (classes - 1) / 2 else {
            throw call.error(.invalidShape, "expects one column per pair of \(classes) classes")
        }
        try call.requireOutput(0, [rows, classes])
        return try call.dispatchReal(call.inputs[0].dtype, Coupling(rows: rows, classes: classes))
    }

    private struct Coupling: RealVisitor {
        let rows: Int
        let classes: Int

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel where S.Value: RealNumber {
            let (rows, classes) = (rows, classes)
            let pairs = classes * (classes - 1) / 2
            return PreparedKernel(scratchBytes: (2 * classes * classes + 2 * classes) * 8) { arguments in
                let (x, result) = (arguments.input(0, S.self), arguments.output(0, S.self))
                let memory = arguments.scratch.assumingMemoryBound(to: Double.self)
                for row in 0..<rows {
                    let shares = memory
                    var pair = 0
                    for i in 0..<classes {
                        shares[i * classes + i] = 0
                        for j in i + 1..<max(classes, i + 1) {
                            let value = min(max(x[row * pairs + pair].value.double, 1e-7), 1 - 1e-7)
                            shares[i * classes + j] = value
                            shares[j * classes + i] = 1 - value
                            pair += 1
                        }
                    }
                    let found = solve(shares, classes, memory + classes * classes)
                    for index in 0..<classes {
                        result[row * classes + index] = S(storing: S.Value(converting: found[index]))
                    }
                }
            }
        }

        /// Minimises the sum of (r_ji p_i - r_ij p_j)² over the probabilities p.
        private func solve(
            _ r: UnsafeMutablePointer<Double>, _ k: Int, _ memory: UnsafeMutablePointer<Double>
        ) -> UnsafeMutablePointer<Double> {
            let (q, p, qp) = (memory, memory + k * k, memory + k * k + k)
            for t in 0..<k {
                p[t] = 1 / Double(k)
                var sum = 0.0
                for j in 0..<k where j != t {
                    sum += r[j * k + t] * r[j * k + t]
                    q[t * k + j] = -r[j * k + t] * r[t * k + j]
                }
                q[t * k + t] = sum
            }
            let tolerance = 0.005 / Double(k)
            for _ in 0..<max(100, k) {
                var total = 0.0
                for t in 0..<k {
                    qp[t] = 0
                    for j in 0..<k { qp[t] += q[t * k + j] * p[j] }
                    total += p[t] * qp[t]
                }
                if (0..<k).allSatisfy({ abs(qp[$0] - total) < tolerance }) { break }
                for t in 0..<k {
                    let step = (-qp[t] + total) / q[t * k + t]
                    p[t] += step
                    total = (total + step * (step * q[t * k + t] + 2 * qp[t])) / (1 + step) / (1 + step)
                    for j in 0..<k {
                        qp[j] = (qp[j] + step * q[t * k + j]) / (1 + step)
                        p[j] /= 1 + step
                    }
                }
            }
            return p
        }
    }
}
