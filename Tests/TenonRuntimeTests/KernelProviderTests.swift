import TenonIR
import Testing

@testable import TenonRuntime

/// A provider of kernels for bf16 that the library knows nothing of: sums in single precision, weights packed once.
private struct BrainFloatProvider: KernelProvider {
    var name: String { "brain" }
    /// What the kernels say that they take.
    var nanoseconds = 1.0

    func kernel(for call: KernelCall) throws -> PreparedKernel? {
        guard (call.inputs + call.outputs).allSatisfy({ $0.dtype == .bfloat16 }) else { return nil }
        var kernel: PreparedKernel?
        switch call.op.name {
        case "nn.conv2d": kernel = convolution(call)
        case "matmul": kernel = product(call)
        case "add": kernel = sum(call)
        default: break
        }
        kernel?.expectedNanoseconds = nanoseconds
        return kernel
    }

    static func float(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

    /// Nearest, halves to even; the numbers of the tests are finite.
    static func bits(_ value: Float) -> UInt16 {
        let pattern = value.bitPattern
        return UInt16((pattern &+ 0x7FFF &+ (pattern >> 16 & 1)) >> 16)
    }

    private static func input(_ arguments: borrowing KernelArguments, _ index: Int) -> UnsafePointer<UInt16> {
        arguments.inputs[index].assumingMemoryBound(to: UInt16.self)
    }

    private static func output(_ arguments: borrowing KernelArguments) -> UnsafeMutablePointer<UInt16> {
        arguments.outputs[0].assumingMemoryBound(to: UInt16.self)
    }

    /// Weights as floats, packed when the call is made ready.
    private func weights(_ call: KernelCall) -> [Float]? {
        guard call.constants.count > 1, let constant = call.constants[1] else { return nil }
        return constant.bytes.withMemoryRebound(to: UInt16.self) { $0.map(Self.float) }
    }

    private func convolution(_ call: KernelCall) -> PreparedKernel? {
        let (x, w, y) = (call.inputs[0].shape, call.inputs[1].shape, call.outputs[0].shape)
        guard let weights = weights(call), call.attributes.ints("padding") == [1, 1, 1, 1], w[2] == 3, w[3] == 3 else {
            return nil
        }
        var kernel = PreparedKernel { arguments in
            let (source, target) = (Self.input(arguments, 0), Self.output(arguments))
            for image in 0..<y[0] {
                for channel in 0..<y[1] {
                    for place in 0..<y[2] * y[3] {
                        let (row, column) = (place / y[3], place % y[3])
                        var sum: Float = 0
                        for tap in 0..<w[1] * 9 {
                            let (input, i, j) = (tap / 9, tap % 9 / 3 + row - 1, tap % 3 + column - 1)
                            guard (0..<x[2]).contains(i), (0..<x[3]).contains(j) else { continue }
                            let value = Self.float(source[((image * x[1] + input) * x[2] + i) * x[3] + j])
                            sum += value * weights[channel * w[1] * 9 + tap]
                        }
                        target[(image * y[1] + channel) * y[2] * y[3] + place] = Self.bits(sum)
                    }
                }
            }
        }
        kernel.packedBytes = weights.count * 4
        return kernel
    }

    private func product(_ call: KernelCall) -> PreparedKernel? {
        let (columns, depth) = (call.inputs[1].shape[1], call.inputs[1].shape[0])
        guard let weights = weights(call) else { return nil }
        let rows = call.outputs[0].count / columns
        var kernel = PreparedKernel { arguments in
            let (source, target) = (Self.input(arguments, 0), Self.output(arguments))
            for row in 0..<rows {
                for column in 0..<columns {
                    var sum: Float = 0
                    for index in 0..<depth {
                        sum += Self.float(source[row * depth + index]) * weights[index * columns + column]
                    }
                    target[row * columns + column] = Self.bits(sum)
                }
            }
        }
        kernel.packedBytes = weights.count * 4
        return kernel
    }

    /// One bias per channel of an image.
    private func sum(_ call: KernelCall) -> PreparedKernel? {
        let y = call.outputs[0].shape
        guard y.count == 4, call.inputs[1].shape == [y[1], 1, 1] else { return nil }
        let inner = y[2] * y[3]
        return PreparedKernel { arguments in
            let (a, b, target) = (Self.input(arguments, 0), Self.input(arguments, 1), Self.output(arguments))
            for index in 0..<y[0] * y[1] * inner {
                target[index] = Self.bits(Self.float(a[index]) + Self.float(b[index / inner % y[1]]))
            }
        }
    }
}

@Suite struct KernelProviderTests {
    private static func numbers(_ shape: [Int64], _ seed: Int) throws -> Constant {
        let count = Int(shape.reduce(1, *))
        // Eighths, whose sums are exact in single precision.
        let values = (0..<count).map { BrainFloatProvider.bits(Float(($0 * 7 + seed) % 17 - 8) / 8) }
        return try values.withUnsafeBytes { try Constant(dtype: .bfloat16, shape: shape, copying: $0) }
    }

    /// Convolution, bias, then a product with the images as rows.
    private static func module(_ batch: Dim) throws -> Module {
        try Sample.module { builder in
            let x = builder.parameter(
                "x", .tensor(TensorType(.bfloat16, [batch, .fixed(3), .fixed(5), .fixed(4)])))
            let convolved = try builder.call(
                "nn.conv2d", [.value(x), .constant(try numbers([6, 3, 3, 3], 1))],
                ["padding": .ints([1, 1, 1, 1])])
            let biased = try builder.call("add", [.value(convolved), .constant(try numbers([6, 1, 1], 2))])
            let rows = try builder.call("reshape", [.value(biased), .shape([batch, .fixed(120)])])
            return .value(try builder.call("matmul", [.value(rows), .constant(try numbers([120, 7], 3))]))
        }
    }

    private static func run(
        _ batch: Dim, _ size: Int64, _ provider: BrainFloatProvider?, reference: Bool = false
    ) throws -> (Constant, [String]) {
        var options = CompileOptions(usesReferenceKernels: reference)
        options.providers = provider.map { [$0] } ?? []
        let executable = try Executable(module: try module(batch), backends: [], options: options)
        let results = try executable.run([try numbers([size, 3, 5, 4], 4)])
        return (results[0], executable.steps.map(\.implementation))
    }

    @Test(arguments: [Dim.fixed(2), .symbol("n")]) func runsAGraphOfAnotherType(batch: Dim) throws {
        let (found, steps) = try Self.run(batch, 2, BrainFloatProvider())
        #expect(steps.filter { $0.hasPrefix("brain:") } == ["brain:nn.conv2d", "brain:add", "brain:matmul"])
        let (expected, own) = try Self.run(batch, 2, nil)
        #expect(own.allSatisfy { !$0.hasPrefix("brain:") })
        #expect(found.shape == [2, 7])
        // The library rounds after each operator too.
        #expect(Array(found.bytes) == Array(expected.bytes))
    }

    @Test func theSlowerOneIsNotTaken() throws {
        let (_, steps) = try Self.run(.fixed(2), 2, BrainFloatProvider(nanoseconds: 1e12))
        // Of a product the library does not know how long its own takes.
        #expect(!steps.contains("brain:add"))
    }

    @Test func theReferenceAsksNobody() throws {
        let (_, steps) = try Self.run(.fixed(2), 2, BrainFloatProvider(), reference: true)
        #expect(steps.allSatisfy { !$0.hasPrefix("brain:") })
    }
}
