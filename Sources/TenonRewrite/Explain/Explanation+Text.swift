import TenonIR

extension Explanation {
    /// Lines for people: per function what fused, then what nearly did and why not.
    public func text() -> String {
        var functions: [String] = []
        for name in fusions.map(\.function) + nearMisses.map(\.function) + outside.map(\.function)
        where !functions.contains(name) {
            functions.append(name)
        }
        var text = ""
        for function in functions {
            text += "@\(function)\n"
            for fusion in fusions where fusion.function == function {
                let members = fusion.members.map { "%\($0.binding) \($0.operatorName)" }.joined(separator: ", ")
                text += "  fused   %\(fusion.root) by \(fusion.rule): \(members)\n"
            }
            for miss in nearMisses where miss.function == function {
                let place = miss.place.isEmpty || miss.place == miss.root ? "" : " at %\(miss.place)"
                text += "  missed  %\(miss.root) by \(miss.rule)\(place): \(miss.kind.rawValue): "
                text += "found \(miss.found), expected \(miss.expected)"
                text += miss.fusedBy.isEmpty ? "\n" : " (fused by \(miss.fusedBy))\n"
            }
            for place in outside where place.function == function {
                text +=
                    "  hint    \(place.calls) call\(place.calls == 1 ? " stands" : "s stand") in no dataflow block, "
                text += "where rules do not look: apply ConvertToDataflow\n"
            }
        }
        for refused in refusedRegions {
            text += "@\(refused.function)\n  refused \(refused.reason)\n"
        }
        return text.isEmpty ? "nothing fused, and nothing nearly did\n" : text
    }

    /// The same as data: an object with the lists `fused` and `near_misses`.
    public func json() -> String {
        let fused = fusions.map { fusion in
            let members = fusion.members.map {
                JSON.object([("binding", JSON.string($0.binding)), ("operator", JSON.string($0.operatorName))])
            }
            return JSON.object([
                ("function", JSON.string(fusion.function)), ("rule", JSON.string(fusion.rule)),
                ("root", JSON.string(fusion.root)), ("members", JSON.array(members)),
            ])
        }
        let missed = nearMisses.map { miss in
            JSON.object([
                ("function", JSON.string(miss.function)), ("rule", JSON.string(miss.rule)),
                ("root", JSON.string(miss.root)), ("binding", JSON.string(miss.place)),
                ("matched_operators", "\(miss.matchedOperators)"), ("kind", JSON.string(miss.kind.rawValue)),
                ("found", JSON.string(miss.found)), ("expected", JSON.string(miss.expected)),
                ("fused_by", miss.fusedBy.isEmpty ? "null" : JSON.string(miss.fusedBy)),
            ])
        }
        let places = outside.map {
            JSON.object([("function", JSON.string($0.function)), ("calls", "\($0.calls)")])
        }
        let refused = refusedRegions.map {
            JSON.object([("function", JSON.string($0.function)), ("reason", JSON.string($0.reason))])
        }
        var fields = [
            ("fused", JSON.array(fused)), ("near_misses", JSON.array(missed)), ("outside_dataflow", JSON.array(places)),
        ]
        if !refused.isEmpty { fields.append(("refused", JSON.array(refused))) }
        return JSON.object(fields)
    }
}
