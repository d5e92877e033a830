import TenonIR

/// The state of one import: names, the function being built, and what could not be imported.
final class GraphImport {
    let options: ONNXImportOptions
    var builder = FunctionBuilder()
    private var values: [String: ImportedValue] = [:]
    private var reader: TensorReader
    private var symbols = SymbolTable()
    private let versions: OperatorVersions
    private var unsupported = UnsupportedReport()

    init(_ model: ONNXModelProto, source: ModelSource, options: ONNXImportOptions) throws {
        self.options = options
        reader = TensorReader(source: source, limits: options.limits)
        versions = try OperatorVersions(model.opsetImport)
    }

    /// Imports the model's graph.
    func module(_ graph: ONNXGraphProto) throws -> Module {
        try addInitializers(graph)
        let inputNames = try addInputs(graph)
        for index in try NodeOrder.indices(of: graph, defined: Set(values.keys)) {
            try add(graph.node[index], at: index)
        }
        try unsupported.throwIfAny()
        return Module(functions: ["main": try finish(graph, inputNames: inputNames)])
    }

    // MARK: - Names

    func value(named name: String) -> ImportedValue? { values[name] }

    func constant(_ tensor: ONNXTensorProto, name: String) throws -> Constant {
        try reader.constant(tensor, name: name)
    }

    func sparseConstant(_ sparse: ONNXSparseTensorProto, name: String) throws -> Constant {
        try SparseReader.constant(sparse, name: name, reader: &reader, limits: options.limits)
    }

    private func define(_ name: String, _ value: ImportedValue) throws {
        guard values.updateValue(value, forKey: name) == nil else {
            throw TenonError.malformedONNX("value \(quoted(name)) is defined twice")
        }
    }

    /// A name as the text form can print it: letters, digits and underscores.
    func hint(_ name: String) -> String {
        var hint = ""
        for byte in name.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                hint.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                if !hint.isEmpty && !hint.hasSuffix("_") { hint += "_" }
            }
            if hint.utf8.count >= 64 { break }
        }
        if let first = hint.utf8.first, first >= UInt8(ascii: "0"), first <= UInt8(ascii: "9") { hint = "v" + hint }
        return hint
    }

    // MARK: - Inputs and outputs

    private func addInitializers(_ graph: ONNXGraphProto) throws {
        for tensor in graph.initializer {
            guard !tensor.name.isEmpty else { throw TenonError.malformedONNX("an initializer has no name") }
            try define(tensor.name, .operand(.constant(try reader.constant(tensor, name: tensor.name))))
        }
        for sparse in graph.sparseInitializer {
            let name = sparse.values.name
            try define(name, .operand(.constant(try sparseConstant(sparse, name: name))))
        }
    }

    private func addInputs(_ graph: ONNXGraphProto) throws -> [String] {
        var names: [String] = []
        var seen: Set<String> = []
        for input in graph.input {
            guard !input.name.isEmpty, seen.insert(input.name).inserted else {
                throw TenonError.malformedONNX("input \(quoted(input.name)) has no name or stands there twice")
            }
            // Files of the first format versions list initialisers as inputs too; those are constants here.
            if values[input.name] != nil { continue }
            let type = try InputType.tensor(input, options: options, symbols: &symbols)
            let hint = hint(input.name)
            let id = builder.parameter(hint.isEmpty ? "input\(names.count)" : hint, .tensor(type))
            try define(input.name, .operand(.value(id)))
            names.append(input.name)
        }
        for name in options.inputShapes.keys where !names.contains(name) {
            throw TenonError(.notFound, "ONNX: the model has no input \(quoted(name)) that a shape was given for")
        }
        return names
    }

    private func finish(_ graph: ONNXGraphProto, inputNames: [String]) throws -> Function {
        guard !graph.output.isEmpty else { throw TenonError.malformedONNX("the graph has no output") }
        var results: [Operand] = []
        for output in graph.output {
            switch values[output.name] {
            case .operand(let operand)?: results.append(operand)
            case .host(let host)?:
                guard let constant = try host.constant() else {
                    throw TenonError(
                        .unsupported, "ONNX: output \(quoted(output.name)) is computed from symbolic dimensions")
                }
                results.append(.constant(constant))
            case .unsupported?, nil:
                throw TenonError.malformedONNX("output \(quoted(output.name)) is not defined")
            }
        }
        // A result is a binding's value, so that it has a name and a place in the block.
        for (index, result) in results.enumerated() {
            if case .value(let id) = result, !builder.function.parameters.contains(id) { continue }
            results[index] = .value(try builder.alias(result, name: hint(graph.output[index].name)))
        }
        var function: Function
        if results.count == 1 {
            function = try builder.finish(results[0])
        } else {
            function = try builder.finish(.value(try builder.tuple(results, name: "outputs")))
        }
        function.attributes["input_names"] = .strings(inputNames)
        function.attributes["output_names"] = .strings(graph.output.map(\.name))
        return function
    }

    // MARK: - Nodes

    private func add(_ proto: ONNXNodeProto, at index: Int) throws {
        let opset = versions.version(of: proto.domain)
        let place = NodePlace(proto, index: index, opset: opset)
        do {
            let results = try results(of: proto, opset: opset, place: place)
            try bind(proto, results)
        } catch let error as TenonError {
            guard error.status == .unsupported else { throw place.locating(error) }
            unsupported.add(place, error.message)
            poison(proto)
        }
    }

    private func results(of proto: ONNXNodeProto, opset: Int64?, place: NodePlace) throws -> [ImportedValue]? {
        guard !proto.opType.isEmpty else { throw TenonError.malformedONNX("the node has no operator") }
        let importer = OperatorImporters.find(proto.opType, domain: proto.domain)
        guard importer != nil || HostFolding.knows(proto) else { throw TenonError(.unsupported, "") }
        guard let opset else {
            throw TenonError.malformedONNX("domain \(quoted(proto.domain)) is not in the model's operator sets")
        }
        // What hangs on an unsupported node is unsupported for that reason alone.
        for name in proto.input {
            if case .unsupported? = values[name] { return nil }
        }
        var node = try Node(proto, opset: opset, graph: self)
        let results: [ImportedValue]
        if let folded = try HostFolding.fold(node) {
            results = folded.map { .host($0) }
        } else if let importer {
            guard opset >= importer.since else {
                throw TenonError(.unsupported, "its form before opset \(importer.since)")
            }
            // Anew, since an attempt to fold may have read attributes.
            node = try Node(proto, opset: opset, graph: self)
            results = try importer.run(node)
        } else {
            throw TenonError(.unsupported, "inputs that are not known while importing")
        }
        if let unread = node.unreadAttribute {
            throw TenonError(.unsupported, "attribute \(quoted(unread))")
        }
        return results
    }

    private func bind(_ proto: ONNXNodeProto, _ results: [ImportedValue]?) throws {
        guard let results else { return poison(proto) }
        for (index, name) in proto.output.enumerated() where !name.isEmpty {
            guard index < results.count else { throw TenonError(.unsupported, "output \(index) (\(quoted(name)))") }
            if case .unsupported = results[index] {
                throw TenonError(.unsupported, "output \(index) (\(quoted(name)))")
            }
            try define(name, results[index])
        }
    }

    private func poison(_ proto: ONNXNodeProto) {
        for name in proto.output where !name.isEmpty { values[name] = .unsupported }
    }
}
