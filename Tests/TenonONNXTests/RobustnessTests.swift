import TenonIR
import Testing

@testable import TenonONNX

/// Damaged copies of a real model: an error or a module, never a trap.
@Suite struct RobustnessTests {
    @Test func everyTruncationIsAnErrorOrAModule() throws {
        let bytes = try Digits.bytes()
        var refused = 0
        var length = 0
        while length < bytes.count {
            let error = failure { _ = try importBytes(Array(bytes[..<length])) }
            if let error {
                refused += 1
                #expect(!error.message.isEmpty && !error.message.contains("\n"))
            }
            // Every byte of the headers, and samples of the weights.
            length += length < 600 || length > bytes.count - 600 ? 1 : 97
        }
        #expect(refused > 1000)
    }

    @Test(arguments: 0..<8) func bitFlipsAreErrorsOrModules(seed: UInt64) throws {
        let bytes = try Digits.bytes()
        var random = SplitMix(state: seed)
        var refused = 0
        for round in 0..<300 {
            var damaged = bytes
            for _ in 0..<(1 + round % 4) {
                // Names, shapes and lengths fill the last part of the file and small places between the weights.
                let place =
                    round % 2 == 0
                    ? bytes.count - 1 - Int(random.next() % 900) : Int(random.next() % UInt64(bytes.count))
                damaged[place] ^= 1 << UInt8(random.next() % 8)
            }
            if failure({ _ = try importBytes(damaged) }) != nil { refused += 1 }
        }
        #expect(refused > 15)
    }

    @Test(arguments: 0..<4) func randomBytesAreErrors(seed: UInt64) {
        var random = SplitMix(state: seed &+ 77)
        for length in 1..<400 {
            let bytes = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            #expect(failure { _ = try importBytes(bytes) } != nil)
        }
    }

    @Test func nestingIsBounded() {
        // From the inside: a node in a graph in an attribute in a node, and so on; at last the model's graph.
        var bytes: [UInt8] = []
        for level in 0..<4000 {
            let key: UInt8 = [0x0a, 0x32, 0x2a][level % 3]
            bytes = [key] + varint(bytes.count) + bytes
        }
        bytes = [0x3a] + varint(bytes.count) + bytes
        #expect(failure { _ = try importBytes(bytes) }?.status == .limitExceeded)
    }

    @Test func limitsAreKept() throws {
        let bytes = try Digits.bytes()
        func status(_ change: (inout ONNXLimits) -> Void) -> Status? {
            var options = ONNXImportOptions()
            change(&options.limits)
            return failure { _ = try importBytes(bytes, options) }?.status
        }
        #expect(status { $0.nodes = 7 } == .limitExceeded)
        #expect(status { $0.nodes = 8 } == nil)
        #expect(status { $0.rank = 3 } == .limitExceeded)
        #expect(status { $0.tensorBytes = 20_000 } == .limitExceeded)
        #expect(status { $0.tensorBytes = 20_480 } == nil)
        #expect(status { $0.structureBytes = 500 } == .limitExceeded)
        #expect(status { $0.fileBytes = 40_000 } == .limitExceeded)
        #expect(status { $0.nesting = 0 } == .limitExceeded)
    }

    private func varint(_ value: Int) -> [UInt8] {
        var rest = value
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}

/// A small generator with the same numbers everywhere.
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
