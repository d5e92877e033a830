import TenonIR

/// Places intermediates in one block so that those alive at the same time do not overlap.
enum MemoryPlanner {
    static let alignment = 64

    static func place(_ plan: inout Plan) throws(TenonError) {
        recordLifetimes(&plan)
        var starting = [[Int]](repeating: [], count: plan.steps.count)
        for (index, buffer) in plan.buffers.enumerated() {
            guard case .workspace = buffer.storage, buffer.lastStep >= 0 else { continue }
            starting[buffer.firstStep].append(index)
        }
        var free = FreeList()
        var ending = [[Int]](repeating: [], count: plan.steps.count)
        for step in plan.steps.indices {
            for index in starting[step].sorted(by: { plan.buffers[$0].bytes > plan.buffers[$1].bytes }) {
                plan.buffers[index].offset = try free.take(plan.buffers[index].bytes)
                ending[plan.buffers[index].lastStep].append(index)
            }
            for index in ending[step] { free.give(plan.buffers[index].offset, plan.buffers[index].bytes) }
        }
        plan.arenaBytes = free.size
        plan.scratchBytes = try rounded(plan.steps.map(\.scratchBytes).max() ?? 0)
    }

    static func rounded(_ bytes: Int) throws(TenonError) -> Int {
        let (sum, overflow) = bytes.addingReportingOverflow(alignment - 1)
        guard !overflow, bytes >= 0 else {
            throw TenonError(.limitExceeded, "the region needs more memory than there is")
        }
        return sum / alignment * alignment
    }

    private static func recordLifetimes(_ plan: inout Plan) {
        for (index, step) in plan.steps.enumerated() {
            var touched: [BufferID]
            switch step.action {
            case .primitive(_, let operands): touched = operands.map(\.buffer)
            case .kernel(_, let inputs, let outputs): touched = inputs + outputs
            case .copy(let from, let to, _): touched = [from, to]
            }
            if let aside = step.aside { touched.append(aside) }
            for buffer in touched {
                let root = plan.root(buffer).index
                plan.buffers[root].firstStep = min(plan.buffers[root].firstStep, index)
                plan.buffers[root].lastStep = max(plan.buffers[root].lastStep, index)
            }
        }
    }

    /// Free stretches in order of offset; the smallest that fits is taken.
    private struct FreeList {
        private var gaps: [(offset: Int, bytes: Int)] = []
        private(set) var size = 0

        mutating func take(_ bytes: Int) throws(TenonError) -> Int {
            let needed = try rounded(max(bytes, 1))
            var best: Int?
            for (index, gap) in gaps.enumerated() where gap.bytes >= needed {
                if best.map({ gaps[$0].bytes > gap.bytes }) ?? true { best = index }
            }
            if let best {
                let offset = gaps[best].offset
                if gaps[best].bytes == needed {
                    gaps.remove(at: best)
                } else {
                    gaps[best].offset += needed
                    gaps[best].bytes -= needed
                }
                return offset
            }
            // A gap at the end grows.
            if let last = gaps.last, last.offset + last.bytes == size {
                gaps.removeLast()
                size = try grown(last.offset, needed)
                return last.offset
            }
            let offset = size
            size = try grown(size, needed)
            return offset
        }

        private func grown(_ offset: Int, _ bytes: Int) throws(TenonError) -> Int {
            let (sum, overflow) = offset.addingReportingOverflow(bytes)
            guard !overflow else { throw TenonError(.limitExceeded, "the region needs more memory than there is") }
            return sum
        }

        mutating func give(_ offset: Int, _ bytes: Int) {
            guard let bytes = try? rounded(max(bytes, 1)) else { return }
            var at = gaps.firstIndex { $0.offset > offset } ?? gaps.count
            gaps.insert((offset, bytes), at: at)
            if at + 1 < gaps.count, gaps[at].offset + gaps[at].bytes == gaps[at + 1].offset {
                gaps[at].bytes += gaps[at + 1].bytes
                gaps.remove(at: at + 1)
            }
            if at > 0, gaps[at - 1].offset + gaps[at - 1].bytes == gaps[at].offset {
                gaps[at - 1].bytes += gaps[at].bytes
                gaps.remove(at: at)
                at -= 1
            }
        }
    }
}
