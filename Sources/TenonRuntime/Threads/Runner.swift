import CParallel
import Glibc
import TenonIR

/// A thread that works for callers, one at a time. oneDNN's and our own loops run on its OpenMP team, so that calling
/// threads come and go without leaving a team each, and so that a process that never ran OpenMP on its own threads can
/// fork. Sleeps when idle; its OpenMP workers sleep after libgomp's own short spinning (`OMP_WAIT_POLICY`).
final class Runner: @unchecked Sendable {
    private enum State {
        case idle
        case given
        case done
        case leaving
    }

    private let threads: Int
    /// The process that the thread belongs to; a forked child has no such thread.
    let generation: Int
    private let lock = Lock()
    private var state = State.idle
    private var job: (() -> Void)?
    private var thread = pthread_t()

    init(threads: Int) throws {
        self.threads = threads
        generation = ForkGuard.generation.load(ordering: .acquiring)
        // The host's signals are for the host's threads.
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        let status = pthread_create(
            &thread, nil,
            { pointer in
                if let pointer { Unmanaged<Runner>.fromOpaque(pointer).takeUnretainedValue().serve() }
                return nil
            }, Unmanaged.passUnretained(self).toOpaque())
        guard status == 0 else {
            throw TenonError(.outOfMemory, "a runner thread could not be started (error \(status))")
        }
        isStarted = true
    }

    private var isStarted = false

    deinit {
        // In a forked child there is no thread to wait for, and the lock may be in any state.
        guard isStarted, generation == ForkGuard.generation.load(ordering: .acquiring) else { return }
        lock.locked {
            state = .leaving
            lock.wakeAll()
        }
        pthread_join(thread, nil)
    }

    private func serve() {
        _ = tenon_parallel_set_threads(Int32(truncatingIfNeeded: threads))
        lock.lock()
        while true {
            switch state {
            case .given:
                lock.unlock()
                runJob()
                lock.lock()
                state = .done
                lock.wakeAll()
            case .leaving:
                lock.unlock()
                return
            case .idle, .done: lock.wait()
            }
        }
    }

    /// A function of its own, so that no copy of the closure outlives the call: the caller's closure must not escape.
    @inline(never) private func runJob() { job?() }

    /// Runs `body` on the runner's thread and waits for it. One caller at a time.
    func perform<T>(_ body: () throws -> T) throws -> T {
        var result: Result<T, any Error>?
        withoutActuallyEscaping({ result = Result { try body() } }) { job in
            lock.locked {
                self.job = job
                state = .given
                lock.wakeAll()
                while state != .done { lock.wait() }
                self.job = nil
                state = .idle
            }
        }
        guard let result else { throw TenonError(.internal, "the runner thread gave no result") }
        return try result.get()
    }
}

/// The calling thread as a runner of one thread: nothing that runs may start a team on it.
enum CallerRuns {
    static func perform<T>(_ body: () throws -> T) rethrows -> T {
        let before = tenon_parallel_set_threads(1)
        defer { if before != 1 { _ = tenon_parallel_set_threads(before) } }
        return try body()
    }
}
