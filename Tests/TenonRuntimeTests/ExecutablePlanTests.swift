import TenonIR
import Testing

@testable import TenonRuntime

@Suite struct ArenaPlannerTests {
    /// xorshift, so that a failure repeats.
    struct Random: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state
        }
    }

    @Test(arguments: [1, 7, 100, 5000]) func nothingAliveTogetherOverlaps(count: Int) throws {
        var random = Random(state: UInt64(count) &* 0x9E37_79B9_7F4A_7C15)
        let requests = (0..<count).map { index in
            let first = Int.random(in: 0..<count, using: &random)
            return ArenaRequest(
                bytes: Int.random(in: 0...5000, using: &random), first: first,
                last: first + Int.random(in: 0...8, using: &random))
        }
        let plan = try #require(ArenaPlanner.plan(requests))
        var byStart = requests.indices.filter { requests[$0].bytes > 0 }
        byStart.sort { requests[$0].first < requests[$1].first }
        for (position, a) in byStart.enumerated() {
            #expect(plan.offsets[a] % 64 == 0)
            #expect(plan.offsets[a] + requests[a].bytes <= plan.bytes)
            for b in byStart[(position + 1)...] {
                if requests[b].first > requests[a].last { break }
                let overlaps =
                    plan.offsets[a] < plan.offsets[b] + requests[b].bytes
                    && plan.offsets[b] < plan.offsets[a] + requests[a].bytes
                #expect(!overlaps)
            }
        }
    }

    @Test func chainNeedsTwoBuffers() throws {
        let requests = (0..<50).map { ArenaRequest(bytes: 1000, first: $0, last: $0 + 1) }
        #expect(ArenaPlanner.plan(requests)?.bytes == 2048)
    }

    @Test func sizesThatDoNotFitAreRefused() {
        #expect(ArenaPlanner.plan([ArenaRequest(bytes: .max, first: 0, last: 0)]) == nil)
        let half = Int.max / 2
        let two = [ArenaRequest(bytes: half, first: 0, last: 1), ArenaRequest(bytes: half, first: 0, last: 1)]
        #expect(ArenaPlanner.plan(two + two) == nil)
    }
}

@Suite struct TensorViewTests {
    @Test func packsTransposedReversedAndRepeated() {
        let source = TestTensor([2, 3], [1, 2, 3, 4, 5, 6])
        func packed(_ dims: [Int64], _ strides: [Int64], offset: Int = 0) -> [Float] {
            let tensor = TestTensor(dims, strides: strides, [])
            var view = tensor.view()
            view.data = UnsafeMutableRawPointer(source.data + offset)
            var result = [Float](repeating: -1, count: Int(dims.reduce(1, *)))
            result.withUnsafeMutableBytes { if let base = $0.baseAddress { view.pack(to: base) } }
            return result
        }
        #expect(packed([3, 2], [1, 3]) == [1, 4, 2, 5, 3, 6])
        #expect(packed([2, 3], [-3, -1], offset: 5) == [6, 5, 4, 3, 2, 1])
        #expect(packed([2, 2, 3], [0, 3, 1]) == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6])
        #expect(packed([2, 2], [3, 2]) == [1, 3, 4, 6])
    }

    @Test func knowsWhatIsDense() {
        func isDense(_ dims: [Int64], _ strides: [Int64]) -> Bool {
            let tensor = TestTensor(dims, strides: strides, [])
            return withExtendedLifetime(tensor) { tensor.view().isDense }
        }
        #expect(isDense([2, 3], [3, 1]))
        #expect(!isDense([2, 3], [1, 2]))
        // Strides of dimensions of size 1 and of empty tensors do not matter.
        #expect(isDense([1, 3], [77, 1]))
        #expect(isDense([0, 3], [5, 9]))
    }

    @Test func extentsOverflowIntoNil() {
        func extent(_ dims: [Int64], _ strides: [Int64]?) -> [Int]? {
            let tensor = TestTensor(dims, strides: strides, [])
            return withExtendedLifetime(tensor) { tensor.view().extent().map { [$0.lower, $0.upper] } }
        }
        #expect(extent([2, 3], [-3, 1]) == [-12, 12])
        #expect(extent([3, 2], [.max, 1]) == nil)
        #expect(extent([.max, 3], nil) == nil)
    }
}

@Suite struct CPUCountTests {
    @Test func isAtLeastOne() { #expect(CPUCount.usable >= 1) }
}
