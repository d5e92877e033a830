import TenonIR

/// What one run may be told by its caller, and what it hands to kernels and regions.
public struct RunEnvironment: Sendable {
    /// Splits loops over the threads of this run.
    public var parallel: Parallel
    /// What ends the run before it is done; nil for nothing.
    public var limits: WorkLimits? { parallel.limits }
    public var cancel: CancelToken? { limits?.cancel }
    /// Nanoseconds of `MonotonicClock` after which the run gives up; nil for none.
    public var deadline: UInt64? { limits?.deadline }

    public init(parallel: Parallel = .serial, cancel: CancelToken? = nil, deadline: UInt64? = nil) {
        self.init(parallel: parallel, limits: WorkLimits.make(cancel: cancel, deadline: deadline))
    }

    public init(parallel: Parallel = .serial, limits: WorkLimits?) {
        self.parallel = parallel
        self.parallel.limits = limits
    }

    /// The environment of work that is no run of its own: what ends the thread's work ends it.
    public static var current: RunEnvironment { RunEnvironment(limits: Work.limits) }

    /// Throws `cancelled` or `deadlineExceeded` when the run shall not go on. Cheap: called between steps.
    @inlinable public func check() throws {
        if let limits { try limits.check() }
    }
}
