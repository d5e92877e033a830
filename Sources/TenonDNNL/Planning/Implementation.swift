import TenonIR
import TenonRuntime

/// One way to compute a node that is no primitive of oneDNN: a kernel of ours, said by values alone, so that it can be bound again
/// from its record.
protocol Implementation: Sendable {
    /// As reports show it.
    var name: String { get }
    /// Grows when packed weights or results change.
    var version: Int { get }
    /// What, with the name, tells this way from others.
    var parameters: [Int64] { get }

    /// How its activations lie, where the candidate does not say it.
    var need: LayoutNeed { get }

    /// Multiplications and additions.
    var operations: Double { get }

    /// Bytes of the packed weights; 0 without any.
    var packedBytes: Int { get }

    /// The constants of the node as the kernel reads them, behind its first operand; nil without any.
    func pack(_ packer: WeightPacker, _ graph: RegionGraph) throws -> WeightMemory?

    /// The step: reads the first operand, the packed weights where there are any, then the other operands.
    func kernel(threads: Int, operands: Int, inPlace: Bool) throws -> PreparedKernel
}

extension Implementation {
    var need: LayoutNeed { .any }
    var operations: Double { 0 }
}
