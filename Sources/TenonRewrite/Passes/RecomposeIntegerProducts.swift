import TenonIR

/// Puts the scaling and the bias behind a product of integers into it: `multiply(astype(matmul_integer(a, b)), a_scale · b_scale)`,
/// and an addition behind that, become one `quantized_matmul`, whose sums are never in memory. Convolutions likewise.
public struct RecomposeIntegerProducts: BindingPass {
    public init() {}

    public var name: String { "RecomposeIntegerProducts" }

    typealias State = UseCounts

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout UseCounts, _ context: PassContext
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee, call.arguments.count == 2
        else {
            return nil
        }
        var found: (op: String, arguments: [Operand], attributes: Attributes)?
        switch op.name {
        case "multiply":
            found = try scaled(call, transformer, state).map { ("quantized_matmul", $0, Attributes()) }
            if found == nil { found = try scaledConvolution(call, &transformer, state) }
        case "add":
            found = try biased(call, transformer, state).map { ("quantized_matmul", $0, Attributes()) }
            if found == nil { found = try biasedConvolution(call, &transformer, state) }
        default: return nil
        }
        guard let found else { return nil }
        let info = transformer.function.values[binding.id.int]
        let id = try Operators.require(found.op)
        let typed = try Inference.call(
            id, found.arguments, found.attributes, types: found.arguments.map { transformer.type(of: $0) },
            constants: found.arguments.map { transformer.constant($0) })
        guard typed.type == info.type else { return nil }
        let made = try transformer.emit(found.op, found.arguments, found.attributes, name: info.name)
        state.setUses(of: made, as: binding.id)
        return made
    }

    /// Sums times scales: one value of a's, and one or one per column of b's.
    private func scaled(_ call: Call, _ transformer: BindingTransformer, _ uses: UseCounts) throws -> [Operand]? {
        let reader = Reader(transformer: transformer, uses: uses)
        for (sums, scales) in [(call.arguments[0], call.arguments[1]), (call.arguments[1], call.arguments[0])] {
            guard let cast = reader.inner(sums, "astype"), cast.attributes.dtype("dtype") == .float32,
                let product = cast.arguments.first.flatMap({ reader.inner($0, "matmul_integer") }),
                product.arguments.count >= 2, let columns = columns(product.arguments[1], transformer)
            else { continue }
            var pair: (a: Operand, b: Operand)?
            if let (_, op, inner) = transformer.call(scales), op.name == "multiply", inner.arguments.count == 2 {
                let (p, q) = (inner.arguments[0], inner.arguments[1])
                if isOne(p, transformer), isRow(q, columns, transformer) {
                    pair = (p, q)
                } else if isOne(q, transformer), isRow(p, columns, transformer) {
                    pair = (q, p)
                }
            }
            let one = Operand.constant(try Constant.scalar(.float32, 1))
            if pair == nil, isOne(scales, transformer) { pair = (scales, one) }
            if pair == nil, isRow(scales, columns, transformer) { pair = (one, scales) }
            guard let pair else { continue }
            func zero(_ index: Int, of operand: Int) throws -> Operand? {
                if product.arguments.count > index { return product.arguments[index] }
                guard let dtype = transformer.type(of: product.arguments[operand]).asTensor?.dtype else { return nil }
                return .constant(try Constant.scalar(dtype, 0))
            }
            guard let aZero = try zero(2, of: 0), let bZero = try zero(3, of: 1), isOne(aZero, transformer),
                isRow(bZero, columns, transformer)
            else { continue }
            return [product.arguments[0], pair.a, aZero, product.arguments[1], pair.b, bZero]
        }
        return nil
    }

    private func biased(_ call: Call, _ transformer: BindingTransformer, _ uses: UseCounts) throws -> [Operand]? {
        let reader = Reader(transformer: transformer, uses: uses)
        for (sums, bias) in [(call.arguments[0], call.arguments[1]), (call.arguments[1], call.arguments[0])] {
            guard let product = reader.inner(sums, "quantized_matmul"), product.arguments.count == 6,
                let columns = columns(product.arguments[3], transformer), isRow(bias, columns, transformer)
            else { continue }
            return product.arguments + [bias]
        }
        return nil
    }

    private func columns(_ b: Operand, _ transformer: BindingTransformer) -> Dim? {
        guard let shape = transformer.type(of: b).asTensor?.shape, shape.count >= 2 else { return nil }
        return shape[shape.count - 1]
    }

    private func isOne(_ operand: Operand, _ transformer: BindingTransformer) -> Bool {
        guard let shape = transformer.type(of: operand).asTensor?.shape, shape.count <= 1 else { return false }
        return shape.allSatisfy { $0.value == 1 }
    }

    private func isRow(_ operand: Operand, _ columns: Dim, _ transformer: BindingTransformer) -> Bool {
        guard let shape = transformer.type(of: operand).asTensor?.shape, shape.count <= 1 else { return false }
        return shape.allSatisfy { $0.value == 1 || $0 == columns }
    }
}
