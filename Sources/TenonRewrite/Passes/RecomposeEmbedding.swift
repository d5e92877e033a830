import TenonIR

/// Reads rows of a table where a model multiplies one-hot vectors with it: `matmul(astype(equal(i, [0 … n-1])), w)` becomes
/// `take(w', i + 1)`, w' being w between two rows of zeros for indices that are none. Element-wise functions of rows that are
/// taken, with numbers or one value per column, are applied to the table instead, once.
///
/// The table must be known, f32, finite (0 times infinity is not 0), and nothing else may use what is in between. Tables of
/// more than 2²⁰ elements are multiplied as before.
public struct RecomposeEmbedding: BindingPass {
    public init() {}

    public var name: String { "RecomposeEmbedding" }

    typealias State = UseCounts

    private static let largestTable = 1 << 20

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout UseCounts, _ context: PassContext
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee else { return nil }
        let type = transformer.type(of: .value(binding.id))
        let name = transformer.function.values[binding.id.int].name
        let reader = Reader(transformer: transformer, uses: state)
        let taken: Taken?
        if op.name == "matmul" {
            taken = try rows(call, type, name, reader, &transformer)
        } else {
            taken = try applied(op, call, type, reader, context)
        }
        guard let taken else { return nil }
        let result = try transformer.emit(
            "take", [.constant(taken.table), taken.indices], taken.attributes, name: name)
        guard transformer.type(of: result) == type else { return nil }
        state.setUses(of: result, as: binding.id)
        return result
    }

    private struct Taken {
        var table: Constant
        var indices: Operand
        var attributes: Attributes
    }

    /// The rows that one-hot vectors pick.
    private func rows(
        _ call: Call, _ type: ValueType, _ name: String, _ reader: Reader, _ transformer: inout BindingTransformer
    ) throws -> Taken? {
        guard let vectors = reader.inner(call.arguments[0], "astype"),
            let comparison = reader.inner(vectors.arguments[0], "equal"),
            let weight = transformer.constant(call.arguments[1]), weight.dtype == .float32, weight.shape.count == 2,
            weight.count <= Self.largestTable, let values = weight.doubleElements, values.allSatisfy(\.isFinite),
            let result = type.asTensor, result.dtype == .float32,
            let hot = transformer.type(of: call.arguments[0]).asTensor?.shape
        else { return nil }
        let (n, columns) = (weight.shape[0], weight.shape[1])
        for side in 0...1 {
            guard let numbers = transformer.constant(comparison.arguments[side]), numbers.dtype.isInteger,
                numbers.shape.last == n, numbers.count == n, numbers.intElements?.elementsEqual(0..<n) == true,
                let index = transformer.type(of: comparison.arguments[1 - side]).asTensor, let sizes = index.shape,
                let dtype = index.dtype, sizes.last == 1
            else { continue }
            let outer = Array(sizes.dropLast())
            guard hot == outer + [.fixed(n)], result.shape == outer + [.fixed(columns)] else { continue }
            let before = try squeezed(comparison.arguments[1 - side], outer, name, &transformer)
            let next = try transformer.emit(
                "add", [before, .constant(try Constant.filled(dtype, [], 1))], name: name)
            let zeros = [Double](repeating: 0, count: Int(clamping: columns))
            let table = try Constant.from(doubles: zeros + values + zeros, .float32, [n + 2, columns])
            return Taken(table: table, indices: next, attributes: ["axis": .int(0), "mode": .string("clip")])
        }
        return nil
    }

    private func squeezed(
        _ operand: Operand, _ shape: [Dim], _ name: String, _ transformer: inout BindingTransformer
    ) throws -> Operand {
        if let (_, op, call) = transformer.call(operand), op.name == "reshape", let source = call.arguments.first,
            transformer.type(of: source).asTensor?.shape == shape
        {
            return source
        }
        return try transformer.emit("reshape", [operand, .shape(shape)], name: name)
    }

    /// The table with a function applied that is applied to rows of it.
    private func applied(
        _ op: OperatorID, _ call: Call, _ type: ValueType, _ reader: Reader, _ context: PassContext
    ) throws -> Taken? {
        let isBinary = op.has(.binary)
        guard let evaluate = context.evaluate, op.has([.unary, .binary]) else { return nil }
        for position in 0..<(isBinary ? 2 : 1) where call.arguments.indices.contains(position) {
            guard let take = reader.inner(call.arguments[position], "take"),
                reader.transformer.type(of: call.arguments[position]) == type, take.attributes.int("axis") == 0,
                let table = reader.transformer.constant(take.arguments[0]), table.dtype == .float32,
                table.shape.count == 2, table.count <= Self.largestTable
            else { continue }
            var arguments = call.arguments
            arguments[position] = .constant(table)
            if isBinary {
                guard let row = row(arguments[1 - position], table.shape[1], reader) else { continue }
                arguments[1 - position] = .constant(row)
            }
            let applied = Call(call.callee, arguments, call.attributes)
            guard let found = try evaluate(applied, .tensor(table.type))?.first, found.type == table.type else {
                continue
            }
            return Taken(table: found, indices: take.arguments[1], attributes: take.attributes)
        }
        return nil
    }

    /// A constant of one number, or of one per column, without further dimensions.
    private func row(_ operand: Operand, _ columns: Int64, _ reader: Reader) -> Constant? {
        guard let constant = reader.transformer.constant(operand), constant.dtype == .float32,
            constant.count == 1 || constant.shape.last == columns && constant.count == columns
        else { return nil }
        let shape = constant.count == 1 ? [] : [columns]
        return try? Constant(dtype: constant.dtype, shape: shape, borrowing: constant.bytes, owner: constant)
    }
}
