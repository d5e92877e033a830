import TenonIR

/// Where the positions of a resized axis lie in its source, and with what weights.
struct ResizeCoordinates {
    private enum Method { case nearest, linear, cubic }

    private let call: KernelCall
    private let method: Method
    private let mode: String
    private let rounding: String
    private let alpha: Double
    private let excludesOutside: Bool
    private let antialias: Bool
    private let scales: [Double]?
    private let roi: [Double]?
    private let spatial: Int

    init(_ call: KernelCall, spatial: Int) throws {
        func floats(_ name: String) -> [Double]? {
            if case .floats(let values)? = call.attributes[name] { return values }
            return nil
        }
        self.call = call
        self.spatial = spatial
        method =
            switch call.attributes.string("method") {
            case "nearest_neighbor": .nearest
            case "cubic": .cubic
            default: .linear
            }
        mode = call.attributes.string("coordinate_transformation_mode") ?? "half_pixel"
        rounding = call.attributes.string("rounding_method") ?? "round_prefer_floor"
        alpha = call.attributes.float("cubic_alpha") ?? -0.75
        excludesOutside = call.bool("cubic_exclude")
        antialias = call.bool("antialias")
        scales = floats("scales")
        roi = floats("roi")
        guard scales == nil || scales?.count == spatial, roi == nil || roi?.count == spatial * 2 else {
            throw call.error(.invalidArgument, "scales and roi expect \(spatial) and \(spatial * 2) numbers")
        }
    }

    /// The taps of `count` positions over an axis of `size`.
    func taps(axis: Int, size: Int, count: Int) throws -> ResizeKernels.Taps {
        let scale = scales?[axis] ?? Double(count) / Double(size)
        guard scale > 0, scale.isFinite else {
            throw call.error(.invalidArgument, "scale \(scale) expects a number above 0")
        }
        let length = try length(scale)
        let (total, overflow) = count.multipliedReportingOverflow(by: length)
        guard !overflow, total <= 1 << 28 else {
            throw call.error(.invalidShape, "\(count) positions of \(length) taps")
        }
        try KernelMemory.require(total + count, 16, call)
        let positions = (0..<count).map { position($0, axis: axis, size: size, count: count, scale: scale) }
        var taps = ResizeKernels.Taps(count: length, indices: [], weights: [], isOutside: [])
        taps.indices.reserveCapacity(total)
        taps.weights.reserveCapacity(total)
        for position in positions {
            taps.isOutside.append(mode == "tf_crop_and_resize" && (position < 0 || position > Double(size - 1)))
            // Far outside every tap is the edge; within these bounds the conversion to an integer is safe.
            let place = min(max(position.isNaN ? 0 : position, -Double(length) - 2), Double(size + length) + 2)
            append(&taps, place, size: size, scale: scale, length: length)
        }
        return taps
    }

    /// The source position of result position `index`.
    private func position(_ index: Int, axis: Int, size: Int, count: Int, scale: Double) -> Double {
        let (x, last) = (Double(index), Double(size - 1))
        let length = scale * Double(size)
        switch mode {
        case "align_corners": return length == 1 ? 0 : x * last / (length - 1)
        case "asymmetric": return x / scale
        case "tf_half_pixel_for_nn": return (x + 0.5) / scale
        case "pytorch_half_pixel": return length == 1 ? -0.5 : (x + 0.5) / scale - 0.5
        case "half_pixel_symmetric":
            let offset = Double(size) / 2 * (1 - Double(count) / length)
            return offset + (x + 0.5) / scale - 0.5
        case "tf_crop_and_resize":
            let (start, end) = (roi?[axis] ?? 0, roi?[axis + spatial] ?? 1)
            return length == 1
                ? (start + end) / 2 * last : x * (end - start) * last / (length - 1) + start * last
        default: return (x + 0.5) / scale - 0.5
        }
    }

    /// How many taps a position has: more when a filter that smooths is stretched over a smaller result.
    private func length(_ scale: Double) throws -> Int {
        let reach: Double
        switch method {
        case .nearest: return 1
        case .linear: reach = 1
        case .cubic: reach = 2
        }
        guard antialias, scale < 1 else { return method == .linear ? 2 : 4 }
        guard scale > 1e-6 else { throw call.error(.unsupported, "antialias with scale \(scale)") }
        return 2 - 2 * (Int((-reach / scale).rounded(.down)) + 1)
    }

    private func append(
        _ taps: inout ResizeKernels.Taps, _ position: Double, size: Int, scale: Double, length: Int
    ) {
        func clamped(_ index: Int) -> Int32 { Int32(min(max(index, 0), size - 1)) }
        // The tap to the left lies strictly below the position, so the ratio is above 0 and at most 1.
        let left = Int(position.rounded(.up)) - 1
        let ratio = position - Double(left)
        if method == .nearest {
            let takesRight: Bool
            switch rounding {
            case "round_prefer_ceil": takesRight = ratio >= 0.5
            case "floor": takesRight = ratio == 1
            case "ceil": takesRight = true
            default: takesRight = ratio > 0.5
            }
            taps.indices.append(clamped(takesRight ? left + 1 : left))
            taps.weights.append(1)
            return
        }
        let stretch = antialias ? min(scale, 1) : 1
        let first = 1 - length / 2
        var weights = (0..<length).map { weight((Double(first + $0) - ratio) * stretch) }
        if excludesOutside {
            for tap in 0..<length where !(0..<size).contains(left + first + tap) { weights[tap] = 0 }
        }
        let sum = weights.reduce(0, +)
        if sum != 0 { weights = weights.map { $0 / sum } }
        for tap in 0..<length { taps.indices.append(clamped(left + first + tap)) }
        taps.weights += weights
    }

    /// The filter at a distance from its centre.
    private func weight(_ distance: Double) -> Double {
        let x = abs(distance)
        if method == .linear { return max(0, 1 - x) }
        if x <= 1 { return ((alpha + 2) * x - (alpha + 3)) * x * x + 1 }
        return x < 2 ? ((x - 5) * x + 8) * x * alpha - 4 * alpha : 0
    }
}
