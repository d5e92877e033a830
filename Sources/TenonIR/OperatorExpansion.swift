/// Writes what an operator is in terms of others: the bindings go in front of the call that they stand for.
public struct OperatorExpander {
    fileprivate(set) var function: Function
    fileprivate var emitted: [Binding] = []
    fileprivate var isDataflow = true
    /// What literals the values name, so that shapes given by them are known.
    fileprivate var literals: [ValueID: Constant] = [:]
    /// Operators that are being expanded, within each other.
    fileprivate var depth = 0

    fileprivate init(_ function: Function) { self.function = function }

    public func type(of operand: Operand) -> ValueType { function.type(of: operand) }

    /// The tensor type of an operand, with all sizes, or an error that says what is not known.
    public func shaped(_ operand: Operand, _ op: String) throws -> (dtype: DataType, shape: [Dim]) {
        guard let type = type(of: operand).asTensor, let dtype = type.dtype, let shape = type.shape else {
            throw TenonError(
                .unsupported, "\(op): expects an operand of known rank and element type, found \(type(of: operand))",
                operatorName: op)
        }
        return (dtype, shape)
    }

    /// Adds a call, itself written in terms of others where that is what it is.
    public mutating func call(
        _ name: String, _ arguments: [Operand], _ attributes: Attributes = Attributes()
    ) throws -> Operand {
        let op = try Operators.require(name)
        let typed = try Inference.call(
            op, arguments, attributes, types: arguments.map { function.type(of: $0) },
            constants: arguments.map { constant($0) })
        let call = Call(.op(op), arguments, typed.attributes)
        if let operand = try expansion(of: call, op, typed.type) { return operand }
        return bind(.call(call), typed.type)
    }

    public mutating func item(_ tuple: Operand, _ index: Int) throws -> Operand {
        guard case .tuple(let fields) = function.type(of: tuple), fields.indices.contains(index) else {
            throw TenonError(.internal, "item \(index) of \(function.type(of: tuple))")
        }
        return bind(.tupleGetItem(tuple, index), fields[index])
    }

    /// A tensor of one element of the given type.
    public func scalar(_ value: Double, _ dtype: DataType) throws -> Operand {
        .constant(try Constant.filled(dtype, [], value))
    }

    public func constant(_ operand: Operand) -> Constant? {
        operand.constant ?? operand.valueID.flatMap { literals[$0] }
    }

    private mutating func bind(_ expression: Expression, _ type: ValueType) -> Operand {
        let id = function.addValue("", type, isDataflow: isDataflow)
        emitted.append(Binding(id, expression))
        return .value(id)
    }

    /// Operands that a schema lets through may not go together, which the operators that the call is written in show.
    fileprivate mutating func expansion(of call: Call, _ op: OperatorID, _ declared: ValueType) throws -> Operand? {
        guard let expand = op.schema.expansion else { return nil }
        guard depth < 16 else { throw TenonError(.internal, "\(op.name) is written in terms of itself") }
        depth += 1
        defer { depth -= 1 }
        guard let operand = try expand(&self, call) else { return nil }
        let given = function.type(of: operand)
        guard declared.isConsistent(with: given) else {
            throw TenonError(
                .invalidShape, "\(op.name): expects operands that give \(declared), found such that give \(given)",
                operatorName: op.name)
        }
        return operand
    }
}

extension Module {
    /// The module without operators that are written in terms of others: layouts become permutations, and so on. Itself when it
    /// has none. Regions are left to their backends unless asked for.
    public func expandingOperators(inRegions: Bool = false) throws -> Module {
        var result: Module?
        for (name, function) in functions where inRegions || function.codegen == nil {
            do {
                guard let expanded = try function.expandingOperators() else { continue }
                var changed = result ?? self
                changed[name] = expanded
                result = changed
            } catch let error as TenonError {
                throw error.located(at: "@\(name)")
            }
        }
        return result ?? self
    }
}

extension Function {
    /// The function without operators that are written in terms of others; nil when it has none.
    public func expandingOperators() throws -> Function? {
        let isNeeded = containsBinding { expression in
            switch expression {
            case .call(let call): if case .op(let op) = call.callee { op.schema.expansion != nil } else { false }
            case .function: true
            default: false
            }
        }
        guard isNeeded else { return nil }
        var expander = OperatorExpander(self)
        var changed = false

        func expand(_ body: Body) throws -> Body {
            var body = body
            for block in body.blocks.indices {
                var bindings: [Binding] = []
                bindings.reserveCapacity(body.blocks[block].bindings.count)
                for var binding in body.blocks[block].bindings {
                    switch binding.expression {
                    case .conditional(let condition, let then, let other):
                        binding.expression = .conditional(condition, then: try expand(then), else: try expand(other))
                    case .function(let local):
                        if let inner = try local.expandingOperators() {
                            binding.expression = .function(inner)
                            changed = true
                        }
                    case .operand(let operand):
                        if let constant = expander.constant(operand) { expander.literals[binding.id] = constant }
                    case .call(let call):
                        guard case .op(let op) = call.callee, op.schema.expansion != nil else { break }
                        expander.isDataflow = body.blocks[block].isDataflow
                        expander.emitted = []
                        do {
                            let declared = expander.type(of: .value(binding.id))
                            guard let operand = try expander.expansion(of: call, op, declared) else { break }
                            changed = true
                            if case .value(let id) = operand, expander.emitted.last?.id == id {
                                binding.expression = expander.emitted.removeLast().expression
                            } else if case .tuple(let fields) = operand {
                                binding.expression = .tuple(fields)
                            } else {
                                binding.expression = .operand(operand)
                            }
                            bindings += expander.emitted
                        } catch let error as TenonError {
                            throw error.located(at: function(binding))
                        }
                    default: break
                    }
                    bindings.append(binding)
                }
                body.blocks[block].bindings = bindings
            }
            return body
        }

        func function(_ binding: Binding) -> String { "%" + (info(binding.id)?.name ?? "") }

        let body = try expand(self.body)
        guard changed else { return nil }
        var result = expander.function
        result.body = body
        return result
    }
}
