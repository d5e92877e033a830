import TenonIR

/// Puts pure bindings that stand in a row into a dataflow block, and unites dataflow blocks that touch: only what stands in one
/// block is fused. Control flow and calls that may have effects stay between blocks.
public struct ConvertToDataflow: ConfigurablePass {
    /// Fewer pure bindings than this that touch no dataflow block stay outside.
    public var minimumSize: Int

    public init(minimumSize: Int = 2) { self.minimumSize = minimumSize }

    public static let arguments: [OperatorSchema.Attribute] = [.defaulted("min_size", 2)]

    public init(arguments: Attributes) throws { minimumSize = Int(clamping: arguments.int("min_size") ?? 2) }

    public var name: String { "ConvertToDataflow" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        let effects = Effects(module)
        for (name, function) in module.functions
        where !function.isPrimitive && function.composite == nil && function.codegen == nil {
            if let converted = converted(function, effects) { result[name] = converted }
        }
        return result
    }

    /// Nil when there is nothing to do.
    private func converted(_ function: Function, _ effects: Effects) -> Function? {
        var changed = false

        func isPure(_ expression: Expression) -> Bool {
            switch expression {
            case .conditional, .function: false
            case .matchCast: true
            default: !effects.mayHave(expression, in: function)
            }
        }

        func pieces(of block: Block) -> [Block] {
            guard !block.isDataflow else { return [block] }
            var result: [Block] = []
            for var binding in block.bindings {
                if case .conditional(let condition, var then, var other) = binding.expression {
                    convert(&then)
                    convert(&other)
                    binding.expression = .conditional(condition, then: then, else: other)
                }
                let isDataflow = isPure(binding.expression)
                if result.last?.isDataflow != isDataflow { result.append(Block(isDataflow: isDataflow)) }
                result[result.count - 1].bindings.append(binding)
            }
            return result
        }

        func convert(_ body: inout Body) {
            // What was in a dataflow block already stays in one, however small the block.
            var joined: [(block: Block, wasDataflow: Bool)] = []
            for block in body.blocks {
                for piece in pieces(of: block) {
                    if let last = joined.last, last.block.isDataflow == piece.isDataflow {
                        joined[joined.count - 1].block.bindings += piece.bindings
                        joined[joined.count - 1].wasDataflow = last.wasDataflow || block.isDataflow
                    } else {
                        joined.append((piece, block.isDataflow))
                    }
                }
            }
            var blocks: [Block] = []
            for piece in joined {
                var block = piece.block
                if block.isDataflow, !piece.wasDataflow, block.bindings.count < minimumSize { block.isDataflow = false }
                if !block.isDataflow, let last = blocks.last, !last.isDataflow {
                    blocks[blocks.count - 1].bindings += block.bindings
                } else {
                    blocks.append(block)
                }
            }
            if blocks.count != body.blocks.count || zip(blocks, body.blocks).contains(where: Self.differ) {
                changed = true
            }
            body.blocks = blocks
        }

        var result = function
        convert(&result.body)
        guard changed else { return nil }
        return result.withScopedValues(showing: true) ?? result
    }

    private static func differ(_ a: Block, _ b: Block) -> Bool {
        a.isDataflow != b.isDataflow || a.bindings.count != b.bindings.count
    }
}
