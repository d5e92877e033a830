import TenonIR

/// One call of an operator while it is written: operands by position, attributes by name, nodes in return.
struct ExportCall {
    let graph: GraphExport
    let op: OperatorID
    let arguments: [GraphExport.Value]
    let attributes: Attributes
    /// A hint for the name of the result.
    let name: String
    let type: ValueType

    func unsupported(_ reason: String) -> TenonError {
        TenonError(.unsupported, "ONNX: \(op.name): \(reason)", operatorName: op.name)
    }

    func input(_ index: Int) throws -> String { try tensor(index).name }

    func tensor(_ index: Int) throws -> (name: String, type: TensorType) {
        guard arguments.indices.contains(index) else { throw unsupported("argument \(index) is missing") }
        return try graph.tensor(arguments[index])
    }

    /// The tensors of a tuple.
    func tensors(_ index: Int) throws -> [(name: String, type: TensorType)] {
        guard arguments.indices.contains(index), case .tuple(let fields) = arguments[index] else {
            throw unsupported("argument \(index) is no tuple")
        }
        return try fields.map { try graph.tensor($0) }
    }

    /// Plain numbers: a tuple of them, a shape of numbers or a constant.
    func integers(_ index: Int) throws -> [Int64] {
        guard arguments.indices.contains(index) else { throw unsupported("argument \(index) is missing") }
        switch arguments[index] {
        case .literal(.shape(let dims)):
            let values = dims.compactMap(\.value)
            if values.count == dims.count { return values }
        case .literal(.constant(let constant)): if let values = constant.intElements { return values }
        case .literal(.int(let value)): return [value]
        case .tuple(let fields):
            return try fields.map { field in
                guard case .literal(.int(let value)) = field else { throw unsupported("numbers that are not known") }
                return value
            }
        default: break
        }
        throw unsupported("numbers that are not known")
    }

    func number(_ index: Int) throws -> Double {
        guard arguments.indices.contains(index) else { throw unsupported("argument \(index) is missing") }
        switch arguments[index] {
        case .literal(.float(let value)): return value
        case .literal(.int(let value)): return Double(value)
        case .literal(.constant(let constant)):
            if constant.count == 1, let value = constant.double(at: 0) { return value }
        default: break
        }
        throw unsupported("a number that is not known")
    }

    /// The number of argument `index` where it is an integer.
    func wholeNumber(_ index: Int) -> Int64? {
        guard arguments.indices.contains(index) else { return nil }
        switch arguments[index] {
        case .literal(.int(let value)): return value
        case .literal(.constant(let constant)): return constant.count == 1 ? constant.int(at: 0) : nil
        default: return nil
        }
    }

    func name(of constant: Constant) -> String { graph.name(of: constant) }

    func ints(_ name: String) throws -> [Int64] {
        guard let values = attributes.ints(name) else { throw unsupported("attribute '\(name)' is missing") }
        return values
    }

    func int(_ name: String) throws -> Int64 {
        guard let value = attributes.int(name) else { throw unsupported("attribute '\(name)' is missing") }
        return value
    }

    func float(_ name: String) throws -> Double {
        guard let value = attributes.float(name) else { throw unsupported("attribute '\(name)' is missing") }
        return value
    }

    /// Integers as a vector of int64, known or computed: a shape, a tuple of numbers or a tensor.
    func vector(_ index: Int) throws -> String {
        if arguments.indices.contains(index) {
            switch arguments[index] {
            case .tensor(let name, let type):
                guard type.rank == 1 || type.rank == 0 else { throw unsupported("numbers of type \(type)") }
                let wide = type.dtype == .int64 ? name : step("Cast", [name], ["to": .dtype(.int64)])
                return type.rank == 1 ? wide : step("Reshape", [wide, try list([-1])])
            case .literal(.shape(let dims)):
                do { return try graph.vector(of: dims) } catch let error as TenonError {
                    throw unsupported(error.message)
                }
            default: break
            }
        }
        return try list(try integers(index))
    }

    /// A number as int64 without dimensions.
    func index(_ index: Int) throws -> String { step("Reshape", [try vector(index), try list([])]) }

    func tensorName(_ value: GraphExport.Value) throws -> String { try graph.tensor(value).name }

    func isTrue(_ name: String) -> Bool { attributes.bool(name) ?? false }

    /// A tensor, or a number in the given element type.
    func operand(_ index: Int, _ dtype: DataType) throws -> String {
        if arguments.indices.contains(index), case .tensor(let name, let type) = arguments[index] {
            return type.dtype == dtype ? name : step("Cast", [name], ["to": .dtype(dtype)])
        }
        if arguments.indices.contains(index), case .literal(.constant(let constant)) = arguments[index],
            constant.dtype == dtype
        {
            return graph.name(of: constant)
        }
        return try scalar(try number(index), dtype)
    }

    /// The element type of the result.
    func dtype() throws -> DataType {
        guard case .tensor(let tensor) = type, let dtype = tensor.dtype else {
            throw unsupported("a result of type \(type)")
        }
        return dtype
    }

    /// Some attributes as they are.
    func kept(_ names: [String]) -> Attributes {
        var kept = Attributes()
        for name in names { kept[name] = attributes[name] }
        return kept
    }

    /// A vector of int64 as an initialiser.
    func list(_ values: [Int64]) throws -> String {
        graph.name(of: try Constant.ints([Int64(values.count)], values))
    }

    func scalar(_ value: Double, _ dtype: DataType) throws -> String {
        graph.name(of: try Constant.scalar(dtype, value))
    }

    func rank(_ index: Int) throws -> Int {
        guard let rank = try tensor(index).type.rank else { throw unsupported("an unknown rank") }
        return rank
    }

    /// A node with one output that something else goes on with.
    func step(_ op: String, _ inputs: [String], _ attributes: Attributes = Attributes()) -> String {
        let output = graph.unique(name)
        graph.add(op, inputs, [output], attributes)
        return output
    }

    /// A node that gives the call's result.
    func result(_ op: String, _ inputs: [String], _ attributes: Attributes = Attributes()) throws -> GraphExport.Value {
        guard case .tensor(let tensor) = type else { throw unsupported("a result of type \(type)") }
        return .tensor(step(op, inputs, attributes), tensor)
    }

    /// A node with an output per field of the call's result.
    func results(_ op: String, _ inputs: [String], _ attributes: Attributes = Attributes()) throws -> GraphExport.Value
    {
        guard case .tuple(let fields) = type else { throw unsupported("a result of type \(type)") }
        var values: [GraphExport.Value] = []
        var outputs: [String] = []
        for field in fields {
            guard case .tensor(let tensor) = field else { throw unsupported("a result of type \(type)") }
            outputs.append(graph.unique(name))
            values.append(.tensor(outputs[outputs.count - 1], tensor))
        }
        graph.add(op, inputs, outputs, attributes)
        return .tuple(values)
    }
}
