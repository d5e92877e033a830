/// What kind of thing went wrong. The numbers are those of `tenon_status` in `include/tenon.h` and never change.
public enum Status: Int32, Sendable, CaseIterable {
    case ok = 0
    /// An argument is null, out of range or contradicts another one.
    case invalidArgument = 10
    /// A name (function, operator, pass, attribute, input) is not known.
    case notFound = 11
    /// A handle is used in a state that does not allow the call.
    case invalidState = 12
    /// A graph or module is not well formed.
    case invalidGraph = 20
    /// A text does not follow its grammar.
    case parseError = 21
    /// A file or a byte stream does not follow its format.
    case invalidModel = 22
    /// A shape does not satisfy an operator or a signature.
    case invalidShape = 30
    /// An element type does not satisfy an operator or a signature.
    case invalidType = 31
    /// The operator, attribute value or combination is valid but not supported.
    case unsupported = 40
    /// Memory could not be allocated.
    case outOfMemory = 50
    /// A limit set by the caller was reached.
    case limitExceeded = 51
    /// A file could not be read or written.
    case io = 52
    /// The run was cancelled.
    case cancelled = 53
    /// The deadline of the run has passed.
    case deadlineExceeded = 54
    /// A backend refused or failed.
    case backend = 60
    /// A callback of the host failed.
    case callback = 61
    /// A defect of this library.
    case `internal` = 90
}

/// The one error type of the library: a status, one line that says what was expected and what was found, and where.
public struct TenonError: Error, Sendable, Equatable, CustomStringConvertible {
    public var status: Status
    public var message: String
    /// The operator concerned, as in `nn.conv2d` or ONNX's `Conv`; empty when none is.
    public var operatorName: String
    /// The node, binding or function concerned; empty when none is.
    public var node: String

    /// What was expected, as the message says it; empty when it does not.
    public var expectation: String
    /// What was found instead, as the message says it; empty when it does not.
    public var found: String

    public init(_ status: Status, _ message: ErrorMessage, operatorName: String = "", node: String = "") {
        self.status = status
        self.message = message.text
        self.operatorName = operatorName
        self.node = node
        expectation = message.expectation
        found = message.found
    }

    public var description: String { message }

    /// The same error with the place where it happened put in front of the message, once.
    public func located(at node: String) -> TenonError {
        guard self.node.isEmpty else { return self }
        var located = self
        located.node = node
        located.message = "\(node): \(message)"
        return located
    }
}
