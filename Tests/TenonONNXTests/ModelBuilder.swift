import SwiftProtobuf
import TenonIR

@testable import TenonONNX

/// Builds small models node by node.
struct ModelBuilder {
    var model = ONNXModelProto()

    init(opset: Int64 = 17) {
        model.irVersion = 8
        model.graph.name = "test"
        var version = ONNXOperatorSetIdProto()
        version.version = opset
        model.opsetImport = [version]
    }

    /// Adds an input; a negative size is unknown, a string is a named dimension.
    mutating func input(_ name: String, _ dims: [Any], _ type: ONNXTensorProto.DataType = .float) {
        model.graph.input.append(ModelBuilder.info(name, dims, type))
    }

    static func info(_ name: String, _ dims: [Any], _ type: ONNXTensorProto.DataType) -> ONNXValueInfoProto {
        var info = ONNXValueInfoProto()
        info.name = name
        info.type.tensorType.elemType = Int32(type.rawValue)
        info.type.tensorType.shape.dim = dims.map { dim in
            var proto = ONNXTensorShapeProto.Dimension()
            if let name = dim as? String { proto.dimParam = name }
            if let size = dim as? Int { proto.dimValue = Int64(size) }
            return proto
        }
        if dims.isEmpty { info.type.tensorType.shape = ONNXTensorShapeProto() }
        return info
    }

    mutating func output(_ name: String) {
        var info = ONNXValueInfoProto()
        info.name = name
        model.graph.output.append(info)
    }

    static func floats(_ name: String, _ dims: [Int64], _ values: [Float]? = nil) -> ONNXTensorProto {
        var tensor = ONNXTensorProto()
        tensor.name = name
        tensor.dims = dims
        tensor.dataType = 1
        let count = Int(dims.reduce(1, *))
        tensor.floatData = values ?? (0..<count).map { Float($0 % 7) - 3 }
        return tensor
    }

    static func ints(_ name: String, _ values: [Int64], dims: [Int64]? = nil) -> ONNXTensorProto {
        var tensor = ONNXTensorProto()
        tensor.name = name
        tensor.dims = dims ?? [Int64(values.count)]
        tensor.dataType = 7
        tensor.int64Data = values
        return tensor
    }

    mutating func constant(_ tensor: ONNXTensorProto) { model.graph.initializer.append(tensor) }

    mutating func node(
        _ op: String, _ inputs: [String], _ outputs: [String], _ attributes: [ONNXAttributeProto] = [],
        domain: String = ""
    ) {
        var node = ONNXNodeProto()
        node.opType = op
        node.name = "node_" + (outputs.first ?? "")
        node.input = inputs
        node.output = outputs
        node.attribute = attributes
        node.domain = domain
        model.graph.node.append(node)
    }

    func bytes() throws -> [UInt8] { try model.serializedBytes() }

    func load(_ options: ONNXImportOptions = ONNXImportOptions()) throws -> Module {
        try importBytes(try bytes(), options)
    }

    /// The function that the model becomes.
    func function(_ options: ONNXImportOptions = ONNXImportOptions()) throws -> Function {
        let module = try load(options)
        guard let main = module.main else { throw TenonError(.internal, "no main") }
        return main
    }
}

func importBytes(_ bytes: [UInt8], _ options: ONNXImportOptions = ONNXImportOptions()) throws -> Module {
    try bytes.withUnsafeBytes { try ONNXImporter.load(bytes: $0, options: options) }
}

/// The error that `body` throws, or nil.
func failure(_ body: () throws -> Void) -> TenonError? {
    do {
        try body()
        return nil
    } catch {
        return error as? TenonError
    }
}

func attribute(_ name: String, _ value: Int64) -> ONNXAttributeProto {
    var attribute = ONNXAttributeProto()
    attribute.name = name
    attribute.type = .int
    attribute.i = value
    return attribute
}

func attribute(_ name: String, _ value: [Int64]) -> ONNXAttributeProto {
    var attribute = ONNXAttributeProto()
    attribute.name = name
    attribute.type = .ints
    attribute.ints = value
    return attribute
}

func attribute(_ name: String, float value: Float) -> ONNXAttributeProto {
    var attribute = ONNXAttributeProto()
    attribute.name = name
    attribute.type = .float
    attribute.f = value
    return attribute
}

func attribute(_ name: String, _ value: String) -> ONNXAttributeProto {
    var attribute = ONNXAttributeProto()
    attribute.name = name
    attribute.type = .string
    attribute.s = .init(value.utf8)
    return attribute
}

extension Function {
    /// Names of the operators called, in order; other bindings by their kind.
    var operators: [String] {
        var names: [String] = []
        forEachBinding { binding in
            switch binding.expression {
            case .call(let call):
                if case .op(let id) = call.callee { names.append(id.name) }
            case .tupleGetItem: names.append("item")
            case .tuple: names.append("tuple")
            case .operand: names.append("alias")
            default: names.append("other")
            }
        }
        return names
    }

    /// The first call of operator `name`.
    func call(_ name: String) -> Call? {
        var found: Call?
        forEachBinding { binding in
            if found == nil, let call = binding.expression.asCall, case .op(let id) = call.callee, id.name == name {
                found = call
            }
        }
        return found
    }
}
