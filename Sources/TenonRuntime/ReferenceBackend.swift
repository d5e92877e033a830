import TenonIR

/// The Swift kernels as a backend: takes any region whose operators have kernels. For tests, for comparing other backends
/// with, and for platforms that have none.
public final class ReferenceBackend: Backend {
    public let name: String

    /// Under another name it stands in for that backend: the same partitioned module runs on the kernels.
    public init(name: String = "reference") { self.name = name }

    public func compile(_ region: Function, name: String, options: CompileOptions) throws -> any CompiledRegion {
        let region = try region.expandingOperators() ?? region
        let types = region.parameterTypes.flatMap { ReferenceBackend.tensors($0) }
        let specs = try types.map { type in
            guard let spec = TensorSpec(type) else {
                throw TenonError(.invalidShape, "region '\(name)': a parameter of type \(type) has no known size")
            }
            return spec
        }
        do {
            return PlanRegion(
                try PlanBuilder.plan(Module(), region, inputs: specs, backends: [:], options: options))
        } catch let error as DependsOnData {
            throw TenonError(.unsupported, "region '\(name)': \(error.reason) depends on the data")
        }
    }

    private static func tensors(_ type: ValueType) -> [TensorType] {
        switch type {
        case .tensor(let tensor): [tensor]
        case .tuple(let fields): fields.flatMap { tensors($0) }
        default: [TensorType(dtype: nil, rank: nil)]
        }
    }
}

/// A plan as a region of another plan.
private final class PlanRegion: CompiledRegion {
    let plan: Plan

    init(_ plan: Plan) { self.plan = plan }

    var packedWeightBytes: Int { plan.packedWeightBytes }
    var workspaceBytes: Int { plan.arenaBytes }
    var steps: [StepDescription] { plan.descriptions }

    func makeInstance(workspace: UnsafeMutableRawPointer) throws -> any RegionInstance {
        try PlanInstance(plan, arena: workspace)
    }
}
