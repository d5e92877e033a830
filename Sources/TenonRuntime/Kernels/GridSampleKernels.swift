import Glibc
import TenonIR

/// Reading an image at any positions.
enum GridSampleKernels {
    static let table: [(String, Kernels.Prepare)] = [("image.grid_sample", prepare)]

    private enum Method: Sendable { case nearest, linear, cubic }
    private enum Padding: Sendable { case zeros, border, reflection }

    private struct Plan: Sendable {
        var batch: Int
        var channels: Int
        /// Sizes of depth, height and width; depth 1 for images.
        var sizes: [Int]
        var points: Int
        var axes: Int
        var method: Method
        var padding: Padding
        var alignsCorners: Bool
        var keepsPositions: Bool
    }

    private static func prepare(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 2)
        let (x, grid) = (call.inputs[0].shape, call.inputs[1].shape)
        let axes = x.count - 2
        guard axes == 2 || axes == 3, grid.count == x.count, grid[axes + 1] == axes, grid[0] == x[0],
            x.allSatisfy({ $0 < 1 << 24 })
        else { throw call.error(.invalidShape, "data \(x) and grid \(grid) do not fit") }
        try call.requireOutput(0, Array(x[..<2]) + Array(grid[1...axes]))
        try call.requireSameType(0, 1)
        guard call.outputs[0].dtype == call.inputs[0].dtype else { throw call.unsupported(call.outputs[0].dtype) }
        guard !x[2...].contains(0) || call.outputs[0].count == 0 else {
            throw call.error(.invalidShape, "nothing can be read from data \(x)")
        }
        let method: Method =
            switch call.attributes.string("method") {
            case "nearest": .nearest
            case "bicubic": .cubic
            default: .linear
            }
        guard method != .cubic || axes == 2 else { throw call.error(.unsupported, "bicubic needs 2 spatial axes") }
        let padding: Padding =
            switch call.attributes.string("padding_mode") {
            case "border": .border
            case "reflection": .reflection
            default: .zeros
            }
        let plan = Plan(
            batch: x[0], channels: x[1], sizes: [Int](repeating: 1, count: 3 - axes) + x[2...],
            points: grid[1...axes].reduce(1, *), axes: axes, method: method, padding: padding,
            alignsCorners: call.bool("align_corners"), keepsPositions: call.bool("keep_positions"))
        return try call.dispatchReal(call.inputs[0].dtype, Visitor(plan: plan))
    }

    private struct Visitor: RealVisitor {
        let plan: Plan

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel where S.Value: RealNumber {
            let plan = plan
            return PreparedKernel { arguments in
                let (x, grid, y) = (arguments.input(0, S.self), arguments.input(1, S.self), arguments.output(0, S.self))
                let area = plan.sizes.reduce(1, *)
                arguments.parallel.forEach(plan.batch * plan.points, grain: max(1, 1024 / max(plan.channels, 1))) {
                    range in
                    for index in range {
                        let (sample, point) = (index / plan.points, index % plan.points)
                        // The grid lists the innermost axis first.
                        let position = grid + index * plan.axes
                        let w = GridSampleKernels.place(plan, position[0].value.double, plan.sizes[2])
                        let h = GridSampleKernels.place(plan, position[1].value.double, plan.sizes[1])
                        let d =
                            plan.axes == 3 ? GridSampleKernels.place(plan, position[2].value.double, plan.sizes[0]) : 0
                        for channel in 0..<plan.channels {
                            let plane = sample * plan.channels + channel
                            let value = GridSampleKernels.read(plan, x + plane * area, d, h, w)
                            y[plane * plan.points + point] = S(storing: S.Value(value))
                        }
                    }
                }
            }
        }
    }

    /// From -1…1 to a position in pixels, kept inside as the padding mode says.
    private static func place(_ plan: Plan, _ value: Double, _ size: Int) -> Double {
        let extent = Double(size)
        var position = plan.alignsCorners ? (value + 1) / 2 * (extent - 1) : ((value + 1) * extent - 1) / 2
        // NaN, and what no pixel can be near to.
        if !(abs(position) < 1e15) { position = plan.padding == .zeros ? -10 : position > 0 ? extent : 0 }
        switch plan.padding {
        case .zeros: return position
        case .border:
            // Further out all pixels are the border's.
            if plan.keepsPositions, plan.method == .cubic { return min(max(position, -4), extent + 3) }
            // Within half a pixel of the border a cubic still mixes pixels from both sides.
            let slack = plan.method == .cubic && !plan.alignsCorners ? 0.5 : 0
            if position >= -slack, position <= extent - 1 + slack { return position }
            return min(max(position, 0), extent - 1)
        // A cubic reflects each of its pixels instead.
        case .reflection: return plan.method == .cubic ? position : reflected(position, plan, size)
        }
    }

    private static func reflected(_ position: Double, _ plan: Plan, _ size: Int) -> Double {
        let low = plan.alignsCorners ? 0 : -0.5
        let span = plan.alignsCorners ? Double(size - 1) : Double(size)
        if span <= 0 { return 0 }
        let distance = abs(position - low)
        let rest = fmod(distance, 2 * span)
        let folded = low + (rest > span ? 2 * span - rest : rest)
        return min(max(folded, 0), Double(size - 1))
    }

    /// A pixel, or what stands for one outside.
    @inline(__always) private static func pixel<S: Storage>(
        _ plan: Plan, _ x: UnsafePointer<S>, _ d: Double, _ h: Double, _ w: Double
    ) -> Double {
        var (d, h, w) = (d, h, w)
        if plan.padding == .border || plan.padding == .reflection && plan.method == .cubic {
            let folds = plan.padding == .reflection
            h = folds ? reflected(h, plan, plan.sizes[1]) : min(max(h, 0), Double(plan.sizes[1] - 1))
            w = folds ? reflected(w, plan, plan.sizes[2]) : min(max(w, 0), Double(plan.sizes[2] - 1))
            d = min(max(d, 0), Double(plan.sizes[0] - 1))
        }
        guard d >= 0, h >= 0, w >= 0, d < Double(plan.sizes[0]), h < Double(plan.sizes[1]), w < Double(plan.sizes[2])
        else {
            return 0
        }
        return x[(Int(d) * plan.sizes[1] + Int(h)) * plan.sizes[2] + Int(w)].value.double
    }

    private static func read<S: Storage>(
        _ plan: Plan, _ x: UnsafePointer<S>, _ d: Double, _ h: Double, _ w: Double
    ) -> Double {
        switch plan.method {
        case .nearest: return pixel(plan, x, rint(d), rint(h), rint(w))
        case .linear:
            let (d0, h0, w0) = (floor(d), floor(h), floor(w))
            var sum = 0.0
            for i in 0..<(plan.axes == 3 ? 2 : 1) {
                let factorD = plan.axes == 3 ? (i == 0 ? 1 - (d - d0) : d - d0) : 1
                for j in 0..<2 {
                    let factorH = j == 0 ? 1 - (h - h0) : h - h0
                    for k in 0..<2 {
                        let factor = factorD * factorH * (k == 0 ? 1 - (w - w0) : w - w0)
                        // Without weight there need not be a pixel.
                        if factor != 0 {
                            sum += factor * pixel(plan, x, d0 + Double(i), h0 + Double(j), w0 + Double(k))
                        }
                    }
                }
            }
            return sum
        case .cubic:
            let (h0, w0) = (floor(h), floor(w))
            var sum = 0.0
            for j in -1...2 {
                var line = 0.0
                for k in -1...2 {
                    line += cubic(w - w0 - Double(k)) * pixel(plan, x, 0, h0 + Double(j), w0 + Double(k))
                }
                sum += cubic(h - h0 - Double(j)) * line
            }
            return sum
        }
    }

    /// Keys' kernel with a = -0.75.
    private static func cubic(_ distance: Double) -> Double {
        let (t, a) = (abs(distance), -0.75)
        if t <= 1 { return ((a + 2) * t - (a + 3)) * t * t + 1 }
        return t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0
    }
}
