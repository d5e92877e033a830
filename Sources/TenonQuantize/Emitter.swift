import TenonIR

/// Adds bindings to a function's block while it is written anew.
struct Emitter {
    var function: Function
    var bindings: [Binding] = []
    private var names: Set<String>

    init(_ function: Function) {
        self.function = function
        names = Set(function.values.map(\.name))
    }

    mutating func emit(
        _ op: String, _ arguments: [Operand], _ attributes: Attributes = Attributes(), name: String, isDataflow: Bool
    ) throws -> Operand {
        let id = try Operators.require(op)
        let typed = try Inference.call(
            id, arguments, attributes, types: arguments.map { function.type(of: $0) },
            constants: arguments.map { $0.constant })
        return bind(.call(Call(.op(id), arguments, typed.attributes)), typed.type, name: name, isDataflow: isDataflow)
    }

    mutating func bind(_ expression: Expression, _ type: ValueType, name: String, isDataflow: Bool) -> Operand {
        let value = function.addValue(unique(name), type, isDataflow: isDataflow)
        bindings.append(Binding(value, expression))
        return .value(value)
    }

    private mutating func unique(_ base: String) -> String {
        var name = base
        var number = 1
        while !names.insert(name).inserted {
            name = "\(base)_\(number)"
            number += 1
        }
        return name
    }
}

extension Function {
    /// Gives every value a name of its own, so that a report can speak of it.
    mutating func nameValues() {
        var names = Set<String>()
        for index in values.indices {
            let base = values[index].name.isEmpty ? "v\(index)" : values[index].name
            var name = base
            var number = 1
            while !names.insert(name).inserted {
                name = "\(base)_\(number)"
                number += 1
            }
            values[index].name = name
        }
    }
}
