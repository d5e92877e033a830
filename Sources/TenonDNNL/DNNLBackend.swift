import CDNNL
import TenonIR
import TenonRewrite
import TenonRuntime

/// Runs regions marked `Codegen = "dnnl"` on oneDNN.
///
/// Each composite of a region becomes one primitive with its bias and post-operations; an operator that oneDNN does not
/// have, or not for these types, runs on its Swift kernel inside the region.
public final class DNNLBackend: Backend {
    public let name = "dnnl"

    public var version: String { DNNLLibrary.machine }

    public var allowsPartition: Bool { true }

    public init() {}

    /// Version of the loaded oneDNN, as "2.6.3".
    public static var libraryVersion: String { DNNLLibrary.version }

    /// The highest instruction set that it uses, as it calls it: "avx512_core_vnni".
    public static var instructionSet: String { DNNLLibrary.instructionSet }

    public func compile(_ region: Function, name: String, options: CompileOptions) throws -> any CompiledRegion {
        // oneDNN divides work when a primitive is made, so it must know the number of threads then.
        try DNNLStatus.check(
            tdnnl_set_threads(Int32(clamping: options.threads)), "region '\(name)': \(options.threads) threads")
        // Layouts are views: permutations meet around what a primitive computes, and lie where memory is seen otherwise.
        let region = try region.expandingOperators().map { try MoveTransposes().moved($0) } ?? region
        let numerics: NumericsPolicy = options.losesNaN ? .fast : .strict
        let plan = try RegionPlanner.plan(region, options: options, numerics: numerics)
        guard numerics == .strict, plan.mayLoseNaN else { return DNNLRegion(plan, threads: options.threads) }
        return DNNLRegion(
            plan, threads: options.threads,
            exact: ExactRegion { try RegionPlanner.plan(region, options: options, numerics: .exact) })
    }
}
