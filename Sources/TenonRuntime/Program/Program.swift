import TenonIR

/// A module as one flat program: tensors, nodes in the order of their evaluation, blocks for branches and loop bodies, and
/// the expressions of its sizes. Nothing in it depends on the processor, on concrete sizes or on a run.
///
/// A block is a list of stages. A stage first evaluates sizes, then runs nodes whose shapes follow from sizes that are
/// bound; what ends it (a branch, a loop, an operator whose result depends on the data) may bind further symbols, which the
/// next stage uses.
struct Program: Sendable {
    /// A tensor as a node sees it. Several may be views of one root.
    struct Tensor: Sendable {
        /// Nil where only a run knows it.
        var dtype: DataType?
        /// Nil where not even the rank is known before a run.
        var dims: [Size]?
        var root: Int
        var name: String

        var isPlanned: Bool { dtype != nil && dims != nil }
    }

    /// Memory that tensors share.
    enum Root: Sendable {
        case input(Int)
        case constant(Int)
        /// Written by a node of this stage.
        case node(stage: Int)
        /// Its address comes with the run: results of what ends a stage, parameters of loop bodies.
        case patched
    }

    /// An argument of an operator.
    indirect enum Argument: Sendable {
        case tensor(Int)
        case literal(Operand)
        case shape([Size])
        /// A vector of integers that stands for a shape.
        case shapeTensor(Int)
        case tuple([Argument])
    }

    struct Operation: Sendable {
        var op: OperatorID
        var attributes: Attributes
        var arguments: [Argument]
    }

    /// A function with `Codegen`, compiled by its backend for the sizes of a stage.
    struct Region: Sendable {
        var name: String
        var codegen: String
        var function: Function
        var arguments: [Argument]
    }

    /// An anchor and element-wise steps on its result, as one node.
    struct Chain: Sendable {
        struct Step: Sendable {
            var op: OperatorID
            var attributes: Attributes
            /// The call's arguments where it has no other tensor, with anything in the place of the chain's value.
            var arguments: [Operand]
            /// The other operand, counted from the first input behind the anchor's; nil for one operand.
            var operand: Int?
            /// Whether the chain's value is the left operand.
            var isLeft: Bool
        }
        var anchor: Operation
        /// How many of the node's inputs are the anchor's.
        var anchorInputs: Int
        /// What the anchor gives.
        var steps: [Step]
    }

    enum Work: Sendable {
        case operation(Operation)
        case chain(Chain)
        case region(Region)
        /// Writes sizes as a tensor of i64.
        case sizes([Size])
    }

    struct Node: Sendable {
        var work: Work
        var inputs: [Int]
        var outputs: [Int]
        /// The binding in the module, for errors and reports.
        var name: String
        var composite: String
        /// Entries of the table that the node depends on, as positions in the stage's `slots`, ascending.
        var slots: [Int32] = []
    }

    /// How the shape of a result that a run finds meets the sizes of the program.
    enum Found: Sendable {
        case bind(Int32)
        case check(Size)
        /// Equal by construction.
        case known
    }

    struct LateOutput: Sendable {
        var tensor: Int
        /// Per dimension; nil when the tensor's shape stays with the run.
        var dims: [Found]?
    }

    /// An operator whose result has a shape that only a run knows.
    struct Late: Sendable {
        var operation: Operation
        var inputs: [Int]
        var outputs: [LateOutput]
        var name: String
        var composite: String
    }

    struct Join: Sendable {
        var output: LateOutput
        /// What the branches give.
        var then: Int
        var other: Int
    }

    struct Branch: Sendable {
        var condition: Int
        var then: Int
        var other: Int
        var joins: [Join]
        var name: String
    }

    struct State: Sendable {
        var initial: Int
        /// The tensor that the body reads.
        var parameter: LateOutput
        /// What the body gives.
        var next: Int
        var output: LateOutput
    }

    struct Scan: Sendable {
        /// What one iteration gives.
        var value: Int
        var output: LateOutput
        /// Type of a value where the body never ran.
        var dtype: DataType
        var rank: Int
    }

    struct Loop: Sendable {
        var tripCount: Int
        var condition: Int
        var body: Int
        /// Parameters of the body: a number of i64, and the condition.
        var iteration: Int
        var given: Int
        /// The body's condition.
        var next: Int
        var states: [State]
        var scans: [Scan]
        var name: String
    }

    enum End: Sendable {
        case late(Late)
        /// Binds sizes from a vector of integers.
        case sizes(tensor: Int, dims: [Found], name: String)
        /// Gives a tensor of unknown shape the sizes that the module says it has.
        case cast(tensor: Int, output: LateOutput, name: String)
        case branch(Branch)
        case loop(Loop)
    }

    struct Stage: Sendable {
        /// Instructions that the stage evaluates when it begins.
        var sizes: Range<Int>
        var nodes: [Node] = []
        var end: End?
        /// Entries of the table that the nodes depend on, ascending.
        var slots: [Int32] = []
        /// Roots of this stage that are read after its nodes.
        var escaping: Set<Int> = []
    }

    struct Block: Sendable {
        /// Numbers of its stages.
        var stages: [Int] = []
        /// Tensors that it gives.
        var results: [Int] = []
    }

    /// What the sizes of an input bind or must be.
    struct Input: Sendable {
        var tensor: Int
        /// Nil where the rank is free.
        var dims: [Found]?
    }

    var sizes = SizeProgram()
    /// Instructions that hold for the inputs, evaluated when a run begins.
    var entry = 0..<0
    var tensors: [Tensor] = []
    var roots: [Root] = []
    var constants: [Constant] = []
    var stages: [Stage] = []
    var blocks: [Block] = []
    var inputs: [Input] = []
    /// Tensors of the results.
    var outputs: [Int] = []
    /// Sizes of outputs which the inputs decide; nil where only the run knows them.
    var outputDims: [[Size]?] = []
    /// Instructions that give `outputDims`.
    var outputSizes = 0..<0

    /// The block that runs.
    static let main = 0

    func constant(_ tensor: Int) -> Constant? {
        if case .constant(let index) = roots[tensors[tensor].root] { return constants[index] }
        return nil
    }
}
