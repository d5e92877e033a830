import TenonIR

/// Integer tensors whose elements are sizes: what is computed from them is a size too, and no data.
extension ProgramBuilder {
    struct Contents {
        var elements: [Dim]
        var shape: [Int64]
        var dtype: DataType
    }

    /// Larger ones are data.
    private static let elementLimit = 64

    private enum Function {
        case add, subtract, multiply, maximum, concat, take, cast
    }

    private static let functions: [OperatorID: Function] = {
        let names: [(String, Function)] = [
            ("add", .add), ("subtract", .subtract), ("multiply", .multiply), ("maximum", .maximum),
            ("concat", .concat), ("take", .take), ("astype", .cast),
        ]
        var table: [OperatorID: Function] = [:]
        for (name, function) in names { if let id = Operators.named(name) { table[id] = function } }
        return table
    }()

    /// The elements of a result as sizes, where those of all inputs are and at least one is no number.
    func contentsOfResult(
        _ op: OperatorID, _ arguments: [Lowered], _ inputs: [Int], _ type: ValueType, _ attributes: Attributes
    ) -> Contents? {
        guard let function = ProgramBuilder.functions[op], inputs.contains(where: { contents[$0] != nil }),
            let target = type.asTensor, let shape = target.staticShape, let count = checkedElementCount(shape),
            count <= ProgramBuilder.elementLimit, target.dtype == .int64
        else { return nil }
        var known: [[Dim]] = []
        for input in inputs {
            guard program.tensors[input].dtype == .int64, let elements = elements(of: input) else { return nil }
            known.append(elements)
        }
        guard let elements = evaluate(function, known, inputs, attributes), elements.count == count else { return nil }
        return Contents(elements: elements, shape: shape, dtype: .int64)
    }

    /// The elements of an integer tensor as sizes, numbers included.
    func elements(of tensor: Int) -> [Dim]? {
        if let known = contents[tensor] { return known }
        guard let constant = constant(.tensor(tensor)), constant.count <= ProgramBuilder.elementLimit,
            constant.dtype.isInteger
        else { return nil }
        return constant.intElements?.map { .fixed($0) }
    }

    private func evaluate(
        _ function: Function, _ inputs: [[Dim]], _ tensors: [Int], _ attributes: Attributes
    ) -> [Dim]? {
        switch function {
        case .cast: return inputs.first
        case .concat: return tensors.allSatisfy { dims[$0]?.count == 1 } ? inputs.flatMap { $0 } : nil
        case .take:
            guard inputs.count == 2, dims[tensors[0]]?.count == 1 else { return nil }
            var taken: [Dim] = []
            for index in inputs[1] {
                guard var position = index.value else { return nil }
                if position < 0 { position += Int64(inputs[0].count) }
                guard let place = Int(exactly: position), inputs[0].indices.contains(place) else { return nil }
                taken.append(inputs[0][place])
            }
            return taken
        case .add, .subtract, .multiply, .maximum:
            guard inputs.count == 2 else { return nil }
            let count = max(inputs[0].count, inputs[1].count)
            guard inputs.allSatisfy({ $0.count == count || $0.count == 1 }) else { return nil }
            var results: [Dim] = []
            for index in 0..<count {
                let a = inputs[0][inputs[0].count == 1 ? 0 : index]
                let b = inputs[1][inputs[1].count == 1 ? 0 : index]
                let value: Dim? =
                    switch function {
                    case .add: Dim.adding(a, b)
                    case .subtract: Dim.subtracting(a, b)
                    case .multiply: Dim.multiplying(a, b)
                    default: Dim.maximum(a, b)
                    }
                guard let value else { return nil }
                results.append(value)
            }
            return results
        }
    }
}
