extension OperatorSchema {
    /// The schema for people: signature, formula, inputs and attributes, one per line.
    public var text: String {
        var shown: [String] = []
        for (index, input) in inputs.enumerated() {
            let isRepeated = isVariadic && index == inputs.count - 1
            shown.append(isRepeated ? "\(input.name)..." : input.isOptional ? "[\(input.name)]" : input.name)
        }
        var lines = ["\(name)(\(shown.joined(separator: ", ")))", summary]
        for input in inputs {
            lines.append("input \(input.name): \(input.kind)\(input.isOptional ? ", optional" : "")")
        }
        for attribute in attributes {
            var line = "attribute \(attribute.name): \(attribute.kind.name)"
            if let value = attribute.defaultValue { line += " = \(Literals.text(value))" }
            if attribute.defaultValue == nil { line += attribute.isOptional ? ", optional" : ", required" }
            if !attribute.allowed.isEmpty {
                line += ", one of \(attribute.allowed.map(TextForm.quoted).joined(separator: ", "))"
            }
            lines.append(line)
        }
        if isCommutative { lines.append("commutative") }
        if let id = Operators.named(name) {
            let traits = OperatorTraits.names.filter { id.has($0.trait) }.map(\.name)
            if !traits.isEmpty { lines.append("traits: " + traits.joined(separator: ", ")) }
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
