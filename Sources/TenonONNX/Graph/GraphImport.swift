import TenonIR

/// The state of one import: names, the function being built, and what could not be imported.
final class GraphImport {
    let options: ONNXImportOptions
    /// Functions under construction: `main`, the body of a loop in it, the body of a loop in that, …
    var levels = [FunctionLevel()]
    private var reader: TensorReader
    private var symbols = SymbolTable()
    /// Symbols of sizes that only a run knows, in order.
    private(set) var freshSymbols: [String] = []
    /// Names that nodes see at this point: those of the graph, or of the function or branch that is being expanded.
    var scope: Scope
    private let functions: FunctionTable
    /// Bodies of loops, by the names that they have in the module.
    var bodies: [String: Function] = [:]
    private var nodeCount = 0
    private let topLevelNodes: Int
    var unsupported = UnsupportedReport()

    /// The function that bindings go to.
    var builder: FunctionBuilder {
        get { levels[levels.count - 1].builder }
        _modify { yield &levels[levels.count - 1].builder }
    }

    init(_ model: ONNXModelProto, source: ModelSource, options: ONNXImportOptions) throws {
        topLevelNodes = model.graph.node.count
        self.options = options
        reader = TensorReader(source: source, limits: options.limits)
        scope = Scope(versions: try OperatorVersions(model.opsetImport))
        functions = try FunctionTable(model.functions)
    }

    /// Imports the model's graph.
    func module(_ graph: ONNXGraphProto) throws -> Module {
        try addInitializers(graph)
        let inputNames = try addInputs(graph)
        try addNodes(graph.node, for: graph.output.map(\.name))
        try unsupported.throwIfAny()
        var module = Module(functions: ["main": try finish(graph, inputNames: inputNames)])
        for (name, body) in bodies.sorted(by: { $0.key < $1.key }) { module[name] = body }
        return module
    }

    // MARK: - Names

    /// What a name stands for in one graph or function body.
    struct Scope {
        var values: [String: ImportedValue] = [:]
        /// Values of the graphs around a branch or body, the nearest first, which it may use, and whose function has them.
        var outer: [(values: [String: ImportedValue], level: Int)] = []
        var versions: OperatorVersions
        var depth = 0
    }

    /// By the name of a ZipMap's output, whose its columns are.
    var columnLabels: [String: Constant] = [:]
    /// By the name of an output that is texts: those that its numbers stand for.
    var textValues: [String: [String]] = [:]

    func value(named name: String) -> ImportedValue? { scope.values[name] ?? outerValue(named: name) }

    private func outerValue(named name: String) -> ImportedValue? {
        for (values, level) in scope.outer {
            if let value = values[name] { return captured(value, from: level) }
        }
        return nil
    }

    private func isOuter(_ name: String) -> Bool { scope.outer.contains { $0.values[name] != nil } }

    /// The names around a graph that is opened here.
    var namesAround: [(values: [String: ImportedValue], level: Int)] {
        [(scope.values, levels.count - 1)] + scope.outer
    }

    /// A symbol that no dimension of the model has.
    func freshSize(_ name: String) -> Dim {
        let symbol = symbols.fresh(name)
        freshSymbols.append(symbol)
        return .symbol(symbol)
    }

    func constant(_ tensor: ONNXTensorProto, name: String) throws -> Constant {
        try reader.constant(tensor, name: name)
    }

    func sparseConstant(_ sparse: ONNXSparseTensorProto, name: String) throws -> Constant {
        try SparseReader.constant(sparse, name: name, reader: &reader, limits: options.limits)
    }

    /// Known values as an operand: a constant, or, with symbols in it, a tensor that the run fills in.
    ///
    /// - Parameter level: the function that gets it; the innermost one where nothing is said.
    func operand(_ host: HostTensor, name: String, at level: Int? = nil) throws -> Operand {
        let level = level ?? levels.count - 1
        if let constant = try host.constant() { return .constant(constant) }
        guard let dims = host.dims, dims.count <= HostTensor.maximumCount else {
            throw TenonError(
                .unsupported,
                "\(quoted(name)): \(host.dtype.name) values computed from symbolic dimensions, used as data")
        }
        func call(_ op: String, _ arguments: [Operand], _ attributes: Attributes = Attributes()) throws -> Operand {
            .value(try levels[level].builder.call(op, arguments, attributes, name: name))
        }
        var tensor = try call("shape_to_tensor", [.shape(dims)])
        if host.shape.count != 1 { tensor = try call("reshape", [tensor, .shape(host.shape.map { .fixed($0) })]) }
        return host.dtype == .int64 ? tensor : try call("astype", [tensor], ["dtype": .dtype(host.dtype)])
    }

    func define(_ name: String, _ value: ImportedValue) throws {
        guard scope.values.updateValue(value, forKey: name) == nil else {
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

    func addInitializers(_ graph: ONNXGraphProto) throws {
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
            if scope.values[input.name] != nil { continue }
            if let value = options.inputValues[input.name] {
                try InputType.check(value, input)
                try define(input.name, .operand(.constant(value)))
                continue
            }
            let type = try InputType.tensor(input, options: options, symbols: &symbols)
            let hint = hint(input.name)
            let id = builder.parameter(hint.isEmpty ? "input\(names.count)" : hint, .tensor(type))
            try define(input.name, .operand(.value(id)))
            names.append(input.name)
        }
        for name in options.inputShapes.keys where !names.contains(name) {
            throw TenonError(.notFound, "ONNX: the model has no input \(quoted(name)) that a shape was given for")
        }
        for name in options.inputValues.keys where !seen.contains(name) {
            throw TenonError(.notFound, "ONNX: the model has no input \(quoted(name)) that a value was given for")
        }
        return names
    }

    private func finish(_ graph: ONNXGraphProto, inputNames: [String]) throws -> Function {
        guard !graph.output.isEmpty else { throw TenonError.malformedONNX("the graph has no output") }
        var results: [Operand] = []
        for output in graph.output {
            switch value(named: output.name) {
            case .operand(let operand)?: results.append(operand)
            case .host(let host)?: results.append(try operand(host, name: hint(output.name)))
            case .sequence?, .slices?:
                throw TenonError(.unsupported, "ONNX: output \(quoted(output.name)) is a sequence")
            case .absent?:
                throw TenonError(.unsupported, "ONNX: output \(quoted(output.name)) is an optional")
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
        // Numbers that stand for texts must not be taken for labels.
        for name in textValues.keys where !graph.output.contains(where: { $0.name == name }) {
            throw TenonError(
                .unsupported, "ONNX: labels that are texts (\(quoted(name))) and not an output of the model")
        }
        for (index, output) in graph.output.enumerated() {
            if let texts = textValues[output.name] { function.attributes["text_values_\(index)"] = .strings(texts) }
            guard let labels = columnLabels[output.name] else { continue }
            function.attributes["column_labels_\(index)"] =
                labels.dtype == .string ? .strings(labels.strings) : .ints(labels.intElements ?? [])
        }
        return function
    }

    // MARK: - Nodes

    /// Adds the nodes that give `outputs`.
    func addNodes(_ nodes: [ONNXNodeProto], for outputs: [String]) throws {
        let order = try NodeOrder.indices(of: nodes, inputs: Set(scope.values.keys)) { isOuter($0) }
        try addNodes(nodes, order[...], for: outputs)
    }

    func addNodes(_ nodes: [ONNXNodeProto], _ order: ArraySlice<Int>, for outputs: [String]) throws {
        for (offset, index) in order.enumerated() {
            do {
                try add(nodes[index], at: index)
            } catch let difference as RankDifference {
                return try addInBranches(
                    difference, nodes[index], nodes, order.dropFirst(offset + 1), for: outputs)
            }
        }
    }

    private func add(_ proto: ONNXNodeProto, at index: Int) throws {
        // Counted again here, since functions multiply.
        nodeCount += 1
        try Work.check()
        guard nodeCount <= options.limits.nodes else {
            throw TenonError.onnxLimit("it expands to over \(nodeCount - 1) nodes")
        }
        if let progress = options.progress { try progress("import", nodeCount - 1, max(nodeCount, topLevelNodes)) }
        let opset = scope.versions.version(of: proto.domain)
        let place = NodePlace(proto, index: index, opset: opset)
        do {
            guard let results = try results(of: proto, opset: opset) else { return poison(proto) }
            for (index, name) in proto.output.enumerated() where !name.isEmpty {
                guard index < results.count else { throw TenonError(.unsupported, "output \(index) (\(quoted(name)))") }
                try define(name, results[index])
            }
        } catch let error as TenonError {
            guard error.status == .unsupported else { throw place.locating(error) }
            unsupported.add(place, error.message)
            poison(proto)
        }
    }

    /// The node's outputs, or nil when an input could not be imported, which has been reported.
    private func results(of proto: ONNXNodeProto, opset: Int64?) throws -> [ImportedValue]? {
        guard !proto.opType.isEmpty else { throw TenonError.malformedONNX("the node has no operator") }
        let function = functions.find(proto)
        let importer = OperatorImporters.find(proto.opType, domain: proto.domain)
        guard importer != nil || function != nil || HostFolding.knows(proto) else { throw TenonError(.unsupported, "") }
        for name in proto.input {
            if case .unsupported? = value(named: name) { return nil }
        }
        if let function, importer == nil { return try expand(function, proto) }
        guard let opset else {
            throw TenonError.malformedONNX("domain \(quoted(proto.domain)) is not in the model's operator sets")
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

    private func poison(_ proto: ONNXNodeProto) {
        for name in proto.output where !name.isEmpty { scope.values[name] = .unsupported }
    }

    // MARK: - Functions and branches

    /// The outputs of a function's body, whose formal inputs stand for the node's.
    private func expand(_ function: ONNXFunctionProto, _ proto: ONNXNodeProto) throws -> [ImportedValue] {
        guard proto.input.count <= function.input.count, proto.output.count <= function.output.count else {
            throw TenonError(
                .invalidGraph,
                """
                the function has \(function.input.count) inputs and \(function.output.count) outputs, the node \
                \(proto.input.count) and \(proto.output.count)
                """)
        }
        var inner = Scope(versions: try scope.versions.overridden(by: function.opsetImport), depth: scope.depth + 1)
        var absent: Set<String> = []
        for (index, name) in function.input.enumerated() {
            guard index < proto.input.count, !proto.input[index].isEmpty else {
                absent.insert(name)
                continue
            }
            guard let value = value(named: proto.input[index]) else {
                throw TenonError.malformedONNX("input \(quoted(proto.input[index])) is not defined")
            }
            guard inner.values.updateValue(value, forKey: name) == nil else {
                throw TenonError.malformedONNX("the function has two inputs \(quoted(name))")
            }
        }
        let nodes = try FunctionTable.body(of: function, for: proto, absent: absent)
        return try within(inner) {
            try addNodes(nodes, for: function.output)
            return try function.output.map(result)
        }
    }

    /// The outputs of a graph that is an attribute of a node, with the names of the graph around it in sight.
    func expand(_ branch: ONNXGraphProto, inputs: [ImportedValue] = []) throws -> [ImportedValue] {
        let inner = Scope(outer: namesAround, versions: scope.versions, depth: scope.depth + 1)
        guard branch.input.count >= inputs.count else {
            throw TenonError(.invalidGraph, "a graph takes \(branch.input.count) inputs, not \(inputs.count)")
        }
        return try within(inner) {
            for (input, value) in zip(branch.input, inputs) { try define(input.name, value) }
            try addInitializers(branch)
            try addNodes(branch.node, for: branch.output.map(\.name))
            return try branch.output.map { try result($0.name) }
        }
    }

    func result(_ name: String) throws -> ImportedValue {
        guard let value = value(named: name) else {
            throw TenonError.malformedONNX("output \(quoted(name)) is not defined")
        }
        return value
    }

    func within<T>(_ inner: Scope, _ body: () throws -> T) throws -> T {
        guard inner.depth <= options.limits.nesting else {
            throw TenonError.onnxLimit("functions and branches are nested deeper than \(options.limits.nesting)")
        }
        let around = scope
        scope = inner
        defer { scope = around }
        return try body()
    }
}
