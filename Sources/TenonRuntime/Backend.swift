import TenonIR

/// Turns a region function (one with the attribute `Codegen`) into something that runs.
///
/// A region's body calls local functions that carry `Composite`, as `MergeCompositeFunctions` makes them; the constants in
/// it are known. All shapes are numbers. Inputs and outputs are dense and row-major.
public protocol Backend: AnyObject, Sendable {
    /// What `Codegen` says: `dnnl`.
    var name: String { get }
    /// What decides how regions are rounded, as its version and the processor; part of a plan's digest.
    var version: String { get }
    /// Whether a region may be run composite by composite, on other kernels too, where one program serves all sizes.
    var allowsPartition: Bool { get }

    /// Called on the thread that will run the region, so that thread-local settings (OpenMP's thread count) agree.
    func compile(_ region: Function, name: String, options: CompileOptions) throws -> any CompiledRegion
}

extension Backend {
    public var version: String { "" }
    public var allowsPartition: Bool { false }
}

/// A region made ready: immutable, shared by all contexts and threads.
public protocol CompiledRegion: AnyObject, Sendable {
    /// Bytes of weights packed for this region, those of `sharedWeights` included.
    var packedWeightBytes: Int { get }
    /// The packed weights that other regions may hold too; each counts once in what an executable uses.
    var sharedWeights: [any SharedWeights] { get }
    /// Bytes that an instance needs while it runs, for intermediates and scratch, aligned to 64.
    var workspaceBytes: Int { get }
    /// What runs, step by step, for reports.
    var steps: [StepDescription] { get }

    /// Roughly how long a run takes with the threads that the region was compiled for; infinite when nobody knows.
    var expectedNanoseconds: Double { get }

    /// What one context needs of its own: argument tables bound to `workspace`, which has `workspaceBytes` bytes and
    /// outlives the instance.
    func makeInstance(workspace: UnsafeMutableRawPointer) throws -> any RegionInstance
}

extension CompiledRegion {
    public var sharedWeights: [any SharedWeights] { [] }
    public var expectedNanoseconds: Double { .infinity }
}

/// Packed weights, told apart by identity.
public protocol SharedWeights: AnyObject, Sendable {
    var bytes: Int { get }
}

/// One context's state of a region. Used by one thread at a time.
public protocol RegionInstance: AnyObject {
    /// Runs the region once. Inputs and outputs are in the order of the region function's parameters and results (a tuple
    /// result is flattened); allocates nothing. With `timings`, which has room for one entry per step, writes the
    /// nanoseconds that each step took. Calls `environment.check()` between its steps.
    func run(
        inputs: UnsafePointer<UnsafeRawPointer>, outputs: UnsafePointer<UnsafeMutableRawPointer>,
        timings: UnsafeMutablePointer<UInt64>?, environment: borrowing RunEnvironment
    ) throws
}

/// One step of a plan in words and numbers.
public struct StepDescription: Sendable, Hashable {
    /// The binding that the step computes, as named in the module.
    public var binding: String
    /// The composite's name, or the operator's where there is none.
    public var composite: String
    /// The implementation that runs it, as its library names it.
    public var implementation: String
    /// Layouts of inputs and output, as `nChw16c:nhwc`; empty when plain.
    public var layouts: String
    /// Bytes read and written at least.
    public var bytes: Int
    /// Multiplications and additions.
    public var flops: Int
    /// The function of the module that the region was made of; empty outside of regions.
    public var region = ""
    /// Why not the backend that the region names runs it; empty where it does.
    public var note = ""

    public init(
        binding: String, composite: String, implementation: String, layouts: String = "", bytes: Int = 0, flops: Int = 0
    ) {
        self.binding = binding
        self.composite = composite
        self.implementation = implementation
        self.layouts = layouts
        self.bytes = bytes
        self.flops = flops
    }
}
