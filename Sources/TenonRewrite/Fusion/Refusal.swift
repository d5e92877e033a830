import TenonIR

/// Why a rule that nearly matched did not fuse.
public struct Refusal: Error, Sendable, Hashable {
    public enum Kind: String, Sendable, CaseIterable {
        case operatorMismatch = "operator"
        case attribute
        case shape
        case dtype
        case constantValue = "constant_value"
        case extraUser = "extra_user"
        case outputLeak = "output_leak"
        case convexity
        case checkRefused = "check_refused"
        case backendRefused = "backend_refused"
    }

    public var kind: Kind
    public var found: String
    public var expected: String

    public init(_ kind: Kind, found: String, expected: String) {
        self.kind = kind
        self.found = found
        self.expected = expected
    }
}
