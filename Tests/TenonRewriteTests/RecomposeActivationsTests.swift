import Testing

@testable import TenonIR
@testable import TenonRewrite

@Suite struct RecomposeActivationsTests {
    /// The operators that are left of `%x`'s function after recomposition and removal of what is dead.
    private func operators(_ bindings: String, result: String = "%y") throws -> [String] {
        let module = try Module(
            text: """
                fn @main(%x: f32[2,4,3,3], %z: f32[2,4,3,3], %slope: f32[4,1,1]) {
                  dataflow {
                    \(bindings)
                    output \(result)
                  }
                  return (\(result))
                }
                """)
        try module.verify()
        let pipeline = Sequential([RecomposeActivations(), EliminateDeadCode()])
        let rewritten = try pipeline.apply(to: module, PassContext(verifies: true))
        var names: [String] = []
        rewritten.main?.forEachBinding { binding in
            if case .call(let call) = binding.expression, case .op(let op) = call.callee { names.append(op.name) }
        }
        return names
    }

    private static func scalar(_ value: Double) -> String { "const f32[](\(Float(value)))" }

    @Test(arguments: [
        ("nn.silu", "%s = sigmoid(%x)\n%y = multiply(%x, %s)"),
        ("nn.silu", "%s = sigmoid(%x)\n%y = multiply(%s, %x)"),
        (
            "nn.hard_swish",
            "%a = add(%x, \(scalar(3)))\n%c = clip(%a, 0.0, 6.0)\n%m = multiply(%x, %c)\n%y = divide(%m, \(scalar(6)))"
        ),
        (
            "nn.hard_swish",
            "%a = add(%x, \(scalar(3)))\n%c = nn.relu6(%a)\n%m = multiply(%c, \(scalar(1.0 / 6)))\n%y = multiply(%x, %m)"
        ),
        ("nn.hard_swish", "%h = nn.hard_sigmoid(%x) {alpha=0.16666667, beta=0.5}\n%y = multiply(%h, %x)"),
        ("nn.hard_sigmoid", "%a = add(\(scalar(3)), %x)\n%c = clip(%a, 0.0, 6.0)\n%y = divide(%c, \(scalar(6)))"),
        ("nn.hard_sigmoid", "%m = multiply(%x, \(scalar(0.2)))\n%a = add(%m, \(scalar(0.5)))\n%y = clip(%a, 0.0, 1.0)"),
        ("nn.mish", "%s = nn.softplus(%x)\n%t = tanh(%s)\n%y = multiply(%x, %t)"),
        (
            "nn.gelu",
            "%d = divide(%x, \(scalar(1.4142135)))\n%e = erf(%d)\n%a = add(%e, \(scalar(1)))\n%m = multiply(%x, %a)\n%y = multiply(%m, \(scalar(0.5)))"
        ),
        (
            "nn.gelu",
            "%d = multiply(%x, \(scalar(0.70710677)))\n%e = erf(%d)\n%a = add(\(scalar(1)), %e)\n%h = multiply(%x, \(scalar(0.5)))\n%y = multiply(%h, %a)"
        ),
        (
            "nn.gelu",
            "%d = divide(%x, \(scalar(1.4142135)))\n%e = erf(%d)\n%a = add(%e, \(scalar(1)))\n%h = multiply(\(scalar(0.5)), %a)\n%y = multiply(%x, %h)"
        ),
        (
            "nn.gelu",
            "%d = divide(%x, \(scalar(1.4142135)))\n%e = erf(%d)\n%a = add(%e, \(scalar(1)))\n%h = multiply(%x, %a)\n%y = divide(%h, \(scalar(2)))"
        ),
        (
            "nn.gelu",
            "%d = divide(%x, \(scalar(1.4142135)))\n%e = erf(%d)\n%a = add(%e, \(scalar(1)))\n%h = divide(%a, \(scalar(2)))\n%y = multiply(%h, %x)"
        ),
        (
            "nn.gelu_tanh",
            "%p = power(%x, \(scalar(3)))\n%q = multiply(%p, \(scalar(0.044715)))\n%r = add(%x, %q)\n%s = multiply(%r, \(scalar(0.7978846)))\n%t = tanh(%s)\n%a = add(%t, \(scalar(1)))\n%h = multiply(%x, \(scalar(0.5)))\n%y = multiply(%h, %a)"
        ),
        (
            "nn.gelu_tanh",
            "%p = multiply(%x, %x)\n%p3 = multiply(%p, %x)\n%q = multiply(\(scalar(0.044715)), %p3)\n%r = add(%q, %x)\n%s = multiply(%r, \(scalar(0.7978846)))\n%t = tanh(%s)\n%a = add(%t, \(scalar(1)))\n%m = multiply(%x, %a)\n%y = multiply(\(scalar(0.5)), %m)"
        ),
        ("clip", "%a = maximum(%x, \(scalar(0)))\n%y = minimum(%a, \(scalar(6)))"),
        ("clip", "%a = nn.relu(%x)\n%y = minimum(%a, \(scalar(6)))"),
        ("clip", "%a = minimum(%x, \(scalar(6)))\n%y = maximum(%a, \(scalar(0)))"),
        (
            "nn.leakyrelu",
            "%p = nn.relu(%x)\n%n = negative(%x)\n%q = nn.relu(%n)\n%s = multiply(%q, \(scalar(0.1)))\n%y = subtract(%p, %s)"
        ),
        // In pieces: ReLU, leaky ReLU, PReLU.
        ("nn.relu", "%y = maximum(\(scalar(0)), %x)"),
        ("nn.relu", "%y = clip(%x, 0.0, inf)"),
        ("nn.relu", "%c = less(%x, \(scalar(0)))\n%y = where(%c, \(scalar(0)), %x)"),
        ("nn.leakyrelu", "%s = multiply(%x, \(scalar(0.1)))\n%y = maximum(%s, %x)"),
        ("nn.leakyrelu", "%c = greater(%x, \(scalar(0)))\n%s = multiply(%x, \(scalar(0.1)))\n%y = where(%c, %x, %s)"),
        ("nn.leakyrelu", "%c = less_equal(%x, \(scalar(0)))\n%s = divide(%x, \(scalar(8)))\n%y = where(%c, %s, %x)"),
        ("nn.leakyrelu", "%c = less(\(scalar(0)), %x)\n%s = multiply(\(scalar(0.1)), %x)\n%y = where(%c, %x, %s)"),
        (
            "nn.leakyrelu",
            "%p = maximum(%x, \(scalar(0)))\n%n = minimum(%x, \(scalar(0)))\n%s = multiply(%n, \(scalar(0.25)))\n%y = add(%s, %p)"
        ),
        (
            "nn.prelu",
            "%p = nn.relu(%x)\n%n = negative(%x)\n%q = nn.relu(%n)\n%s = multiply(%slope, %q)\n%m = negative(%s)\n%y = add(%p, %m)"
        ),
        ("nn.prelu", "%p = nn.relu(%x)\n%n = minimum(%x, \(scalar(0)))\n%s = multiply(%slope, %n)\n%y = add(%p, %s)"),
        (
            "nn.prelu",
            "%p = nn.relu(%x)\n%a = abs(%x)\n%d = subtract(%x, %a)\n%s = multiply(%d, %slope)\n%h = multiply(%s, \(scalar(0.5)))\n%y = add(%p, %h)"
        ),
        ("nn.prelu", "%c = greater_equal(%x, \(scalar(0)))\n%s = multiply(%slope, %x)\n%y = where(%c, %x, %s)"),
        // From exponentials.
        ("sigmoid", "%n = negative(%x)\n%e = exp(%n)\n%a = add(%e, \(scalar(1)))\n%y = divide(\(scalar(1)), %a)"),
        ("sigmoid", "%n = multiply(%x, \(scalar(-1)))\n%e = exp(%n)\n%a = add(\(scalar(1)), %e)\n%y = reciprocal(%a)"),
        ("nn.silu", "%n = negative(%x)\n%e = exp(%n)\n%a = add(%e, \(scalar(1)))\n%y = divide(%x, %a)"),
        (
            "nn.mish",
            "%e = exp(%x)\n%a = add(\(scalar(1)), %e)\n%l = log(%a)\n%t = tanh(%l)\n%y = multiply(%t, %x)"
        ),
        (
            "nn.softplus",
            "%m = abs(%x)\n%n = negative(%m)\n%e = exp(%n)\n%l = log1p(%e)\n%r = nn.relu(%x)\n%y = add(%r, %l)"
        ),
        (
            "nn.gelu",
            "%d = multiply(%x, \(scalar(0.70710677)))\n%e = erf(%d)\n%h = multiply(%e, \(scalar(0.5)))\n%a = add(%h, \(scalar(0.5)))\n%y = multiply(%a, %x)"
        ),
        (
            "nn.gelu_tanh",
            "%p = square(%x)\n%q = multiply(%p, \(scalar(0.044715)))\n%r = add(%q, \(scalar(1)))\n%u = multiply(%x, \(scalar(0.7978846)))\n%v = multiply(%u, %r)\n%t = tanh(%v)\n%a = add(%t, \(scalar(1)))\n%h = multiply(%x, \(scalar(0.5)))\n%y = multiply(%h, %a)"
        ),
        (
            "nn.hard_swish",
            "%a = add(%x, \(scalar(3)))\n%m = maximum(%a, \(scalar(0)))\n%c = minimum(%m, \(scalar(6)))\n%p = multiply(%x, %c)\n%y = divide(%p, \(scalar(6)))"
        ),
    ])
    func recomposes(name: String, bindings: String) throws {
        #expect(try operators(bindings) == [name])
    }

    @Test(arguments: [
        // A wrong constant.
        "%a = add(%x, \(scalar(2)))\n%c = clip(%a, 0.0, 6.0)\n%m = multiply(%x, %c)\n%y = divide(%m, \(scalar(6)))",
        "%a = add(%x, \(scalar(3)))\n%c = clip(%a, 0.0, 5.0)\n%m = multiply(%x, %c)\n%y = divide(%m, \(scalar(6)))",
        "%d = divide(%x, \(scalar(1.5)))\n%e = erf(%d)\n%a = add(%e, \(scalar(1)))\n%m = multiply(%x, %a)\n%y = multiply(%m, \(scalar(0.5)))",
        "%d = divide(%x, \(scalar(1.4142135)))\n%e = erf(%d)\n%a = add(%e, \(scalar(2)))\n%m = multiply(%x, %a)\n%y = multiply(%m, \(scalar(0.5)))",
        "%e = exp(%x)\n%a = add(%e, \(scalar(2)))\n%y = log(%a)",
        // Infinite where the exponential is.
        "%e = exp(%x)\n%a = add(%e, \(scalar(1)))\n%y = log(%a)",
        "%e = exp(%x)\n%y = log1p(%e)",
        // Of something else.
        "%s = sigmoid(%z)\n%y = multiply(%x, %s)",
        "%s = nn.softplus(%z)\n%t = tanh(%s)\n%y = multiply(%x, %t)",
        "%a = maximum(%x, \(scalar(6)))\n%y = minimum(%a, \(scalar(0)))",
        // NaN would become 0, a slope above 1, of another value, on the wrong side, with the wrong number.
        "%c = greater(%x, \(scalar(0)))\n%y = where(%c, %x, \(scalar(0)))",
        "%s = multiply(%x, \(scalar(1.5)))\n%y = maximum(%s, %x)",
        "%c = greater(%z, \(scalar(0)))\n%s = multiply(%x, \(scalar(0.1)))\n%y = where(%c, %x, %s)",
        "%c = less(%x, \(scalar(0)))\n%s = multiply(%x, \(scalar(0.1)))\n%y = where(%c, %x, %s)",
        "%c = greater(%x, \(scalar(1)))\n%s = multiply(%x, \(scalar(0.1)))\n%y = where(%c, %x, %s)",
        "%p = nn.relu(%x)\n%a = abs(%z)\n%d = subtract(%x, %a)\n%s = multiply(%d, %slope)\n%y = add(%p, %s)",
        "%e = exp(%x)\n%a = add(%e, \(scalar(1)))\n%y = divide(\(scalar(1)), %a)",
        "%n = negative(%x)\n%e = exp(%n)\n%a = add(%e, \(scalar(2)))\n%y = divide(%x, %a)",
        "%m = abs(%z)\n%n = negative(%m)\n%r = nn.relu(%x)\n%y = add(%r, %n)",
        "%y = maximum(%x, \(scalar(0.5)))",
    ])
    func leavesWhatIsAnotherFunction(bindings: String) throws {
        let left = try operators(bindings)
        #expect(left.count == bindings.split(separator: "\n").count)
    }

    @Test func leavesAnIntermediateThatIsReturned() throws {
        #expect(try operators("%s = sigmoid(%x)\n%y = multiply(%x, %s)", result: "%y, %s") == ["sigmoid", "multiply"])
    }

    @Test func leavesAnIntermediateWithAnotherUser() throws {
        let left = try operators(
            "%s = sigmoid(%x)\n%y = multiply(%x, %s)\n%t = tanh(%s)", result: "%y, %t")
        #expect(left == ["sigmoid", "multiply", "tanh"])
    }
}
