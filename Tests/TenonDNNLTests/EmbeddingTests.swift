import Testing

@testable import TenonDNNL
@testable import TenonRewrite

/// Products of one-hot vectors with a table: rows are taken. Indices outside of the table give zeros, as they did.
@Suite struct EmbeddingTests {
    private static let numbers = "const i32[1,1,5](0, 1, 2, 3, 4)"

    private static func hot(
        index: String = "%i", numbers: String = numbers, vectors: String = "%h", table: String = "R[5,3]"
    ) -> String {
        """
        %u = reshape(\(index), shape[2,6,1])
        %e = equal(%u, \(numbers))
        %h = astype(%e) {dtype=f32}
        %m = matmul(\(vectors), \(table))

        """
    }

    private func rewrite(_ bindings: String, results: String = "%y") throws -> [String] {
        try OptimisedRun.rewritten(
            "%i: i32[2,6], %j: i32[2,6], %x: f32[2,6,5], %t: f32[5,3], %b: f32[3]", bindings, [RecomposeEmbedding()],
            results: results)
    }

    @Test(arguments: [
        hot() + "%y = reshape(%m, shape[36])", hot(numbers: "const i32[5](0, 1, 2, 3, 4)") + "%y = flatten(%m)",
        // What follows element by element is applied to the table.
        hot() + "%a = add(%m, R[1,1,3])\n%g = nn.gelu(%a)\n%s = multiply(R[], %g)\n%y = flatten(%s)",
        hot() + "%a = subtract(R[3], %m)\n%y = flatten(%a)",
    ])
    func rowsAreTaken(bindings: String) throws {
        let left = try rewrite(bindings)
        #expect(left == ["add", "take", "reshape"] || left == ["add", "take", "flatten"])
    }

    @Test func theNumbersMayStandInFront() throws {
        let text = Self.hot().replacing("equal(%u, \(Self.numbers))", with: "equal(\(Self.numbers), %u)")
        #expect(try rewrite(text + "%y = flatten(%m)") == ["add", "take", "flatten"])
    }

    @Test(arguments: [
        // Other numbers, another order, a table that is not known or not finite, vectors of something else.
        hot(numbers: "const i32[1,1,5](0, 1, 2, 3, 5)"), hot(numbers: "const i32[1,1,5](1, 0, 2, 3, 4)"),
        hot(table: "%t"), hot(table: "const f32[5,1](1, 2, 3, inf, 5)"), hot(table: "const f32[5,1](1, nan, 3, 4, 5)"),
        hot(vectors: "%x"),
    ])
    func otherProductsStay(bindings: String) throws {
        let left = try rewrite(bindings + "%y = flatten(%m)")
        #expect(left.contains("matmul") && !left.contains("take"))
    }

    @Test(arguments: ["%h", "%e"])
    func vectorsThatAreUsedElsewhereStay(value: String) throws {
        let text = Self.hot() + "%y = flatten(%m)"
        if value == "%h" { #expect(try rewrite(text, results: "%y, %h").contains("matmul")) }
        let used = try rewrite(text + "\n%k = astype(\(value)) {dtype=i32}\n%z = flatten(%k)", results: "%y, %z")
        #expect(used.contains("matmul"))
    }

    @Test(arguments: [
        // One value per row, a parameter, another tensor, a function of all columns.
        "%a = add(%m, R[6,1])\n%y = flatten(%a)", "%a = add(%m, %b)\n%y = flatten(%a)",
        "%a = multiply(%m, %m)\n%y = flatten(%a)", "%a = nn.softmax(%m)\n%y = flatten(%a)",
    ])
    func otherFunctionsFollow(rest: String) throws {
        let left = try rewrite(Self.hot() + rest)
        #expect(left.count == 4)
        #expect(Array(left.prefix(2)) == ["add", "take"])
    }

    /// Rows that something else sees stay what they are.
    @Test func rowsWithTwoUsersStay() throws {
        let left = try rewrite(Self.hot() + "%a = nn.relu(%m)\n%f = flatten(%m)\n%g = flatten(%a)\n%y = add(%f, %g)")
        #expect(left == ["add", "take", "nn.relu", "flatten", "flatten", "add"])
    }
}
