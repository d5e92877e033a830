import Glibc
import TenonIR

/// Constants in the form that a kernel reads. Immutable once made, given back with the last kernel that holds it.
public final class PackedConstant: SharedWeights, @unchecked Sendable {
    public let base: UnsafeMutableRawPointer
    public let bytes: Int

    /// Contents are undefined.
    init(bytes: Int) throws {
        guard let memory = AlignedMemory.allocate(bytes) else {
            throw TenonError(.outOfMemory, "\(bytes) bytes of packed weights are not available")
        }
        base = memory
        self.bytes = bytes
    }

    deinit { free(base) }
}

/// What has been packed and is still held by anybody, so that the plans for several sizes, and several executables of one
/// module, have one copy of their weights. Holds nothing itself, and stays usable in a forked child.
public final class PackedConstants: ForkParticipant, @unchecked Sendable {
    /// What has been done with the constants: an algorithm with its version and parameters.
    public struct Recipe: Hashable, Sendable {
        public var algorithm: String
        public var version: Int
        public var parameters: [Int]

        public init(_ algorithm: String, version: Int, parameters: [Int]) {
            self.algorithm = algorithm
            self.version = version
            self.parameters = parameters
        }
    }

    private struct Key: Hashable {
        var constants: [ObjectIdentifier]
        var recipe: Recipe
    }

    private struct Source {
        weak var constant: Constant?
    }

    private struct Entry {
        /// Their addresses may be other constants' one day.
        var sources: [Source]
        weak var memory: PackedConstant?

        var isAlive: Bool { memory != nil && sources.allSatisfy { $0.constant != nil } }

        func isMade(of constants: [Constant]) -> Bool {
            sources.count == constants.count && zip(sources, constants).allSatisfy { $0.constant === $1 }
        }
    }

    public static let shared: PackedConstants = {
        let table = PackedConstants()
        ForkGuard.add(table)
        return table
    }()

    private let lock = Lock()
    private var entries: [Key: Entry] = [:]
    /// How many keys there may be before those without memory are taken out.
    private var sweep = 256

    private init() {}

    /// The constants packed as `recipe` says: those that are there, or what `pack` writes into `bytes` bytes.
    public func find(
        _ constants: [Constant], _ recipe: Recipe, bytes: Int, pack: (UnsafeMutableRawPointer) throws -> Void
    ) throws -> PackedConstant {
        let key = Key(constants: constants.map { ObjectIdentifier($0) }, recipe: recipe)
        if let known = lock.locked({ look(key, constants, bytes) }) { return known }
        let memory = try PackedConstant(bytes: bytes)
        try pack(memory.base)
        return lock.locked {
            // Whoever was faster is kept.
            if let known = look(key, constants, bytes) { return known }
            entries[key] = Entry(sources: constants.map { Source(constant: $0) }, memory: memory)
            if entries.count > sweep {
                entries = entries.filter { $0.value.isAlive }
                sweep = max(256, entries.count * 2)
            }
            return memory
        }
    }

    private func look(_ key: Key, _ constants: [Constant], _ bytes: Int) -> PackedConstant? {
        guard let entry = entries[key], entry.isMade(of: constants), let memory = entry.memory, memory.bytes == bytes
        else { return nil }
        return memory
    }

    func lockForFork() { lock.lock() }
    func unlockAfterFork() { lock.unlock() }
    func resetInChild() { lock.reinitialise() }
}
