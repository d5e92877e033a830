/// One piece of memory that steps `first` to `last` need.
struct ArenaRequest {
    var bytes: Int
    var first: Int
    var last: Int
}

/// Lays pieces of memory with known lifetimes out in one block, so that pieces alive together never overlap.
enum ArenaPlanner {
    static let alignment = 64

    static func rounded(_ bytes: Int) -> Int? {
        let (sum, overflow) = bytes.addingReportingOverflow(alignment - 1)
        return overflow ? nil : sum & ~(alignment - 1)
    }

    /// An offset per request, each a multiple of 64, and the size of the block; nil when the size overflows.
    ///
    /// Largest first, each into the tightest gap among those that are alive with it: near the lower bound for chains and
    /// residual networks. Plans with very many pieces take the gap search in time order instead, which is linear.
    static func plan(_ requests: [ArenaRequest]) -> (offsets: [Int], bytes: Int)? {
        var sizes: [Int] = []
        sizes.reserveCapacity(requests.count)
        for request in requests {
            guard request.bytes >= 0, let size = rounded(request.bytes) else { return nil }
            sizes.append(size)
        }
        return requests.count <= 4096 ? bySize(requests, sizes) : byTime(requests, sizes)
    }

    private static func bySize(_ requests: [ArenaRequest], _ sizes: [Int]) -> (offsets: [Int], bytes: Int)? {
        var offsets = [Int](repeating: 0, count: requests.count)
        let order = requests.indices.sorted { (sizes[$0], $1) > (sizes[$1], $0) }
        // Indices of what has a place, by offset.
        var placed: [Int] = []
        var total = 0
        for index in order where sizes[index] > 0 {
            var best: (offset: Int, slack: Int)?
            var end = 0
            for other in placed
            where requests[other].first <= requests[index].last && requests[index].first <= requests[other].last {
                let slack = offsets[other] - end - sizes[index]
                if slack >= 0, slack < best?.slack ?? Int.max { best = (end, slack) }
                end = max(end, offsets[other] + sizes[other])
            }
            offsets[index] = best?.offset ?? end
            let (upper, overflow) = offsets[index].addingReportingOverflow(sizes[index])
            if overflow { return nil }
            total = max(total, upper)
            let position = placed.partitioningIndex { offsets[$0] > offsets[index] }
            placed.insert(index, at: position)
        }
        return (offsets, total)
    }

    private static func byTime(_ requests: [ArenaRequest], _ sizes: [Int]) -> (offsets: [Int], bytes: Int)? {
        var offsets = [Int](repeating: 0, count: requests.count)
        var alive: [Int] = []
        var total = 0
        for index in requests.indices.sorted(by: { (requests[$0].first, $0) < (requests[$1].first, $1) })
        where sizes[index] > 0 {
            alive.removeAll { requests[$0].last < requests[index].first }
            var best: (offset: Int, slack: Int)?
            var end = 0
            for other in alive {
                let slack = offsets[other] - end - sizes[index]
                if slack >= 0, slack < best?.slack ?? Int.max { best = (end, slack) }
                end = max(end, offsets[other] + sizes[other])
            }
            offsets[index] = best?.offset ?? end
            let (upper, overflow) = offsets[index].addingReportingOverflow(sizes[index])
            if overflow { return nil }
            total = max(total, upper)
            alive.insert(index, at: alive.partitioningIndex { offsets[$0] > offsets[index] })
        }
        return (offsets, total)
    }
}

extension Array {
    /// The first index whose element satisfies `belongs`, which holds for a tail of the array.
    func partitioningIndex(where belongs: (Element) -> Bool) -> Int {
        var (lower, upper) = (0, count)
        while lower < upper {
            let middle = (lower + upper) / 2
            if belongs(self[middle]) { upper = middle } else { lower = middle + 1 }
        }
        return lower
    }
}
