import Glibc
import TenonIR

/// Pooling over regions of an image.
enum RegionKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("vision.roi_align", { try prepare($0, aligns: true) }),
        ("vision.roi_pool", { try prepare($0, aligns: false) }),
    ]

    private struct Plan: Sendable {
        var batch: Int
        var channels: Int
        var height: Int
        var width: Int
        var regions: Int
        var rows: Int
        var columns: Int
        var scale: Double
        var samples: Int
        var isCentred: Bool
        var isMax: Bool
        var aligns: Bool
        var name: String
    }

    /// A region in pixels.
    private struct Box {
        var left: Double
        var top: Double
        var right: Double
        var bottom: Double
    }

    private static func prepare(_ call: KernelCall, aligns: Bool) throws -> PreparedKernel {
        try call.require(inputs: 2)
        try call.requireRank(0, 4)
        try call.requireSameType(0, 1)
        let x = call.inputs[0].shape
        let size = try call.ints("pooled_size", count: 2)
        try call.requireShape(1, [call.inputs[1].shape.first ?? 0, 5])
        guard x[2] < 1 << 24, x[3] < 1 << 24, call.outputs[0].dtype == call.inputs[0].dtype else {
            throw call.error(.invalidShape, "data \(x) is too large")
        }
        try call.requireOutput(0, [call.inputs[1].shape[0], x[1], size[0], size[1]])
        guard !x[2...].contains(0) || call.outputs[0].count == 0 else {
            throw call.error(.invalidShape, "nothing can be read from data \(x)")
        }
        let samples = aligns ? try call.int("sample_ratio") : 0
        guard samples <= 1 << 10 else { throw call.error(.invalidArgument, "sample_ratio \(samples) is too large") }
        let plan = Plan(
            batch: x[0], channels: x[1], height: x[2], width: x[3], regions: call.inputs[1].shape[0], rows: size[0],
            columns: size[1], scale: try call.float("spatial_scale"), samples: samples, isCentred: call.bool("aligned"),
            isMax: call.attributes.string("mode") == "max", aligns: aligns, name: call.op.name)
        return try call.dispatchReal(call.inputs[0].dtype, Visitor(plan: plan))
    }

    private struct Visitor: RealVisitor {
        let plan: Plan

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel where S.Value: RealNumber {
            let plan = plan
            return PreparedKernel { arguments in
                let (x, rois, y) = (arguments.input(0, S.self), arguments.input(1, S.self), arguments.output(0, S.self))
                for region in 0..<plan.regions {
                    let box = rois + region * 5
                    let index = box[0].value.double
                    guard index >= 0, index < Double(plan.batch) else {
                        throw TenonError(
                            .invalidArgument, "\(plan.name): batch index \(index) is out of range for \(plan.batch)",
                            operatorName: plan.name)
                    }
                    // Beyond these bounds a region would be cut into more parts than any image has pixels.
                    for side in 1..<5 where !(abs(box[side].value.double * plan.scale) <= 1e7) {
                        throw TenonError(
                            .invalidArgument, "\(plan.name): region \(region) has a side at \(box[side].value)",
                            operatorName: plan.name)
                    }
                }
                let cells = plan.rows * plan.columns
                let limits = arguments.parallel.limits
                arguments.parallel.forEach(plan.regions * plan.channels) { range in
                    for index in range {
                        let (region, channel) = (index / plan.channels, index % plan.channels)
                        let box = rois + region * 5
                        let plane = x + (Int(box[0].value.double) * plan.channels + channel) * plan.height * plan.width
                        let sides = Box(
                            left: box[1].value.double * plan.scale, top: box[2].value.double * plan.scale,
                            right: box[3].value.double * plan.scale, bottom: box[4].value.double * plan.scale)
                        for cell in 0..<cells {
                            // The data says how many points a cell has.
                            if let limits, limits.isOver { return }
                            let (row, column) = (cell / plan.columns, cell % plan.columns)
                            let value =
                                plan.aligns
                                ? RegionKernels.align(plan, plane, sides, row, column, limits)
                                : RegionKernels.pool(plan, plane, sides, row, column)
                            y[index * cells + cell] = S(storing: S.Value(value))
                        }
                    }
                }
            }
        }
    }

    /// Points in a regular grid inside a part, read by interpolation.
    private static func align<S: Storage>(
        _ plan: Plan, _ x: UnsafePointer<S>, _ sides: Box, _ row: Int, _ column: Int, _ limits: WorkLimits?
    ) -> Double {
        let shift = plan.isCentred ? 0.5 : 0
        let (left, top) = (sides.left - shift, sides.top - shift)
        var (width, height) = (sides.right - sides.left, sides.bottom - sides.top)
        if !plan.isCentred { (width, height) = (max(width, 1), max(height, 1)) }
        let (stepH, stepW) = (height / Double(plan.rows), width / Double(plan.columns))
        let countH = plan.samples > 0 ? plan.samples : max(0, Int(ceil(stepH)))
        let countW = plan.samples > 0 ? plan.samples : max(0, Int(ceil(stepW)))
        var (sum, largest) = (0.0, -Double.infinity)
        for i in 0..<countH {
            if let limits, limits.isOver { break }
            let h = top + Double(row) * stepH + (Double(i) + 0.5) * stepH / Double(countH)
            for j in 0..<countW {
                let w = left + Double(column) * stepW + (Double(j) + 0.5) * stepW / Double(countW)
                // Nothing is read more than one pixel outside; nearer points count as on the border.
                guard h >= -1, h <= Double(plan.height), w >= -1, w <= Double(plan.width) else {
                    largest = max(largest, 0)
                    continue
                }
                let (y, x0) = (min(max(h, 0), Double(plan.height - 1)), min(max(w, 0), Double(plan.width - 1)))
                let (h0, w0) = (Int(y), Int(x0))
                let (h1, w1) = (min(h0 + 1, plan.height - 1), min(w0 + 1, plan.width - 1))
                let (a, b) = (y - Double(h0), x0 - Double(w0))
                let terms = (
                    (1 - a) * (1 - b) * x[h0 * plan.width + w0].value.double,
                    (1 - a) * b * x[h0 * plan.width + w1].value.double,
                    a * (1 - b) * x[h1 * plan.width + w0].value.double, a * b * x[h1 * plan.width + w1].value.double
                )
                sum += terms.0 + terms.1 + terms.2 + terms.3
                // ONNX takes the largest weighted corner, not the largest interpolated value.
                largest = max(largest, max(max(terms.0, terms.1), max(terms.2, terms.3)))
            }
        }
        let count = countH * countW
        return count == 0 ? 0 : plan.isMax ? largest : sum / Double(count)
    }

    private static func pool<S: Storage>(
        _ plan: Plan, _ x: UnsafePointer<S>, _ sides: Box, _ row: Int, _ column: Int
    ) -> Double {
        let (left, top) = (sides.left.rounded(), sides.top.rounded())
        let width = max(sides.right.rounded() - left + 1, 1)
        let height = max(sides.bottom.rounded() - top + 1, 1)
        func bounds(_ index: Int, _ extent: Double, _ parts: Int, _ start: Double, _ size: Int) -> Range<Int> {
            let first = min(max(floor(Double(index) * extent / Double(parts)) + start, 0), Double(size))
            let last = min(max(ceil(Double(index + 1) * extent / Double(parts)) + start, 0), Double(size))
            return Int(first)..<max(Int(first), Int(last))
        }
        let lines = bounds(row, height, plan.rows, top, plan.height)
        let places = bounds(column, width, plan.columns, left, plan.width)
        if lines.isEmpty || places.isEmpty { return 0 }
        var largest = -Double.infinity
        for h in lines {
            for w in places { largest = Double.larger(x[h * plan.width + w].value.double, largest) }
        }
        return largest
    }
}
