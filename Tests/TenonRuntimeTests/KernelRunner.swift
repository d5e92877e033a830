import Glibc
import TenonIR

@testable import TenonRuntime

/// Types a call, prepares its kernel and runs it on memory of its own.
struct KernelRunner {
    var parallel: Parallel = .serial
    /// Inputs whose contents the kernel is told when it is prepared.
    var known: Set<Int> = []

    func run(_ name: String, _ arguments: [Operand], _ attributes: Attributes = Attributes()) throws -> [Constant] {
        var builder = FunctionBuilder()
        var inputs: [Constant] = []
        // Tensors become parameters, so that nothing is known beforehand.
        func parameter(_ operand: Operand) -> Operand {
            switch operand {
            case .constant(let constant):
                inputs.append(constant)
                return .value(builder.parameter("x\(inputs.count)", .tensor(constant.type)))
            case .tuple(let fields): return .tuple(fields.map(parameter))
            default: return operand
            }
        }
        let op = try Operators.require(name)
        let operands = arguments.map(parameter)
        let typed = try builder.typed(op, operands, attributes)
        if Kernels.dependsOnData(op) { return try Kernels.evaluate(op, inputs, typed.attributes) }
        let results: [ValueType] = if case .tuple(let fields) = typed.type { fields } else { [typed.type] }
        let outputs = try results.map { type -> TensorSpec in
            guard let spec = type.asTensor.flatMap({ TensorSpec($0) }) else {
                throw TenonError(.invalidType, "\(name): result of type \(type)")
            }
            return spec
        }
        let call = KernelCall(
            op: op, inputs: inputs.compactMap { TensorSpec($0.type) },
            constants: known.isEmpty ? [] : inputs.enumerated().map { known.contains($0.offset) ? $0.element : nil },
            outputs: outputs, attributes: typed.attributes, arguments: operands)
        return try run(try Kernels.prepare(call), inputs, outputs)
    }

    private func run(_ kernel: PreparedKernel, _ inputs: [Constant], _ outputs: [TensorSpec]) throws -> [Constant] {
        // Poisoned, with a guard behind each output.
        let memory = outputs.map { UnsafeMutableRawBufferPointer.allocate(byteCount: $0.byteCount + 64, alignment: 64) }
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: kernel.scratchBytes + 64, alignment: 64)
        defer {
            for buffer in memory + [scratch] { buffer.deallocate() }
        }
        for buffer in memory + [scratch] { _ = buffer.initializeMemory(as: UInt8.self, repeating: 0xa5) }
        // An empty tensor has no address of its own, but a kernel may add 0 to what it gets.
        let sources = inputs.map { $0.bytes.baseAddress ?? UnsafeRawPointer(scratch.baseAddress.unsafelyUnwrapped) }
        let targets = memory.map { $0.baseAddress.unsafelyUnwrapped }
        try sources.withUnsafeBufferPointer { sources in
            try targets.withUnsafeBufferPointer { targets in
                // Calls without inputs still get a table.
                let table = sources.baseAddress ?? UnsafePointer(bitPattern: 8).unsafelyUnwrapped
                try kernel.run(
                    KernelArguments(
                        inputs: table, outputs: targets.baseAddress.unsafelyUnwrapped,
                        scratch: scratch.baseAddress.unsafelyUnwrapped, parallel: parallel))
            }
        }
        for (buffer, spec) in zip(memory, outputs) where buffer[spec.byteCount...].contains(where: { $0 != 0xa5 }) {
            throw TenonError(.internal, "written behind the end of \(spec)")
        }
        if scratch[kernel.scratchBytes...].contains(where: { $0 != 0xa5 }) {
            throw TenonError(.internal, "written behind the end of \(kernel.scratchBytes) bytes of scratch")
        }
        return try zip(memory, outputs).map { buffer, spec in
            try Constant(
                dtype: spec.dtype, shape: spec.shape.map { Int64($0) },
                copying: UnsafeRawBufferPointer(rebasing: buffer[..<spec.byteCount]))
        }
    }
}

/// The largest excess of |found - expected| over atol + rtol × |expected|; nil when all elements agree.
func disagreement(_ found: Constant, _ expected: Constant, rtol: Double, atol: Double) -> String? {
    guard found.dtype == expected.dtype, found.shape == expected.shape else {
        return "\(found.type) instead of \(expected.type)"
    }
    if let a = found.intElements, let b = expected.intElements {
        if a == b { return nil }
        let index = a.indices.first { a[$0] != b[$0] } ?? 0
        return "element \(index) is \(a[index]) instead of \(b[index])"
    }
    guard let a = found.doubleElements, let b = expected.doubleElements else { return "no numbers" }
    for index in a.indices where !(a[index].isNaN && b[index].isNaN) && a[index] != b[index] {
        guard abs(a[index] - b[index]) <= atol + rtol * abs(b[index]), b[index].isFinite else {
            return "element \(index) is \(a[index]) instead of \(b[index])"
        }
    }
    return nil
}
