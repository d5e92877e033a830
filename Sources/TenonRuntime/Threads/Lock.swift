import Glibc

/// A mutex with one condition. Heap storage, because neither may move.
final class Lock: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init() {
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        prepare()
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    private func prepare() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    func lock() { pthread_mutex_lock(mutex) }
    func unlock() { pthread_mutex_unlock(mutex) }

    @inline(__always) func locked<T>(_ body: () throws -> T) rethrows -> T {
        lock()
        defer { unlock() }
        return try body()
    }

    /// Sleeps until woken; the lock is held before and after.
    func wait() { pthread_cond_wait(condition, mutex) }

    /// Sleeps until woken or until `deadline` on `MonotonicClock`.
    func wait(until deadline: UInt64) {
        var time = timespec()
        time.tv_sec = Int(truncatingIfNeeded: deadline / 1_000_000_000)
        time.tv_nsec = Int(truncatingIfNeeded: deadline % 1_000_000_000)
        pthread_cond_timedwait(condition, mutex, &time)
    }

    func wakeOne() { pthread_cond_signal(condition) }
    func wakeAll() { pthread_cond_broadcast(condition) }

    /// Makes both new, in a forked child, where whoever held or waited for them is gone.
    func reinitialise() { prepare() }
}
