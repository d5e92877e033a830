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

    /// What has been done with a constant: brought from one layout to another, or packed, perhaps with others, for a kernel of ours, in
    /// words. An enum's tags in pointers would hide what is held here from tools that look for leaks.
    private struct Recipe {
        var from: MemoryDescriptor?
        var to: MemoryDescriptor?
        /// What part of the constant the two describe.
        var slices = WeightPacker.Slices()
        var companions: [Companion] = []
        var words: [String] = []
    }

    private struct Companion {
        weak var constant: Constant?
        /// Whether there was one.
        let isPresent: Bool
    }

    private struct Entry: @unchecked Sendable {
        /// Its address may be another constant's one day.
        weak var constant: Constant?
        weak var memory: WeightMemory?
        let recipe: Recipe

        var isAlive: Bool { constant != nil && memory != nil }
    }

    private struct Table: Sendable {
        var entries: [Key: [Entry]] = [:]
        /// How many keys there may be before those without memory are taken out.
        var sweep = 256
    }

    private let table = Mutex(Table())

    func find(
        _ constant: Constant, _ source: MemoryDescriptor, _ target: MemoryDescriptor,
        _ slices: WeightPacker.Slices = .init()
    ) -> WeightMemory? {
        find(constant, target.hash) { recipe in
            guard let from = recipe.from, let to = recipe.to else { return false }
            return recipe.slices == slices && to.isEqual(to: target) && from.isEqual(to: source)
        }
    }

    /// Constants that were packed together in one way, the first of which is there.
    func find(_ constants: [Constant?], _ words: [String]) -> WeightMemory? {
        guard let first = constants.first ?? nil else { return nil }
        return find(first, Self.together) { recipe in
            guard recipe.to == nil, recipe.companions.count == constants.count, recipe.words == words else {
                return false
            }
            return zip(recipe.companions, constants).allSatisfy { $0.isPresent == ($1 != nil) && $0.constant === $1 }
        }
    }

    private static let together: UInt64 = 1

    private func find(_ constant: Constant, _ layout: UInt64, _ isRight: (Recipe) -> Bool) -> WeightMemory? {
        let key = Key(constant: ObjectIdentifier(constant), layout: layout)
        let entries = ForkBarrier.away { table.withLock { $0.entries[key] } } ?? []
        for entry in entries where entry.constant === constant && isRight(entry.recipe) {
            if let memory = entry.memory { return memory }
        }
        return nil
    }

    func add(
        _ memory: WeightMemory, _ constant: Constant, _ source: MemoryDescriptor, _ target: MemoryDescriptor,
        _ slices: WeightPacker.Slices = .init()
    ) {
        add(memory, constant, target.hash, Recipe(from: source, to: target, slices: slices))
    }

    func add(_ memory: WeightMemory, _ constants: [Constant?], _ words: [String]) {
        guard let first = constants.first ?? nil else { return }
        let companions = constants.map { Companion(constant: $0, isPresent: $0 != nil) }
        add(memory, first, Self.together, Recipe(companions: companions, words: words))
    }

    private func add(_ memory: WeightMemory, _ constant: Constant, _ layout: UInt64, _ recipe: Recipe) {
        let key = Key(constant: ObjectIdentifier(constant), layout: layout)
        let entry = Entry(constant: constant, memory: memory, recipe: recipe)
        ForkBarrier.away { table.withLock { Self.add(entry, key, to: &$0) } }
    }

    private static func add(_ entry: Entry, _ key: Key, to table: inout Table) {
        table.entries[key] = (table.entries[key] ?? []).filter(\.isAlive) + [entry]
        guard table.entries.count > table.sweep else { return }
        table.entries = table.entries.compactMapValues { entries in
            let alive = entries.filter(\.isAlive)
            return alive.isEmpty ? nil : alive
        }
        table.sweep = max(256, table.entries.count * 2)
    }
}
