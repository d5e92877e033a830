import Glibc

/// Keeps `fork` away from short pieces of work that hold a lock of the process: a table that all share, oneDNN's creation of a
/// primitive, and its products, which take a lock as they run. A thread that forks waits until nobody is inside, so that a child finds every such lock open.
///
/// What runs inside is short, starts no thread and calls nothing of the host.
public enum ForkBarrier {
    private struct State {
        var mutex = pthread_mutex_t()
        var condition = pthread_cond_t()
        var inside = 0
        /// Threads that are about to fork.
        var waiting = 0
    }

    nonisolated(unsafe) private static let state: UnsafeMutablePointer<State> = {
        let state = UnsafeMutablePointer<State>.allocate(capacity: 1)
        state.initialize(to: State())
        prepare(state)
        return state
    }()

    /// How deep the thread is inside, as a pointer.
    private static let depth: pthread_key_t? = {
        var key = pthread_key_t()
        return pthread_key_create(&key, nil) == 0 ? key : nil
    }()

    private static func prepare(_ state: UnsafeMutablePointer<State>) {
        pthread_mutex_init(&state.pointee.mutex, nil)
        pthread_cond_init(&state.pointee.condition, nil)
    }

    private static let isInstalled: Bool = {
        _ = (state, depth)
        return pthread_atfork(
            {
                pthread_mutex_lock(&ForkBarrier.state.pointee.mutex)
                ForkBarrier.state.pointee.waiting += 1
                while ForkBarrier.state.pointee.inside > ForkBarrier.ownCount {
                    pthread_cond_wait(&ForkBarrier.state.pointee.condition, &ForkBarrier.state.pointee.mutex)
                }
                ForkBarrier.state.pointee.waiting -= 1
            },
            {
                pthread_cond_broadcast(&ForkBarrier.state.pointee.condition)
                pthread_mutex_unlock(&ForkBarrier.state.pointee.mutex)
            },
            {
                ForkBarrier.prepare(ForkBarrier.state)
                ForkBarrier.state.pointee.inside = ForkBarrier.ownCount
                ForkBarrier.state.pointee.waiting = 0
            }) == 0
    }()

    private static var ownCount: Int {
        guard let depth, pthread_getspecific(depth) != nil else { return 0 }
        return 1
    }

    /// Lets a thread fork first, which would wait without end where others come in one after the other; for a moment only, because
    /// who is inside may need something that this thread holds.
    private static func giveWay() {
        var until = timespec()
        clock_gettime(CLOCK_REALTIME, &until)
        until.tv_nsec += 2_000_000
        if until.tv_nsec >= 1_000_000_000 {
            until.tv_nsec -= 1_000_000_000
            until.tv_sec += 1
        }
        while state.pointee.waiting > 0 {
            guard pthread_cond_timedwait(&state.pointee.condition, &state.pointee.mutex, &until) == 0 else { return }
        }
    }

    /// Runs `body` while no thread forks.
    public static func away<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
        guard isInstalled, let depth, pthread_getspecific(depth) == nil else { return try body() }
        // Nobody gets in while a thread that forks holds the mutex, which it does until the fork is over.
        pthread_mutex_lock(&state.pointee.mutex)
        if state.pointee.waiting > 0 { giveWay() }
        state.pointee.inside += 1
        pthread_mutex_unlock(&state.pointee.mutex)
        pthread_setspecific(depth, UnsafeRawPointer(bitPattern: 1))
        defer {
            pthread_setspecific(depth, nil)
            pthread_mutex_lock(&state.pointee.mutex)
            state.pointee.inside -= 1
            if state.pointee.inside <= 1 { pthread_cond_broadcast(&state.pointee.condition) }
            pthread_mutex_unlock(&state.pointee.mutex)
        }
        return try body()
    }
}
