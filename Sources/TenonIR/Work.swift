import Glibc
import Synchronization

/// A flag that ends work early. May be set from any thread, and stays set until `reset`.
public final class CancelToken: Sendable {
    private let flag = Atomic<Bool>(false)

    public init() {}

    public func cancel() { flag.store(true, ordering: .releasing) }
    public func reset() { flag.store(false, ordering: .releasing) }
    public var isCancelled: Bool { flag.load(ordering: .acquiring) }
}

/// Time that only goes forward, in nanoseconds.
public enum MonotonicClock {
    public static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(truncatingIfNeeded: time.tv_sec) &* 1_000_000_000 &+ UInt64(truncatingIfNeeded: time.tv_nsec)
    }

    /// The time when `nanoseconds` have passed; nil when no clock gets there.
    public static func after(_ nanoseconds: UInt64) -> UInt64? {
        let (time, overflow) = now.addingReportingOverflow(nanoseconds)
        return overflow ? nil : time
    }
}

/// What ends a piece of work before it is done: a token, and a time.
public final class WorkLimits: @unchecked Sendable {
    public private(set) var cancel: CancelToken?
    /// Nanoseconds of `MonotonicClock`.
    public private(set) var deadline: UInt64?
    /// Set for good by the first look that finds a reason: work that was left out stays left out, whatever the token says later.
    private let reason = Atomic<UInt8>(0)

    private init(_ cancel: CancelToken?, _ deadline: UInt64?) {
        self.cancel = cancel
        self.deadline = deadline
    }

    /// Nil when there is nothing that could end the work; a failing initialiser would allocate before it fails.
    public static func make(cancel: CancelToken?, deadline: UInt64?) -> WorkLimits? {
        cancel == nil && deadline == nil ? nil : WorkLimits(cancel, deadline)
    }

    /// For other work, once nothing works under it any more.
    public func renew(cancel: CancelToken?, deadline: UInt64?) {
        self.cancel = cancel
        self.deadline = deadline
        reason.store(0, ordering: .releasing)
    }

    /// Whether the work shall not go on. Asks the clock.
    public var isOver: Bool {
        if reason.load(ordering: .relaxed) != 0 { return true }
        if let cancel, cancel.isCancelled {
            reason.store(1, ordering: .releasing)
            return true
        }
        if let deadline, MonotonicClock.now >= deadline {
            reason.store(2, ordering: .releasing)
            return true
        }
        return false
    }

    /// Throws `cancelled` or `deadlineExceeded` when the work shall not go on.
    public func check() throws {
        if isOver { try checkCut() }
    }

    /// Throws when something has been left out; does not ask the clock.
    public func checkCut() throws {
        guard reason.load(ordering: .acquiring) != 0 else { return }
        if reason.load(ordering: .acquiring) == 1 { throw TenonError(.cancelled, "the work was cancelled") }
        throw TenonError(.deadlineExceeded, "the deadline has passed")
    }

    /// Runs `body` over the parts of a range, and leaves out what is left when the work is over. Parts take a few
    /// milliseconds.
    public func inParts(_ range: Range<Int>, grain: Int, _ body: (Range<Int>) -> Void) {
        var begin = range.lowerBound
        var size = max(1, grain)
        while begin < range.upperBound {
            if isOver { return }
            let end = size < range.upperBound - begin ? begin + size : range.upperBound
            let start = MonotonicClock.now
            body(begin..<end)
            begin = end
            let elapsed = MonotonicClock.now &- start
            if elapsed < 2_000_000, size < 1 << 40 { size *= 2 }
            if elapsed > 8_000_000 { size = max(1, size / 4) }
        }
    }
}

/// Bytes that a piece of work may hold at once.
public final class MemoryBudget: Sendable {
    /// Nil for no bound.
    public let limit: Int?
    private let used = Atomic<Int>(0)
    private let most = Atomic<Int>(0)

    public init(limit: Int?) { self.limit = limit }

    public var bytes: Int { used.load(ordering: .relaxed) }
    /// The most that was held at any time.
    public var peak: Int { most.load(ordering: .relaxed) }

    /// False, with nothing reserved, when the limit would be passed.
    public func reserve(_ bytes: Int) -> Bool {
        var current = used.load(ordering: .relaxed)
        while true {
            let (next, overflow) = current.addingReportingOverflow(bytes)
            if overflow || next > limit ?? Int.max { return false }
            let (exchanged, original) = used.compareExchange(
                expected: current, desired: next, ordering: .acquiringAndReleasing)
            if exchanged {
                most.max(next, ordering: .relaxed)
                return true
            }
            current = original
        }
    }

    public func release(_ bytes: Int) { used.wrappingSubtract(bytes, ordering: .acquiringAndReleasing) }

    /// Throws when that many more bytes, held for a while, would pass the limit, or are not there.
    public func require(_ bytes: Int, _ what: @autoclosure () -> String) throws {
        guard reserve(bytes) else { throw exceeded(bytes, what()) }
        release(bytes)
    }

    public func exceeded(_ bytes: Int, _ what: String) -> TenonError {
        TenonError(
            .limitExceeded,
            "\(what): \(bytes) bytes exceed the memory limit of \(limit ?? Int.max) while \(self.bytes) are in use")
    }
}

/// The limits of what the current thread works on. Whoever may take long (a pass, an importer, a planner) calls `check` as
/// often as it goes on to the next node, and need not be told of them.
public enum Work {
    private static let key = newKey()
    private static let memoryKey = newKey()

    private static func newKey() -> pthread_key_t? {
        var key = pthread_key_t()
        return pthread_key_create(&key, nil) == 0 ? key : nil
    }

    /// What memory of the work counts against; nil when nobody counts.
    public static var memory: MemoryBudget? {
        guard let memoryKey, let pointer = pthread_getspecific(memoryKey) else { return nil }
        return Unmanaged<MemoryBudget>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// Runs `body` with memory that counts.
    public static func with<T, E: Error>(memory: MemoryBudget?, _ body: () throws(E) -> T) throws(E) -> T {
        guard let memory, let memoryKey else { return try body() }
        let before = pthread_getspecific(memoryKey)
        pthread_setspecific(memoryKey, Unmanaged.passUnretained(memory).toOpaque())
        defer {
            pthread_setspecific(memoryKey, before)
            withExtendedLifetime(memory) {}
        }
        return try body()
    }

    /// Nil when nothing ends the work.
    public static var limits: WorkLimits? {
        guard let key, let pointer = pthread_getspecific(key) else { return nil }
        return Unmanaged<WorkLimits>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// Runs `body` with these limits; with those around it when it has none of its own.
    public static func with<T, E: Error>(_ limits: WorkLimits?, _ body: () throws(E) -> T) throws(E) -> T {
        guard let limits, let key else { return try body() }
        let before = pthread_getspecific(key)
        pthread_setspecific(key, Unmanaged.passUnretained(limits).toOpaque())
        defer {
            pthread_setspecific(key, before)
            withExtendedLifetime(limits) {}
        }
        return try body()
    }

    /// Asked whether memory has run so short that the call must end; set once, before any work.
    nonisolated(unsafe) public static var isMemoryShort: (@convention(c) () -> Bool)?

    /// Throws when the work of this thread shall not go on.
    public static func check() throws {
        if let isMemoryShort, isMemoryShort() { throw TenonError(.outOfMemory, "memory is short") }
        guard let key, let pointer = pthread_getspecific(key) else { return }
        try Unmanaged<WorkLimits>.fromOpaque(pointer)._withUnsafeGuaranteedRef { try $0.check() }
    }
}
