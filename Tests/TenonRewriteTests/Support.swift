import Testing

@testable import TenonIR
@testable import TenonRewrite

/// Compares by structure and shows both sides as text when they differ.
func expect(
    _ found: Module, equals text: String, sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let expected = try Module(text: text)
    #expect(
        found.isStructurallyEqual(to: expected), "found:\n\(found.text())\nexpected:\n\(expected.text())",
        sourceLocation: sourceLocation)
}

func expect(
    _ found: Function, equals text: String, sourceLocation: SourceLocation = #_sourceLocation
) throws {
    try expect(Module(functions: ["main": found]), equals: text, sourceLocation: sourceLocation)
}

/// A call pattern of an operator: all arguments given.
func op(_ name: String, _ arguments: Pattern...) throws -> Pattern { try isOp(name).call(arguments) }

/// A call pattern that looks only at the operator.
func anyCall(_ name: String) throws -> Pattern { try isOp(name).call(nil) }

var any: Pattern { wildcard() }

func conv() throws -> Pattern { try op("nn.conv2d", any, any) }
func convRelu() throws -> Pattern { try op("nn.relu", try conv()) }

func fuse(
    _ text: String, _ patterns: [FusionPattern], bindConstants: Bool = true, annotate: Bool = false,
    entries: [String] = []
) throws -> Module {
    try FuseOpsByPattern(
        patterns, bindConstants: bindConstants, annotateCodegen: annotate, entryFunctions: entries
    ).apply(to: try Module(text: text))
}

/// The value that a function's text calls `name`.
func value(_ name: String, in function: Function) throws -> ValueID {
    try #require(function.values.firstIndex { $0.name == name }.map { ValueID($0) }, "no value %\(name)")
}

/// The standard leak check of the reference.
let refusesLeaks: @Sendable (FusionCandidate) throws -> Refusal? = { $0.leak() }
