import CTenon
import TenonIR
import TenonRuntime

extension CancelToken: HandleObject {
    static let tag: UInt64 = 0x7465_6e6f_6e63_6e63
    static let name: StaticString = "tenon_cancel_token"
}

@implementation @_cdecl("tenon_cancel_token_create")
public func tenon_cancel_token_create(_ token: UnsafeMutablePointer<OpaquePointer?>!) -> tenon_status {
    withStatus {
        let result = try output(token, "token")
        result.pointee = try Handle.make(CancelToken())
    }
}

@implementation @_cdecl("tenon_cancel_token_cancel")
public func tenon_cancel_token_cancel(_ token: OpaquePointer!) { Handle.optional(token, CancelToken.self)?.cancel() }

@implementation @_cdecl("tenon_cancel_token_reset")
public func tenon_cancel_token_reset(_ token: OpaquePointer!) { Handle.optional(token, CancelToken.self)?.reset() }

@implementation @_cdecl("tenon_cancel_token_release")
public func tenon_cancel_token_release(_ token: OpaquePointer!) { Handle.release(token, CancelToken.self) }

// MARK: - Run

@implementation @_cdecl("tenon_run_options_init")
public func tenon_run_options_init(_ options: UnsafeMutablePointer<tenon_run_options>!, _ struct_size: UInt32) {
    Sized.initialise(options, struct_size)
}

private func runOptions(_ options: UnsafePointer<tenon_run_options>?) throws -> RunOptions {
    guard let options else { return RunOptions() }
    let given = try Sized.read(options, tenon_run_options(), "tenon_run_options")
    guard given.flags & ~UInt32(1) == 0 else { throw invalid("flags \(given.flags) has bits that mean nothing") }
    var result = RunOptions(isProfiled: given.flags & 1 != 0)
    if given.cancel != nil { result.cancel = try Handle.object(given.cancel) }
    if given.timeout_nanoseconds > 0 {
        let (deadline, overflow) = MonotonicClock.now.addingReportingOverflow(given.timeout_nanoseconds)
        result.deadline = overflow ? nil : deadline
    }
    return result
}

@implementation @_cdecl("tenon_run")
public func tenon_run(
    _ executable: OpaquePointer!, _ inputs: UnsafePointer<tenon_tensor>!, _ input_count: Int,
    _ outputs: UnsafePointer<tenon_tensor>!, _ output_count: Int, _ options: UnsafePointer<tenon_run_options>!
) -> tenon_status {
    withStatus {
        let executable = try Handle.object(executable, ExecutableHandle.self).executable
        let options = try runOptions(options)
        let signature = executable.signature
        try Tensors.withViews(inputs, input_count, expected: signature.inputs.count, "input") { inputs in
            try Tensors.withViews(outputs, output_count, expected: signature.outputs.count, "output") { outputs in
                try executable.run(inputs: inputs, outputs: outputs, options: options)
            }
        }
    }
}

// MARK: - Results

final class ResultsHandle: HandleObject {
    static let tag: UInt64 = 0x7465_6e6f_6e72_6573
    static let name: StaticString = "tenon_results"

    private let constants: [Constant]
    let tensors: [tenon_tensor]
    private let pool: Pool

    init(_ constants: [Constant]) throws {
        let pool = Pool()
        tensors = try constants.map { constant in
            var tensor = tenon_tensor()
            tensor.dtype = UInt32(constant.dtype.rawValue)
            tensor.rank = UInt32(clamping: constant.shape.count)
            tensor.shape = try pool.array(constant.shape)
            tensor.data = UnsafeMutableRawPointer(mutating: constant.bytes.baseAddress)
            tensor.byte_count = constant.bytes.count
            return tensor
        }
        self.constants = constants
        self.pool = pool
    }
}

@implementation @_cdecl("tenon_run_new")
public func tenon_run_new(
    _ executable: OpaquePointer!, _ inputs: UnsafePointer<tenon_tensor>!, _ input_count: Int,
    _ options: UnsafePointer<tenon_run_options>!, _ results: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus {
        let result = try output(results, "results")
        let executable = try Handle.object(executable, ExecutableHandle.self).executable
        let options = try runOptions(options)
        let made = try Tensors.withViews(
            inputs, input_count, expected: executable.signature.inputs.count, "input"
        ) { try executable.run(inputs: $0, options: options) }
        result.pointee = try Handle.make(try ResultsHandle(made))
    }
}

@implementation @_cdecl("tenon_results_count")
public func tenon_results_count(_ results: OpaquePointer!) -> Int {
    Handle.optional(results, ResultsHandle.self)?.tensors.count ?? 0
}

@implementation @_cdecl("tenon_results_get")
public func tenon_results_get(
    _ results: OpaquePointer!, _ index: Int, _ tensor: UnsafeMutablePointer<tenon_tensor>!
) -> tenon_status {
    withStatus {
        let tensors = try Handle.object(results, ResultsHandle.self).tensors
        guard tensors.indices.contains(index) else {
            throw invalid("index \(index) is out of range; there are \(tensors.count)")
        }
        try Sized.write(tensors[index], to: tensor, "tenon_tensor")
    }
}

@implementation @_cdecl("tenon_results_release")
public func tenon_results_release(_ results: OpaquePointer!) { Handle.release(results, ResultsHandle.self) }
