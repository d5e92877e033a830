import CKernels
import TenonIR

/// `ml.tree_ensemble`: what trees give for rows of features, summed or compared.
enum TreeKernels {
    static let table: [(String, Kernels.Prepare)] = [("ml.tree_ensemble", prepare)]

    private static func prepare(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 10)
        try call.requireRank(0, 2)
        let (rows, features) = (call.inputs[0].shape[0], call.inputs[0].shape[1])
        let targets = try call.int("targets")
        guard targets > 0, targets <= 1 << 16 else { throw call.error(.invalidArgument, "targets is \(targets)") }
        try call.requireOutput(0, [rows, targets])
        guard rows > 0 else { return PreparedKernel { _ in } }
        let isDouble = call.inputs[0].dtype == .float64
        guard isDouble || call.inputs[0].dtype == .float32 else { throw call.unsupported(call.inputs[0].dtype) }
        let mode = call.attributes.string("aggregate") ?? "SUM"
        let aggregate =
            switch mode {
            case "MIN": TKERNEL_TREES_MIN
            case "MAX": TKERNEL_TREES_MAX
            default: TKERNEL_TREES_SUM
            }
        let forest = try forest(call, features, targets, Int32(aggregate), isDouble)
        let start: Double = mode == "MIN" ? .infinity : mode == "MAX" ? -.infinity : 0
        let divisor = mode == "AVERAGE" ? Double(max(forest.treeCount, 1)) : 1
        let run = Run(
            forest: forest, rows: rows, targets: targets, rowBytes: features * (isDouble ? 8 : 4), start: start,
            divisor: divisor)
        let steps = Double(rows) * Double(forest.treeCount)
        var kernel: PreparedKernel
        switch call.outputs[0].dtype {
        case .float32: kernel = run.kernel(Float.self)
        case .float64: kernel = run.kernel(Double.self)
        default: throw call.unsupported(call.outputs[0].dtype)
        }
        kernel.expectedNanoseconds = steps * 12
        kernel.absorbedInputs = Array(1..<10)
        return kernel
    }

    private struct Run: Sendable {
        let forest: Forest
        let rows: Int
        let targets: Int
        let rowBytes: Int
        let start: Double
        let divisor: Double

        /// Rows whose sums a thread holds at a time.
        var rowsHeld: Int { max(8, min(256, 1 << 16 / targets)) }

        func kernel<R: RealNumber>(_: R.Type) -> PreparedKernel {
            let run = self
            return PreparedKernel(scratchBytes: Pieces.most * rowsHeld * targets * 8) { arguments in
                let sums = Shared(pointer: arguments.scratch.assumingMemoryBound(to: Double.self))
                let result = Shared(pointer: arguments.output(0, R.self))
                let source = arguments.inputs[0]
                if run.rows >= 8 * arguments.parallel.threads || arguments.parallel.threads == 1 && run.rows > 1 {
                    Pieces.forEach(arguments.parallel, run.rows, grain: 8) { piece, range in
                        run.runRows(range, source, sums.pointer + piece * run.rowsHeld * run.targets, result.pointer)
                    }
                } else {
                    for row in 0..<run.rows {
                        run.runRow(row, source, sums.pointer, result.pointer, arguments.parallel)
                    }
                }
            }
        }

        private func runRows<R: RealNumber>(
            _ range: Range<Int>, _ source: UnsafeRawPointer, _ sums: UnsafeMutablePointer<Double>,
            _ result: UnsafeMutablePointer<R>
        ) {
            var begin = range.lowerBound
            while begin < range.upperBound {
                let end = min(begin + rowsHeld, range.upperBound)
                let count = (end - begin) * targets
                for index in 0..<count { sums[index] = start }
                withUnsafePointer(to: forest.raw) {
                    tkernel_forest_run_rows($0, Int64(begin), Int64(end), source, sums)
                }
                for index in 0..<count { result[begin * targets + index] = R(sums[index] / divisor) }
                begin = end
            }
        }

        /// One row, its trees divided among the threads.
        private func runRow<R: RealNumber>(
            _ row: Int, _ source: UnsafeRawPointer, _ sums: UnsafeMutablePointer<Double>,
            _ result: UnsafeMutablePointer<R>, _ parallel: Parallel
        ) {
            let shared = Shared(pointer: sums)
            let pieces = max(1, min(Pieces.most, parallel.threads, forest.treeCount / 64))
            for index in 0..<pieces * targets { sums[index] = start }
            // Each piece's sums are apart from the others'.
            Pieces.forEach(parallel, forest.treeCount, grain: 64) { piece, range in
                withUnsafePointer(to: forest.raw) {
                    tkernel_forest_run_trees(
                        $0, Int32(truncatingIfNeeded: range.lowerBound), Int32(truncatingIfNeeded: range.upperBound),
                        source + row * rowBytes, shared.pointer + piece * targets)
                }
            }
            for target in 0..<targets {
                var total = sums[target]
                for piece in 1..<max(pieces, 1) {
                    let other = sums[piece * targets + target]
                    total = start == 0 ? total + other : start > 0 ? min(total, other) : max(total, other)
                }
                result[row * targets + target] = R(total / divisor)
            }
        }
    }

    /// The trees, which must be known, with every number checked.
    private static func forest(
        _ call: KernelCall, _ features: Int, _ targets: Int, _ aggregate: Int32, _ isDouble: Bool
    ) throws -> Forest {
        func constant(_ index: Int) throws -> Constant {
            guard call.constants.indices.contains(index), let constant = call.constants[index] else {
                throw call.error(.unsupported, "input \(index) must be known")
            }
            return constant
        }
        func integers(_ index: Int, _ range: Range<Int64>) throws -> [Int32] {
            guard let values = try constant(index).intElements, values.allSatisfy({ range.contains($0) }) else {
                throw call.error(
                    .invalidArgument,
                    "input \(index) expects integers from \(range.lowerBound) to \(range.upperBound - 1)")
            }
            return values.map { Int32(truncatingIfNeeded: $0) }
        }
        func numbers(_ index: Int) throws -> [Double] {
            guard let values = try constant(index).doubleElements else {
                throw call.error(.invalidType, "input \(index) expects numbers")
            }
            return values
        }
        let featureIDs = try integers(1, 0..<Int64(max(features, 1)))
        let thresholds = try numbers(2)
        let offsets = try integers(7, 0..<Int64(Int32.max)).map { Int($0) }
        let weights = try numbers(9)
        let leafCount = Int64(offsets.count - 1)
        let children = -leafCount..<Int64(featureIDs.count)
        let (onTrue, onFalse) = (try integers(3, children), try integers(4, children))
        let modes = try integers(5, 0..<256)
        let roots = try integers(6, children)
        let leafTargets = try integers(8, 0..<Int64(targets))
        guard features > 0 || featureIDs.isEmpty, featureIDs.count < 1 << 28,
            [thresholds.count, onTrue.count, onFalse.count, modes.count].allSatisfy({ $0 == featureIDs.count }),
            modes.allSatisfy({ $0 & 127 <= 5 }), leafTargets.count == weights.count, offsets.first == 0,
            offsets.last == weights.count, zip(offsets, offsets.dropFirst()).allSatisfy({ $0 <= $1 })
        else { throw call.error(.invalidArgument, "the lists of nodes and leaves do not belong together") }
        let nodes = featureIDs.indices.map {
            Forest.Node(
                feature: featureIDs[$0], threshold: thresholds[$0], onTrue: onTrue[$0], onFalse: onFalse[$0],
                mode: UInt8(truncatingIfNeeded: modes[$0]))
        }
        guard
            let forest = Forest(
                nodes, Forest.Leaves(offsets: offsets, targets: leafTargets, weights: weights), roots: roots,
                targets: targets, features: features, aggregate: aggregate, isDouble: isDouble)
        else { throw call.error(.invalidArgument, "a branch leads back to where it came from") }
        return forest
    }
}
