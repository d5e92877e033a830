import SwiftProtobuf
import TenonIR
import Testing

@testable import TenonONNX

/// Functions that a model brings along, and branches that are decided while importing.
@Suite struct FunctionTests {
    private func node(
        _ op: String, _ inputs: [String], _ outputs: [String], domain: String = "",
        _ attributes: [ONNXAttributeProto] = []
    ) -> ONNXNodeProto {
        var node = ONNXNodeProto()
        node.opType = op
        node.input = inputs
        node.output = outputs
        node.domain = domain
        node.attribute = attributes
        return node
    }

    /// y = leaky_relu(x + bias) with the slope as an attribute.
    private func scaled() -> ONNXFunctionProto {
        var function = ONNXFunctionProto()
        function.name = "AddLeaky"
        function.domain = "local"
        function.input = ["a", "b"]
        function.output = ["r"]
        function.attributeProto = [attribute("slope", float: 0.25)]
        var reference = ONNXAttributeProto()
        reference.name = "alpha"
        reference.type = .float
        reference.refAttrName = "slope"
        function.node = [node("Add", ["a", "b"], ["t"]), node("LeakyRelu", ["t"], ["r"], [reference])]
        var version = ONNXOperatorSetIdProto()
        version.version = 16
        function.opsetImport = [version]
        return function
    }

    private func model(_ functions: [ONNXFunctionProto], _ attributes: [ONNXAttributeProto] = []) -> ModelBuilder {
        var builder = ModelBuilder()
        builder.input("x", [3])
        builder.constant(ModelBuilder.floats("w", [3]))
        builder.model.functions = functions
        builder.node("AddLeaky", ["x", "w"], ["t"], attributes, domain: "local")
        builder.node("AddLeaky", ["t", "w"], ["y"], domain: "local")
        builder.output("y")
        return builder
    }

    @Test func callsAreExpanded() throws {
        let main = try model([scaled()], [attribute("slope", float: 0.5)]).function()
        #expect(main.operators == ["add", "nn.leakyrelu", "add", "nn.leakyrelu"])
        var slopes: [Double?] = []
        main.forEachBinding { binding in
            if let call = binding.expression.asCall, call.arguments.count == 1 {
                slopes.append(call.attributes.float("alpha"))
            }
        }
        #expect(slopes == [0.5, 0.25])
    }

    @Test func callsThatDoNotFitAreErrors() {
        #expect(
            failure { _ = try model([scaled()], [attribute("tilt", 1)]).load() }?.message.contains("'tilt'") == true)
        var fewer = scaled()
        fewer.input = ["a"]
        #expect(failure { _ = try model([fewer]).load() }?.status == .invalidGraph)
        var dangling = scaled()
        dangling.output = ["nothing"]
        #expect(failure { _ = try model([dangling]).load() }?.message.contains("'nothing'") == true)
        #expect(failure { _ = try model([scaled(), scaled()]).load() }?.message.contains("twice") == true)
        #expect(failure { _ = try model([]).load() }?.status == .unsupported)
    }

    @Test func recursionIsBounded() {
        var recursive = scaled()
        recursive.node.append(node("AddLeaky", ["r", "b"], ["again"], domain: "local"))
        #expect(failure { _ = try model([recursive]).load() }?.status == .limitExceeded)
    }

    @Test func expansionIsBounded() {
        // Each function calls the next one four times: 4^20 nodes.
        var functions: [ONNXFunctionProto] = []
        for level in 0..<20 {
            var function = ONNXFunctionProto()
            function.name = level == 0 ? "AddLeaky" : "F\(level)"
            function.domain = "local"
            function.input = ["a", "b"]
            function.output = ["v4"]
            function.node = (0..<4).map { index in
                level == 19
                    ? node("Add", [index == 0 ? "a" : "v\(index)", "b"], ["v\(index + 1)"])
                    : node("F\(level + 1)", [index == 0 ? "a" : "v\(index)", "b"], ["v\(index + 1)"], domain: "local")
            }
            functions.append(function)
        }
        var options = ONNXImportOptions()
        options.limits.nodes = 2000
        #expect(failure { _ = try model(functions).load(options) }?.status == .limitExceeded)
    }

    @Test func unsupportedNodesInsideAreNamed() throws {
        var function = scaled()
        function.node.insert(node("Mystery", ["a"], ["m"]), at: 0)
        function.node[1].input = ["m", "b"]
        let error = try #require(failure { _ = try model([function]).load() })
        #expect(error.status == .unsupported && error.message.contains("Mystery"))
        #expect(!error.message.contains("AddLeaky"))
    }

    /// y = x + w or x * w, by the input "add".
    private func branching(nested: Bool = false) -> ModelBuilder {
        func branch(_ op: String) -> ONNXGraphProto {
            var graph = ONNXGraphProto()
            graph.initializer = [ModelBuilder.floats("w", [3], [1, 2, 3])]
            graph.node = [node(op, ["x", "w"], ["r"])]
            graph.output = [ModelBuilder.info("r", [3], .float)]
            return graph
        }
        func branches(_ then: ONNXGraphProto, _ other: ONNXGraphProto) -> [ONNXAttributeProto] {
            [("then_branch", then), ("else_branch", other)].map { name, graph in
                var attribute = ONNXAttributeProto()
                attribute.name = name
                attribute.type = .graph
                attribute.g = graph
                return attribute
            }
        }
        var builder = ModelBuilder()
        builder.input("x", [3])
        builder.input("add", [], .bool)
        if nested {
            var outer = ONNXGraphProto()
            outer.node = [node("If", ["add"], ["r"], branches(branch("Add"), branch("Mul")))]
            outer.output = [ModelBuilder.info("r", [3], .float)]
            builder.node("If", ["add"], ["y"], branches(outer, outer))
        } else {
            builder.node("If", ["add"], ["y"], branches(branch("Add"), branch("Mul")))
        }
        builder.output("y")
        return builder
    }

    @Test(arguments: [false, true]) func theBranchOfAKnownConditionIsImported(nested: Bool) throws {
        var options = ONNXImportOptions()
        options.inputValues["add"] = try Constant.scalar(.bool, 1)
        #expect(try branching(nested: nested).function(options).operators == ["add"])
        options.inputValues["add"] = try Constant.scalar(.bool, 0)
        let main = try branching(nested: nested).function(options)
        #expect(main.operators == ["multiply"] && main.parameters.count == 1)
        #expect(try branching(nested: nested).function().operators.contains("other"))
    }

    @Test func valuesForInputsMustFit() throws {
        var options = ONNXImportOptions()
        options.inputValues["add"] = try Constant.scalar(.float32, 1)
        #expect(failure { _ = try branching().load(options) }?.status == .invalidType)
        options.inputValues["add"] = try Constant.filled(.bool, [2], 1)
        #expect(failure { _ = try branching().load(options) }?.status == .invalidType)
        options.inputValues = ["other": try Constant.scalar(.bool, 1)]
        #expect(failure { _ = try branching().load(options) }?.status == .notFound)
    }
}
