import Testing

@testable import TenonIR
@testable import TenonRewrite

/// Module-level composites as the merging scenarios write them: `A.relu` is a function of one operator.
private struct Composites {
    private(set) var text = ""
    private(set) var inner: [String: String] = [:]
    private let type: String

    init(type: String = "f32[4]") { self.type = type }

    /// `fused_relax_…` for one operator of one or two tensors of the type; `base` differs per backend.
    mutating func add(_ pattern: String, _ op: String, inputs: Int = 1, suffix: String = "") {
        let name = "fused_relax_" + op.split(separator: ".").joined(separator: "_") + suffix
        let parameters = ["p", "q"].prefix(inputs)
        let list = parameters.map { "%\($0): \(type)" }.joined(separator: ", ")
        let body = """
             {
              dataflow { %r = \(op)(\(parameters.map { "%\($0)" }.joined(separator: ", "))) output %r }
              return %r
            }

            """
        text += "fn @\(name)(\(list)) {Composite=\"\(pattern)\", Primitive=true}" + body
        inner[pattern] = "fn(\(list)) {Composite=\"\(pattern)\"}" + body
    }

    /// A region function; `f` in the body is a call of a local function, defined where it stands as `NAME = fn …`.
    func region(_ name: String, _ compiler: String, _ parameters: String, _ body: String, _ result: String) -> String {
        let list = parameters.split(separator: ",").map { "%\($0): \(type)" }.joined(separator: ", ")
        var text = body
        for (pattern, function) in inner { text = text.replacing("[\(pattern)]", with: function) }
        return """
            fn @\(name)(\(list)) {Codegen="\(compiler)", global_symbol="\(name)"} {
              \(text)
              return \(result)
            }

            """
    }
}

extension String {
    /// Without Foundation.
    fileprivate func replacing(_ part: String, with other: String) -> String {
        var result = ""
        var rest = Substring(self)
        while let range = rest.firstRange(of: part) {
            result += rest[..<range.lowerBound] + other
            rest = rest[range.upperBound...]
        }
        return result + rest
    }
}

private func merge(_ text: String) throws -> Module { try MergeCompositeFunctions().apply(to: try Module(text: text)) }

@Suite struct MergeScenarioTests {
    private static func main(_ parameters: String, _ body: String, _ outputs: String) -> String {
        let list = parameters.split(separator: ",").map { "%\($0): f32[4]" }.joined(separator: ", ")
        let result = outputs.contains(",") ? "(\(outputs))" : outputs
        return "fn @main(\(list)) { dataflow { \(body) output \(outputs) } return \(result) }\n"
    }

    @Test("C-01 Two composites in a row") func twoInARow() throws {
        func composite(_ head: String, _ padding: String) -> String {
            """
            fn \(head) {
              dataflow { %a = nn.conv2d(%p, %q) {padding=[\(padding)]} %b = nn.relu(%a) output %b }
              return %b
            }

            """
        }
        let types = "(%p: f32[1,64,56,56], %q: f32[64,64,3,3])"
        let base = "fused_relax_nn_conv2d_relax_nn_relu"
        func main(_ body: String) -> String {
            """
            fn @main(%data: f32[1,64,56,56], %w1: f32[64,64,3,3], %w2: f32[64,64,3,3]) {
              dataflow { \(body) output %b }
              return %b
            }
            """
        }
        let marks = #"{Composite="dnnl.conv2d_relu", Primitive=true}"#
        let merged = try merge(
            composite("@\(base)\(types) \(marks)", "1, 1, 1, 1") + composite("@\(base)1\(types) \(marks)", "0, 0, 0, 0")
                + main("%a = @\(base)(%data, %w1) %b = @\(base)1(%a, %w2)"))
        let region = "\(base)_relax_nn_conv2d_relax_nn_relu1_dnnl"
        let local = #"{Composite="dnnl.conv2d_relu"}"#
        try expect(
            merged,
            equals: """
                fn @\(region)(%data: f32[1,64,56,56], %w1: f32[64,64,3,3], %w2: f32[64,64,3,3])
                {Codegen="dnnl", global_symbol="\(region)"} {
                  %f1 = \(composite("\(types) \(local)", "1, 1, 1, 1"))
                  %a = %f1(%data, %w1)
                  %f2 = \(composite("\(types) \(local)", "0, 0, 0, 0"))
                  %b = %f2(%a, %w2)
                  return %b
                }
                \(main("%b = @\(region)(%data, %w1, %w2)"))
                """)
    }

    @Test("C-02 Diamond, one compiler") func diamond() throws {
        var set = Composites()
        set.add("A.conv2d", "multiply", inputs: 2)
        set.add("A.relu", "nn.relu")
        set.add("A.gelu", "nn.gelu")
        set.add("A.add", "add", inputs: 2)
        let merged = try merge(
            set.text
                + Self.main(
                    "data,w",
                    """
                    %c = @fused_relax_multiply(%data, %w) %r = @fused_relax_nn_relu(%c)
                    %g = @fused_relax_nn_gelu(%c) %o = @fused_relax_add(%r, %g)
                    """, "%o"))
        let name = "fused_relax_multiply_relax_nn_relu_relax_nn_gelu_relax_add_A"
        try expect(
            merged,
            equals: set.region(
                name, "A", "data,w",
                """
                %f1 = [A.conv2d] %c = %f1(%data, %w) %f2 = [A.relu] %r = %f2(%c)
                %f3 = [A.gelu] %g = %f3(%c) %f4 = [A.add] %o = %f4(%r, %g)
                """, "%o") + Self.main("data,w", "%o = @\(name)(%data, %w)", "%o"))
    }

    @Test("C-03 Diamond with a foreign branch") func foreignBranch() throws {
        var set = Composites()
        set.add("compiler_A.conv2d", "multiply", inputs: 2)
        set.add("compiler_A.relu", "nn.relu")
        set.add("compiler_B.gelu", "nn.gelu")
        set.add("compiler_A.add", "add", inputs: 2)
        let merged = try merge(
            set.text
                + Self.main(
                    "data,w",
                    """
                    %c = @fused_relax_multiply(%data, %w) %r = @fused_relax_nn_relu(%c)
                    %g = @fused_relax_nn_gelu(%c) %o = @fused_relax_add(%r, %g)
                    """, "%o"))
        let first = "fused_relax_multiply_relax_nn_relu_compiler_A"
        try expect(
            merged,
            equals: set.region(
                first, "compiler_A", "data,w",
                "%f1 = [compiler_A.conv2d] %c = %f1(%data, %w) %f2 = [compiler_A.relu] %r = %f2(%c)", "(%c, %r)")
                + set.region(
                    "fused_relax_nn_gelu1_compiler_B", "compiler_B", "c", "%f = [compiler_B.gelu] %g = %f(%c)", "%g")
                + set.region(
                    "fused_relax_add1_compiler_A", "compiler_A", "r,g", "%f = [compiler_A.add] %o = %f(%r, %g)", "%o")
                + Self.main(
                    "data,w",
                    """
                    %t = @\(first)(%data, %w) %c = %t.0 %r = %t.1
                    %g = @fused_relax_nn_gelu1_compiler_B(%c) %o = @fused_relax_add1_compiler_A(%r, %g)
                    """, "%o"))
    }

    @Test("C-04 Several producers") func severalProducers() throws {
        var set = Composites()
        set.add("A.relu", "nn.relu")
        set.add("A.gelu", "nn.gelu")
        set.add("A.add", "add", inputs: 2)
        let merged = try merge(
            set.text
                + Self.main(
                    "x1,x2",
                    """
                    %a = @fused_relax_nn_relu(%x1) %b = @fused_relax_nn_gelu(%x2) %c = @fused_relax_nn_relu(%a)
                    %d = @fused_relax_nn_gelu(%b) %e = @fused_relax_add(%c, %d)
                    """, "%e"))
        let name = "fused_relax_nn_relu_relax_nn_gelu_relax_nn_relu_relax_nn_gelu_relax_add_A"
        try expect(
            merged,
            equals: set.region(
                name, "A", "x1,x2",
                """
                %f = [A.relu] %a = %f(%x1) %h = [A.gelu] %b = %h(%x2) %c = %f(%a) %d = %h(%b)
                %k = [A.add] %e = %k(%c, %d)
                """, "%e") + Self.main("x1,x2", "%e = @\(name)(%x1, %x2)", "%e"))
    }

    @Test("C-05 Producer reached again through a plain operator") func throughPlain() throws {
        var set = Composites()
        set.add("A.relu", "nn.relu")
        set.add("A.gelu", "nn.gelu")
        set.add("A.add", "add", inputs: 2)
        let merged = try merge(
            set.text
                + Self.main(
                    "x",
                    """
                    %a = @fused_relax_nn_relu(%x) %p = nn.relu(%a) %g = @fused_relax_nn_gelu(%p)
                    %o = @fused_relax_add(%a, %g)
                    """, "%o"))
        try expect(
            merged,
            equals: set.region("fused_relax_nn_relu1_A", "A", "x", "%f = [A.relu] %a = %f(%x)", "%a")
                + set.region(
                    "fused_relax_nn_gelu_relax_add_A", "A", "p,a",
                    "%f = [A.gelu] %g = %f(%p) %h = [A.add] %o = %h(%a, %g)", "%o")
                + Self.main(
                    "x",
                    "%a = @fused_relax_nn_relu1_A(%x) %p = nn.relu(%a) %o = @fused_relax_nn_gelu_relax_add_A(%p, %a)",
                    "%o"))
    }

    @Test("C-06 Mixed example") func mixed() throws {
        var set = Composites()
        set.add("A.add", "add", inputs: 2)
        set.add("B.gelu", "nn.gelu")
        set.add("A.relu", "nn.relu")
        let merged = try merge(
            set.text
                + Self.main(
                    "x1,x2,x3",
                    """
                    %a = @fused_relax_add(%x1, %x2) %g = @fused_relax_nn_gelu(%x3) %b = @fused_relax_add(%a, %g)
                    %h = @fused_relax_nn_gelu(%b) %r = @fused_relax_nn_relu(%b) %c = @fused_relax_add(%h, %r)
                    %o = @fused_relax_nn_relu(%c)
                    """, "%o"))
        let first = "fused_relax_add_relax_add_relax_nn_relu_A"
        try expect(
            merged,
            equals: set.region("fused_relax_nn_gelu1_B", "B", "x", "%f = [B.gelu] %g = %f(%x)", "%g")
                + set.region(
                    first, "A", "x1,x2,g",
                    "%f = [A.add] %a = %f(%x1, %x2) %b = %f(%a, %g) %h = [A.relu] %r = %h(%b)", "(%b, %r)")
                + set.region(
                    "fused_relax_add_relax_nn_relu_A", "A", "h,r",
                    "%f = [A.add] %c = %f(%h, %r) %k = [A.relu] %o = %k(%c)", "%o")
                + Self.main(
                    "x1,x2,x3",
                    """
                    %g = @fused_relax_nn_gelu1_B(%x3) %t = @\(first)(%x1, %x2, %g) %b = %t.0 %r = %t.1
                    %h = @fused_relax_nn_gelu1_B(%b) %o = @fused_relax_add_relax_nn_relu_A(%h, %r)
                    """, "%o"))
    }

    @Test("C-07 Composite followed by a plain operator") func thenPlain() throws {
        var set = Composites()
        set.add("tensorrt.conv2d", "multiply", inputs: 2)
        try expect(
            try merge(
                set.text + Self.main("data,w", "%a = @fused_relax_multiply(%data, %w) %b = nn.relu(%a)", "%b")),
            equals: set.region(
                "fused_relax_multiply1_tensorrt", "tensorrt", "data,w",
                "%f = [tensorrt.conv2d] %a = %f(%data, %w)", "%a")
                + Self.main("data,w", "%a = @fused_relax_multiply1_tensorrt(%data, %w) %b = nn.relu(%a)", "%b"))
    }

    @Test("C-08 Shape literal as operand; final alias") func shapeLiteral() throws {
        func reshape(_ marks: String) -> String {
            """
            (%p: f32[1,16,49], %s: shape[1,784]) {Composite="tensorrt.reshape"\(marks)} {
              dataflow { %r = reshape(%p, %s) output %r }
              return %r
            }

            """
        }
        func matmul(_ marks: String) -> String {
            """
            (%p: f32[1,784], %q: f32[784,10]) {Composite="tensorrt.matmul"\(marks)} {
              dataflow { %r = matmul(%p, %q) output %r }
              return %r
            }

            """
        }
        func main(_ body: String) -> String {
            "fn @main(%x: f32[1,16,49], %w: f32[10,784]) { dataflow { \(body) output %o } return %o }\n"
        }
        let primitive = ", Primitive=true"
        let merged = try merge(
            "fn @fused_relax_reshape\(reshape(primitive))fn @fused_relax_matmul\(matmul(primitive))"
                + main(
                    """
                    %a = @fused_relax_reshape(%x, shape[1,784]) %wt = permute_dims(%w)
                    %m = @fused_relax_matmul(%a, %wt) %o = %m
                    """))
        let name = "fused_relax_reshape_relax_matmul_tensorrt"
        try expect(
            merged,
            equals: """
                fn @\(name)(%x: f32[1,16,49], %wt: f32[784,10]) {Codegen="tensorrt", global_symbol="\(name)"} {
                  %f = fn\(reshape(""))
                  %a = %f(%x, shape[1,784])
                  %g = fn\(matmul(""))
                  %m = %g(%a, %wt)
                  %o = %m
                  return %o
                }
                \(main("%wt = permute_dims(%w) %o = @\(name)(%x, %wt)"))
                """)
    }

    @Test("C-09 Opaque call in between") func opaqueBetween() throws {
        var set = Composites()
        set.add("compiler_A.relu", "nn.relu")
        set.add("compiler_A.gelu", "nn.gelu")
        let opaque = """
            fn @opaque(%t: (f32[4],)) {global_symbol="opaque"} {
              %y: f32[4] = extern "test.opaque"(%t)
              return %y
            }

            """
        try expect(
            try merge(
                set.text + opaque
                    + Self.main(
                        "a", "%b = @fused_relax_nn_relu(%a) %c = @opaque((%b,)) %d = @fused_relax_nn_gelu(%c)", "%d")),
            equals: opaque
                + set.region(
                    "fused_relax_nn_relu1_compiler_A", "compiler_A", "a", "%f = [compiler_A.relu] %b = %f(%a)", "%b")
                + set.region(
                    "fused_relax_nn_gelu1_compiler_A", "compiler_A", "c", "%f = [compiler_A.gelu] %d = %f(%c)", "%d")
                + Self.main(
                    "a",
                    """
                    %b = @fused_relax_nn_relu1_compiler_A(%a) %c = @opaque((%b,))
                    %d = @fused_relax_nn_gelu1_compiler_A(%c)
                    """, "%d"))
    }
}
