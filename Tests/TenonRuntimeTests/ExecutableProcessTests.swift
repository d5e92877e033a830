import Glibc
import TenonIR
import Testing

@testable import TenonRuntime

/// What an executable is to the process around it: threads that call it, and forks. One after the other, because a fork
/// copies whatever the other tests are doing.
@Suite(.serialized) struct ExecutableProcessTests {
    private static let inputs = Result { [try Sample.ramp([64]), try Sample.ramp([64], from: 1)] }

    private func expectRight(_ executable: Executable) throws -> Bool {
        let sum = try executable.run(try ExecutableProcessTests.inputs.get())
        return sum.first?.floats == (0..<64).map { Float($0 * 2 + 1) }
    }

    @Test(arguments: [1, 2]) func manyThreadsRunAtOnce(threads: Int) throws {
        let backend = ProbeBackend(.init(microsecondsPerStep: 200))
        let executable = try Executable(
            module: try Sample.region("probe", [64]), backends: [backend],
            options: CompileOptions(threads: threads, concurrentRuns: 4))
        let errors = onThreads(16) { _ in
            for _ in 0..<20 where try !expectRight(executable) { throw TenonError(.internal, "wrong sum") }
        }
        #expect(errors.isEmpty)
        #expect(backend.mostRunning > 1)
        #expect(backend.mostRunning <= 4)
        #expect(backend.instances <= 4)
    }

    @Test(arguments: [1, 2]) func shortLivedCallersLeaveNothingBehind(threads: Int) throws {
        let backend = ProbeBackend()
        let executable = try Executable(
            module: try Sample.region("probe", [64]), backends: [backend], options: CompileOptions(threads: threads))
        func call(_ count: Int) throws {
            for _ in 0..<(count / 50) {
                let errors = onThreads(50) { _ in
                    if try !expectRight(executable) { throw TenonError(.internal, "wrong sum") }
                }
                #expect(errors.isEmpty)
            }
        }
        try call(500)
        // Other suites allocate at the same time; what stays behind from each caller would show every time.
        let isBounded = try (0..<3).contains { _ in
            let before = try residentBytes()
            try call(threads == 1 ? 10_000 : 2000)
            return try residentBytes() - before < 8 << 20
        }
        #expect(isBounded)
        // No more than the contexts of what ran at once, and for runner threads no more than those.
        #expect(backend.instances <= max(1, (CPUCount.usable + threads - 1) / threads))
        if threads > 1 { #expect(backend.threads.count <= 1 + (CPUCount.usable + threads - 1) / threads) }
    }

    @Test(arguments: [1, 2]) func parentAndChildRunOnAfterAFork(threads: Int) throws {
        let executable = try Executable(
            module: try Sample.region("probe", [64]), backends: [ProbeBackend()],
            options: CompileOptions(threads: threads))
        #expect(try expectRight(executable))
        let child = inChild {
            for _ in 0..<20 where (try? expectRight(executable)) != true { return false }
            return onThreads(4) { _ in
                if try !expectRight(executable) { throw TenonError(.internal, "wrong sum") }
            }.isEmpty
        }
        #expect(child == true)
        #expect(try expectRight(executable))
    }

    @Test func runnerThreadsEndWithTheExecutable() throws {
        // Other suites may start and end threads of their own meanwhile; twenty leaked runners would show all the same.
        let before = try threadCount()
        for _ in 0..<20 {
            let executable = try Executable(
                module: try Sample.region("probe", [64]), backends: [ProbeBackend()],
                options: CompileOptions(threads: 2))
            #expect(try expectRight(executable))
        }
        #expect(try threadCount() < before + 15)
    }

    @Test func forkWhileOtherThreadsRun() throws {
        let executable = try Executable(
            module: try Sample.region("probe", [64]), backends: [ProbeBackend(.init(microsecondsPerStep: 100))],
            options: CompileOptions(threads: 2, concurrentRuns: 2))
        let stop = CancelToken()
        let errors = onThreads(3) { index in
            if index > 0 {
                while !stop.isCancelled, try expectRight(executable) {}
                return
            }
            defer { stop.cancel() }
            for _ in 0..<10 where inChild({ (try? expectRight(executable)) == true }) != true {
                throw TenonError(.internal, "the child could not run")
            }
        }
        #expect(errors.isEmpty)
    }

    @Test func executablesCanDieInAChild() throws {
        var executable: Executable? = try Executable(
            module: try Sample.region("probe", [64]), backends: [ProbeBackend()], options: CompileOptions(threads: 2))
        #expect(try executable.map(expectRight) == true)
        #expect(
            inChild {
                executable = nil
                return true
            } == true)
        #expect(try executable.map(expectRight) == true)
    }

    private func threadCount() throws -> Int {
        let directory = try #require(opendir("/proc/self/task"))
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            if entry.pointee.d_name.0 != UInt8(ascii: ".") { count += 1 }
        }
        return count
    }

    private func residentBytes() throws -> Int {
        let file = open("/proc/self/statm", O_RDONLY)
        defer { close(file) }
        var text = [UInt8](repeating: 0, count: 256)
        let count = read(file, &text, text.count)
        let fields = String(decoding: text[..<max(count, 0)], as: UTF8.self).split(separator: " ")
        return (Int(try #require(fields.dropFirst().first)) ?? 0) * 4096
    }
}
