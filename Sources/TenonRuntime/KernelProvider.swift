import TenonIR

/// Proposes kernels beside the library's own: for element types or operators that it is slow in, or for measuring another way.
///
/// Asked whenever a call of known sizes is made ready, by several threads at once.
public protocol KernelProvider: Sendable {
    /// What reports show in front of the operator's name; "tenon" is the library's own.
    var name: String { get }

    /// A kernel for the call; nil where it has none. It is taken when it expects to be no slower than the library's.
    func kernel(for call: KernelCall) throws -> PreparedKernel?
}

extension Kernels {
    /// The kernel that expects to be done first, of the library and of others.
    static func prepare(_ call: KernelCall, _ providers: [any KernelProvider]) throws -> PreparedKernel {
        var best: (kernel: PreparedKernel, time: Double)?
        for provider in providers {
            guard var kernel = try provider.kernel(for: call) else { continue }
            kernel.provider = provider.name
            let time = PlanBuilder.nanoseconds(call.op, kernel, call.inputs + call.outputs)
            if best.map({ time < $0.time }) ?? true { best = (kernel, time) }
        }
        guard let best else { return try prepare(call) }
        guard isAvailable(call.op) else { return best.kernel }
        let own = try prepare(call)
        return best.time <= PlanBuilder.nanoseconds(call.op, own, call.inputs + call.outputs) ? best.kernel : own
    }
}
