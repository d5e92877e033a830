import TenonIR

/// The operator-set version of each domain that a model imports.
struct OperatorVersions {
    private var versions: [String: Int64] = [:]

    init(_ imports: [ONNXOperatorSetIdProto]) throws {
        for entry in imports {
            guard entry.version > 0 else {
                throw TenonError.malformedONNX(
                    "operator set \(quoted(entry.domain)) has version \(entry.version), expected a number above 0")
            }
            // Listed twice by some tools; the newer one is what the nodes follow.
            let domain = Self.canonical(entry.domain)
            versions[domain] = max(versions[domain] ?? 0, entry.version)
        }
        // Files of the first format version list none.
        if imports.isEmpty { versions[""] = 1 }
    }

    /// These versions with those that a function imports put in their place.
    func overridden(by imports: [ONNXOperatorSetIdProto]) throws -> OperatorVersions {
        guard !imports.isEmpty else { return self }
        var result = self
        result.versions.merge(try OperatorVersions(imports).versions) { _, own in own }
        return result
    }

    func version(of domain: String) -> Int64? { versions[Self.canonical(domain)] }

    private static func canonical(_ domain: String) -> String { domain == "ai.onnx" ? "" : domain }
}
