import CTenon
import TenonIR
import TenonRuntime

final class ComparisonHandle: HandleObject {
    static let tag: UInt64 = 0x7465_6e6f_6e63_6d70
    static let name: StaticString = "tenon_comparison"

    let differences: [tenon_difference]
    private let pool: Pool

    init(_ errors: [BindingError]) throws {
        let pool = Pool()
        differences = try errors.map { error in
            var difference = tenon_difference()
            difference.is_within_tolerance = error.isWithinTolerance ? 1 : 0
            difference.name = try pool.text(error.name)
            difference.type = try pool.text(error.type.description)
            difference.absolute = error.absolute
            difference.relative = error.relative
            return difference
        }
        self.pool = pool
    }
}

@implementation @_cdecl("tenon_difference_init")
public func tenon_difference_init(_ difference: UnsafeMutablePointer<tenon_difference>!, _ struct_size: UInt32) {
    Sized.initialise(difference, struct_size)
}

private func tolerance(_ value: Double, _ standard: Double, _ name: StaticString) throws -> Double {
    guard value >= 0, value.isFinite else { throw invalid("\(name) is \(value); expected a number from 0") }
    return value == 0 ? standard : value
}

/// Copies of dense tensors in a caller's array.
private func constants(_ tensors: UnsafePointer<tenon_tensor>?, _ count: Int) throws -> [Constant] {
    try Tensors.dense(tensors, count, "inputs").map {
        try Constant(dtype: $0.dtype, shape: $0.shape, copying: $0.bytes)
    }
}

@implementation @_cdecl("tenon_module_compare")
public func tenon_module_compare(
    _ module: OpaquePointer!, _ options: UnsafePointer<tenon_executable_options>!,
    _ inputs: UnsafePointer<tenon_tensor>!, _ input_count: Int, _ absolute_tolerance: Double,
    _ relative_tolerance: Double, _ comparison: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let result = try output(comparison, "comparison")
        let errors = try Verification.run(
            module: try compiledModule(try Handle.object(module, ModuleHandle.self).module, options),
            backends: try compileBackends(options),
            options: try compileOptions(options), inputs: try constants(inputs, input_count),
            absoluteTolerance: try tolerance(absolute_tolerance, 1e-6, "absolute_tolerance"),
            relativeTolerance: try tolerance(relative_tolerance, 1e-4, "relative_tolerance"))
        result.pointee = try Handle.make(try ComparisonHandle(errors))
    }
}

@implementation @_cdecl("tenon_comparison_count")
public func tenon_comparison_count(_ comparison: OpaquePointer!) -> Int {
    Handle.optional(comparison, ComparisonHandle.self)?.differences.count ?? 0
}

@implementation @_cdecl("tenon_comparison_get")
public func tenon_comparison_get(
    _ comparison: OpaquePointer!, _ index: Int, _ difference: UnsafeMutablePointer<tenon_difference>!
) -> tenon_status {
    withStatus {
        let differences = try Handle.object(comparison, ComparisonHandle.self).differences
        guard differences.indices.contains(index) else {
            throw invalid("index \(index) is out of range; there are \(differences.count)")
        }
        try Sized.write(differences[index], to: difference, "tenon_difference")
    }
}

@implementation @_cdecl("tenon_comparison_release")
public func tenon_comparison_release(_ comparison: OpaquePointer!) {
    Handle.release(comparison, ComparisonHandle.self)
}
