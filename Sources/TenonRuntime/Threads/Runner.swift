import CMemory
import CParallel
import Glibc
import TenonIR

/// A thread that works for callers, one at a time. oneDNN's and our own loops run on its OpenMP team, so that calling
/// threads come and go without leaving a team each, and so that a process that never ran OpenMP on its own threads can
/// fork. Sleeps when idle; its OpenMP workers sleep after spinning for a few microseconds, unless the host wants more.
final class Runner: Sendable {
    /// What the thread and its owner share. The thread keeps it alive, also in a forked child, where the thread is gone and
    /// its lock must never be destroyed.
    private final class Desk: @unchecked Sendable {
        enum State {
            case starting
            case idle
            case given
            case done
            case leaving
        }

        let threads: Int
        let flushesDenormals: Bool
        /// Whether its runs tell how busy the machine is.
        let watches: Bool
        let lock = Lock()
        var state = State.starting
        var job: (() -> Void)?
        /// How many threads could be had, when they are fewer than asked for.
        var available: Int?

        init(threads: Int, flushesDenormals: Bool, watches: Bool) {
            self.threads = threads
            self.flushesDenormals = flushesDenormals
            self.watches = watches
        }

        func serve() {
            // OpenMP's threads take the name of the one that starts them.
            tenon_parallel_name_thread("tenon-run")
            // The threads of the team inherit how this one rounds.
            _ = tenon_parallel_enter_float(flushesDenormals ? 1 : 0)
            let found = Int(tenon_parallel_make_team(Int32(truncatingIfNeeded: threads)))
            _ = tenon_parallel_set_inside(1)
            lock.lock()
            if found < threads { available = found }
            if state == .starting { state = available == nil ? .idle : .leaving }
            lock.wakeAll()
            while true {
                switch state {
                case .starting: lock.wait()
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
        @inline(never) private func runJob() {
            tenon_memory_begin()
            guard watches else {
                job?()
                return
            }
            let before = tenon_parallel_use_now()
            job?()
            tenon_parallel_note_run(before)
        }
    }

    private let desk: Desk
    private let thread: pthread_t
    /// The process that the thread belongs to; a forked child has no such thread.
    let generation: Int

    /// Throws `outOfMemory` when the host may not have that many.
    init(threads: Int, flushesDenormals: Bool = false, spin: Spin = .adaptive) throws {
        if threads > 1, spin == .short { _ = tenon_parallel_throttle() }
        let desk = Desk(
            threads: threads, flushesDenormals: flushesDenormals,
            watches: threads > 1 && spin == .adaptive && tenon_parallel_spins_by_environment() == 0)
        self.desk = desk
        generation = ForkGuard.generation.load(ordering: .acquiring)
        // The host's signals are for the host's threads.
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var thread = pthread_t()
        let retained = Unmanaged.passRetained(desk)
        let status = pthread_create(
            &thread, nil,
            { pointer in
                if let pointer { Unmanaged<Desk>.fromOpaque(pointer).takeRetainedValue().serve() }
                return nil
            }, retained.toOpaque())
        guard status == 0 else {
            retained.release()
            throw ThreadSupply.error(wanted: threads, found: 0)
        }
        self.thread = thread
        let available: Int? = desk.lock.locked {
            while desk.state == .starting { desk.lock.wait() }
            return desk.available
        }
        if let available { throw ThreadSupply.error(wanted: threads, found: available) }
    }

    deinit {
        // In a forked child there is no thread to wait for, and the lock may be in any state.
        guard generation == ForkGuard.generation.load(ordering: .acquiring) else { return }
        desk.lock.locked {
            desk.state = .leaving
            desk.lock.wakeAll()
        }
        pthread_join(thread, nil)
    }

    /// Runs `body` on the runner's thread and waits for it. One caller at a time.
    func perform<T>(_ body: () throws -> T) throws -> T {
        var result: Result<T, any Error>?
        let limits = Work.limits
        withoutActuallyEscaping({ result = Result { try Work.with(limits) { try body() } } }) { job in
            desk.lock.locked {
                desk.job = job
                desk.state = .given
                desk.lock.wakeAll()
                while desk.state != .done { desk.lock.wait() }
                desk.job = nil
                desk.state = .idle
            }
        }
        guard let result else { throw TenonError(.internal, "the runner thread gave no result") }
        return try result.get()
    }
}

/// The threads that a process may still start.
enum ThreadSupply {
    /// How many threads a run may have that wants `threads`: fewer where the system lets the process start no more, which
    /// libgomp would find out by ending the process.
    static func available(_ threads: Int) -> Int {
        threads <= 1 ? threads : max(1, Int(tenon_parallel_probe(Int32(truncatingIfNeeded: threads))))
    }

    static func error(wanted: Int, found: Int) -> TenonError {
        TenonError(
            .outOfMemory, "a run of \(wanted) threads: the system lets the process start only \(max(found, 0)) of them")
    }
}

/// The calling thread as a runner of one thread: nothing that runs may start a team on it.
enum CallerRuns {
    static func perform<T>(flushesDenormals: Bool = false, _ body: () throws -> T) rethrows -> T {
        let float = tenon_parallel_enter_float(flushesDenormals ? 1 : 0)
        defer { tenon_parallel_leave_float(float) }
        let before = tenon_parallel_set_threads(1)
        let wasInside = tenon_parallel_set_inside(1)
        defer {
            if before != 1 { _ = tenon_parallel_set_threads(before) }
            _ = tenon_parallel_set_inside(wasInside)
        }
        return try body()
    }
}
