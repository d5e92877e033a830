import Glibc
import TenonIR
import Testing

@testable import TenonRuntime

@Suite struct ExecutableRegionTests {
    @Test(arguments: [1, 2]) func regionsReadAndWriteTheCallersMemory(threads: Int) throws {
        let backend = ProbeBackend()
        let executable = try Executable(
            module: try Sample.region("probe", [2, 3]), backends: [backend], options: CompileOptions(threads: threads))
        let (a, b) = (TestTensor([2, 3], [1, 2, 3, 4, 5, 6]), TestTensor([2, 3], [10, 20, 30, 40, 50, 60]))
        let out = TestTensor([2, 3], [Float](repeating: 0, count: 6))
        try executable.runViews([a.view(), b.view()], [out.view()])
        #expect(out.elements == [11, 22, 33, 44, 55, 66])
        #expect(backend.inputs == [UnsafeRawPointer(a.data), UnsafeRawPointer(b.data)])
        #expect(backend.outputs == [UnsafeMutableRawPointer(out.data)])
        let here = UInt(pthread_self())
        #expect(backend.threads.contains(here) == (threads == 1))
    }

    @Test func callsOfOneRegionShareItsCode() throws {
        let backend = ProbeBackend()
        let executable = try Executable(module: try Sample.region("probe", [4], calls: 3), backends: [backend])
        #expect(backend.compiledShapes == [[4]])
        let result = try executable.run([try Sample.ramp([4]), try Sample.ramp([4], from: 1, step: 0)])
        #expect(result.first?.floats == [3, 4, 5, 6])
    }

    @Test func failuresNameTheRegion() throws {
        let backend = ProbeBackend(.init(fails: true))
        let executable = try Executable(module: try Sample.region("probe", [4]), backends: [backend])
        let error = #expect(throws: TenonError.self) {
            try executable.run([try Sample.ramp([4]), try Sample.ramp([4])])
        }
        #expect(error?.status == .backend)
        #expect(error?.node == "region0")
    }

    @Test func stepsAndTimesAreReported() throws {
        let backend = ProbeBackend(.init(steps: 3))
        let executable = try Executable(module: try Sample.region("probe", [4]), backends: [backend])
        #expect(executable.steps.map(\.binding) == ["probe0", "probe1", "probe2"])
        #expect(executable.lastProfile == nil)
        let inputs = [try Sample.ramp([4]), try Sample.ramp([4])]
        _ = try executable.run(inputs)
        #expect(executable.lastProfile == nil)
        _ = try executable.run(inputs, options: RunOptions(isProfiled: true))
        let profile = try #require(executable.lastProfile)
        #expect(profile.nanoseconds == [1, 2, 3])
        #expect(profile.steps == executable.steps)
    }

    // MARK: - Cancel and deadline

    @Test(arguments: [1, 2]) func cancelEndsARunBetweenSteps(threads: Int) throws {
        let backend = ProbeBackend(.init(steps: 10_000, microsecondsPerStep: 1000))
        let executable = try Executable(
            module: try Sample.region("probe", [4]), backends: [backend], options: CompileOptions(threads: threads))
        let token = CancelToken()
        let start = MonotonicClock.now
        let errors = onThreads(2) { index in
            if index == 1 {
                usleep(50_000)
                token.cancel()
                return
            }
            _ = try executable.run([try Sample.ramp([4]), try Sample.ramp([4])], options: RunOptions(cancel: token))
        }
        #expect((errors.first as? TenonError)?.status == .cancelled)
        #expect(MonotonicClock.now - start < 5_000_000_000)
        // The executable is as good as before.
        token.reset()
        #expect(!token.isCancelled)
    }

    @Test func deadlinePasses() throws {
        let backend = ProbeBackend(.init(steps: 10_000, microsecondsPerStep: 1000))
        let executable = try Executable(module: try Sample.region("probe", [4]), backends: [backend])
        let error = #expect(throws: TenonError.self) {
            try executable.run(
                [try Sample.ramp([4]), try Sample.ramp([4])],
                options: RunOptions(deadline: MonotonicClock.now + 30_000_000))
        }
        #expect(error?.status == .deadlineExceeded)
    }

    @Test func deadlineHoldsWhileWaitingForATurn() throws {
        let backend = ProbeBackend(.init(steps: 500, microsecondsPerStep: 1000))
        let executable = try Executable(
            module: try Sample.region("probe", [4]), backends: [backend], options: CompileOptions(concurrentRuns: 1))
        let errors = onThreads(2) { index in
            if index == 1 { usleep(100_000) }
            let deadline = index == 1 ? MonotonicClock.now + 20_000_000 : nil
            _ = try executable.run(
                [try Sample.ramp([4]), try Sample.ramp([4])], options: RunOptions(deadline: deadline))
        }
        #expect(errors.map { ($0 as? TenonError)?.status } == [.deadlineExceeded])
        #expect(backend.mostRunning == 1)
    }

    @Test(arguments: [1, 2]) func aRunInsideARunDoesNotWaitForIt(threads: Int) throws {
        let backend = ProbeBackend()
        let executable = try Executable(
            module: try Sample.region("probe", [4]), backends: [backend],
            options: CompileOptions(threads: threads, concurrentRuns: 1))
        let inputs = [try Sample.ramp([4]), try Sample.ramp([4], from: 1)]
        var inner: [Float]?
        backend.onRun = {
            backend.onRun = nil
            // A deadline, so that a failure is one and not a test that hangs.
            inner = try executable.run(inputs, options: RunOptions(deadline: MonotonicClock.now + 2_000_000_000)).first?
                .floats
        }
        #expect(try executable.run(inputs).first?.floats == [1, 3, 5, 7])
        #expect(inner == [1, 3, 5, 7])
        #expect(backend.mostRunning == 2)
    }

    // MARK: - Memory

    @Test func memoryIsStatedBeforeTheFirstRun() throws {
        let backend = ProbeBackend(.init(packedWeightBytes: 1000, workspaceBytes: 4096))
        let executable = try Executable(module: try Sample.region("probe", [4], calls: 2), backends: [backend])
        // Both calls share the code but state its weights once each; the first result (16 bytes) lives beside a workspace.
        #expect(executable.memory.arena == 4096 + 64)
        #expect(executable.memory.scratch == 4096)
        #expect(executable.memory.packedWeights == 1000)
        #expect(executable.memory.inUse == 1000)
        _ = try executable.run([try Sample.ramp([4]), try Sample.ramp([4])])
        #expect(executable.memory.inUse == 1000 + 4096 + 64)
        executable.trim()
        #expect(executable.memory.inUse == 1000)
        #expect(try executable.run([try Sample.ramp([4]), try Sample.ramp([4])]).first?.floats == [0, 3, 6, 9])
    }

    @Test func aCapIsAnErrorNotAnAllocation() throws {
        let backend = ProbeBackend(.init(packedWeightBytes: 1000, workspaceBytes: 4096))
        let module = try Sample.region("probe", [4])
        let error = #expect(throws: TenonError.self) {
            try Executable(module: module, backends: [backend], options: CompileOptions(memoryLimit: 5000))
        }
        #expect(error?.status == .limitExceeded)
        #expect(backend.instances == 0)
        let executable = try Executable(module: module, backends: [backend], options: CompileOptions(memoryLimit: 5200))
        _ = try executable.run([try Sample.ramp([4]), try Sample.ramp([4])])
    }

    @Test func concurrentRunsStayUnderTheCap() throws {
        let backend = ProbeBackend(.init(microsecondsPerStep: 2000, packedWeightBytes: 0, workspaceBytes: 4096))
        let executable = try Executable(
            module: try Sample.region("probe", [4]), backends: [backend],
            options: CompileOptions(memoryLimit: 9000, concurrentRuns: 8))
        let errors = onThreads(8) { _ in
            for _ in 0..<5 { _ = try executable.run([try Sample.ramp([4]), try Sample.ramp([4])]) }
        }
        #expect(errors.isEmpty)
        #expect(backend.mostRunning <= 2)
        #expect(executable.memory.inUse <= 9000)
    }

    // MARK: - Shapes

    @Test func eachShapeIsCompiledOnceAndTheOldestLeaves() throws {
        let backend = ProbeBackend()
        let executable = try Executable(
            module: try Sample.region("probe", [.symbol("n"), 2]), backends: [backend],
            options: CompileOptions(cachedShapes: 2))
        func run(_ n: Int64) throws {
            let result = try executable.run([try Sample.ramp([n, 2]), try Sample.ramp([n, 2])])
            #expect(result.first?.floats == (0..<(n * 2)).map { Float($0 * 2) })
        }
        for n in [1, 2, 1, 2, 3, 2, 3] as [Int64] { try run(n) }
        #expect(backend.compiledShapes == [[1, 2], [2, 2], [3, 2]])
        try run(1)
        #expect(backend.compiledShapes.count == 4)
    }

    @Test func preparedShapesStay() throws {
        let backend = ProbeBackend()
        let executable = try Executable(
            module: try Sample.region("probe", [.symbol("n")]), backends: [backend],
            options: CompileOptions(cachedShapes: 2))
        #expect(try executable.prepare([[5], [5]]).outputs == [TensorSpec(.float32, [5])])
        for n in 1...4 as ClosedRange<Int64> { _ = try executable.run([try Sample.ramp([n]), try Sample.ramp([n])]) }
        let before = backend.compiledShapes.count
        _ = try executable.run([try Sample.ramp([5]), try Sample.ramp([5])])
        #expect(backend.compiledShapes.count == before)
    }

    @Test func symbolsMustAgree() throws {
        let executable = try Executable(module: try Sample.region("probe", [.symbol("n")]), backends: [ProbeBackend()])
        let error = #expect(throws: TenonError.self) {
            try executable.run([try Sample.ramp([3]), try Sample.ramp([4])])
        }
        #expect(error?.status == .invalidShape)
        #expect(error?.message == "'b' expects f32[n] with n = 3 as before, found f32[4]")
    }

    @Test func manyThreadsMeetingANewShapeCompileItOnce() throws {
        let backend = ProbeBackend()
        let executable = try Executable(
            module: try Sample.region("probe", [.symbol("n")]), backends: [backend],
            options: CompileOptions(concurrentRuns: 8))
        let errors = onThreads(8) { _ in _ = try executable.run([try Sample.ramp([7]), try Sample.ramp([7])]) }
        #expect(errors.isEmpty)
        #expect(backend.compiledShapes == [[7]])
    }
}
