import CTenon
import TenonIR
import TenonRuntime

final class ExecutableHandle: HandleObject {
    static let tag: UInt64 = 0x7465_6e6f_6e65_7865
    static let name: StaticString = "tenon_executable"

    let executable: Executable
    let inputs: [tenon_port]
    let outputs: [tenon_port]
    private let pool: Pool

    init(_ executable: Executable) throws {
        let pool = Pool()
        inputs = try executable.signature.inputs.map { try ExecutableHandle.port($0, pool) }
        outputs = try executable.signature.outputs.map { try ExecutableHandle.port($0, pool) }
        self.executable = executable
        self.pool = pool
    }

    private static func port(_ source: Signature.Port, _ pool: Pool) throws -> tenon_port {
        var port = tenon_port()
        port.dtype = UInt32(source.type.dtype?.rawValue ?? 0)
        port.rank = source.type.rank.flatMap { Int32(exactly: $0) } ?? -1
        port.name = try pool.text(source.name)
        port.type = try pool.text(ValueType.tensor(source.type).text)
        if let rank = source.type.rank {
            let sizes = source.type.shape?.map { $0.value ?? Int64(TENON_DIM_UNKNOWN) }
            port.shape = try pool.array(sizes ?? [Int64](repeating: Int64(TENON_DIM_UNKNOWN), count: rank))
        }
        return port
    }
}

// MARK: - Compile

@implementation @_cdecl("tenon_executable_options_init")
public func tenon_executable_options_init(
    _ options: UnsafeMutablePointer<tenon_executable_options>!, _ struct_size: UInt32
) { Sized.initialise(options, struct_size) }

func givenOptions(_ options: UnsafePointer<tenon_executable_options>?) throws -> tenon_executable_options {
    let given = try Sized.options(
        options, tenon_executable_options(), "tenon_executable_options",
        first: MemoryLayout<tenon_executable_options>.offset(of: \.progress))
    try requireToken(given.cancel)
    return given
}

/// The backends that a host brings, then those of the library.
func compileBackends(_ options: UnsafePointer<tenon_executable_options>?) throws -> [any Backend] {
    let given = try givenOptions(options)
    return try HostBackend.all(given.backends, given.backend_count) + Library.backends
}

func compileOptions(_ options: UnsafePointer<tenon_executable_options>?) throws -> CompileOptions {
    let given = try givenOptions(options)
    guard given.flags & ~UInt32(31) == 0 else { throw invalid("flags \(given.flags) has bits that mean nothing") }
    guard given.threads <= 1024 else { throw invalid("threads is \(given.threads); expected 0 to 1024") }
    var result = CompileOptions(threads: given.threads == 0 ? min(CPUCount.usable, 1024) : Int(given.threads))
    result.isReproducible = given.flags & 1 != 0
    result.usesReferenceKernels = given.flags & 2 != 0
    // TENON_NUMERICS_DEFAULT, _STRICT, _FAST
    guard given.numerics <= 2 else { throw invalid("numerics is \(given.numerics); expected one of TENON_NUMERICS_…") }
    result.losesNaN = given.numerics == 2
    result.flushesDenormals = given.flags & 4 != 0
    result.isCancellable = given.flags & 16 != 0
    guard let spin = Spin(rawValue: given.spin) else {
        throw invalid("spin is \(given.spin); expected one of TENON_SPIN_…")
    }
    result.spin = spin
    result.tuningMilliseconds = Int(given.tuning_milliseconds)
    if given.concurrent_runs > 0 { result.concurrentRuns = Int(given.concurrent_runs) }
    if given.cached_shapes > 0 { result.cachedShapes = Int(given.cached_shapes) }
    if given.cached_bytes > 0 { result.cachedBytes = Int(clamping: given.cached_bytes) }
    result.progress = progress(given.progress, given.progress_data)
    if given.memory_limit > 0 { result.memoryLimit = Int(clamping: given.memory_limit) }
    return result
}

/// The module that is made ready to run: fused, unless it is already or the caller wants it as it stands.
func compiledModule(_ module: Module, _ options: UnsafePointer<tenon_executable_options>?) throws -> Module {
    let given = try givenOptions(options)
    let asItStands = given.flags & (2 | 8) != 0
    guard !asItStands, !module.isFused, module.main != nil else { return module }
    return try applied(Library.pipeline, to: module, try context(nil))
}

@implementation @_cdecl("tenon_module_is_fused")
public func tenon_module_is_fused(_ module: OpaquePointer!) -> Int32 {
    withFloats {
        Handle.optional(module, ModuleHandle.self)?.module.isFused == true ? 1 : 0
    }
}

@implementation @_cdecl("tenon_compile")
public func tenon_compile(
    _ module: OpaquePointer!, _ options: UnsafePointer<tenon_executable_options>!,
    _ executable: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let result = try output(executable, "executable")
        let handle = try Handle.object(module, ModuleHandle.self)
        let compiled = try Executable(
            module: try compiledModule(handle.module, options), backends: try compileBackends(options),
            options: try compileOptions(options))
        result.pointee = try Handle.make(try ExecutableHandle(compiled))
    }
}

@implementation @_cdecl("tenon_executable_release")
public func tenon_executable_release(_ executable: OpaquePointer!) { Handle.release(executable, ExecutableHandle.self) }

@implementation @_cdecl("tenon_executable_threads")
public func tenon_executable_threads(_ executable: OpaquePointer!) -> UInt32 {
    UInt32(clamping: Handle.optional(executable, ExecutableHandle.self)?.executable.options.threads ?? 0)
}

// MARK: - Questions

@implementation @_cdecl("tenon_port_init")
public func tenon_port_init(_ port: UnsafeMutablePointer<tenon_port>!, _ struct_size: UInt32) {
    Sized.initialise(port, struct_size)
}

@implementation @_cdecl("tenon_executable_input_count")
public func tenon_executable_input_count(_ executable: OpaquePointer!) -> Int {
    Handle.optional(executable, ExecutableHandle.self)?.inputs.count ?? 0
}

@implementation @_cdecl("tenon_executable_output_count")
public func tenon_executable_output_count(_ executable: OpaquePointer!) -> Int {
    Handle.optional(executable, ExecutableHandle.self)?.outputs.count ?? 0
}

private func write(_ ports: [tenon_port], _ index: Int, to port: UnsafeMutablePointer<tenon_port>?) throws {
    guard ports.indices.contains(index) else {
        throw invalid("index \(index) is out of range; there are \(ports.count)")
    }
    try Sized.write(ports[index], to: port, "tenon_port")
}

@implementation @_cdecl("tenon_executable_get_input")
public func tenon_executable_get_input(
    _ executable: OpaquePointer!, _ index: Int, _ port: UnsafeMutablePointer<tenon_port>!
) -> tenon_status {
    withStatus { try write(try Handle.object(executable, ExecutableHandle.self).inputs, index, to: port) }
}

@implementation @_cdecl("tenon_executable_get_output")
public func tenon_executable_get_output(
    _ executable: OpaquePointer!, _ index: Int, _ port: UnsafeMutablePointer<tenon_port>!
) -> tenon_status {
    withStatus { try write(try Handle.object(executable, ExecutableHandle.self).outputs, index, to: port) }
}

@implementation @_cdecl("tenon_memory_init")
public func tenon_memory_init(_ memory: UnsafeMutablePointer<tenon_memory>!, _ struct_size: UInt32) {
    Sized.initialise(memory, struct_size)
}

@implementation @_cdecl("tenon_executable_get_memory")
public func tenon_executable_get_memory(
    _ executable: OpaquePointer!, _ memory: UnsafeMutablePointer<tenon_memory>!
) -> tenon_status {
    withStatus {
        let statement = try Handle.object(executable, ExecutableHandle.self).executable.memory
        var result = tenon_memory()
        result.packed_weights = UInt64(clamping: statement.packedWeights)
        result.constants = UInt64(clamping: statement.constants)
        result.arena = UInt64(clamping: statement.arena)
        result.scratch = UInt64(clamping: statement.scratch)
        result.in_use = UInt64(clamping: statement.inUse)
        result.peak = UInt64(clamping: statement.peak)
        try Sized.write(
            result, to: memory, "tenon_memory", first: MemoryLayout<tenon_memory>.offset(of: \.peak))
    }
}

@implementation @_cdecl("tenon_executable_trim")
public func tenon_executable_trim(_ executable: OpaquePointer!) -> tenon_status {
    withStatus { try Handle.object(executable, ExecutableHandle.self).executable.trim() }
}

@implementation @_cdecl("tenon_executable_prepare")
public func tenon_executable_prepare(
    _ executable: OpaquePointer!, _ shapes: UnsafePointer<UnsafePointer<Int64>?>!, _ ranks: UnsafePointer<UInt32>!,
    _ count: Int
) -> tenon_status {
    withStatus {
        let handle = try Handle.object(executable, ExecutableHandle.self)
        try handle.executable.prepare(try inputShapes(shapes, ranks, count))
    }
}

@implementation @_cdecl("tenon_executable_get_run_bytes")
public func tenon_executable_get_run_bytes(
    _ executable: OpaquePointer!, _ shapes: UnsafePointer<UnsafePointer<Int64>?>!, _ ranks: UnsafePointer<UInt32>!,
    _ count: Int, _ bytes: UnsafeMutablePointer<UInt64>!, _ is_complete: UnsafeMutablePointer<Int32>!
) -> tenon_status {
    withStatus {
        guard let bytes else { throw invalid("bytes is NULL") }
        let handle = try Handle.object(executable, ExecutableHandle.self)
        let needs = try handle.executable.prepare(try inputShapes(shapes, ranks, count))
        bytes.pointee = UInt64(clamping: needs.bytes)
        is_complete?.pointee = needs.isComplete ? 1 : 0
    }
}

private func inputShapes(
    _ shapes: UnsafePointer<UnsafePointer<Int64>?>!, _ ranks: UnsafePointer<UInt32>!, _ count: Int
) throws -> [[Int64]] {
    let (shapes, ranks) = (try array(shapes, count, "shapes"), try array(ranks, count, "ranks"))
    return try zip(shapes, ranks).enumerated().map { index, entry in
        try sizes(entry.0, entry.1, least: 0, "input \(index)")
    }
}

@implementation @_cdecl("tenon_executable_prepare_ranges")
public func tenon_executable_prepare_ranges(
    _ executable: OpaquePointer!, _ symbols: UnsafePointer<UnsafePointer<CChar>?>!, _ first: UnsafePointer<Int64>!,
    _ last: UnsafePointer<Int64>!, _ step: UnsafePointer<Int64>!, _ count: Int
) -> tenon_status {
    withStatus {
        let handle = try Handle.object(executable, ExecutableHandle.self)
        let names = try array(symbols, count, "symbols")
        let (first, last) = (try array(first, count, "first"), try array(last, count, "last"))
        let step = try array(step, count, "step")
        try handle.executable.prepare(
            ranges: try names.indices.map { index in
                try Executable.SizeRange(
                    symbol: try string(names[index], "symbols"), first: first[index], last: last[index],
                    step: step[index])
            })
    }
}
