import TenonIR

/// A loop nest over the elements of a result in row-major order, with the step of each operand per dimension, in elements.
/// Neighbouring dimensions that all operands walk alike are joined, so that the innermost loop is as long as can be.
struct BroadcastLoop: Sendable {
    /// Sizes from the outermost dimension; at least one.
    private(set) var sizes: [Int]
    /// `steps[operand][dimension]`; 0 where the operand repeats.
    private(set) var steps: [[Int]]

    /// Operands whose shapes broadcast to `shape`; nil when one does not.
    init?(_ shape: [Int], operands: [[Int]]) {
        var steps: [[Int]] = []
        for operand in operands {
            guard operand.count <= shape.count else { return nil }
            var own = [Int](repeating: 0, count: shape.count)
            var step = 1
            for position in stride(from: operand.count - 1, through: 0, by: -1) {
                let target = position + shape.count - operand.count
                guard operand[position] == shape[target] || operand[position] == 1 else { return nil }
                if operand[position] != 1 { own[target] = step }
                step *= operand[position]
            }
            steps.append(own)
        }
        self.init(sizes: shape, steps: steps)
    }

    /// From sizes and steps as they are, joined.
    init(sizes shape: [Int], steps given: [[Int]]) {
        if shape.contains(0) {
            sizes = [0]
            steps = given.map { _ in [0] }
            return
        }
        var sizes: [Int] = []
        var steps = [[Int]](repeating: [], count: given.count)
        for dimension in shape.indices where shape[dimension] != 1 {
            let joins =
                !sizes.isEmpty
                && given.indices.allSatisfy {
                    steps[$0][sizes.count - 1] == given[$0][dimension] * shape[dimension]
                }
            if joins {
                sizes[sizes.count - 1] *= shape[dimension]
                for operand in given.indices { steps[operand][sizes.count - 1] = given[operand][dimension] }
            } else {
                sizes.append(shape[dimension])
                for operand in given.indices { steps[operand].append(given[operand][dimension]) }
            }
        }
        if sizes.isEmpty {
            sizes = [1]
            for operand in given.indices { steps[operand] = [0] }
        }
        self.sizes = sizes
        self.steps = steps
    }

    /// Elements of the innermost loop.
    var inner: Int { sizes[sizes.count - 1] }
    /// Runs of the innermost loop.
    var rows: Int { sizes.dropLast().reduce(1, *) }
    func innerStep(_ operand: Int) -> Int { steps[operand][sizes.count - 1] }

    /// Neighbouring rows: where the first one begins in up to three operands, and how far apart they are.
    struct Rows {
        var count: Int
        var starts: (a: Int, b: Int, c: Int)
        var steps: (a: Int, b: Int, c: Int)
    }

    /// Rows from `row` on that are evenly spaced, at most up to `end`.
    @inline(never) func rows(from row: Int, upTo end: Int) -> Rows {
        let outer = sizes.count - 1
        guard outer > 0 else { return Rows(count: 1, starts: (0, 0, 0), steps: (0, 0, 0)) }
        let (second, third) = (steps.count > 1 ? 1 : 0, steps.count > 2 ? 2 : 0)
        var result = Rows(
            count: min(sizes[outer - 1] - row % sizes[outer - 1], end - row), starts: (0, 0, 0),
            steps: (steps[0][outer - 1], steps[second][outer - 1], steps[third][outer - 1]))
        var rest = row
        var dimension = outer - 1
        while dimension >= 0, rest > 0 {
            let index = rest % sizes[dimension]
            rest /= sizes[dimension]
            result.starts.a += index * steps[0][dimension]
            result.starts.b += index * steps[second][dimension]
            result.starts.c += index * steps[third][dimension]
            dimension -= 1
        }
        return result
    }

    /// Calls `body` for every row in `range` with the row's first element of each of three operands (of the first one
    /// again where there are fewer).
    @inline(__always) func forEachRow(_ range: Range<Int>, _ body: (_ row: Int, _ a: Int, _ b: Int, _ c: Int) -> Void) {
        var row = range.lowerBound
        while row < range.upperBound {
            let rows = rows(from: row, upTo: range.upperBound)
            for index in 0..<rows.count {
                body(
                    row &+ index, rows.starts.a &+ index &* rows.steps.a, rows.starts.b &+ index &* rows.steps.b,
                    rows.starts.c &+ index &* rows.steps.c)
            }
            row &+= rows.count
        }
    }

    /// Rows and elements for a parallel loop, in parts worth about `grain` elements; one long row is cut as well.
    @inline(__always) func forEachPart(
        _ parallel: Parallel, grain: Int = 16_384, _ body: (_ rows: Range<Int>, _ elements: Range<Int>) -> Void
    ) {
        let (rows, inner) = (rows, inner)
        guard inner > 0 else { return }
        let isSingle = rows == 1
        parallel.forEach(isSingle ? inner : rows, grain: isSingle ? max(1, grain) : max(1, grain / inner)) { range in
            body(isSingle ? 0..<1 : range, isSingle ? range : 0..<inner)
        }
    }
}
