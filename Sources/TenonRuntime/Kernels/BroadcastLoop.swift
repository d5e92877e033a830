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

    /// Calls `body` for every row in `range` with the row's first element of each of two operands.
    @inline(never) func forEachRow(_ range: Range<Int>, _ body: (_ row: Int, _ a: Int, _ b: Int) -> Void) {
        forEachRow3(range, operandC: nil) { row, a, b, _ in body(row, a, b) }
    }

    /// As above with three operands, the third only if given.
    @inline(never) func forEachRow3(
        _ range: Range<Int>, operandC: Int?, _ body: (_ row: Int, _ a: Int, _ b: Int, _ c: Int) -> Void
    ) {
        guard !range.isEmpty else { return }
        let outer = sizes.count - 1
        if outer == 0 { return body(0, 0, 0, 0) }
        let second = steps.count > 1 ? 1 : 0
        let third = operandC ?? 0
        withUnsafeTemporaryAllocation(of: Int.self, capacity: outer) { position in
            sizes.withUnsafeBufferPointer { sizes in
                var rest = range.lowerBound
                var (a, b, c) = (0, 0, 0)
                for dimension in stride(from: outer - 1, through: 0, by: -1) {
                    let index = rest % sizes[dimension]
                    rest /= sizes[dimension]
                    position[dimension] = index
                    a += index * steps[0][dimension]
                    b += index * steps[second][dimension]
                    c += index * steps[third][dimension]
                }
                steps[0].withUnsafeBufferPointer { stepA in
                    steps[second].withUnsafeBufferPointer { stepB in
                        steps[third].withUnsafeBufferPointer { stepC in
                            for row in range {
                                body(row, a, b, c)
                                var dimension = outer - 1
                                while dimension >= 0 {
                                    position[dimension] &+= 1
                                    a &+= stepA[dimension]
                                    b &+= stepB[dimension]
                                    c &+= stepC[dimension]
                                    if position[dimension] < sizes[dimension] { break }
                                    a &-= stepA[dimension] &* sizes[dimension]
                                    b &-= stepB[dimension] &* sizes[dimension]
                                    c &-= stepC[dimension] &* sizes[dimension]
                                    position[dimension] = 0
                                    dimension &-= 1
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Rows and elements for a parallel loop: one long row is cut into parts as well.
    @inline(never) func forEachPart(
        _ parallel: Parallel, _ body: (_ rows: Range<Int>, _ elements: Range<Int>) -> Void
    ) {
        let (rows, inner) = (rows, inner)
        guard inner > 0 else { return }
        if rows == 1 {
            parallel.forEach(inner, grain: 16_384) { body(0..<1, $0) }
        } else {
            parallel.forEach(rows, grain: max(1, 16_384 / inner)) { body($0, 0..<inner) }
        }
    }
}
