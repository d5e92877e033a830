import Glibc
import Synchronization
import TenonIR

/// A flag that ends runs early. May be set from any thread, and stays set until `reset`.
public final class CancelToken: Sendable {
    private let flag = Atomic<Bool>(false)

    public init() {}

    public func cancel() { flag.store(true, ordering: .releasing) }
    public func reset() { flag.store(false, ordering: .releasing) }
    public var isCancelled: Bool { flag.load(ordering: .acquiring) }
}

/// What one run may be told by its caller, and what it hands to kernels and regions.
public struct RunEnvironment: Sendable {
    /// Splits loops over the threads of this run.
    public var parallel: Parallel
    public var cancel: CancelToken?
    /// Nanoseconds of `MonotonicClock` after which the run gives up; nil for none.
    public var deadline: UInt64?

    public init(parallel: Parallel = .serial, cancel: CancelToken? = nil, deadline: UInt64? = nil) {
        self.parallel = parallel
        self.cancel = cancel
        self.deadline = deadline
    }

    /// Throws `cancelled` or `deadlineExceeded` when the run shall not go on. Cheap: called between steps.
    @inlinable public func check() throws {
        if cancel == nil, deadline == nil { return }
        try checkSlow()
    }

    @usableFromInline func checkSlow() throws {
        if let cancel, cancel.isCancelled { throw TenonError(.cancelled, "the run was cancelled") }
        if let deadline, MonotonicClock.now >= deadline {
            throw TenonError(.deadlineExceeded, "the deadline of the run has passed")
        }
    }
}

/// Time that only goes forward, in nanoseconds.
public enum MonotonicClock {
    public static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(truncatingIfNeeded: time.tv_sec) &* 1_000_000_000 &+ UInt64(truncatingIfNeeded: time.tv_nsec)
    }
}
