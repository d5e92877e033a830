import Synchronization
import TenonIR

/// What has been packed and is still held by anybody, so that the plans for several shapes, and several executables of one
/// module, have one copy of their weights. Holds nothing itself.
final class PackedWeights: Sendable {
    static let shared = PackedWeights()

    private struct Key: Hashable {
        var constant: ObjectIdentifier
        var layout: UInt64
    }

    private struct Entry: @unchecked Sendable {
        /// Its address may be another constant's one day.
        weak var constant: Constant?
        weak var memory: WeightMemory?
        let source: MemoryDescriptor
        let target: MemoryDescriptor

        var isAlive: Bool { constant != nil && memory != nil }
    }

    private struct Table: Sendable {
        var entries: [Key: [Entry]] = [:]
        /// How many keys there may be before those without memory are taken out.
        var sweep = 256
    }

    private let table = Mutex(Table())

    func find(_ constant: Constant, _ source: MemoryDescriptor, _ target: MemoryDescriptor) -> WeightMemory? {
        let key = Key(constant: ObjectIdentifier(constant), layout: target.hash)
        let entries = table.withLock { $0.entries[key] } ?? []
        for entry in entries where entry.constant === constant {
            if entry.target.isEqual(to: target), entry.source.isEqual(to: source), let memory = entry.memory {
                return memory
            }
        }
        return nil
    }

    func add(_ memory: WeightMemory, _ constant: Constant, _ source: MemoryDescriptor, _ target: MemoryDescriptor) {
        let key = Key(constant: ObjectIdentifier(constant), layout: target.hash)
        let entry = Entry(constant: constant, memory: memory, source: source, target: target)
        table.withLock { table in
            table.entries[key] = (table.entries[key] ?? []).filter(\.isAlive) + [entry]
            guard table.entries.count > table.sweep else { return }
            table.entries = table.entries.compactMapValues { entries in
                let alive = entries.filter(\.isAlive)
                return alive.isEmpty ? nil : alive
            }
            table.sweep = max(256, table.entries.count * 2)
        }
    }
}
