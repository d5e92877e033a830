import TenonIR
import Testing

@testable import TenonRuntime

/// Programs against the interpreter, which shares no code with them, at several sizes.
@Suite struct ProgramTests {
    static func compare(_ text: String, _ inputs: [Constant]) throws {
        let module = try Module(text: text)
        let expected = try Interpreter(module: module).run(inputs)
        let executable = try Executable(module: module, backends: [])
        // The second run meets what the first one left behind.
        for _ in 0..<2 {
            let found = try executable.run(inputs)
            #expect(found.map(\.shape) == expected.map(\.shape))
            for (a, b) in zip(found, expected) {
                #expect(a.dtype == b.dtype)
                #expect(Array(a.bytes) == Array(b.bytes))
            }
        }
    }

    static func program(_ text: String) throws -> Program {
        try ProgramBuilder.build(try Module(text: text), backends: [:], options: CompileOptions())
    }

    private static func floats(_ shape: [Int64]) throws -> Constant {
        let count = shape.reduce(1, *)
        return try Constant(.float32, shape, (0..<count).map { Float($0 % 7) - 3 })
    }

    private static let positions = """
        fn @main(%x: f32[n,4]) {
          %p = nonzero(%x)
          %t = permute_dims(%p) {axes=[1, 0]}
          %f = astype(%t) {dtype=f32}
          %y = add(%f, %f)
          return %y
        }
        """

    @Test(arguments: [0, 1, 5] as [Int64]) func sizesThatDependOnDataEndAStage(rows: Int64) throws {
        try Self.compare(Self.positions, [try Self.floats([rows, 4])])
        let program = try Self.program(Self.positions)
        #expect(program.blocks[Program.main].stages.count == 2)
        #expect(program.stages[1].nodes.count == 3)
    }

    private static let growing = """
        fn @main(%n: i64[], %go: bool[], %x: f32[b,1]) {
          %all: (f32[rank=2], f32[rank=2]) = loop(@step, %n, %go, (%x, %x), (%x,))
          %first = %all.0
          %last: f32[b,k] = match_cast(%first, f32[b,k])
          %y = %last
          return %y
        }
        fn @step(%i: i64[], %go: bool[], %s: f32[...], %t: f32[...], %x: f32[...]) {
          %f = astype(%i) {dtype=f32}
          %new = add(%x, %f)
          %longer = concat((%s, %new)) {axis=1}
          return (%go, %longer, %t)
        }
        """

    @Test(arguments: [0, 1, 4] as [Int64]) func statesOfLoopsMayGrow(trips: Int64) throws {
        for rows in [1, 3] as [Int64] {
            try Self.compare(
                Self.growing,
                [try Constant.ints([], [trips]), try Constant.filled(.bool, [], 1), try Self.floats([rows, 1])])
        }
    }

    /// What a body gives lies where its parameters do.
    private static let swapping = """
        fn @main(%n: i64[], %go: bool[], %x: f32[2], %y: f32[2]) {
          %all: (f32[2], f32[2]) = loop(@step, %n, %go, (%x, %y), ())
          %a = %all.0
          %b = %all.1
          return (%a, %b)
        }
        fn @step(%i: i64[], %go: bool[], %s: f32[2], %t: f32[2]) {
          return (%go, %t, %s)
        }
        """

    @Test(arguments: [0, 1, 2, 3] as [Int64]) func statesMayChangePlaces(trips: Int64) throws {
        try Self.compare(
            Self.swapping,
            [
                try Constant.ints([], [trips]), try Constant.filled(.bool, [], 1),
                try Constant(.float32, [2], [1, 2] as [Float]), try Constant(.float32, [2], [3, 4] as [Float]),
            ])
    }

    private static let branching = """
        fn @main(%c: bool[], %x: f32[n,3]) {
          %r: f32[rank=2] = if %c {
            %a = concat((%x, %x)) {axis=0}
            %b = nn.relu(%a)
            yield %b
          } else {
            %d = negative(%x)
            yield %d
          }
          %y = add(%r, %r)
          return %y
        }
        """

    @Test(arguments: [false, true]) func branchesMayDifferInSize(flag: Bool) throws {
        for rows in [0, 1, 4] as [Int64] {
            try Self.compare(
                Self.branching, [try Constant.filled(.bool, [], flag ? 1 : 0), try Self.floats([rows, 3])])
        }
    }

    @Test func sizesAreSharedByRunsOfManyShapes() throws {
        let module = try Module(text: Self.positions)
        let executable = try Executable(module: module, backends: [])
        var most = 0
        for round in 0..<1_200 {
            _ = try executable.run([try Self.floats([Int64(round % 300), 4])])
            if round == 599 { most = executable.memory.inUse }
        }
        #expect(executable.memory.inUse <= most)
    }

    @Test func aDeclaredSizeIsChecked() throws {
        let text = """
            fn @main(%x: f32[n,2]) {
              %p = nonzero(%x)
              %q: i64[2,n] = match_cast(%p, i64[2,n])
              %y = add(%q, %q)
              return %y
            }
            """
        let executable = try Executable(module: try Module(text: text), backends: [])
        #expect(try executable.run([try Constant(.float32, [2, 2], [1, 0, 0, 1] as [Float])]).first?.shape == [2, 2])
        #expect(throws: TenonError.self) {
            try executable.run([try Constant(.float32, [2, 2], [1, 1, 0, 1] as [Float])])
        }
        // A failed run leaves nothing behind.
        #expect(try executable.run([try Constant(.float32, [1, 2], [0, 1] as [Float])]).first?.shape == [2, 1])
    }
}

/// Programs damaged on purpose, a kind of damage each.
@Suite struct ProgramVerifierTests {
    private static let text = """
        fn @main(%c: bool[], %x: f32[n,4]) {
          %p = nonzero(%x)
          %f = astype(%p) {dtype=f32}
          %g = exp(%f)
          %r: f32[rank=2] = if %c {
            %a = nn.relu(%g)
            yield %a
          } else {
            %b = negative(%g)
            yield %b
          }
          %y = add(%r, %r)
          return %y
        }
        """

    enum Damage: String, CaseIterable {
        case operandOutOfRange, rootOutOfRange, readBeforeWrite, writtenTwice, foreignStage, sizeOutOfRange
        case sizeBeforeUse, blockTwice, blockMissing, stageMissing, sizeNotNamed, constantOfOtherSize, rankOfFound
        case instructionsOutOfRange, patchOfInput, sizeOfNodeNotNamed, sizeOfNodeOutOfRange
    }

    @Test func theProgramItselfIsRight() throws { try ProgramVerifier.verify(try ProgramTests.program(Self.text)) }

    @Test(arguments: Damage.allCases) func damageIsFound(_ damage: Damage) throws {
        var program = try ProgramTests.program(Self.text)
        guard let late = program.stages.firstIndex(where: { if case .late? = $0.end { true } else { false } }),
            let busy = program.stages.firstIndex(where: { $0.nodes.count >= 2 }),
            let branching = program.stages.firstIndex(where: { if case .branch? = $0.end { true } else { false } }),
            case .branch(var branch)? = program.stages[branching].end, case .late(var found)? = program.stages[late].end
        else {
            Issue.record("the program has another form")
            return
        }
        switch damage {
        case .operandOutOfRange: program.stages[busy].nodes[0].inputs = [program.tensors.count]
        case .rootOutOfRange: program.tensors[program.stages[busy].nodes[0].outputs[0]].root = program.roots.count + 5
        case .readBeforeWrite: program.stages[busy].nodes.swapAt(0, 1)
        case .writtenTwice: program.stages[busy].nodes[1].outputs = program.stages[busy].nodes[0].outputs
        case .foreignStage:
            program.roots[program.tensors[program.stages[busy].nodes[0].outputs[0]].root] = .node(stage: 0)
        case .sizeOutOfRange: program.tensors[program.stages[busy].nodes[0].outputs[0]].dims = [.slot(99), .slot(99)]
        case .sizeBeforeUse: program.stages[late].end = nil
        case .blockTwice:
            branch.other = branch.then
            program.stages[branching].end = .branch(branch)
        case .blockMissing:
            branch.other = 77
            program.stages[branching].end = .branch(branch)
        case .stageMissing: program.blocks[Program.main].stages.append(1_000)
        case .sizeNotNamed: program.stages[busy].slots = []
        case .sizeOfNodeNotNamed:
            for index in program.stages[busy].nodes.indices { program.stages[busy].nodes[index].slots = [] }
        case .sizeOfNodeOutOfRange: program.stages[busy].nodes[0].slots = [1_000]
        case .constantOfOtherSize:
            program.constants.append(try Constant.ints([3], [1, 2, 3]))
            program.roots.append(.constant(program.constants.count - 1))
            program.tensors.append(
                Program.Tensor(dtype: .int64, dims: [.fixed(4)], root: program.roots.count - 1, name: "c"))
        case .rankOfFound:
            found.outputs[0].dims = []
            program.stages[late].end = .late(found)
        case .instructionsOutOfRange: program.stages[busy].sizes = 0..<10_000
        case .patchOfInput:
            program.tensors[found.outputs[0].tensor].root = program.tensors[program.inputs[0].tensor].root
        }
        #expect(throws: TenonError.self) { try ProgramVerifier.verify(program) }
    }

    @Test func piecesOfMemoryThatOverlapAreFound() throws {
        let requests = [ArenaRequest(bytes: 64, first: 0, last: 2), ArenaRequest(bytes: 64, first: 2, last: 3)]
        try StageMemory.verify(requests, [0, 64], 128)
        #expect(throws: TenonError.self) { try StageMemory.verify(requests, [0, 32], 128) }
        #expect(throws: TenonError.self) { try StageMemory.verify(requests, [0, 64], 100) }
        #expect(throws: TenonError.self) { try StageMemory.verify(requests, [-64, 64], 128) }
    }
}
