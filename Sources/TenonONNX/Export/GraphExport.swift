import SwiftProtobuf
import TenonIR

/// The graph while it is written: names of values, nodes and constants.
final class GraphExport {
    /// What a value of a function is in the graph.
    indirect enum Value {
        /// A tensor by its name, with its type.
        case tensor(String, TensorType)
        case tuple([Value])
        case literal(Operand)
        case function(Function)
    }

    /// Calls nest at most so deep.
    private static let depthLimit = 100

    private let module: Module
    private var nodes: [ONNXNodeProto] = []
    private var initializers: [ONNXTensorProto] = []
    private var constants: [ObjectIdentifier: String] = [:]
    private var kept: [Constant] = []
    private var names: Set<String> = []
    private(set) var constantBytes = 0

    init(_ module: Module) { self.module = module }

    func graph(_ main: Function) throws -> ONNXGraphProto {
        var graph = ONNXGraphProto()
        graph.name = "main"
        var arguments: [Value] = []
        let inputNames = GraphExport.strings(main.attributes["input_names"], main.parameters.count)
        for (index, id) in main.parameters.enumerated() {
            guard case .tensor(let type) = main.type(of: id) else {
                throw TenonError(.unsupported, "ONNX: parameter '\(main.info(id)?.name ?? "")' is no tensor")
            }
            let name = unique(inputNames?[index] ?? main.info(id)?.name ?? "input")
            graph.input.append(try GraphExport.info(name, type))
            arguments.append(.tensor(name, type))
        }
        var outputs: [Value] = []
        GraphExport.flatten(try call(main, arguments, depth: 0), into: &outputs)
        let outputNames = GraphExport.strings(main.attributes["output_names"], outputs.count)
        for (index, output) in outputs.enumerated() {
            let (name, type) = try tensor(output)
            // An Identity under the wished name: a value may be an input, a constant, or an output twice.
            let given = unique(outputNames?[index] ?? "output")
            add("Identity", [name], [given])
            graph.output.append(try GraphExport.info(given, type))
        }
        graph.node = nodes
        graph.initializer = initializers
        return graph
    }

    private static func strings(_ value: AttributeValue?, _ count: Int) -> [String]? {
        guard case .strings(let names)? = value, names.count == count else { return nil }
        return names
    }

    private static func flatten(_ value: Value, into values: inout [Value]) {
        guard case .tuple(let fields) = value else { return values.append(value) }
        for field in fields { flatten(field, into: &values) }
    }

    private static func info(_ name: String, _ type: TensorType) throws -> ONNXValueInfoProto {
        guard let dtype = type.dtype else { throw TenonError(.unsupported, "ONNX: '\(name)' has no element type") }
        var info = ONNXValueInfoProto()
        info.name = name
        info.type.tensorType.elemType = Int32(dtype.rawValue)
        guard let rank = type.rank else { return info }
        info.type.tensorType.shape = ONNXTensorShapeProto()
        info.type.tensorType.shape.dim = (0..<rank).map { axis in
            var dim = ONNXTensorShapeProto.Dimension()
            guard let known = type.shape?[axis] else { return dim }
            if let size = known.value { dim.dimValue = size } else { dim.dimParam = known.description }
            return dim
        }
        return info
    }

    // MARK: - Names, nodes and constants

    func unique(_ base: String) -> String {
        var name = base.isEmpty ? "v" : base
        var number = 1
        while !names.insert(name).inserted {
            name = "\(base)_\(number)"
            number += 1
        }
        return name
    }

    func add(_ op: String, _ inputs: [String], _ outputs: [String], _ attributes: Attributes = Attributes()) {
        var node = ONNXNodeProto()
        node.opType = op
        node.name = outputs.first ?? ""
        node.input = inputs
        node.output = outputs
        node.attribute = attributes.entries.map(GraphExport.attribute)
        nodes.append(node)
    }

    private static func attribute(_ entry: Attributes.Entry) -> ONNXAttributeProto {
        var attribute = ONNXAttributeProto()
        attribute.name = entry.name
        switch entry.value {
        case .int(let value): (attribute.type, attribute.i) = (.int, value)
        case .bool(let value): (attribute.type, attribute.i) = (.int, value ? 1 : 0)
        case .float(let value): (attribute.type, attribute.f) = (.float, Float(value))
        case .string(let value): (attribute.type, attribute.s) = (.string, .init(value.utf8))
        case .dtype(let value): (attribute.type, attribute.i) = (.int, Int64(value.rawValue))
        case .ints(let values): (attribute.type, attribute.ints) = (.ints, values)
        case .floats(let values): (attribute.type, attribute.floats) = (.floats, values.map { Float($0) })
        case .strings(let values): (attribute.type, attribute.strings) = (.strings, values.map { .init($0.utf8) })
        }
        return attribute
    }

    /// The name of a constant, which is written once.
    func name(of constant: Constant) -> String {
        if let known = constants[ObjectIdentifier(constant)] { return known }
        let name = unique("constant")
        var tensor = ONNXTensorProto()
        tensor.name = name
        tensor.dims = constant.shape
        tensor.dataType = Int32(constant.dtype.rawValue)
        if constant.dtype == .string {
            tensor.stringData = constant.strings.map { .init($0.utf8) }
        } else {
            tensor.rawData = .init(constant.bytes)
        }
        constantBytes = constantBytes &+ constant.bytes.count
        initializers.append(tensor)
        constants[ObjectIdentifier(constant)] = name
        // An object that is gone could give its identity to another one.
        kept.append(constant)
        return name
    }

    func tensor(_ value: Value) throws -> (name: String, type: TensorType) {
        switch value {
        case .tensor(let name, let type): return (name, type)
        case .literal(.constant(let constant)): return (name(of: constant), constant.type)
        default: throw TenonError(.unsupported, "ONNX: a tensor is needed where there is none")
        }
    }

    // MARK: - Functions

    private func call(_ function: Function, _ arguments: [Value], depth: Int) throws -> Value {
        guard depth < GraphExport.depthLimit, arguments.count == function.parameters.count else {
            throw TenonError(.invalidGraph, "ONNX: calls nest too deep, or give a wrong number of arguments")
        }
        var values = [Value?](repeating: nil, count: function.values.count)
        for (id, argument) in zip(function.parameters, arguments) where values.indices.contains(id.int) {
            values[id.int] = argument
        }
        func resolve(_ operand: Operand) throws -> Value {
            switch operand {
            case .value(let id):
                guard values.indices.contains(id.int), let value = values[id.int] else {
                    throw TenonError(.invalidGraph, "ONNX: a value is used before it is bound")
                }
                return value
            case .tuple(let fields): return .tuple(try fields.map(resolve))
            case .global(let name):
                guard let function = module[name] else { throw TenonError(.notFound, "unknown function '\(name)'") }
                return .function(function)
            default: return .literal(operand)
            }
        }
        for block in function.body.blocks {
            for binding in block.bindings {
                guard values.indices.contains(binding.id.int) else {
                    throw TenonError(.invalidGraph, "ONNX: a value is not in the table of its function")
                }
                let name = function.info(binding.id)?.name ?? ""
                do {
                    values[binding.id.int] = try value(
                        binding.expression, name, function.type(of: binding.id), depth: depth, resolve)
                } catch let error as TenonError {
                    throw error.located(at: name)
                }
            }
        }
        return try resolve(function.body.result)
    }

    private func value(
        _ expression: Expression, _ name: String, _ type: ValueType, depth: Int, _ resolve: (Operand) throws -> Value
    ) throws -> Value {
        switch expression {
        case .call(let call):
            let arguments = try call.arguments.map(resolve)
            switch call.callee {
            case .op(let op):
                return try ExportRules.export(
                    ExportCall(
                        graph: self, op: op, arguments: arguments, attributes: call.attributes, name: name, type: type))
            case .function(let callee):
                guard let function = module[callee] else { throw TenonError(.notFound, "unknown function '\(callee)'") }
                return try self.call(function, arguments, depth: depth + 1)
            case .local(let id):
                guard case .function(let function) = try resolve(.value(id)) else {
                    throw TenonError(.invalidGraph, "ONNX: a call of something that is not a function")
                }
                return try self.call(function, arguments, depth: depth + 1)
            case .external(let callee): throw TenonError(.unsupported, "ONNX: external function '\(callee)'")
            }
        case .tuple(let fields): return .tuple(try fields.map(resolve))
        case .tupleGetItem(let operand, let index):
            guard case .tuple(let fields) = try resolve(operand), fields.indices.contains(index) else {
                throw TenonError(.invalidGraph, "ONNX: tuple item \(index) of something that has none")
            }
            return fields[index]
        case .operand(let operand), .matchCast(let operand, _): return try resolve(operand)
        case .function(let function): return .function(function)
        case .conditional: throw TenonError(.unsupported, "ONNX: a conditional")
        }
    }
}
