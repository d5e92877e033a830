import TenonIR

/// What the bindings of one run need, as replacements change it: tells before a replacement is made whether a value would need
/// itself.
struct Dependencies {
    private let bindings: [Binding]
    private let positions: [ValueID: Int]
    /// By value: what it needs since it was replaced or added.
    private var needs: [ValueID: [ValueID]] = [:]
    /// By added value: the position that it stands in front of.
    private var places: [ValueID: Int] = [:]
    /// Runs of positions within which values need later ones, ascending and apart from each other: outside of them a value needs
    /// nothing that stands behind it.
    private var spans: [(first: Int, last: Int)] = []
    /// Values that may still be looked at before the search is given up.
    private var budget = 100_000_000

    init(_ bindings: [Binding], _ positions: [ValueID: Int]) {
        self.bindings = bindings
        self.positions = positions
    }

    /// Whether a value would need itself, were `replacements` made with the help of `added`.
    mutating func wouldCircle(_ replacements: [ValueID: Operand], _ added: ArraySlice<Binding>) throws -> Bool {
        guard let first = replacements.keys.compactMap({ positions[$0] }).min() else { return false }
        let changed = Self.needs(replacements, added)
        // True while what the value needs is looked at.
        var isOpen: [ValueID: Bool] = [:]
        for start in replacements.keys where isOpen[start] == nil {
            var stack = [(id: start, needs: changed[start] ?? [], next: 0)]
            isOpen[start] = true
            while let top = stack.last {
                guard top.next < top.needs.count else {
                    isOpen[top.id] = false
                    stack.removeLast()
                    continue
                }
                stack[stack.count - 1].next += 1
                let id = top.needs[top.next]
                if let open = isOpen[id] {
                    if open { return true }
                    continue
                }
                budget -= 1
                guard budget > 0 else {
                    throw TenonError(.limitExceeded, "rewriting looks at too many values that depend on each other")
                }
                isOpen[id] = true
                stack.append((id, changed[id] ?? needsNow(of: id, reaching: first), 0))
            }
        }
        return false
    }

    /// Notes that the replacements were made.
    mutating func commit(_ replacements: [ValueID: Operand], _ added: ArraySlice<Binding>) {
        guard let first = replacements.keys.compactMap({ positions[$0] }).min() else { return }
        for binding in added { places[binding.id] = first }
        var last = first
        for (id, needed) in Self.needs(replacements, added) {
            needs[id] = needed
            for other in needed { last = max(last, place(of: other) ?? first) }
        }
        guard last > first else { return }
        var span = (first: first, last: max(last, replacements.keys.compactMap { positions[$0] }.max() ?? last))
        let begin = index(ofSpanEndingFrom: span.first)
        var end = begin
        while end < spans.count, spans[end].first <= span.last {
            span = (min(span.first, spans[end].first), max(span.last, spans[end].last))
            end += 1
        }
        spans.replaceSubrange(begin..<end, with: [span])
    }

    private static func needs(
        _ replacements: [ValueID: Operand], _ added: ArraySlice<Binding>
    ) -> [ValueID: [ValueID]] {
        var result: [ValueID: [ValueID]] = [:]
        for binding in added { binding.expression.forEachValue { result[binding.id, default: []].append($0) } }
        for (id, operand) in replacements {
            result[id] = []
            operand.forEachValue { result[id, default: []].append($0) }
        }
        return result
    }

    private func place(of id: ValueID) -> Int? { places[id] ?? positions[id] }

    /// What a value needs; nothing when none of that can lead to a position from `first` on.
    private func needsNow(of id: ValueID, reaching first: Int) -> [ValueID] {
        guard let place = place(of: id) else { return [] }
        let span = index(ofSpanEndingFrom: place)
        let reach = span < spans.count && spans[span].first <= place ? spans[span].last : place
        guard reach >= first else { return [] }
        if let known = needs[id] { return known }
        guard let position = positions[id] else { return [] }
        var result: [ValueID] = []
        bindings[position].expression.forEachValue { result.append($0) }
        return result
    }

    /// The first span that ends at `position` or behind it.
    private func index(ofSpanEndingFrom position: Int) -> Int {
        var (low, high) = (0, spans.count)
        while low < high {
            let middle = (low + high) / 2
            if spans[middle].last < position { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
