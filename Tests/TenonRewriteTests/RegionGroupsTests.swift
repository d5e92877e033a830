import Testing

@testable import TenonIR
@testable import TenonRewrite

/// A generator that gives the same numbers everywhere.
private struct Numbers: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ (state >> 29)
    }
}

/// Blocks of calls `@A…`, `@B…` of composites and of plain operators.
private struct Graph {
    var function = Function()
    var block = Block(isDataflow: true)
    var values: [ValueID] = []

    init() {
        values.append(function.addValue("x", .tensor(TensorType(.float32, [4]))))
        function.parameters = values
    }

    mutating func add(_ backend: String?, _ inputs: [Int]) throws {
        let arguments = inputs.map { Operand.value(values[$0]) }
        let callee: Callee
        if let backend {
            callee = .function(backend)
        } else {
            callee = .op(try Operators.require(inputs.count == 1 ? "abs" : "subtract"))
        }
        let id = function.addValue("", .tensor(TensorType(.float32, [4])), isDataflow: true)
        block.bindings.append(Binding(id, .call(Call(callee, arguments))))
        values.append(id)
    }

    /// By value: its region as the first value in it; nil for none.
    func regions() -> [Int?] {
        let groups = RegionGroups(block, function) { $0 }
        var first: [Int: Int] = [:]
        return values.indices.map { index in
            guard let region = groups.region(of: values[index]) else { return nil }
            if first[region.group] == nil { first[region.group] = index }
            return first[region.group]
        }
    }

    /// The same by the definition, looking at everything for every binding.
    func expected() -> [Int?] {
        var group = Array(values.indices)
        var backend: [Int: String] = [:]
        func needs(_ from: Int, _ target: Int, _ bound: Int) -> Bool {
            var seen: Set<Int> = [from]
            var stack = [from]
            while let current = stack.popLast() {
                for index in 1..<bound where group[index] == current {
                    block.bindings[index - 1].expression.forEachValue { id in
                        let other = group[id.int]
                        if seen.insert(other).inserted { stack.append(other) }
                    }
                }
            }
            return from != target && seen.contains(target)
        }
        for index in values.indices.dropFirst() {
            guard case .call(let call) = block.bindings[index - 1].expression else { continue }
            guard case .function(let name) = call.callee else { continue }
            var operands: [Int] = []
            for argument in call.arguments {
                if case .value(let id) = argument, id.int > 0, !operands.contains(group[id.int]) {
                    operands.append(group[id.int])
                }
            }
            let joinable = operands.filter { candidate in
                backend[candidate] == name
                    && !operands.contains { $0 != candidate && needs($0, candidate, index) }
            }
            backend[index] = name
            guard let target = joinable.first else { continue }
            group[index] = target
            for other in joinable.dropFirst() {
                for member in group.indices where group[member] == other { group[member] = target }
            }
        }
        var first: [Int: Int] = [:]
        return values.indices.map { index in
            guard backend[index] != nil else { return nil }
            if first[group[index]] == nil { first[group[index]] = index }
            return first[group[index]]
        }
    }
}

@Suite struct RegionGroupsTests {
    @Test("Regions of random blocks are those of the definition") func random() throws {
        for seed in 0..<400 {
            var numbers = Numbers(state: UInt64(seed) &* 7919 &+ 1)
            var graph = Graph()
            for index in 1...Int.random(in: 2...40, using: &numbers) {
                let near = Bool.random(using: &numbers) ? max(index - 4, 0) : 0
                let inputs = (0..<Int.random(in: 1...3, using: &numbers)).map { _ in
                    Int.random(in: near...index - 1, using: &numbers)
                }
                let backend = ["A", "B", nil, "A"][Int.random(in: 0...3, using: &numbers)]
                try graph.add(backend, backend == nil ? Array(inputs.prefix(2)) : inputs)
            }
            #expect(graph.regions() == graph.expected(), "seed \(seed)")
        }
    }

    @Test(
        "A region that a long chain feeds takes as long per binding as a short one",
        arguments: [[nil, "A"], ["B", "A"], [nil, "A", nil], ["B", "A", "B"]] as [[String?]])
    func linear(_ kinds: [String?]) throws {
        func time(_ rounds: Int) throws -> UInt64 {
            var graph = Graph()
            try graph.add("A", [0])
            // The chain that feeds, the region, and a chain that it feeds.
            var (chain, region, fed) = (0, 1, 0)
            for _ in 0..<rounds {
                try graph.add(kinds[0], [chain])
                chain = graph.values.count - 1
                try graph.add(kinds[1], [region, chain])
                region = graph.values.count - 1
                guard kinds.count > 2 else { continue }
                try graph.add(kinds[2], [fed, region])
                fed = graph.values.count - 1
            }
            let start = MonotonicClock.now
            let groups = RegionGroups(graph.block, graph.function) { $0 }
            #expect(groups.region(of: graph.values[region])?.group == groups.region(of: graph.values[1])?.group)
            return MonotonicClock.now - start
        }
        let (short, long) = (try time(1000), try time(16000))
        #expect(long < short * 16 * 8, "\(short) and \(long) nanoseconds")
    }

    @Test("Numbers moved within an order stand where they were put") func order() {
        var numbers = Numbers(state: 5)
        var list = OrderedList()
        var expected: [Int32] = []
        for index in 0..<200 {
            list.append()
            expected.append(Int32(index))
        }
        for step in 0..<20000 {
            // Always the same place for a while: labels run out of room there.
            let place = step % 3 == 0 ? Int32.random(in: 0...199, using: &numbers) : 77
            let moved = Int32.random(in: 0...199, using: &numbers)
            list.move(moved, before: place)
            guard moved != place else { continue }
            expected.removeAll { $0 == moved }
            expected.insert(moved, at: expected.firstIndex(of: place) ?? 0)
        }
        #expect(expected.sorted { list[$0] < list[$1] } == expected)
        #expect(Set(expected.map { list[$0] }).count == expected.count)
    }
}
