import TenonIR

/// The ONNX forms of arithmetic that ONNX spells in several operators, or only for some element types.
enum ExportArithmeticRules {
    static let table: [String: ExportRules.Rule] = [
        "matmul": { call in
            try requireOwnType(call)
            return try call.result("MatMul", [try call.input(0), try call.input(1)])
        },
        "nn.dense": { call in
            try requireOwnType(call)
            guard try call.rank(1) == 2 else { throw call.unsupported("a weight that is no matrix") }
            let weight = call.step("Transpose", [try call.input(1)], ["perm": .ints([1, 0])])
            return try call.result("MatMul", [try call.input(0), weight])
        },
        "floor_divide": { call in
            let (a, b) = (try call.input(0), try call.input(1))
            if try isInteger(call) {
                return try call.result("Div", [call.step("Sub", [a, call.step("Mod", [a, b])]), b])
            }
            return try call.result("Floor", [call.step("Div", [a, b])])
        },
        "floor_mod": { call in
            let (a, b) = (try call.input(0), try call.input(1))
            if try isInteger(call) { return try call.result("Mod", [a, b]) }
            // ONNX's Mod has the sign of a for these types; where it is another than b's, b is added.
            let zero = try call.scalar(0, try call.dtype())
            let rest = call.step("Mod", [a, b], ["fmod": 1])
            let isOther = call.step("Xor", [call.step("Less", [rest, zero]), call.step("Less", [b, zero])])
            let isWhole = call.step("Equal", [rest, zero])
            let isKept = call.step("Or", [isWhole, call.step("Not", [isOther])])
            return try call.result("Where", [isKept, rest, call.step("Add", [rest, b])])
        },
        "trunc": { call in
            let x = try call.input(0)
            return try call.result("Mul", [call.step("Sign", [x]), call.step("Floor", [call.step("Abs", [x])])])
        },
        "log1p": { call in
            try call.result("Log", [call.step("Add", [try call.input(0), try call.scalar(1, try call.dtype())])])
        },
        "nn.softplus": { call in
            let beta = try call.float("beta")
            if beta == 1 { return try call.result("Softplus", [try call.input(0)]) }
            let factor = try call.scalar(beta, try call.dtype())
            return try call.result(
                "Div", [call.step("Softplus", [call.step("Mul", [try call.input(0), factor])]), factor])
        },
        "nn.prelu": { call in try call.result("PRelu", [try call.input(0), try call.input(1)]) },
        "isinf": { call in
            try call.result("IsInf", [try call.input(0)], call.kept(["detect_positive", "detect_negative"]))
        },
        "isfinite": { call in
            let x = try call.input(0)
            return try call.result("Not", [call.step("Or", [call.step("IsInf", [x]), call.step("IsNaN", [x])])])
        },
        "bitwise_and": { call in try bitwise(call, "And") },
        "bitwise_or": { call in try bitwise(call, "Or") },
        "bitwise_xor": { call in try bitwise(call, "Xor") },
        "bitwise_not": { call in
            if try call.dtype() == .bool { return try call.result("Not", [try call.input(0)]) }
            return try call.result("BitwiseNot", [try call.input(0)])
        },
        "left_shift": { call in try shift(call, "LEFT") },
        "right_shift": { call in try shift(call, "RIGHT") },
        "all": { call in try truth(call, "ReduceProd") },
        "any": { call in try truth(call, "ReduceSum") },
    ]

    private static func isInteger(_ call: ExportCall) throws -> Bool { try call.dtype().isInteger }

    private static func requireOwnType(_ call: ExportCall) throws {
        guard
            try call.attributes.dtype("out_dtype") == nil
                || call.attributes.dtype("out_dtype") == call.tensor(0).type.dtype
        else { throw call.unsupported("a result of another element type") }
    }

    private static func bitwise(_ call: ExportCall, _ op: String) throws -> GraphExport.Value {
        let name = try call.dtype() == .bool ? op : "Bitwise" + op
        return try call.result(name, [try call.input(0), try call.input(1)])
    }

    private static func shift(_ call: ExportCall, _ direction: String) throws -> GraphExport.Value {
        guard [.uint8, .uint16, .uint32, .uint64].contains(try call.dtype()) else {
            throw call.unsupported("a shift of numbers with a sign")
        }
        return try call.result("BitShift", [try call.input(0), try call.input(1)], ["direction": .string(direction)])
    }

    /// Reductions of truth values by way of 0 and 1: products and sums, which are right without values, too.
    static func truth(_ call: ExportCall, _ op: String, axes: String? = nil) throws -> GraphExport.Value {
        let x = try call.tensor(0)
        let flags = x.type.dtype == .bool ? x.name : call.step("Cast", [x.name], ["to": .dtype(.bool)])
        var inputs = [call.step("Cast", [flags], ["to": .dtype(.int64)])]
        if let axes {
            inputs.append(axes)
        } else if let axes = call.attributes.ints("axis") {
            guard !axes.isEmpty else { throw call.unsupported("a reduction over no axis") }
            inputs.append(try call.list(axes))
        }
        let reduced = call.step(op, inputs, ["keepdims": .bool(call.isTrue("keepdims"))])
        return try call.result("Cast", [reduced], ["to": .dtype(.bool)])
    }
}
