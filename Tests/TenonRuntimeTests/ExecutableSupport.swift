import Glibc
import TenonIR
import Testing

@testable import TenonRuntime

/// Small modules that the tests of the executor share.
enum Sample {
    static func f32(_ dims: [Int64]) -> ValueType { .tensor(.float32, dims) }

    static func module(_ body: (inout FunctionBuilder) throws -> Operand) throws -> Module {
        var builder = FunctionBuilder()
        let result = try body(&builder)
        return Module(functions: ["main": try builder.finish(result)])
    }

    /// relu(a + b) for two tensors of one shape.
    static func addRelu(_ dims: [Dim]) throws -> Module {
        try module { builder in
            let a = builder.parameter("a", .tensor(.float32, dims))
            let b = builder.parameter("b", .tensor(.float32, dims))
            let sum = try builder.call("add", [.value(a), .value(b)], name: "sum")
            return .value(try builder.call("nn.relu", [.value(sum)], name: "positive"))
        }
    }

    /// `main` calls one region function that the backend of that name compiles; it adds its two parameters.
    static func region(_ backend: String, _ dims: [Dim], calls: Int = 1) throws -> Module {
        var region = FunctionBuilder(attributes: ["Codegen": .string(backend), "global_symbol": "region0"])
        let p = region.parameter("p", .tensor(.float32, dims))
        let q = region.parameter("q", .tensor(.float32, dims))
        let sum = try region.call("add", [.value(p), .value(q)], name: "sum")
        var module = Module(functions: ["region0": try region.finish(.value(sum))])
        var main = FunctionBuilder()
        let a = main.parameter("a", .tensor(.float32, dims))
        let b = main.parameter("b", .tensor(.float32, dims))
        var last: Operand = .value(a)
        for _ in 0..<calls {
            last = .value(
                main.bind(
                    .call(Call(.function("region0"), [last, .value(b)])), .tensor(.float32, dims), name: "joined"))
        }
        module["main"] = try main.finish(last)
        return module
    }

    static func ramp(_ dims: [Int64], from start: Float = 0, step: Float = 1) throws -> Constant {
        let count = dims.reduce(1, *)
        return try Constant.floats(dims, (0..<count).map { start + Float($0) * step })
    }
}

extension Constant {
    var floats: [Float] { doubleElements?.map { Float($0) } ?? [] }
}

extension Executable {
    /// Runs on arrays; every one is given to `body` as dense memory first.
    func runViews(_ inputs: [TensorView], _ outputs: [TensorView], _ options: RunOptions = RunOptions()) throws {
        try inputs.withUnsafeBufferPointer { inputs in
            try outputs.withUnsafeBufferPointer { outputs in try run(inputs: inputs, outputs: outputs, options: options)
            }
        }
    }
}

/// Memory of a test's tensor with its sizes, alive as long as the object.
final class TestTensor {
    let data: UnsafeMutablePointer<Float>
    let count: Int
    private let dims: UnsafeMutablePointer<Int64>
    private let steps: UnsafeMutablePointer<Int64>?
    private let rank: Int

    init(_ dims: [Int64], strides: [Int64]? = nil, _ elements: [Float]) {
        count = elements.count
        data = .allocate(capacity: max(elements.count, 1))
        data.initialize(repeating: 0, count: max(elements.count, 1))
        for (index, element) in elements.enumerated() { data[index] = element }
        rank = dims.count
        self.dims = .allocate(capacity: max(rank, 1))
        for (index, dim) in dims.enumerated() { self.dims[index] = dim }
        if let strides {
            let memory = UnsafeMutablePointer<Int64>.allocate(capacity: max(rank, 1))
            for (index, stride) in strides.enumerated() { memory[index] = stride }
            steps = memory
        } else {
            steps = nil
        }
    }

    deinit {
        data.deallocate()
        dims.deallocate()
        steps?.deallocate()
    }

    var elements: [Float] { (0..<count).map { data[$0] } }

    func view(offset: Int = 0, byteCount: Int? = nil, dtype: DataType = .float32) -> TensorView {
        TensorView(dtype: dtype, data: data + offset, rank: rank, shape: dims, strides: steps, byteCount: byteCount)
    }
}

/// What a region of `ProbeBackend` saw and does; one region adds its two inputs.
final class ProbeBackend: Backend, @unchecked Sendable {
    struct Options {
        /// Sleeps so long in each of so many steps, asking the environment in between.
        var steps = 1
        var microsecondsPerStep: UInt32 = 0
        var packedWeightBytes = 0
        var workspaceBytes = 128
        var fails = false
        /// What the sums are wrong by.
        var offset: Float = 0
    }

    let name = "probe"
    let options: Options
    /// Called in each run, as a host's backend may run what it likes.
    nonisolated(unsafe) var onRun: (() throws -> Void)?
    private let lock = Lock()
    private var seenInputs: [UnsafeRawPointer] = []
    private var seenOutputs: [UnsafeMutableRawPointer] = []
    private var seenThreads: Set<UInt> = []
    private var running = 0
    private var most = 0
    private var made = 0
    private var shapes: [[Int]] = []

    init(_ options: Options = Options()) { self.options = options }

    var inputs: [UnsafeRawPointer] { lock.locked { seenInputs } }
    var outputs: [UnsafeMutableRawPointer] { lock.locked { seenOutputs } }
    var threads: Set<UInt> { lock.locked { seenThreads } }
    /// The most runs at once.
    var mostRunning: Int { lock.locked { most } }
    var instances: Int { lock.locked { made } }
    var compiledShapes: [[Int]] { lock.locked { shapes } }

    func compile(_ region: Function, name: String, options: CompileOptions) throws -> any CompiledRegion {
        guard let type = region.parameterTypes.first?.asTensor, let spec = TensorSpec(type) else {
            throw TenonError(.internal, "the region's shape is not known")
        }
        lock.locked { shapes.append(spec.shape) }
        return Region(backend: self, count: spec.count, threads: options.threads)
    }

    final class Region: CompiledRegion {
        let backend: ProbeBackend
        let count: Int
        let threads: Int

        init(backend: ProbeBackend, count: Int, threads: Int) {
            self.backend = backend
            self.count = count
            self.threads = threads
        }

        var packedWeightBytes: Int { backend.options.packedWeightBytes }
        var workspaceBytes: Int { backend.options.workspaceBytes }
        var steps: [StepDescription] {
            (0..<backend.options.steps).map {
                StepDescription(binding: "probe\($0)", composite: "probe.add", implementation: "probe")
            }
        }

        func makeInstance(workspace: UnsafeMutableRawPointer) throws -> any RegionInstance {
            backend.lock.locked { backend.made += 1 }
            return Instance(self)
        }
    }

    final class Instance: RegionInstance {
        let region: Region

        init(_ region: Region) { self.region = region }

        func run(
            inputs: UnsafePointer<UnsafeRawPointer>, outputs: UnsafePointer<UnsafeMutableRawPointer>,
            timings: UnsafeMutablePointer<UInt64>?, environment: borrowing RunEnvironment
        ) throws {
            let backend = region.backend
            backend.lock.locked {
                backend.seenInputs = [inputs[0], inputs[1]]
                backend.seenOutputs = [outputs[0]]
                backend.seenThreads.insert(UInt(pthread_self()))
                backend.running += 1
                backend.most = max(backend.most, backend.running)
            }
            defer { backend.lock.locked { backend.running -= 1 } }
            try backend.onRun?()
            for step in 0..<backend.options.steps {
                try environment.check()
                if backend.options.microsecondsPerStep > 0 { usleep(backend.options.microsecondsPerStep) }
                timings?[step] = UInt64(step) + 1
            }
            if backend.options.fails { throw TenonError(.backend, "the probe failed") }
            let a = inputs[0].assumingMemoryBound(to: Float.self)
            let b = inputs[1].assumingMemoryBound(to: Float.self)
            let sum = outputs[0].assumingMemoryBound(to: Float.self)
            environment.parallel.forEach(region.count) { range in
                for index in range { sum[index] = a[index] + b[index] + backend.options.offset }
            }
        }
    }
}

/// Calls `body` on `count` new threads and waits for all; the errors that they threw come back.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) -> [any Error] {
    final class Work: @unchecked Sendable {
        let body: (Int) throws -> Void
        let index: Int
        var error: (any Error)?
        init(_ index: Int, _ body: @escaping (Int) throws -> Void) {
            self.index = index
            self.body = body
        }
    }
    let works = (0..<count).map { Work($0, body) }
    let threads = works.map { work in
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { pointer in
                guard let pointer else { return nil }
                let work = Unmanaged<Work>.fromOpaque(pointer).takeUnretainedValue()
                do { try work.body(work.index) } catch { work.error = error }
                return nil
            }, Unmanaged.passUnretained(work).toOpaque())
        return thread
    }
    for thread in threads { pthread_join(thread, nil) }
    return works.compactMap(\.error)
}

/// Runs `body` in a forked child, which has `seconds`; its answer, or nil when it hung or crashed.
func inChild(seconds: Int = 20, _ body: () -> Bool) -> Bool? {
    // Swift hides fork; here it is the point.
    guard let symbol = dlsym(nil, "fork") else { return nil }
    let fork = unsafeBitCast(symbol, to: (@convention(c) () -> pid_t).self)
    let child = fork()
    if child == 0 { _exit(body() ? 0 : 1) }
    guard child > 0 else { return nil }
    var status: Int32 = 0
    for _ in 0..<(seconds * 100) {
        let ended = waitpid(child, &status, WNOHANG)
        if ended == child { return status & 0x7f == 0 ? (status >> 8) & 0xff == 0 : nil }
        usleep(10_000)
    }
    kill(child, SIGKILL)
    waitpid(child, &status, 0)
    return nil
}
