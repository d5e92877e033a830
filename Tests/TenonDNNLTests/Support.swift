import Glibc
import TenonIR
import TenonRewrite
import TenonRuntime
import Testing

@testable import TenonDNNL

/// Deterministic numbers in -1...1.
struct Numbers {
    var state: UInt64

    init(_ seed: UInt64) { state = seed &* 2 &+ 1 }

    mutating func next() -> Float {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int32(truncatingIfNeeded: state >> 33) & 0xFFFFFF) / 8_388_608 - 1
    }

    mutating func list(_ count: Int) -> [Float] { (0..<count).map { _ in next() } }
}

/// Builds a `main` of one dataflow block with constants of random numbers.
struct Net {
    var builder = FunctionBuilder(attributes: ["global_symbol": "main"])
    var numbers: Numbers

    init(seed: UInt64 = 1) { numbers = Numbers(seed) }

    mutating func input(_ dims: [Int64], _ name: String = "x") -> Operand {
        .value(builder.parameter(name, .tensor(.float32, dims)))
    }

    mutating func constant(_ dims: [Int64], scale: Float = 1, offset: Float = 0) throws -> Operand {
        let count = Int(dims.reduce(1, *))
        return .constant(try .floats(dims, numbers.list(count).map { $0 * scale + offset }))
    }

    mutating func call(_ op: String, _ arguments: [Operand], _ attributes: Attributes = Attributes()) throws -> Operand
    {
        .value(try builder.call(op, arguments, attributes, name: "v\(builder.function.values.count)"))
    }

    /// A convolution with random weights, and a bias as frontends write it.
    mutating func conv(
        _ x: Operand, _ outputs: Int64, kernel: Int64 = 3, stride: Int64 = 1, pad: Int64? = nil, groups: Int64 = 1,
        bias: Bool = true
    ) throws -> Operand {
        let dims = builder.type(of: x).asTensor?.staticShape ?? []
        let fan = Float(dims[1] / groups * kernel * kernel)
        let weight = try constant([outputs, dims[1] / groups, kernel, kernel], scale: (3 / fan).squareRoot())
        let p = pad ?? kernel / 2
        let y = try call(
            "nn.conv2d", [x, weight],
            ["padding": .ints([p, p, p, p]), "strides": .ints([stride, stride]), "groups": .int(groups)])
        guard bias else { return y }
        let b = try call("reshape", [try constant([outputs]), .shape([1, .fixed(outputs), 1, 1])])
        return try call("add", [y, b])
    }

    mutating func module(_ results: Operand...) throws -> Module {
        let result = results.count == 1 ? results[0] : .tuple(results)
        return Module(functions: ["main": try builder.finish(result)])
    }
}

/// A region compiled and one instance of it, run on arrays.
final class RegionRun {
    let region: any CompiledRegion
    private let instance: any RegionInstance
    private let workspace: UnsafeMutableRawPointer

    init(_ function: Function, threads: Int = 2, options: CompileOptions? = nil) throws {
        region = try DNNLBackend().compile(function, name: "test", options: options ?? CompileOptions(threads: threads))
        workspace = .allocate(byteCount: region.workspaceBytes + 64, alignment: 64)
        // Whatever is read before it is written shows.
        memset(workspace, 0xFF, region.workspaceBytes)
        instance = try region.makeInstance(workspace: workspace)
    }

    deinit { workspace.deallocate() }

    var implementations: [String] { region.steps.map(\.implementation) }
    var composites: [String] { region.steps.map(\.composite) }

    func run(_ inputs: [[Float]], outputs counts: [Int]) throws -> [[Float]] {
        var sources: [UnsafeRawPointer] = []
        var targets: [UnsafeMutableRawPointer] = []
        defer {
            for source in sources { source.deallocate() }
            for target in targets { target.deallocate() }
        }
        for input in inputs {
            let memory = UnsafeMutableRawPointer.allocate(byteCount: max(input.count, 1) * 4, alignment: 64)
            input.withUnsafeBytes {
                if let base = $0.baseAddress { memory.copyMemory(from: base, byteCount: $0.count) }
            }
            sources.append(UnsafeRawPointer(memory))
        }
        for count in counts { targets.append(.allocate(byteCount: max(count, 1) * 4, alignment: 64)) }
        try instance.run(inputs: sources, outputs: targets, timings: nil, environment: RunEnvironment())
        return zip(targets, counts).map { target, count in
            Array(UnsafeBufferPointer(start: target.assumingMemoryBound(to: Float.self), count: count))
        }
    }
}

/// What the default pipeline makes of a module; a test where an operator stays outside the regions is wrong.
func partitioned(_ module: Module) throws -> Module {
    let done = try DefaultPipeline.make().apply(to: module)
    for binding in done.main?.body.blocks.flatMap(\.bindings) ?? [] {
        if case .op(let op)? = binding.expression.asCall?.callee {
            #expect(op.has(.view), "\(op.name) is not fused")
        }
    }
    return done
}

/// Runs `main` as a region, fused and operator by operator, and compares both with the reference. Returns the fused run.
@discardableResult
func check(
    _ module: Module, tolerance: Float = 1e-5, threads: Int = 2, seed: UInt64 = 99, mayLeaveOperators: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> Executable {
    let main = try #require(module.main)
    var numbers = Numbers(seed)
    let inputs = main.parameterTypes.map { numbers.list($0.asTensor?.elementCount ?? 0) }
    let expected = try Reference.run(main, inputs)
    func compare(_ found: [[Float]], _ how: [String]) {
        for (index, (values, wanted)) in zip(found, expected).enumerated() {
            let largest = max(wanted.map { abs($0) }.max() ?? 0, 1e-6)
            var worst: Float = 0
            for (a, b) in zip(values, wanted) { worst = max(worst, (a - b).isNaN ? .infinity : abs(a - b)) }
            #expect(worst <= tolerance * largest, "output \(index): \(how)", sourceLocation: sourceLocation)
        }
    }
    let alone = try RegionRun(main, threads: threads)
    // The second run meets the workspace as the first one left it.
    for _ in 0..<2 { compare(try alone.run(inputs, outputs: expected.map(\.count)), alone.implementations) }
    let executable = try Executable(
        module: try mayLeaveOperators ? DefaultPipeline.make().apply(to: module) : partitioned(module),
        backends: [DNNLBackend()], options: CompileOptions(threads: threads))
    let constants = try zip(inputs, main.parameterTypes).map { values, type in
        try Constant.floats(type.asTensor?.staticShape ?? [], values)
    }
    for _ in 0..<2 {
        let found = try executable.run(constants).map { ($0.doubleElements ?? []).map { Float($0) } }
        compare(found, executable.steps.map(\.implementation))
    }
    return executable
}

extension Executable {
    /// What runs, without the reorders.
    var composites: [String] { steps.map(\.composite).filter { $0 != "reorder" && $0 != "copy" } }
}

/// The whole function as one composite inside a region.
func asComposite(_ function: Function) throws -> Function {
    var inner = function
    inner.attributes = ["Composite": "dnnl.test"]
    var builder = FunctionBuilder(attributes: ["Codegen": "dnnl"])
    let parameters = function.parameters.map { builder.parameter("p", function.type(of: $0)) }
    let local = builder.bind(
        .function(inner), .function(parameters: function.parameterTypes, result: function.resultType))
    let result = builder.bind(.call(Call(.local(local), parameters.map { .value($0) })), function.resultType)
    return try builder.finish(.value(result))
}
