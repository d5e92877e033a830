import TenonIR

/// Matrix products C = A × B by blocks of columns. B is packed, block by block, into panels of eight columns, from whatever
/// it is: a matrix, a transposed one, or the windows of a convolution.
struct PanelProduct<S: Storage>: Sendable {
    typealias Value = S.Value

    /// Rows of C, and columns of A.
    let rows: Int
    let depth: Int
    /// How much of the depth is packed at once. All of it for storage types that are not computed in as they are, since
    /// partial sums would be rounded.
    let depthBlock: Int

    static var panelWidth: Int { 8 }
    /// Columns packed at once: with a block of 256 in depth, 64 kB of floats, which stay in the second-level cache.
    static var columnBlock: Int { 64 }
    static var isDirect: Bool { S.self == S.Value.self }

    init(rows: Int, depth: Int, depthUnit: Int = 1) {
        self.rows = rows
        self.depth = depth
        depthBlock = PanelProduct.isDirect ? max(1, min(depth, max(1, 256 / depthUnit) * depthUnit)) : max(depth, 1)
    }

    /// Elements of scratch that one piece needs: packed panels, and four rows of A where those must be converted.
    var scratchElements: Int? {
        let (panels, overflow) = depthBlock.multipliedReportingOverflow(by: PanelProduct.columnBlock + 4)
        return overflow || panels > Int.max / 1024 ? nil : panels
    }

    /// Computes columns [first, last) of C, at most `columnBlock` of them.
    /// `pack(k, count, column, columns, target)` writes B's rows k to k + count of up to eight columns as `target[row * 8 + lane]`.
    @inline(__always) func run(
        a: UnsafePointer<S>, stepA: Int, c: UnsafeMutablePointer<S>, stepC: Int, columns: Range<Int>,
        scratch: UnsafeMutablePointer<Value>, limits: WorkLimits?,
        pack: (Int, Int, Int, Int, UnsafeMutablePointer<Value>) -> Void
    ) {
        var k = 0
        repeat {
            if let limits, limits.isOver { return }
            let count = min(depthBlock, depth - k)
            var panel = scratch
            var column = columns.lowerBound
            while column < columns.upperBound {
                pack(k, count, column, min(8, columns.upperBound - column), panel)
                panel += count * 8
                column += 8
            }
            multiply(
                a + k, stepA, c + columns.lowerBound, stepC, columns.count, count, scratch, accumulates: k > 0,
                limits)
            k += count
        } while k < depth
    }

    /// C = A × panels, or C += A × panels.
    private func multiply(
        _ a: UnsafePointer<S>, _ stepA: Int, _ c: UnsafeMutablePointer<S>, _ stepC: Int, _ columns: Int, _ count: Int,
        _ panels: UnsafeMutablePointer<Value>, accumulates: Bool, _ limits: WorkLimits?
    ) {
        let converted = panels + depthBlock * PanelProduct.columnBlock
        var row = 0
        while row < rows {
            // What is begun is left when the run is over: a matrix may have any number of rows.
            if row & 0x3f == 0, let limits, limits.isOver { return }
            let height = min(4, rows - row)
            var from: UnsafePointer<Value>
            var step: Int
            if PanelProduct.isDirect {
                from = UnsafeRawPointer(a + row * stepA).assumingMemoryBound(to: Value.self)
                step = stepA
            } else {
                for r in 0..<height {
                    for k in 0..<count { converted[r * count + k] = a[(row + r) * stepA + k].value }
                }
                from = UnsafePointer(converted)
                step = count
            }
            var column = 0
            var panel = UnsafePointer(panels)
            while column < columns {
                let width = min(8, columns - column)
                let target = c + row * stepC + column
                if Value.self == Float.self {
                    let (x, p) = (UnsafeRawPointer(from), UnsafeRawPointer(panel))
                    PanelProduct.single(
                        x.assumingMemoryBound(to: Float.self), step, height, p.assumingMemoryBound(to: Float.self),
                        count
                    ) { r, sums in
                        PanelProduct.store(sums, target + r * stepC, width, accumulates)
                    }
                } else {
                    PanelProduct.general(from, step, height, panel, count, target, stepC, width, accumulates)
                }
                panel += count * 8
                column += 8
            }
            row += 4
        }
    }

    @inline(__always) private static func store(
        _ sums: Vector, _ target: UnsafeMutablePointer<S>, _ width: Int, _ accumulates: Bool
    ) {
        if S.self == Float.self {
            let target = UnsafeMutableRawPointer(target).assumingMemoryBound(to: Float.self)
            if width == 8 {
                (accumulates ? Vector(loading: target) + sums : sums).store(to: target)
            } else {
                for lane in 0..<width { target[lane] = accumulates ? target[lane] + sums[lane] : sums[lane] }
            }
        } else {
            for lane in 0..<width {
                // Value is Float here, which the compiler does not know.
                target[lane] = S(storing: Value(converting: Double(sums[lane])))
            }
        }
    }

    /// Up to four rows of A times one panel.
    @inline(__always) private static func single(
        _ a: UnsafePointer<Float>, _ step: Int, _ height: Int, _ panel: UnsafePointer<Float>, _ count: Int,
        _ store: (_ row: Int, _ sums: Vector) -> Void
    ) {
        if height == 4 {
            var (s0, s1, s2, s3) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
            let (a1, a2, a3) = (a + step, a + 2 * step, a + 3 * step)
            var p = panel
            for k in 0..<count {
                let b = Vector(loading: p)
                s0 += b * a[k]
                s1 += b * a1[k]
                s2 += b * a2[k]
                s3 += b * a3[k]
                p += 8
            }
            store(0, s0)
            store(1, s1)
            store(2, s2)
            store(3, s3)
        } else {
            for row in 0..<height {
                let a = a + row * step
                // Two sums hide the latency of the addition.
                var (even, odd) = (Vector.zero, Vector.zero)
                var k = 0
                while k &+ 2 <= count {
                    even += Vector(loading: panel + k &* 8) * a[k]
                    odd += Vector(loading: panel + (k &* 8 &+ 8)) * a[k &+ 1]
                    k &+= 2
                }
                if k < count { even += Vector(loading: panel + k &* 8) * a[k] }
                store(row, even + odd)
            }
        }
    }

    @inline(__always) private static func general(
        _ a: UnsafePointer<Value>, _ step: Int, _ height: Int, _ panel: UnsafePointer<Value>, _ count: Int,
        _ target: UnsafeMutablePointer<S>, _ stepC: Int, _ width: Int, _ accumulates: Bool
    ) {
        withUnsafeTemporaryAllocation(of: Value.self, capacity: 8) { sums in
            for row in 0..<height {
                for lane in 0..<8 { sums[lane] = .zero }
                for k in 0..<count {
                    let factor = a[row &* step &+ k]
                    for lane in 0..<8 {
                        sums[lane] = Value.add(sums[lane], Value.multiply(factor, panel[k &* 8 &+ lane]))
                    }
                }
                let target = target + row * stepC
                for lane in 0..<width {
                    let before = accumulates ? target[lane].value : .zero
                    target[lane] = S(storing: Value.add(before, sums[lane]))
                }
            }
        }
    }
}
