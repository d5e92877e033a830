import Glibc
import Synchronization

/// Takes part in fork: locked while the process forks, so that a child finds its state whole.
protocol ForkParticipant: AnyObject {
    func lockForFork()
    func unlockAfterFork()
    /// In the child, where only the forking thread exists.
    func resetInChild()
}

/// Knows all executables, and makes them usable in forked children.
enum ForkGuard {
    /// Counts forks on the way from the first process to this one. Threads of an older generation do not exist any more.
    static let generation = Atomic<Int>(0)

    private static let registryLock = Lock()
    nonisolated(unsafe) private static var participants: [ObjectIdentifier: Unmanaged<AnyObject>] = [:]

    private static let isInstalled: Bool = {
        _ = registryLock
        pthread_atfork(
            {
                ForkGuard.registryLock.lock()
                ForkGuard.forEach { $0.lockForFork() }
            },
            {
                ForkGuard.forEach { $0.unlockAfterFork() }
                ForkGuard.registryLock.unlock()
            },
            {
                ForkGuard.generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
                ForkGuard.forEach { $0.resetInChild() }
                ForkGuard.registryLock.reinitialise()
            })
        return true
    }()

    private static func forEach(_ body: (any ForkParticipant) -> Void) {
        for participant in participants.values {
            if let participant = participant.takeUnretainedValue() as? any ForkParticipant { body(participant) }
        }
    }

    /// Until `remove`, which the participant calls in its deinit.
    static func add(_ participant: any ForkParticipant) {
        _ = isInstalled
        registryLock.locked {
            participants[ObjectIdentifier(participant)] = Unmanaged.passUnretained(participant)
        }
    }

    static func remove(_ participant: any ForkParticipant) {
        _ = registryLock.locked { participants.removeValue(forKey: ObjectIdentifier(participant)) }
    }
}
