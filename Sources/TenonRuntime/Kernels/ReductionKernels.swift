import Glibc
import TenonIR

/// Reductions over some axes. The tensor is seen as kept × reduced positions, each a loop nest of its own.
enum ReductionKernels {
    static let table: [(String, Kernels.Prepare)] = [
        reduction("sum", SumReduction.self), reduction("max", MaxReduction.self), reduction("min", MinReduction.self),
        reduction("prod", ProductReduction.self), reduction("sum_square", SquareReduction.self),
        reduction("l1_norm", MagnitudeReduction.self),
        ("mean", mean), ("variance", { try statistic($0, .variance) }),
        ("std", { try statistic($0, .deviation) }), ("l2_norm", { try statistic($0, .l2) }),
        ("log_sum", { try statistic($0, .logSum) }), ("log_sum_exp", { try statistic($0, .logSumExp) }),
        boolean("all", MinReduction.self), boolean("any", MaxReduction.self),
    ]

    private static func reduction<R: Reduction>(_ name: String, _: R.Type) -> (String, Kernels.Prepare) {
        (name, { try $0.dispatch($0.inputs.first?.dtype ?? .string, Visitor<R>(loops: try loops($0))) })
    }

    private static func boolean<R: Reduction>(_ name: String, _: R.Type) -> (String, Kernels.Prepare) {
        (
            name,
            { call in
                let loops = try loops(call)
                guard call.inputs[0].dtype == .bool else { throw call.unsupported(call.inputs[0].dtype) }
                // Bools are 0 and 1; over nothing, "all" holds.
                return Visitor<R>(loops: loops, limit: (0, 1)).kernel(UInt8.self)
            }
        )
    }

    private static func mean(_ call: KernelCall) throws -> PreparedKernel {
        // Integers and halves need more room for the sum than they have.
        switch call.inputs.first?.dtype {
        case .float32: return Visitor<SumReduction>(loops: try loops(call), dividesByCount: true).kernel(Float.self)
        case .float64: return Visitor<SumReduction>(loops: try loops(call), dividesByCount: true).kernel(Double.self)
        default: return try statistic(call, .mean)
        }
    }

    private static func statistic(_ call: KernelCall, _ kind: Statistic) throws -> PreparedKernel {
        try call.dispatch(call.inputs.first?.dtype ?? .string, StatisticVisitor(loops: try loops(call), kind: kind))
    }

    struct Loops: Sendable {
        /// Over the result's elements: where each one's values begin.
        var kept: BroadcastLoop
        /// Over the values of one element of the result.
        var reduced: BroadcastLoop
        var count: Int
        var length: Int
        /// Results whose values lie side by side while those of one lie apart, as in sums over an outer axis.
        var reducesRows: Bool { kept.innerStep(0) == 1 && kept.inner >= 4 && reduced.innerStep(0) != 1 }
        /// Results computed side by side; as many doubles are 1 kB of stack.
        static var blockLength: Int { 128 }
    }

    static func loops(_ call: KernelCall) throws -> Loops {
        try call.require(inputs: 1)
        guard call.inputs[0].dtype == call.outputs[0].dtype else { throw call.unsupported(call.outputs[0].dtype) }
        let shape = call.inputs[0].shape
        let axes = try call.axes("axis", rank: shape.count)
        let steps = StridedCopy.steps(shape)
        let kept = shape.indices.filter { !axes.contains($0) }
        let count = kept.map { shape[$0] }.reduce(1, *)
        guard count == call.outputs[0].count else {
            throw call.error(.invalidShape, "\(shape) reduced over axes \(axes) is not \(call.outputs[0].shape)")
        }
        return Loops(
            kept: BroadcastLoop(sizes: kept.map { shape[$0] }, steps: [kept.map { steps[$0] }]),
            reduced: BroadcastLoop(sizes: axes.map { shape[$0] }, steps: [axes.map { steps[$0] }]), count: count,
            length: axes.map { shape[$0] }.reduce(1, *))
    }

    /// Calls `body` for each element of the result with its place and the place of its first value.
    @inline(__always) static func forEachResult(
        _ loops: Loops, _ parallel: Parallel, _ body: (_ result: Int, _ start: Int) -> Void
    ) {
        guard loops.count > 0 else { return }
        let (inner, step) = (loops.kept.inner, loops.kept.innerStep(0))
        loops.kept.forEachPart(parallel, grain: 16_384 / max(loops.length, 1)) { rows, elements in
            loops.kept.forEachRow(rows) { row, start, _, _ in
                for index in elements { body(row &* inner &+ index, start &+ index &* step) }
            }
        }
    }

    /// Calls `body` for blocks of neighbouring results with their place, the place of their first values and their number.
    @inline(__always) static func forEachBlock(
        _ loops: Loops, _ parallel: Parallel, _ body: (_ result: Int, _ start: Int, _ count: Int) -> Void
    ) {
        guard loops.count > 0 else { return }
        let (inner, block) = (loops.kept.inner, Loops.blockLength)
        loops.kept.forEachPart(parallel, grain: 16_384 / max(loops.length, 1)) { rows, elements in
            loops.kept.forEachRow(rows) { row, start, _, _ in
                var first = elements.lowerBound
                while first < elements.upperBound {
                    body(row * inner + first, start + first, min(block, elements.upperBound - first))
                    first += block
                }
            }
        }
    }

    private struct Visitor<R: Reduction>: StorageVisitor {
        let loops: Loops
        /// What takes the place of the bounds of the type.
        var limit: (Double, Double)?
        /// Turns sums into means.
        var dividesByCount = false

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel { kernel(S.self) }

        func kernel<S: Storage>(_: S.Type) -> PreparedKernel {
            let loops = loops
            var start = R.start(S.Value.self)
            if let limit {
                start =
                    start == .lowest
                    ? S.Value(converting: limit.0) : start == .highest ? S.Value(converting: limit.1) : start
            }
            let identity = start
            let divisor = dividesByCount ? S.Value(converting: Int64(loops.length)) : nil
            if loops.reducesRows {
                return PreparedKernel { arguments in
                    let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                    ReductionKernels.forEachBlock(loops, arguments.parallel) { result, start, count in
                        columns(loops, x + start, y + result, count, identity, divisor)
                    }
                }
            }
            return PreparedKernel { arguments in
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                let (length, step) = (loops.reduced.inner, loops.reduced.innerStep(0))
                let rows = loops.length == 0 ? 0 : loops.reduced.rows
                ReductionKernels.forEachResult(loops, arguments.parallel) { result, first in
                    var total = identity
                    loops.reduced.forEachRow(0..<rows) { _, offset, _, _ in
                        total = R.combine(total, run(x + first + offset, length, step, identity))
                    }
                    y[result] = S(storing: divisor.map { S.Value.divide(total, $0) } ?? total)
                }
            }
        }

        /// Neighbouring results side by side, row after row of the source.
        @inline(never) private func columns<S: Storage>(
            _ loops: Loops, _ x: UnsafePointer<S>, _ y: UnsafeMutablePointer<S>, _ count: Int, _ identity: S.Value,
            _ divisor: S.Value?
        ) {
            withUnsafeTemporaryAllocation(of: S.Value.self, capacity: Loops.blockLength) { buffer in
                guard let totals = buffer.baseAddress else { return }
                for index in 0..<count { totals[index] = identity }
                let (length, step) = (loops.reduced.inner, loops.reduced.innerStep(0))
                loops.reduced.forEachRow(0..<(loops.length == 0 ? 0 : loops.reduced.rows)) { _, offset, _, _ in
                    var line = x + offset
                    for _ in 0..<length {
                        for index in 0..<count { totals[index] = R.combine(totals[index], R.map(line[index].value)) }
                        line += step
                    }
                }
                for index in 0..<count {
                    y[index] = S(storing: divisor.map { S.Value.divide(totals[index], $0) } ?? totals[index])
                }
            }
        }

        /// Eight running values side by side: fast, and sums lose less than with one.
        @inline(never) private func run<S: Storage>(
            _ x: UnsafePointer<S>, _ count: Int, _ step: Int, _ identity: S.Value
        ) -> S.Value {
            var (a, b, c, d) = (identity, identity, identity, identity)
            var (e, f, g, h) = (identity, identity, identity, identity)
            var index = 0
            while index &+ 8 <= count {
                let p = x + index &* step
                a = R.combine(a, R.map(p[0].value))
                b = R.combine(b, R.map(p[step].value))
                c = R.combine(c, R.map(p[2 &* step].value))
                d = R.combine(d, R.map(p[3 &* step].value))
                e = R.combine(e, R.map(p[4 &* step].value))
                f = R.combine(f, R.map(p[5 &* step].value))
                g = R.combine(g, R.map(p[6 &* step].value))
                h = R.combine(h, R.map(p[7 &* step].value))
                index &+= 8
            }
            while index < count {
                a = R.combine(a, R.map(x[index &* step].value))
                index &+= 1
            }
            return R.combine(
                R.combine(R.combine(a, b), R.combine(c, d)), R.combine(R.combine(e, f), R.combine(g, h)))
        }
    }
}

protocol Reduction: Sendable {
    static func start<V: Arithmetic>(_: V.Type) -> V
    static func map<V: Arithmetic>(_ x: V) -> V
    static func combine<V: Arithmetic>(_ a: V, _ b: V) -> V
}

extension Reduction {
    @inline(__always) static func map<V: Arithmetic>(_ x: V) -> V { x }
}

enum SumReduction: Reduction {
    @inline(__always) static func start<V: Arithmetic>(_: V.Type) -> V { .zero }
    @inline(__always) static func combine<V: Arithmetic>(_ a: V, _ b: V) -> V { V.add(a, b) }
}

enum SquareReduction: Reduction {
    @inline(__always) static func start<V: Arithmetic>(_: V.Type) -> V { .zero }
    @inline(__always) static func map<V: Arithmetic>(_ x: V) -> V { V.multiply(x, x) }
    @inline(__always) static func combine<V: Arithmetic>(_ a: V, _ b: V) -> V { V.add(a, b) }
}

enum MagnitudeReduction: Reduction {
    @inline(__always) static func start<V: Arithmetic>(_: V.Type) -> V { .zero }
    @inline(__always) static func map<V: Arithmetic>(_ x: V) -> V { x < .zero ? V.subtract(.zero, x) : x }
    @inline(__always) static func combine<V: Arithmetic>(_ a: V, _ b: V) -> V { V.add(a, b) }
}

enum ProductReduction: Reduction {
    @inline(__always) static func start<V: Arithmetic>(_: V.Type) -> V { .one }
    @inline(__always) static func combine<V: Arithmetic>(_ a: V, _ b: V) -> V { V.multiply(a, b) }
}

enum MaxReduction: Reduction {
    @inline(__always) static func start<V: Arithmetic>(_: V.Type) -> V { .lowest }
    @inline(__always) static func combine<V: Arithmetic>(_ a: V, _ b: V) -> V { V.larger(a, b) }
}

enum MinReduction: Reduction {
    @inline(__always) static func start<V: Arithmetic>(_: V.Type) -> V { .highest }
    @inline(__always) static func combine<V: Arithmetic>(_ a: V, _ b: V) -> V { V.smaller(a, b) }
}

/// Reductions that end in a formula; computed in double.
enum Statistic: Sendable {
    case mean, variance, deviation, l2, logSum, logSumExp
}

private struct StatisticVisitor: StorageVisitor {
    let loops: ReductionKernels.Loops
    let kind: Statistic

    func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
        let (loops, kind) = (loops, kind)
        return PreparedKernel { arguments in
            let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
            let count = Double(loops.length)
            ReductionKernels.forEachResult(loops, arguments.parallel) { result, first in
                let x = x + first
                let value: Double
                switch kind {
                case .mean: value = Moment.sum.total(loops, x) / count
                case .l2: value = Moment.squares(from: 0).total(loops, x).squareRoot()
                case .logSum: value = log(Moment.sum.total(loops, x))
                case .variance, .deviation:
                    let mean = Moment.sum.total(loops, x) / count
                    let variance = Moment.squares(from: mean).total(loops, x) / count
                    value = kind == .variance ? variance : variance.squareRoot()
                case .logSumExp:
                    let largest = Moment.largest.total(loops, x)
                    // All -∞, or an infinity among the values: the distance would be NaN.
                    value =
                        largest.isInfinite ? largest : log(Moment.exponentials(from: largest).total(loops, x)) + largest
                }
                y[result] = S(storing: S.Value(converting: value))
            }
        }
    }
}

/// What is summed up over the values of one result.
private enum Moment {
    case sum
    case squares(from: Double)
    case exponentials(from: Double)
    case largest

    @inline(never) func total<S: Storage>(_ loops: ReductionKernels.Loops, _ x: UnsafePointer<S>) -> Double {
        let (length, step) = (loops.reduced.inner, loops.reduced.innerStep(0))
        var total = if case .largest = self { -Double.infinity } else { 0.0 }
        loops.reduced.forEachRow(0..<(loops.length == 0 ? 0 : loops.reduced.rows)) { _, offset, _, _ in
            let line = x + offset
            switch self {
            case .sum: for index in 0..<length { total += line[index &* step].value.double }
            case .largest: for index in 0..<length { total = Double.larger(line[index &* step].value.double, total) }
            case .squares(let center):
                for index in 0..<length {
                    let distance = line[index &* step].value.double - center
                    total += distance * distance
                }
            case .exponentials(let highest):
                for index in 0..<length { total += exp(line[index &* step].value.double - highest) }
            }
        }
        return total
    }
}
