import Testing

@testable import TenonIR

@Suite struct ErrorMessageTests {
    private func parts(_ message: ErrorMessage) -> [String] { [message.expectation, message.found] }

    @Test func theFormsOfMessages() {
        let (a, b) = ("f32[2]", "f32[3]")
        #expect(parts("'x' expects \(a), found \(b)") == [a, b])
        #expect(parts("expected \(2) inputs (\(a)), found \(b)") == ["2 inputs (f32[2])", b])
        #expect(parts("unknown pass '\(a)'; expected one of \(b)") == ["one of f32[3]", "unknown pass 'f32[2]'"])
        #expect(parts("rule: dimension \(1) is \(a), expected at least \(b)") == ["at least f32[3]", a])
        #expect(parts("Conv: a weight of \(2) dimensions, expected 3 to 5") == ["3 to 5", "a weight of 2 dimensions"])
        #expect(parts("Conv \(a): \(b), expected more") == ["more", b])
        #expect(parts("found \(a), expected \(b)") == [b, a])
        #expect(parts("the slice has shape \(a), found \(b)") == ["", b])
        #expect(parts("k expects a number above 0") == ["a number above 0", ""])
        #expect(parts("the module is closed") == ["", ""])
    }

    @Test func wordsInValuesDoNotCount() {
        let name = "a expects b, found c"
        #expect(parts("'\(name)' expects \(name), found \(name)") == [name, name])
        #expect(parts("'\(name)' is closed") == ["", ""])
    }

    @Test func messagesAndErrorsInsideKeepTheirParts() {
        let inner: ErrorMessage = "expects \(1), found \(2)"
        #expect(parts("conv: \(inner)") == ["1", "2"])
        let error = TenonError(.invalidShape, "conv: \(inner)", operatorName: "nn.conv2d")
        #expect(error.message == "conv: expects 1, found 2")
        #expect([error.expectation, error.found] == ["1", "2"])
        #expect(parts("rule 'a': \(error)") == ["1", "2"])
        #expect(error.located(at: "y").message == "y: conv: expects 1, found 2")
        #expect(error.located(at: "y").found == "2")
        let text = "expects 1, found 2"
        #expect(TenonError(.internal, "\(text)").found.isEmpty)
    }

    @Test func anyTextIsFine() {
        #expect(parts("") == ["", ""])
        #expect(parts("expected ") == ["", ""])
        #expect(parts("found ") == ["", ""])
        #expect(parts("ü expects é, found ö") == ["é", "ö"])
    }
}
