import CTenon
import TenonIR
import TenonQuantize
import TenonRuntime

final class QuantizationHandle: HandleObject {
    static let tag: UInt64 = 0x7465_6e6f_6e71_6e74
    static let name: StaticString = "tenon_quantization"

    let layers: [tenon_quantized_layer]
    let total: tenon_quantization_total
    private let pool: Pool

    init(_ report: QuantizationReport) throws {
        let pool = Pool()
        layers = try report.layers.map { source in
            var layer = tenon_quantized_layer()
            layer.is_quantized = source.isQuantized ? 1 : 0
            layer.name = try pool.text(source.name)
            layer.op = try pool.text(source.op)
            layer.reason = try pool.text(source.reason)
            layer.error = source.error
            layer.gained_nanoseconds = source.gain
            return layer
        }
        var total = tenon_quantization_total()
        total.error = report.error
        total.nanoseconds_before = report.nanoseconds.before
        total.nanoseconds_after = report.nanoseconds.after
        self.total = total
        self.pool = pool
    }
}

@implementation @_cdecl("tenon_quantize_options_init")
public func tenon_quantize_options_init(
    _ options: UnsafeMutablePointer<tenon_quantize_options>!, _ struct_size: UInt32
) { Sized.initialise(options, struct_size) }

@implementation @_cdecl("tenon_quantized_layer_init")
public func tenon_quantized_layer_init(
    _ layer: UnsafeMutablePointer<tenon_quantized_layer>!, _ struct_size: UInt32
) { Sized.initialise(layer, struct_size) }

@implementation @_cdecl("tenon_quantization_total_init")
public func tenon_quantization_total_init(
    _ total: UnsafeMutablePointer<tenon_quantization_total>!, _ struct_size: UInt32
) { Sized.initialise(total, struct_size) }

func quantizeOptions(_ options: UnsafePointer<tenon_quantize_options>?) throws -> tenon_quantize_options {
    let given = try Sized.options(options, tenon_quantize_options(), "tenon_quantize_options")
    try requireToken(given.cancel)
    return given
}

private func quantizationOptions(_ pointer: UnsafePointer<tenon_quantize_options>?) throws -> QuantizationOptions {
    let given = try quantizeOptions(pointer)
    guard given.flags & ~UInt32(15) == 0 else { throw invalid("flags \(given.flags) has bits that mean nothing") }
    guard given.reserved == 0 else { throw invalid("reserved is \(given.reserved); expected 0") }
    guard given.threads <= 1024 else { throw invalid("threads is \(given.threads); expected 0 to 1024") }
    guard let mode = QuantizationOptions.Mode(rawValue: given.mode) else {
        throw invalid("mode is \(given.mode); expected one of TENON_QUANTIZE_STATIC and TENON_QUANTIZE_DYNAMIC")
    }
    guard let calibration = QuantizationOptions.Calibration(rawValue: given.calibration) else {
        throw invalid("calibration is \(given.calibration); expected one of TENON_CALIBRATE_…")
    }
    var options = QuantizationOptions()
    (options.mode, options.calibration) = (mode, calibration)
    if given.activations != 0 { options.activations = try dtype(given.activations, "activations") }
    if given.percentile != 0 { options.percentile = given.percentile }
    if given.tolerance != 0 { options.tolerance = given.tolerance }
    options.isPerTensor = given.flags & 1 != 0
    options.equalizesRanges = given.flags & 2 != 0
    options.correctsBias = given.flags & 4 != 0
    options.measuresTime = given.flags & 8 == 0
    if given.measured_samples > 0 { options.measuredSamples = Int(given.measured_samples) }
    options.excluded = try strings(given.excluded, given.excluded_count, "excluded")
    options.compile.threads = given.threads == 0 ? min(CPUCount.usable, 1024) : Int(given.threads)
    options.progress = progress(given.progress, given.progress_data)
    return options
}

/// Keeps a caller's samples readable; the call that they were given to outlives every use.
private final class Samples {}

@implementation @_cdecl("tenon_module_quantize")
public func tenon_module_quantize(
    _ module: OpaquePointer!, _ samples: UnsafePointer<tenon_tensor>!, _ sample_count: Int, _ input_count: Int,
    _ options: UnsafePointer<tenon_quantize_options>!, _ quantization: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        if let quantization { quantization.pointee = nil }
        let handle = try Handle.object(module, ModuleHandle.self)
        let quantizer = Quantizer(
            options: try quantizationOptions(options), backends: Library.backends, pipeline: Library.pipeline,
            context: try context(nil))
        let (count, overflow) = sample_count.multipliedReportingOverflow(by: input_count)
        guard sample_count >= 0, input_count >= 0, !overflow, input_count > 0 || sample_count == 0 else {
            throw invalid("sample_count \(sample_count) times input_count \(input_count) is out of range")
        }
        let owner = Samples()
        let tensors = try Tensors.dense(samples, count, "samples").map {
            try Constant(dtype: $0.dtype, shape: $0.shape, borrowing: $0.bytes, owner: owner)
        }
        let given = stride(from: 0, to: count, by: max(input_count, 1)).map {
            Array(tensors.dropFirst($0).prefix(input_count))
        }
        try handle.change { module in
            let result = try quantizer.run(module, samples: given)
            // Whatever can fail comes before the module changes.
            if let quantization { quantization.pointee = try Handle.make(try QuantizationHandle(result.report)) }
            return result.module
        }
    }
}

@implementation @_cdecl("tenon_quantization_count")
public func tenon_quantization_count(_ quantization: OpaquePointer!) -> Int {
    Handle.optional(quantization, QuantizationHandle.self)?.layers.count ?? 0
}

@implementation @_cdecl("tenon_quantization_get")
public func tenon_quantization_get(
    _ quantization: OpaquePointer!, _ index: Int, _ layer: UnsafeMutablePointer<tenon_quantized_layer>!
) -> tenon_status {
    withStatus {
        let layers = try Handle.object(quantization, QuantizationHandle.self).layers
        guard layers.indices.contains(index) else {
            throw invalid("index \(index) is out of range; there are \(layers.count)")
        }
        try Sized.write(layers[index], to: layer, "tenon_quantized_layer")
    }
}

@implementation @_cdecl("tenon_quantization_get_total")
public func tenon_quantization_get_total(
    _ quantization: OpaquePointer!, _ total: UnsafeMutablePointer<tenon_quantization_total>!
) -> tenon_status {
    withStatus {
        try Sized.write(
            try Handle.object(quantization, QuantizationHandle.self).total, to: total, "tenon_quantization_total")
    }
}

@implementation @_cdecl("tenon_quantization_release")
public func tenon_quantization_release(_ quantization: OpaquePointer!) {
    Handle.release(quantization, QuantizationHandle.self)
}
