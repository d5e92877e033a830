import CTenon
import Glibc
import TenonIR
import TenonRuntime

@implementation @_cdecl("tenon_backend_init")
public func tenon_backend_init(_ backend: UnsafeMutablePointer<tenon_backend>!, _ struct_size: UInt32) {
    Sized.initialise(backend, struct_size)
}

/// A backend that the host brings.
final class HostBackend: Backend {
    fileprivate struct Functions: @unchecked Sendable {
        let compile: tenon_backend_compile_function
        let run: tenon_backend_run_function
        let release: tenon_backend_release_function?
        let userData: UnsafeMutableRawPointer?
    }

    let name: String
    private let functions: Functions

    init(_ given: tenon_backend, _ index: Int) throws {
        guard let name = given.name, name.pointee != 0 else { throw invalid("backend \(index): name is NULL or empty") }
        self.name = String(cString: name)
        guard let compile = given.compile, let run = given.run else {
            throw invalid("backend '\(self.name)': compile or run is NULL")
        }
        guard given.flags == 0 else { throw invalid("backend '\(self.name)': flags is \(given.flags); expected 0") }
        functions = Functions(compile: compile, run: run, release: given.release, userData: given.user_data)
    }

    /// The backends of a caller's array.
    static func all(_ backends: UnsafePointer<tenon_backend>?, _ count: Int) throws -> [any Backend] {
        var names: Set<String> = []
        return try Sized.array(backends, count, tenon_backend(), "backends").enumerated().map { index, given in
            let backend = try HostBackend(given, index)
            guard names.insert(backend.name).inserted else {
                throw invalid("two backends are called '\(backend.name)'")
            }
            return backend
        }
    }

    func compile(_ region: Function, name: String, options: CompileOptions) throws -> any CompiledRegion {
        let place = "region '\(name)': backend '\(self.name)'"
        let inputs = try HostBackend.tensors(region.parameterTypes, place)
        let outputs = try HostBackend.tensors([region.resultType], place)
        let function = FunctionHandle(region, name: name)
        let pointer = try Handle.make(function)
        defer { Handle.release(pointer, FunctionHandle.self) }
        var made = tenon_region()
        made.struct_size = UInt32(MemoryLayout<tenon_region>.size)
        let answer: (accepts: Bool, reply: ReplyHandle)
        do {
            answer = try Verdict.ask("\(place): compile") { reply in
                functions.compile(pointer, UInt32(clamping: options.threads), &made, reply, functions.userData)
            }
        } catch let error as TenonError { throw TenonError(.backend, "\(error)", node: name) }
        guard answer.accepts else {
            throw TenonError(.unsupported, "\(place) refuses it: \(answer.reply.reason)", node: name)
        }
        // From here on the handle is released whatever happens.
        let compiled = HostRegion(
            name: name, place: place, functions: functions, handle: made.handle, function: function, inputs: inputs,
            outputs: outputs)
        guard let workspace = Int(exactly: made.workspace_bytes), workspace <= 1 << 48,
            let packed = Int(exactly: made.packed_weight_bytes), packed <= 1 << 48
        else {
            throw TenonError(
                .backend,
                "\(place): compile asks for \(made.workspace_bytes) bytes, and holds \(made.packed_weight_bytes)",
                node: name)
        }
        compiled.workspaceBytes = workspace
        compiled.packedWeightBytes = packed
        compiled.implementation = made.implementation.map { String(cString: $0) } ?? self.name
        return compiled
    }

    private static func tensors(_ types: [ValueType], _ place: String) throws -> [TensorSpec] {
        var specs: [TensorSpec] = []
        func add(_ type: ValueType) throws {
            if case .tuple(let fields) = type { return try fields.forEach { try add($0) } }
            guard let spec = type.asTensor.flatMap({ TensorSpec($0) }), spec.dtype != .string else {
                throw TenonError(.unsupported, "\(place): \(type) is no tensor of known size")
            }
            specs.append(spec)
        }
        for type in types { try add(type) }
        return specs
    }
}

/// What a host's backend made of a region.
private final class HostRegion: CompiledRegion, @unchecked Sendable {
    let name: String
    let place: String
    let functions: HostBackend.Functions
    let handle: UnsafeMutableRawPointer?
    /// The host may keep what its values point to.
    private let function: FunctionHandle
    let inputs: [TensorSpec]
    let outputs: [TensorSpec]
    var workspaceBytes = 0
    var packedWeightBytes = 0
    var implementation = ""

    init(
        name: String, place: String, functions: HostBackend.Functions, handle: UnsafeMutableRawPointer?,
        function: FunctionHandle, inputs: [TensorSpec], outputs: [TensorSpec]
    ) {
        self.name = name
        self.place = place
        self.functions = functions
        self.handle = handle
        self.function = function
        self.inputs = inputs
        self.outputs = outputs
    }

    deinit { functions.release?(handle, functions.userData) }

    var steps: [StepDescription] {
        [
            StepDescription(
                binding: name, composite: name, implementation: implementation,
                bytes: (inputs + outputs).reduce(0) { $0 &+ $1.byteCount })
        ]
    }

    func makeInstance(workspace: UnsafeMutableRawPointer) throws -> any RegionInstance {
        try HostInstance(self, workspace)
    }
}

/// One context's tensors, filled in before each run.
private final class HostInstance: RegionInstance {
    private let region: HostRegion
    private let workspace: UnsafeMutableRawPointer
    private let tensors: UnsafeMutablePointer<tenon_tensor>
    private let shapes: [UnsafeMutablePointer<Int64>]
    private let reply = ReplyHandle()
    private let replyPointer: OpaquePointer

    init(_ region: HostRegion, _ workspace: UnsafeMutableRawPointer) throws {
        self.region = region
        self.workspace = workspace
        replyPointer = try Handle.make(reply)
        let specs = region.inputs + region.outputs
        tensors = .allocate(capacity: max(specs.count, 1))
        var shapes: [UnsafeMutablePointer<Int64>] = []
        for (index, spec) in specs.enumerated() {
            let shape = UnsafeMutablePointer<Int64>.allocate(capacity: max(spec.shape.count, 1))
            for (axis, size) in spec.shape.enumerated() { (shape + axis).initialize(to: Int64(size)) }
            shapes.append(shape)
            var tensor = tenon_tensor()
            tensor.struct_size = UInt32(MemoryLayout<tenon_tensor>.size)
            tensor.dtype = UInt32(spec.dtype.rawValue)
            tensor.rank = UInt32(clamping: spec.shape.count)
            tensor.shape = UnsafePointer(shape)
            tensor.byte_count = spec.byteCount
            (tensors + index).initialize(to: tensor)
        }
        self.shapes = shapes
    }

    deinit {
        Handle.release(replyPointer, ReplyHandle.self)
        for shape in shapes { shape.deallocate() }
        tensors.deallocate()
    }

    func run(
        inputs: UnsafePointer<UnsafeRawPointer>, outputs: UnsafePointer<UnsafeMutableRawPointer>,
        timings: UnsafeMutablePointer<UInt64>?, environment: borrowing RunEnvironment
    ) throws {
        try environment.check()
        let (inputCount, outputCount) = (region.inputs.count, region.outputs.count)
        for index in 0..<inputCount { tensors[index].data = UnsafeMutableRawPointer(mutating: inputs[index]) }
        for index in 0..<outputCount { tensors[inputCount + index].data = outputs[index] }
        let start = timings == nil ? 0 : MonotonicClock.now
        let answer = region.functions.run(
            region.handle, tensors, inputCount, tensors + inputCount, outputCount, workspace, replyPointer,
            region.functions.userData)
        if let timings { timings[0] = MonotonicClock.now &- start }
        guard UInt32(bitPattern: answer) == TENON_ACCEPT.rawValue else { throw failure(answer) }
    }

    private func failure(_ answer: Int32) -> TenonError {
        let isVerdict = answer == 0 || UInt32(bitPattern: answer) == TENON_FAIL.rawValue
        let reason = isVerdict ? "failed: \(reply.reason)" : "returned \(answer); expected TENON_ACCEPT (1)"
        reply.found = nil
        reply.expected = nil
        return TenonError(.backend, "\(region.place): run \(reason)", node: region.name)
    }
}
