import CKernels
import TenonIR

/// Normalisations and softmax of whole rows in single precision, and functions of one number, on the C kernels.
enum RowKernels {
    static var isAvailable: Bool { tkernel_gemm_panel() > 0 }

    /// Layer and RMS normalisation over the last dimensions; nil for anything else.
    static func norm(_ call: KernelCall, axes: [Int], isRMS: Bool) throws -> PreparedKernel? {
        let shape = call.inputs[0].shape
        guard isAvailable, let first = axes.min(), axes.sorted() == Array(first..<shape.count),
            call.outputs[0] == call.inputs[0], call.inputs.allSatisfy({ $0.dtype == .float32 })
        else { return nil }
        let sizes = Array(shape[first...])
        let columns = sizes.reduce(1, *)
        let scales = isRMS || call.bool("scale")
        let shifts = !isRMS && call.bool("center")
        guard columns > 0, !scales || call.inputs[1].shape == sizes, !shifts || call.inputs[2].shape == sizes else {
            return nil
        }
        let rows = shape[..<first].reduce(1, *)
        let norm = tkernel_norm(
            columns: Int64(columns), period: 1, is_rms: isRMS ? 1 : 0, epsilon: Float(try call.float("epsilon")))
        return overRows(rows, columns, nanoseconds: 0.35) { arguments, range in
            var norm = norm
            tkernel_norm_run(
                &norm, Int64(range.lowerBound), Int64(range.upperBound), arguments.input(0, Float.self), nil,
                scales ? arguments.input(1, Float.self) : nil, shifts ? arguments.input(2, Float.self) : nil, nil,
                arguments.output(0, Float.self))
        }
    }

    static func softmax(_ call: KernelCall, axis: Int, isLog: Bool) -> PreparedKernel? {
        let shape = call.inputs[0].shape
        guard isAvailable, call.inputs[0].dtype == .float32, axis == shape.count - 1, let columns = shape.last,
            columns > 0
        else { return nil }
        return overRows(shape.dropLast().reduce(1, *), columns, nanoseconds: 0.8) { arguments, range in
            tkernel_softmax_run(
                isLog ? 1 : 0, Int64(range.lowerBound), Int64(range.upperBound), Int64(columns),
                arguments.input(0, Float.self), arguments.output(0, Float.self))
        }
    }

    /// A function of one number.
    static func function(_ call: KernelCall) -> PreparedKernel? {
        guard isAvailable, call.inputs[0].dtype == .float32,
            let activation = KernelSteps.activation(call.op, call.attributes, call.arguments)
        else { return nil }
        var step = tkernel_step()
        step.kind = Int32(TKERNEL_STEP_ACTIVATION.rawValue)
        step.activation = activation
        (step.group, step.period) = (1, 1)
        let steps = KernelSteps([step], operands: [nil])
        // Blocks instead of rows: where an element lies does not matter.
        let count = call.inputs[0].count
        return overRows(count, 1, nanoseconds: 0.5) { arguments, range in
            tkernel_steps_run(
                1, steps.base, 0, 1, Int64(range.count), arguments.input(0, Float.self) + range.lowerBound,
                arguments.output(0, Float.self) + range.lowerBound, nil)
        }
    }

    /// `nanoseconds`: roughly, per element.
    private static func overRows(
        _ rows: Int, _ columns: Int, nanoseconds: Double,
        _ body: @escaping @Sendable (borrowing KernelArguments, Range<Int>) -> Void
    ) -> PreparedKernel {
        let grain = max(1, Int(4000 / nanoseconds) / columns)
        var kernel = PreparedKernel { arguments in
            let copy = KernelArguments(
                inputs: arguments.inputs, outputs: arguments.outputs, scratch: arguments.scratch,
                parallel: arguments.parallel)
            arguments.parallel.forEach(rows, grain: grain) { range in body(copy, range) }
        }
        kernel.expectedNanoseconds = 200 + Double(rows) * Double(columns) * nanoseconds
        return kernel
    }
}
