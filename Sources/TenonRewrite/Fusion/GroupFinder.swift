import TenonIR

/// Applies one fusion pattern to one dataflow block: which bindings form groups.
struct GroupFinder {
    let pattern: FusionPattern
    let compiled: CompiledPattern
    let table: BindingTable
    private var matcher: Matcher
    private(set) var grouping: Grouping
    private(set) var groupCount = 0
    /// Members by group; empty for groups that were absorbed.
    private var members: [[ValueID]] = []
    /// The last match of each group: what the attribute getter sees.
    private(set) var candidates: [FusionCandidate] = []

    /// A root that did not fuse.
    struct Failure {
        var root: ValueID
        /// The binding where the first thing failed; nil when it concerns the match as a whole.
        var place: ValueID?
        var refusal: Refusal
        var matchedOperators: Int
    }

    /// Keeps what failed or was refused, for explanations.
    var recordsFailures = false
    private(set) var failures: [Failure] = []

    init(_ pattern: FusionPattern, _ compiled: CompiledPattern, _ table: BindingTable) {
        self.pattern = pattern
        self.compiled = compiled
        self.table = table
        matcher = Matcher(compiled, table)
        grouping = Grouping(valueCount: table.function.values.count)
    }

    /// Finds the groups of one block.
    mutating func find(in block: Block) throws {
        guard compiled.mayMatch(in: block) else { return }
        let uses = UseTable(block, valueCount: table.function.values.count)
        matcher.uses = pattern.allowsLeak ? nil : uses
        let positions = BlockPositions(block, valueCount: table.function.values.count)
        for binding in block.bindings {
            guard case .call(let call) = binding.expression else { continue }
            if let roots = compiled.roots {
                guard case .op(let op) = call.callee, roots.contains(op) else { continue }
            }
            try Work.check()
            if recordsFailures { matcher.diagnosis = Diagnosis() }
            guard let match = matcher.match(.bound(binding.id)) else {
                guard !matcher.isExhausted else {
                    throw TenonError(.limitExceeded, "matching one binding takes too many attempts")
                }
                if let failed = matcher.diagnosis, let refusal = failed.refusal {
                    failures.append(
                        Failure(
                            root: binding.id, place: failed.binding, refusal: refusal,
                            matchedOperators: failed.operators))
                }
                continue
            }
            var interior: [ValueID] = []
            var isInBlock = true
            for id in match.interior where !interior.contains(id) {
                interior.append(id)
                if !positions.contains(id) { isInBlock = false }
            }
            // A pattern whose outermost node is a projection or a tuple never gets here; a wildcard at the root joins
            // nothing.
            guard isInBlock, interior.contains(binding.id) else { continue }
            addTuples(of: match, to: &interior, positions, uses)
            let candidate = FusionCandidate(
                match: match, table: table, root: binding.id, interior: interior, uses: uses,
                annotations: pattern.annotations)
            if !pattern.allowsLeak, let refusal = candidate.leak() {
                refuse(candidate, refusal)
                continue
            }
            if let refusal = try check(candidate) {
                refuse(candidate, refusal)
                continue
            }
            accept(candidate)
        }
        ejectProjections(block, positions)
    }

    private mutating func refuse(_ candidate: FusionCandidate, _ refusal: Refusal) {
        guard recordsFailures else { return }
        failures.append(
            Failure(
                root: candidate.root, place: nil, refusal: refusal, matchedOperators: candidate.interior.count))
    }

    /// A check may say no by returning or by throwing its reason.
    private func check(_ candidate: FusionCandidate) throws -> Refusal? {
        do {
            return try pattern.check?(candidate)
        } catch let refusal as Refusal { return refusal }
    }

    /// A tuple that only group members use joins the group: its fields are what is passed on.
    private func addTuples(
        of match: Match, to interior: inout [ValueID], _ positions: BlockPositions, _ uses: UseTable
    ) {
        for subject in match.subjects {
            guard case .bound(let id)? = subject, case .tuple? = table.definition(id), positions.contains(id),
                !interior.contains(id), table.function.values[id.int].isDataflow,
                uses.users(of: id).allSatisfy({ interior.contains($0) })
            else { continue }
            interior.append(id)
        }
    }

    /// A match that shares bindings with earlier ones is taken only if it contains them completely.
    private mutating func accept(_ candidate: FusionCandidate) {
        var absorbed: [Int] = []
        for id in candidate.interior {
            let group = grouping.group(id)
            if group >= 0 && !absorbed.contains(group) { absorbed.append(group) }
        }
        for group in absorbed where !members[group].allSatisfy({ candidate.interior.contains($0) }) { return }
        let group: Int
        if let first = absorbed.first {
            group = first
            for other in absorbed.dropFirst() { members[other] = [] }
            candidates[group] = candidate
        } else {
            group = groupCount
            groupCount += 1
            members.append([])
            candidates.append(candidate)
        }
        members[group] = candidate.interior
        for id in candidate.interior { grouping.groupOf[id.int] = Int32(group) }
    }

    /// Where a group takes only projections of a tuple made outside it, the projections stay outside and their results are
    /// passed.
    private mutating func ejectProjections(_ block: Block, _ positions: BlockPositions) {
        for group in 0..<groupCount {
            var projections: [(projection: ValueID, tuple: ValueID)] = []
            for id in members[group] {
                if case .tupleGetItem(.value(let tuple), _) = table.definition(id), grouping.group(tuple) != group {
                    projections.append((id, tuple))
                }
            }
            if projections.isEmpty { continue }
            var usedWhole: Set<ValueID> = []
            for id in members[group] where !projections.contains(where: { $0.projection == id }) {
                table.definition(id)?.forEachValue { usedWhole.insert($0) }
            }
            for (projection, tuple) in projections where !usedWhole.contains(tuple) {
                grouping.groupOf[projection.int] = -1
                members[group].removeAll { $0 == projection }
            }
        }
    }
}

/// Which values a block binds.
struct BlockPositions {
    private var isBound: [Bool]

    init(_ block: Block, valueCount: Int) {
        isBound = [Bool](repeating: false, count: valueCount)
        for index in block.bindings.indices { isBound[block.bindings[index].id.int] = true }
    }

    func contains(_ id: ValueID) -> Bool { isBound[id.int] }
}
