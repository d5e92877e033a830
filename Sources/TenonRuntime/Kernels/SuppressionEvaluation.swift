import TenonIR

/// Non-maximum suppression per batch and class: boxes by falling score, without those that overlap a kept one too much.
enum SuppressionEvaluation {
    private struct Box {
        var top: Double
        var left: Double
        var bottom: Double
        var right: Double

        var area: Double { (bottom - top) * (right - left) }

        /// Shared area over joint area; 0 for empty boxes.
        func overlap(_ other: Box) -> Double {
            let height = min(bottom, other.bottom) - max(top, other.top)
            let width = min(right, other.right) - max(left, other.left)
            guard height > 0, width > 0, area > 0, other.area > 0 else { return 0 }
            let shared = height * width
            return shared / (area + other.area - shared)
        }
    }

    static func evaluate(_ call: KernelCall, _ inputs: [Constant]) throws -> [Constant] {
        try call.requireRank(0, 3)
        try call.requireRank(1, 3)
        let (boxes, scores) = (call.inputs[0].shape, call.inputs[1].shape)
        guard boxes[2] == 4, boxes[0] == scores[0], boxes[1] == scores[2], call.inputs[0].dtype.isFloatingPoint,
            let places = inputs[0].doubleElements, let values = inputs[1].doubleElements
        else { throw call.error(.invalidShape, "boxes \(boxes) and scores \(scores) do not fit") }
        let most = try call.int("max_output_boxes_per_class")
        let (bound, threshold) = (try call.float("iou_threshold"), call.attributes.float("score_threshold"))
        let isCentred = call.bool("center_point_box")
        let (batches, count, classes) = (boxes[0], boxes[1], scores[1])
        var rows: [Int64] = []
        for batch in 0..<batches {
            let all = (0..<count).map { box($0 + batch * count, places, isCentred) }
            for kind in 0..<classes {
                let own = values[((batch * classes + kind) * count)...].prefix(count)
                let start = own.startIndex
                let order = (0..<count).filter { index in threshold.map { own[start + index] > $0 } ?? true }
                    .sorted { own[start + $0] == own[start + $1] ? $0 < $1 : own[start + $0] > own[start + $1] }
                var kept: [Int] = []
                for (turn, index) in order.enumerated() {
                    // Each box is compared with all that are kept.
                    if turn & 0x3f == 0 { try Work.check() }
                    if kept.count >= most { break }
                    if kept.contains(where: { all[$0].overlap(all[index]) > bound }) { continue }
                    kept.append(index)
                    rows += [Int64(batch), Int64(kind), Int64(index)]
                }
            }
        }
        return [try Constant(.int64, [Int64(rows.count / 3), 3], rows)]
    }

    /// Corners in either order, or centre and size.
    private static func box(_ index: Int, _ places: [Double], _ isCentred: Bool) -> Box {
        let (a, b, c, d) = (places[index * 4], places[index * 4 + 1], places[index * 4 + 2], places[index * 4 + 3])
        if isCentred { return Box(top: b - d / 2, left: a - c / 2, bottom: b + d / 2, right: a + c / 2) }
        return Box(top: min(a, c), left: min(b, d), bottom: max(a, c), right: max(b, d))
    }
}
