import CDNNL
import CKernels
import Glibc
import TenonIR
import TenonRuntime
import Testing

@testable import TenonDNNL

/// The element-wise kernel alone, against functions in double precision.
struct EltwiseKernelTests {
    static let isThere: Bool = {
        var activation = tkernel_activation(function: Int32(TKERNEL_TANH.rawValue), alpha: 0, beta: 0)
        return tkernel_eltwise_is_supported(&activation) != 0
    }()

    struct Case: CustomStringConvertible, Sendable {
        var function: tkernel_function
        var alpha: Float = 0
        var beta: Float = 0
        var description: String
        var expected: @Sendable (Double) -> Double

        var activation: tkernel_activation {
            tkernel_activation(function: Int32(function.rawValue), alpha: alpha, beta: beta)
        }
    }

    static let cases = [
        Case(function: TKERNEL_RELU, alpha: 0.25, description: "relu") { $0 < 0 ? $0 * 0.25 : $0 },
        Case(function: TKERNEL_CLIP, alpha: -1, beta: 6, description: "clip") { min(max($0, -1), 6) },
        Case(function: TKERNEL_SWISH, alpha: 1, description: "swish") { $0 / (1 + exp(-$0)) },
        Case(function: TKERNEL_SWISH, alpha: 1.75, description: "swish 1.75") { $0 / (1 + exp(-1.75 * $0)) },
        Case(function: TKERNEL_HARDSWISH, alpha: 0.25, beta: 0.5, description: "hardswish") {
            $0 * min(max($0 * 0.25 + 0.5, 0), 1)
        },
        Case(function: TKERNEL_HARDSIGMOID, alpha: 0.25, beta: 0.5, description: "hardsigmoid") {
            min(max($0 * 0.25 + 0.5, 0), 1)
        },
        Case(function: TKERNEL_SIGMOID, description: "sigmoid") { 1 / (1 + exp(-$0)) },
        Case(function: TKERNEL_TANH, description: "tanh") { tanh($0) },
        Case(function: TKERNEL_GELU_ERF, description: "gelu") { 0.5 * $0 * erfc(-$0 / 2.0.squareRoot()) },
        Case(function: TKERNEL_GELU_TANH, description: "gelu tanh") {
            0.5 * $0 * (1 + tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0)))
        },
        Case(function: TKERNEL_EXP, description: "exp") { exp($0) },
        Case(function: TKERNEL_MISH, description: "mish") { $0 * tanh(log1p(exp($0))) },
    ]

    private func run(_ function: Case, _ x: [Float], _ addend: [Float]? = nil) -> [Float] {
        var activation = function.activation
        var y = [Float](repeating: -77, count: x.count + 32)
        tkernel_eltwise_run(&activation, Int64(x.count), x, addend, &y)
        #expect(y[x.count...].count { $0 != -77 } == 0, "beyond the end")
        return Array(y.prefix(x.count))
    }

    /// Numbers of all sizes, denormal ones included, as their bits come.
    @Test(.enabled(if: EltwiseKernelTests.isThere, "needs AVX-512"), arguments: cases) func wholeRange(function: Case)
        throws
    {
        var x: [Float] = []
        for bits in stride(from: UInt64(0), through: UInt64(UInt32.max), by: 100_003) {
            let value = Float(bitPattern: UInt32(bits))
            if value.isFinite { x.append(value) }
        }
        for step in -400...400 { x.append(Float(step) / 20) }
        var wrong: [String] = []
        for (value, found) in zip(x, run(function, x)) {
            let expected = function.expected(Double(value))
            if abs(expected) > Double(Float.greatestFiniteMagnitude) {
                if found != .infinity { wrong.append("\(value): \(found)") }
                continue
            }
            let error = abs(Double(found) - expected)
            // NaN is neither.
            if error <= 1e-6 || error <= 6e-7 * abs(expected) { continue }
            wrong.append("\(value): \(found), not \(expected)")
        }
        #expect(wrong.isEmpty, "\(function): \(wrong.prefix(5))")
    }

    @Test(.enabled(if: EltwiseKernelTests.isThere, "needs AVX-512"), arguments: cases) func notANumber(function: Case)
        throws
    {
        let patterns: [UInt32] = [
            0x7FC0_0000, 0xFFC0_0000, 0x7FC0_0010, 0x7FFF_FFFF, 0xFFC0_1230, 0x7F80_0001, 0x7FC1_FFF0,
        ]
        let found = run(function, patterns.map { Float(bitPattern: $0) })
        #expect(found.count { !$0.isNaN } == 0, "\(function): \(found)")
    }

    @Test(.enabled(if: EltwiseKernelTests.isThere, "needs AVX-512")) func limits() throws {
        let limits: [(tkernel_function, above: Float, below: Float)] = [
            (TKERNEL_SIGMOID, 1, 0), (TKERNEL_TANH, 1, -1), (TKERNEL_EXP, .infinity, 0),
        ]
        for (function, above, below) in limits {
            let found = run(Case(function: function, description: "", expected: { $0 }), [.infinity, -.infinity])
            #expect(abs(found[0] - above) < 1e-7 || found[0] == above, "\(function)")
            #expect(abs(found[1] - below) < 1e-7, "\(function)")
        }
        for function in [TKERNEL_SWISH, TKERNEL_GELU_ERF, TKERNEL_GELU_TANH, TKERNEL_MISH] {
            let found = run(
                Case(function: function, alpha: 1, description: "", expected: { $0 }), [.infinity, 0, -300])
            #expect(found == [.infinity, 0, 0], "\(function)")
        }
    }

    @Test(.enabled(if: EltwiseKernelTests.isThere, "needs AVX-512")) func anyCountInPlaceAndWithAnAddend() throws {
        var numbers = Numbers(5)
        for count in Array(0...70) + [1000, 1023] {
            for function in Self.cases where count % 7 == Int(function.function.rawValue) % 7 {
                let (x, more) = (numbers.list(count).map { $0 * 4 }, numbers.list(count))
                let expected = zip(x, more).map { function.expected(Double($0)) + Double($1) }
                var activation = function.activation
                var y = x
                y.withUnsafeMutableBufferPointer { memory in
                    guard let base = memory.baseAddress else { return }
                    tkernel_eltwise_run(&activation, Int64(count), base, more, base)
                }
                #expect(zip(y, expected).count { !(abs(Double($0) - $1) < 4e-6) } == 0, "\(function), \(count)")
                var z = more
                z.withUnsafeMutableBufferPointer { memory in
                    guard let base = memory.baseAddress else { return }
                    tkernel_eltwise_run(&activation, Int64(count), x, base, base)
                }
                #expect(z == y)
            }
        }
    }

    @Test func whatIsNoFunctionIsRefused() {
        for function in [TKERNEL_IDENTITY.rawValue, TKERNEL_MISH.rawValue + 1] {
            var activation = tkernel_activation(function: Int32(function), alpha: 0, beta: 0)
            #expect(tkernel_eltwise_is_supported(&activation) == 0)
        }
    }

    /// What the planner asks before it lets a function write channels that only fill a block up.
    @Test(.enabled(if: EltwiseKernelTests.isThere, "needs AVX-512")) func functionsThatKeepZero() throws {
        for algorithm in [
            TDNNL_ELTWISE_RELU, TDNNL_ELTWISE_CLIP, TDNNL_ELTWISE_SWISH, TDNNL_ELTWISE_HARDSWISH,
            TDNNL_ELTWISE_HARDSIGMOID, TDNNL_ELTWISE_LOGISTIC, TDNNL_ELTWISE_TANH, TDNNL_ELTWISE_GELU_ERF,
            TDNNL_ELTWISE_GELU_TANH, TDNNL_ELTWISE_EXP, TDNNL_ELTWISE_MISH,
        ] {
            for (alpha, beta) in [(0.25, 0.5), (-1, 1), (1, 2)] as [(Float, Float)] {
                let function = EltwiseFunction(algorithm: algorithm, alpha: alpha, beta: beta)
                var activation = try #require(function.kernelActivation)
                var found: Float = -1
                tkernel_eltwise_run(&activation, 1, [0], nil, &found)
                #expect(function.keepsZero == (found == 0), "\(algorithm) \(alpha) \(beta)")
            }
        }
    }
}
