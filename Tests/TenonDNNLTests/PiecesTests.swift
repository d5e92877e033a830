import Testing

@testable import TenonDNNL

@Suite struct PiecesTests {
    @Test func shortWorkIsNotCut() {
        #expect(LongSteps.cut(1, batch: 8, channels: 8) == nil)
        #expect(LongSteps.cut(5, batch: 1, channels: 1) == nil)
        #expect(LongSteps.cut(5, batch: 0, channels: 4) == nil)
        #expect(LongSteps.cut(1, rows: 1000, fewest: 64) == nil)
        #expect(LongSteps.cut(9, rows: 64, fewest: 64) == nil)
    }

    @Test func samplesAreCutBeforeChannels() throws {
        let cut = try #require(LongSteps.cut(3, batch: 8, channels: 4))
        #expect(cut.samples == 2 && cut.samplePieces == 4 && cut.channels == 1)
        let both = try #require(LongSteps.cut(5, batch: 2, channels: 9))
        #expect(both.samples == 1 && both.channels == 3 && both.count == 6)
        // As short as they get.
        let most = try #require(LongSteps.cut(1000, batch: 3, channels: 4))
        #expect(most.count == 12)
        // A batch that has no divisor goes sample by sample.
        #expect(LongSteps.cut(2, batch: 7, channels: 1)?.samplePieces == 7)
    }

    @Test func theLastPieceOfRowsEndsWithThem() throws {
        let cut = try #require(LongSteps.cut(3, rows: 1000, fewest: 64))
        #expect(cut.samples == 333 && cut.samplePieces == 4)
        #expect((0..<4).map { cut.start($0) } == [0, 333, 666, 667])
        #expect(LongSteps.cut(100, rows: 1000, fewest: 300)?.samples == 300)
    }

    @Test func operandsAreCutWhereTheyAreNotBroadcast() throws {
        let cut = Pieces.Cut(batch: 6, samples: 1, channels: 4)
        #expect(cut.piece([6, 64, 8, 8], of: [6, 64, 8, 8]) == [1, 16, 8, 8])
        #expect(cut.piece([1, 64, 1, 1], of: [6, 64, 8, 8]) == [1, 16, 1, 1])
        #expect(cut.piece([1, 1, 8, 8], of: [6, 64, 8, 8]) == [1, 1, 8, 8])
        #expect(cut.piece([6, 1, 1, 1], of: [6, 64, 8, 8]) == [1, 1, 1, 1])
    }
}
