import TenonIR

/// The functions that a model brings along, by domain, name and overload.
struct FunctionTable {
    private struct Key: Hashable {
        let domain: String
        let name: String
        let overload: String
    }

    private var functions: [Key: ONNXFunctionProto] = [:]

    init(_ functions: [ONNXFunctionProto]) throws {
        for function in functions {
            let key = Key(domain: function.domain, name: function.name, overload: function.overload)
            guard self.functions.updateValue(function, forKey: key) == nil else {
                throw TenonError.malformedONNX("function \(quoted(function.name)) is defined twice")
            }
        }
    }

    /// The function that a node calls, if it calls one.
    func find(_ node: ONNXNodeProto) -> ONNXFunctionProto? {
        guard !functions.isEmpty else { return nil }
        return functions[Key(domain: node.domain, name: node.opType, overload: node.overload)]
    }

    /// The nodes of the body with the call's attributes put in, or the function's defaults.
    ///
    /// - Parameter absent: formal inputs that the call leaves out; nodes see them left out too.
    static func body(
        of function: ONNXFunctionProto, for call: ONNXNodeProto, absent: Set<String>
    ) throws -> [ONNXNodeProto] {
        var given: [String: ONNXAttributeProto] = [:]
        for attribute in function.attributeProto { given[attribute.name] = attribute }
        for attribute in call.attribute {
            guard function.attribute.contains(attribute.name) || given[attribute.name] != nil else {
                throw TenonError(.invalidArgument, "the function has no attribute \(quoted(attribute.name))")
            }
            given[attribute.name] = attribute
        }
        return function.node.map { node in
            var node = node
            if node.attribute.contains(where: { !$0.refAttrName.isEmpty }) {
                node.attribute = node.attribute.compactMap { attribute in
                    guard !attribute.refAttrName.isEmpty else { return attribute }
                    // An attribute that neither call nor defaults give stays away.
                    guard var value = given[attribute.refAttrName] else { return nil }
                    value.name = attribute.name
                    return value
                }
            }
            if !absent.isEmpty { node.input = node.input.map { absent.contains($0) ? "" : $0 } }
            return node
        }
    }
}
