import TenonIR

/// Computes what several bindings compute alike only once. Calls of operators, tuples and projections count; calls of
/// functions and of what the library does not know are left alone, for they may have effects.
public struct EliminateCommonSubexpr: SubstitutingPass {
    typealias Walk = CommonSubexpressions

    public init() {}

    public var name: String { "EliminateCommonSubexpr" }
}

struct CommonSubexpressions: SubstitutingWalk {
    var substitution: Substitution
    /// Expressions that are available here.
    private var known: [Expression: ValueID] = [:]
    /// Those that the block under way made available.
    private var inBlock: [Expression] = []
    /// By body under way, innermost last: those of its earlier blocks, which end with it.
    private var inBodies: [[Expression]] = []

    init(_ substitution: Substitution) { self.substitution = substitution }

    mutating func visit(_ binding: Binding) -> Expression? {
        let expression = binding.expression
        guard isShareable(expression) else { return expression }
        if let earlier = known[expression], substitution.replace(binding.id, by: earlier, passingName: false) {
            return nil
        }
        if known.updateValue(binding.id, forKey: expression) == nil { inBlock.append(expression) }
        return expression
    }

    // What a body binds is not seen after it, and what is local to a block not after that. A body within a block does not
    // end that block.

    mutating func beginBody() {
        inBodies.append(inBlock)
        inBlock = []
        inBodies.append([])
    }

    mutating func endBlock() {
        for expression in inBlock {
            guard let id = known[expression] else { continue }
            if substitution.function.values[id.int].isDataflow {
                known[expression] = nil
            } else {
                inBodies[inBodies.count - 1].append(expression)
            }
        }
        inBlock = []
    }

    mutating func endBody() {
        for expression in inBodies.removeLast() { known[expression] = nil }
        inBlock = inBodies.removeLast()
    }

    private func isShareable(_ expression: Expression) -> Bool {
        switch expression {
        case .call(let call):
            guard case .op = call.callee else { return false }
            // -0.0 equals 0.0 and yet computes something else.
            return !call.arguments.contains { Self.holdsNegativeZero($0) }
                && !call.attributes.entries.contains { Self.holdsNegativeZero($0.value) }
        case .tuple(let fields): return !fields.contains { Self.holdsNegativeZero($0) }
        case .tupleGetItem: return true
        case .operand, .matchCast, .function, .conditional: return false
        }
    }

    private static func isNegativeZero(_ number: Double) -> Bool { number == 0 && number.sign == .minus }

    private static func holdsNegativeZero(_ value: AttributeValue) -> Bool {
        switch value {
        case .float(let number): isNegativeZero(number)
        case .floats(let numbers): numbers.contains { isNegativeZero($0) }
        default: false
        }
    }

    private static func holdsNegativeZero(_ operand: Operand) -> Bool {
        switch operand {
        case .float(let number): isNegativeZero(number)
        case .tuple(let fields): fields.contains { holdsNegativeZero($0) }
        default: false
        }
    }
}
