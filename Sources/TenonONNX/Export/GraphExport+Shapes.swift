import TenonIR

/// Sizes that only a run knows, as vectors of int64 that nodes compute from the shapes of tensors.
extension GraphExport {
    /// What can be said where a node stands: symbols mean something in one function only, and nodes of a branch are not seen
    /// outside.
    struct Scope {
        /// The dimension of a tensor that a symbol names.
        var sources: [String: (tensor: String, axis: Int)] = [:]
        var sizes: [Dim: String] = [:]
    }

    /// Remembers which symbols the tensor's shape tells.
    func note(_ value: Value) {
        switch value {
        case .tensor(let name, let type):
            for (axis, dim) in (type.shape ?? []).enumerated() {
                guard let symbol = dim.symbols.first, dim == .symbol(symbol), scope.sources[symbol] == nil else {
                    continue
                }
                scope.sources[symbol] = (name, axis)
            }
        case .tuple(let fields): for field in fields { note(field) }
        case .literal, .function: break
        }
    }

    /// The same value under the type that a binding, a parameter or a cast gives it.
    func retyped(_ value: Value, _ type: ValueType) -> Value {
        switch (value, type) {
        case (.tensor(let name, let old), .tensor(let new)):
            return .tensor(
                name,
                TensorType(dtype: new.dtype ?? old.dtype, rank: new.rank ?? old.rank).with(
                    shape: new.shape ?? old.shape))
        case (.tuple(let fields), .tuple(let types)) where fields.count == types.count:
            return .tuple(zip(fields, types).map { retyped($0, $1) })
        default: return value
        }
    }

    /// A vector of the dimensions.
    func vector(of dims: [Dim]) throws -> String {
        let numbers = dims.compactMap(\.value)
        if numbers.count == dims.count { return name(of: try Constant.ints([Int64(dims.count)], numbers)) }
        let parts = try dims.map(size)
        if parts.count == 1 { return parts[0] }
        return step("Concat", parts, ["axis": 0])
    }

    /// A vector of the one number.
    private func size(_ dim: Dim) throws -> String {
        guard case .symbolic(let expression) = dim else {
            return name(of: try Constant.ints([1], [dim.value ?? 0]))
        }
        if let known = scope.sizes[dim] { return known }
        var sum: String?
        func add(_ part: String) { sum = sum.map { step("Add", [$0, part]) } ?? part }
        for term in expression.terms {
            var product = try term.factors.map(factor).reduce(nil as String?) { product, factor in
                product.map { step("Mul", [$0, factor]) } ?? factor
            }
            if term.coefficient != 1 || product == nil {
                let number = name(of: try Constant.ints([1], [term.coefficient]))
                product = product.map { step("Mul", [$0, number]) } ?? number
            }
            if let product { add(product) }
        }
        if expression.constant != 0 || sum == nil { add(name(of: try Constant.ints([1], [expression.constant]))) }
        let result = sum ?? ""
        scope.sizes[dim] = result
        return result
    }

    private func factor(_ factor: DimExpression.Factor) throws -> String {
        switch factor {
        case .symbol(let symbol):
            guard let source = scope.sources[symbol] else {
                throw TenonError(.unsupported, "ONNX: no tensor tells the size '\(symbol)'")
            }
            return step(
                "Shape", [source.tensor], ["start": .int(Int64(source.axis)), "end": .int(Int64(source.axis) + 1)])
        case .floorDivide(let inner, let divisor):
            return quotient(try size(Dim(inner)), name(of: try Constant.ints([1], [divisor])))
        case .quotient(let a, let b): return quotient(try size(Dim(a)), try size(Dim(b)))
        // Sizes agree or one is 1; 0 goes with 1, so that the larger is not the answer there.
        case .broadcast(let a, let b):
            let (x, y) = (try size(Dim(a)), try size(Dim(b)))
            let isOne = step("Equal", [x, name(of: try Constant.ints([1], [1]))])
            return step("Where", [isOne, y, x])
        case .max(let a, let b): return step("Max", [try size(Dim(a)), try size(Dim(b))])
        case .min(let a, let b): return step("Min", [try size(Dim(a)), try size(Dim(b))])
        }
    }

    /// ⌊a / b⌋: Div cuts towards zero.
    private func quotient(_ a: String, _ b: String) -> String {
        step("Div", [step("Sub", [a, step("Mod", [a, b])]), b])
    }

    private func step(_ op: String, _ inputs: [String], _ attributes: Attributes = Attributes()) -> String {
        let output = unique("size")
        add(op, inputs, [output], attributes)
        return output
    }
}

extension TensorType {
    fileprivate func with(shape: [Dim]?) -> TensorType { shape.map { TensorType(dtype, $0) } ?? self }
}
