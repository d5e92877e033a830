/// Numbers from 0 in an order that can be changed, by labels that leave room: of where two stand is told by comparing these.
struct OrderedList {
    private var labels: [Int64] = []
    private var previous: [Int32] = []
    private var next: [Int32] = []
    private var last: Int32 = -1

    private static let step: Int64 = 1 << 30
    private static let end: Int64 = 1 << 62

    subscript(index: Int32) -> Int64 { labels[Int(index)] }

    /// Adds the next number at the end.
    mutating func append() {
        let index = Int32(labels.count)
        labels.append(last < 0 ? Self.step : labels[Int(last)] + Self.step)
        previous.append(last)
        next.append(-1)
        if last >= 0 { next[Int(last)] = index }
        last = index
    }

    mutating func move(_ index: Int32, before place: Int32) {
        guard index != place else { return }
        unlink(index)
        if labels[Int(place)] - (previous[Int(place)] < 0 ? 0 : labels[Int(previous[Int(place)])]) < 2 {
            makeRoom(around: place)
        }
        let before = previous[Int(place)]
        let low = before < 0 ? 0 : labels[Int(before)]
        labels[Int(index)] = low + (labels[Int(place)] - low) / 2
        previous[Int(index)] = before
        next[Int(index)] = place
        previous[Int(place)] = index
        if before >= 0 { next[Int(before)] = index }
    }

    private mutating func unlink(_ index: Int32) {
        let (before, after) = (previous[Int(index)], next[Int(index)])
        if before >= 0 { next[Int(before)] = after }
        if after >= 0 { previous[Int(after)] = before } else { last = before }
    }

    /// Spreads the labels of the smallest run around `place` that is sparse enough: the wider the run, the sparser it must be,
    /// so that a change costs a logarithm on average.
    private mutating func makeRoom(around place: Int32) {
        var (first, final) = (place, place)
        var count: Int64 = 1
        var width: Int64 = 4
        var most = 4.0
        while true {
            let low = labels[Int(place)] & ~(width - 1)
            while previous[Int(first)] >= 0, labels[Int(previous[Int(first)])] >= low {
                first = previous[Int(first)]
                count += 1
            }
            while next[Int(final)] >= 0, labels[Int(next[Int(final)])] - low < width {
                final = next[Int(final)]
                count += 1
            }
            most /= 1.5
            if Double(count) * 2 < Double(width) / 4 * most || width >= Self.end {
                let gap = width / (count + 1)
                var (current, label) = (first, low)
                while true {
                    label += gap
                    labels[Int(current)] = label
                    if current == final { return }
                    current = next[Int(current)]
                }
            }
            width *= 2
        }
    }
}
