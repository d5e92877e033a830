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
    /// Functions that call others twice, which call others twice, would be written out without end.
    private let nodeLimit: Int
    var nodes: [ONNXNodeProto] = []
    var scope = Scope()
    private(set) var initializers: [(name: String, constant: Constant)] = []
    private var constants: [ObjectIdentifier: String] = [:]
    private var names: Set<String> = []
    private var numbers: [String: Int] = [:]
    private var reserved: Set<String> = []
    private var bindingCount = 0
    /// The first operator set that has the forms that were written.
    private(set) var operatorSet = ONNXExporter.opset

    init(_ module: Module, nodeLimit: Int) {
        self.module = module
        self.nodeLimit = nodeLimit
    }

    /// Something was written that operator sets before this one do not have.
    func need(operatorSet version: Int64) { operatorSet = max(operatorSet, version) }

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
        // Names of outputs that are wished are not given to values in between.
        let wished = Set(GraphExport.names(main.attributes["output_names"]))
        reserved = wished.subtracting(names)
        var outputs: [Value] = []
        GraphExport.flatten(try call(main, arguments, depth: 0), into: &outputs)
        let outputNames = GraphExport.strings(main.attributes["output_names"], outputs.count)
        reserved = []
        for (index, output) in outputs.enumerated() {
            let (name, type) = try tensor(output)
            // An Identity under the wished name: a value may be an input, a constant, or an output twice.
            let given = unique(outputNames?[index] ?? "output")
            add("Identity", [name], [given])
            graph.output.append(try GraphExport.info(given, type))
        }
        graph.node = nodes
        return graph
    }

    private static func names(_ value: AttributeValue?) -> [String] {
        if case .strings(let names)? = value { return names }
        return []
    }

    private static func strings(_ value: AttributeValue?, _ count: Int) -> [String]? {
        guard case .strings(let names)? = value, names.count == count else { return nil }
        return names
    }

    static func flatten(_ value: Value, into values: inout [Value]) {
        guard case .tuple(let fields) = value else { return values.append(value) }
        for field in fields { flatten(field, into: &values) }
    }

    /// - Parameter withSymbols: whether sizes that are symbols keep their names.
    static func info(_ name: String, _ type: TensorType, withSymbols: Bool = true) throws -> ONNXValueInfoProto {
        guard let dtype = type.dtype else { throw TenonError(.unsupported, "ONNX: '\(name)' has no element type") }
        var info = ONNXValueInfoProto()
        info.name = name
        info.type.tensorType.elemType = Int32(dtype.rawValue)
        guard let rank = type.rank else { return info }
        info.type.tensorType.shape = ONNXTensorShapeProto()
        info.type.tensorType.shape.dim = (0..<rank).map { axis in
            var dim = ONNXTensorShapeProto.Dimension()
            guard let known = type.shape?[axis] else { return dim }
            if let size = known.value {
                dim.dimValue = size
            } else if withSymbols {
                dim.dimParam = known.description
            }
            return dim
        }
        return info
    }

    // MARK: - Names, nodes and constants

    func unique(_ base: String) -> String {
        var name = base.isEmpty ? "v" : base
        // Thousands of values may want one name: the search goes on where the last one ended.
        var number = numbers[base] ?? 1
        while reserved.contains(name) || !names.insert(name).inserted {
            name = "\(base)_\(number)"
            number += 1
        }
        numbers[base] = number
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
        // Kept there, too: an object that is gone could give its identity to another one.
        initializers.append((name, constant))
        constants[ObjectIdentifier(constant)] = name
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

    /// One function while it is written out: what its values are.
    private struct Frame {
        let function: Function
        let depth: Int
        let biases: BiasJoining
        var values: [Value?]

        func resolve(_ operand: Operand, _ module: Module) throws -> Value {
            switch operand {
            case .value(let id):
                guard values.indices.contains(id.int), let value = values[id.int] else {
                    throw TenonError(.invalidGraph, "ONNX: a value is used before it is bound")
                }
                return value
            case .tuple(let fields): return .tuple(try fields.map { try resolve($0, module) })
            case .global(let name):
                guard let function = module[name] else { throw TenonError(.notFound, "unknown function '\(name)'") }
                return .function(function)
            default: return .literal(operand)
            }
        }
    }

    private func call(_ function: Function, _ arguments: [Value], depth: Int) throws -> Value {
        guard arguments.count == function.parameters.count else {
            throw TenonError(.invalidGraph, "ONNX: a call with a wrong number of arguments")
        }
        let outer = scope
        scope = Scope()
        defer { scope = outer }
        var frame = Frame(
            function: function, depth: depth, biases: BiasJoining(function),
            values: [Value?](repeating: nil, count: function.values.count))
        for (id, argument) in zip(function.parameters, arguments) where frame.values.indices.contains(id.int) {
            let value = retyped(argument, function.type(of: id))
            note(value)
            frame.values[id.int] = value
        }
        return try run(function.body, &frame, depth: depth)
    }

    private func run(_ body: Body, _ frame: inout Frame, depth: Int) throws -> Value {
        guard depth < GraphExport.depthLimit else { throw TenonError(.limitExceeded, "ONNX: calls nest too deep") }
        for block in body.blocks {
            bindingCount += block.bindings.count
            guard bindingCount <= nodeLimit else {
                throw TenonError(
                    .limitExceeded, "ONNX: more than \(nodeLimit) operators when calls are written out")
            }
            for binding in block.bindings {
                try Work.check()
                guard frame.values.indices.contains(binding.id.int) else {
                    throw TenonError(.invalidGraph, "ONNX: a value is not in the table of its function")
                }
                let name = frame.function.info(binding.id)?.name ?? ""
                let type = frame.function.type(of: binding.id)
                if frame.biases.left.contains(binding.id) { continue }
                do {
                    let made =
                        try biased(binding.id, name, type, frame)
                        ?? value(binding.expression, name, type, &frame, depth: depth)
                    let bound = retyped(made, type)
                    note(bound)
                    frame.values[binding.id.int] = bound
                } catch let error as TenonError {
                    throw error.located(at: name)
                }
            }
        }
        return try frame.resolve(body.result, module)
    }

    /// A convolution with its bias, where an addition is one.
    private func biased(_ id: ValueID, _ name: String, _ type: ValueType, _ frame: Frame) throws -> Value? {
        guard let (convolution, op, bias) = frame.biases.joined[id] else { return nil }
        return try ExportRules.export(
            ExportCall(
                graph: self, op: op,
                arguments: try (convolution.arguments + [bias]).map { try frame.resolve($0, module) },
                attributes: convolution.attributes, name: name, type: type))
    }

    private func value(
        _ expression: Expression, _ name: String, _ type: ValueType, _ frame: inout Frame, depth: Int
    ) throws -> Value {
        switch expression {
        case .call(let call):
            let arguments = try call.arguments.map { try frame.resolve($0, module) }
            switch call.callee {
            case .op(let op):
                let call = ExportCall(
                    graph: self, op: op, arguments: arguments, attributes: call.attributes, name: name, type: type)
                if op.name == "loop" { return try loop(call) { try self.call($0, $1, depth: depth + 1) } }
                return try ExportRules.export(call)
            case .function(let callee):
                guard let function = module[callee] else { throw TenonError(.notFound, "unknown function '\(callee)'") }
                return try self.call(function, arguments, depth: depth + 1)
            case .local(let id):
                guard case .function(let function) = try frame.resolve(.value(id), module) else {
                    throw TenonError(.invalidGraph, "ONNX: a call of something that is not a function")
                }
                return try self.call(function, arguments, depth: depth + 1)
            case .external(let callee): throw TenonError(.unsupported, "ONNX: external function '\(callee)'")
            }
        case .tuple(let fields): return .tuple(try fields.map { try frame.resolve($0, module) })
        case .tupleGetItem(let operand, let index):
            guard case .tuple(let fields) = try frame.resolve(operand, module), fields.indices.contains(index) else {
                throw TenonError(.invalidGraph, "ONNX: tuple item \(index) of something that has none")
            }
            return fields[index]
        case .operand(let operand), .matchCast(let operand, _): return try frame.resolve(operand, module)
        case .function(let function): return .function(function)
        case .conditional(let condition, let then, let other):
            let condition = try frame.resolve(condition, module)
            // Each branch has the values from before; what it binds is its own.
            var (left, right) = (frame, frame)
            return try conditional(
                condition, type, name, then: { try run(then, &left, depth: depth + 1) },
                else: { try run(other, &right, depth: depth + 1) })
        }
    }
}
