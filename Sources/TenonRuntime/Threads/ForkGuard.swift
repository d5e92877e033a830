import Glibc
import Synchronization

/// Takes part in fork: locked while the process forks, so that a child finds its state whole.
protocol ForkParticipant: AnyObject {
    func lockForFork()
    func unlockAfterFork()
    /// In the child, where only the forking thread exists.
    func resetInChild()
}

/// Knows the states of all executables, and makes them usable in forked children.
///
/// The registry holds what takes part, and never what owns it: while a process forks nothing can go away under the registry's
/// lock, and nothing that is on its way out is held on to.
enum ForkGuard {
    /// Counts forks on the way from the first process to this one. Threads of an older generation do not exist any more.
    static let generation = Atomic<Int>(0)

    private static let registryLock = Lock()
    nonisolated(unsafe) private static var participants: [ObjectIdentifier: any ForkParticipant] = [:]

    private static let isInstalled: Bool = {
        _ = registryLock
        pthread_atfork(
            {
                ForkGuard.registryLock.lock()
                for participant in ForkGuard.participants.values { participant.lockForFork() }
            },
            {
                for participant in ForkGuard.participants.values { participant.unlockAfterFork() }
                ForkGuard.registryLock.unlock()
            },
            {
                ForkGuard.generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
                for participant in ForkGuard.participants.values { participant.resetInChild() }
                ForkGuard.registryLock.reinitialise()
            })
        return true
    }()

    /// Until `remove`, which the participant's owner calls when it goes.
    static func add(_ participant: any ForkParticipant) {
        _ = isInstalled
        registryLock.locked { participants[ObjectIdentifier(participant)] = participant }
    }

    static func remove(_ participant: any ForkParticipant) {
        // The last reference goes outside the lock.
        let removed = registryLock.locked { participants.removeValue(forKey: ObjectIdentifier(participant)) }
        _ = removed
    }
}

/// Keeps a participant registered as long as this object lives.
final class ForkRegistration: Sendable {
    private let participant: any ForkParticipant & Sendable

    init(_ participant: any ForkParticipant & Sendable) {
        self.participant = participant
        ForkGuard.add(participant)
    }

    deinit { ForkGuard.remove(participant) }
}
