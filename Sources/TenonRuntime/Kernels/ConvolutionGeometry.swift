import TenonIR

/// Sizes of a convolution or a transposed one, with one or two spatial dimensions seen as three.
struct ConvolutionGeometry: Sendable {
    var batch: Int
    var groups: Int
    /// Channels of data and of the result per group.
    var inputs: Int
    var outputs: Int
    var source: (d: Int, h: Int, w: Int)
    var result: (d: Int, h: Int, w: Int)
    var kernel: (d: Int, h: Int, w: Int)
    var stride: (d: Int, h: Int, w: Int)
    var begin: (d: Int, h: Int, w: Int)
    var dilation: (d: Int, h: Int, w: Int)
    var isTransposed: Bool

    var taps: Int { kernel.d * kernel.h * kernel.w }
    var depth: Int { inputs * taps }
    var sourceArea: Int { source.d * source.h * source.w }
    var resultArea: Int { result.d * result.h * result.w }

    init(_ call: KernelCall, transposed: Bool) throws {
        try call.require(inputs: 2)
        try call.requireSameType(0, 1)
        let (x, w, y) = (call.inputs[0].shape, call.inputs[1].shape, call.outputs[0].shape)
        let spatial = x.count - 2
        guard (1...3).contains(spatial), w.count == x.count, y.count == x.count else {
            throw call.error(.invalidShape, "data \(x), weight \(w) and result \(y) expect 3 to 5 dimensions alike")
        }
        func triple(_ values: [Int], filling: Int) -> (d: Int, h: Int, w: Int) {
            let padded = [Int](repeating: filling, count: 3 - values.count) + values
            return (padded[0], padded[1], padded[2])
        }
        groups = try call.int("groups")
        guard groups > 0, x[1] % groups == 0, y[1] % groups == 0 else {
            throw call.error(.invalidShape, "\(groups) groups do not divide the channels of \(x) and \(y)")
        }
        batch = x[0]
        inputs = x[1] / groups
        outputs = y[1] / groups
        let expected = transposed ? [x[1], outputs] : [y[1], inputs]
        guard Array(w[..<2]) == expected, y[0] == batch else {
            throw call.error(.invalidShape, "weight expects \(expected) in its first dimensions, found \(w)")
        }
        let strides = try call.ints("strides", count: spatial)
        let padding = try call.ints("padding", count: spatial * 2)
        let dilations = try call.ints("dilation", count: spatial)
        guard strides.allSatisfy({ $0 > 0 && $0 <= Int32.max }), dilations.allSatisfy({ $0 > 0 && $0 <= Int32.max }),
            padding.allSatisfy({ $0 >= 0 && $0 <= Int32.max }),
            w.dropFirst(2).allSatisfy({ $0 > 0 && $0 <= Int32.max }),
            (x + y).dropFirst(0).allSatisfy({ $0 <= Int32.max })
        else { throw call.error(.invalidShape, "a size, stride, pad or dilation is out of range") }
        source = triple(Array(x[2...]), filling: 1)
        result = triple(Array(y[2...]), filling: 1)
        kernel = triple(Array(w[2...]), filling: 1)
        stride = triple(strides, filling: 1)
        begin = triple(Array(padding[..<spatial]), filling: 0)
        dilation = triple(dilations, filling: 1)
        isTransposed = transposed
    }

    /// Where along one axis the window of `position` meets the source with tap `tap`; nil outside.
    @inline(__always) static func meet(
        _ position: Int, _ tap: Int, _ stride: Int, _ begin: Int, _ dilation: Int, _ size: Int, _ isTransposed: Bool
    ) -> Int? {
        if isTransposed {
            let reach = position &+ begin &- tap &* dilation
            guard reach >= 0, reach % stride == 0 else { return nil }
            let index = reach / stride
            return index < size ? index : nil
        }
        let index = position &* stride &- begin &+ tap &* dilation
        return index >= 0 && index < size ? index : nil
    }

    /// Writes what the windows of up to eight positions of the result meet, for channels from `k / taps` on, as a panel.
    @inline(__always) func pack<S: Storage>(
        _ source: UnsafePointer<S>, k: Int, count: Int, position: Int, columns: Int,
        _ target: UnsafeMutablePointer<S.Value>
    ) {
        let taps = taps
        let (first, channels, area) = (k / taps, count / taps, sourceArea)
        withUnsafeTemporaryAllocation(of: Int.self, capacity: 32) { table in
            // Position of each lane in the result, then the element of the source that a tap meets there.
            for lane in 0..<columns {
                let index = position &+ lane
                table[lane] = index / (result.h &* result.w)
                table[8 &+ lane] = index / result.w % result.h
                table[16 &+ lane] = index % result.w
            }
            for lane in columns..<8 { table[24 &+ lane] = -1 }
            var tap = 0
            for kd in 0..<kernel.d {
                for kh in 0..<kernel.h {
                    for kw in 0..<kernel.w {
                        var isRun = columns == 8
                        for lane in 0..<columns {
                            var place = -1
                            if let d = Self.meet(
                                table[lane], kd, stride.d, begin.d, dilation.d, self.source.d, isTransposed),
                                let h = Self.meet(
                                    table[8 &+ lane], kh, stride.h, begin.h, dilation.h, self.source.h, isTransposed),
                                let w = Self.meet(
                                    table[16 &+ lane], kw, stride.w, begin.w, dilation.w, self.source.w, isTransposed)
                            {
                                place = (d &* self.source.h &+ h) &* self.source.w &+ w
                            }
                            table[24 &+ lane] = place
                            if place < 0 || place != table[24] &+ lane { isRun = false }
                        }
                        var line = target + tap &* 8
                        var from = source + first &* area
                        if isRun {
                            from += table[24]
                            for _ in 0..<channels {
                                for lane in 0..<8 { line[lane] = from[lane].value }
                                line += taps &* 8
                                from += area
                            }
                        } else {
                            for _ in 0..<channels {
                                for lane in 0..<8 {
                                    let place = table[24 &+ lane]
                                    line[lane] = place < 0 ? .zero : from[place].value
                                }
                                line += taps &* 8
                                from += area
                            }
                        }
                        tap &+= 1
                    }
                }
            }
        }
    }
}
