import TenonIR

/// Matches `context` against every block, again and again, and replaces the values that `callback` names. Stops in a block
/// when there is no further match or the callback gives nothing; goes round until nothing changes.
///
/// New bindings go in front of the first binding replaced; whatever needs a later value is delayed until it is there. With
/// `skipsInapplicable`, a match for which the callback gives nothing, or something that cannot stand there because of its type or
/// because a value would need itself, is passed over, and the search goes on.
/// - Throws: as `rewriteCall`, and `.limitExceeded` when a search takes too long.
public func rewriteBindings(
    _ context: PatternContext, in function: Function, roundLimit: Int = 1000, stepLimit: Int = 10_000_000,
    skipsInapplicable: Bool = false,
    _ callback: (BlockMatch, inout ReplacementBuilder) throws -> [ValueID: Operand]?
) throws -> Function {
    try FunctionRewriter.rewrite(
        function, roundLimit: roundLimit,
        onUnit: { unit, builder in
            let plan = try BlockMatcher(context, unit.bindings[...], of: builder.function, stepLimit: stepLimit)
            guard var matcher = plan else { return }
            var positions: [ValueID: Int] = [:]
            for (position, binding) in unit.bindings.enumerated() { positions[binding.id] = position }
            var dependencies = Dependencies(unit.bindings, positions)
            while true {
                var replacements: [ValueID: Operand] = [:]
                let start = builder.pending.count
                let found = try matcher.next { match in
                    do {
                        replacements = try callback(match, &builder) ?? [:]
                    } catch is Refusal { replacements = [:] }
                    guard skipsInapplicable else { return true }
                    let added = builder.pending[start...]
                    if !replacements.isEmpty, builder.fits(replacements),
                        try !dependencies.wouldCircle(replacements, added)
                    {
                        return true
                    }
                    builder.discard(to: start)
                    replacements = [:]
                    return false
                }
                guard found != nil, !replacements.isEmpty else {
                    builder.discard(to: start)
                    return
                }
                if skipsInapplicable { dependencies.commit(replacements, builder.pending[start...]) }
                try unit.replace(replacements, positions, &builder, pendingFrom: start)
                matcher.remove(replacements.keys)
            }
        }) ?? function
}

extension ReplacementBuilder {
    /// Whether each replacement is of a type that may stand there.
    fileprivate func fits(_ replacements: [ValueID: Operand]) -> Bool {
        replacements.allSatisfy { id, operand in type(of: operand).canReplace(function.type(of: id)) }
    }
}

extension FunctionRewriter.Unit {
    fileprivate mutating func replace(
        _ replacements: [ValueID: Operand], _ positions: [ValueID: Int], _ builder: inout ReplacementBuilder,
        pendingFrom start: Int
    ) throws {
        var places: [(position: Int, id: ValueID, operand: Operand)] = []
        for (id, operand) in replacements {
            guard let position = positions[id], replaced[position] == nil else {
                throw TenonError(
                    .invalidGraph, "the callback replaces value \(id.index), which is not a binding of the block")
            }
            do {
                try builder.check(operand)
                try builder.adopt(operand, for: id)
            } catch let error as TenonError {
                throw error.located(at: "%\(builder.function.values[id.int].name)")
            }
            places.append((position, id, operand))
        }
        places.sort { $0.position < $1.position }
        var added = Array(builder.pending[start...])
        builder.pending.removeSubrange(start...)
        var mentions: [ValueID: Int] = [:]
        for binding in added { binding.expression.forEachValue { mentions[$0, default: 0] += 1 } }
        for place in places { place.operand.forEachValue { mentions[$0, default: 0] += 1 } }
        for place in places {
            // A new binding that only gives this value stands in its place.
            if case .value(let id) = place.operand, mentions[id] == 1,
                let index = added.firstIndex(where: { $0.id == id })
            {
                replaced[place.position] = added.remove(at: index).expression
            } else if case .tuple(let fields) = place.operand {
                replaced[place.position] = .tuple(fields)
            } else {
                replaced[place.position] = .operand(place.operand)
            }
        }
        if let first = places.first { self.added[first.position, default: []] += added }
    }
}
