import Synchronization

/// Words about what happened that no status says: fewer threads than asked for, a backend that refused what was given to it.
/// Without a listener nobody hears of it; nothing is printed.
public enum Log {
    public enum Level: UInt32, Sendable { case debug = 1, information, warning, error }

    public typealias Listener = @Sendable (_ level: Level, _ message: String) -> Void

    private struct State: Sendable {
        var listener: Listener?
        var level = Level.warning
    }

    private static let state = Mutex(State())
    /// What has no listener is not even put into words.
    private static let isHeard = Atomic<Bool>(false)

    /// Messages of `level` and above go to `listener`; nil for nobody.
    public static func listen(_ level: Level, _ listener: Listener?) {
        ForkBarrier.away {
            state.withLock { $0 = State(listener: listener, level: level) }
            isHeard.store(listener != nil, ordering: .releasing)
        }
    }

    public static func write(_ level: Level, _ message: @autoclosure () -> String) {
        guard isHeard.load(ordering: .acquiring) else { return }
        let (listener, least) = ForkBarrier.away { state.withLock { ($0.listener, $0.level) } }
        guard let listener, level.rawValue >= least.rawValue else { return }
        listener(level, message())
    }
}
