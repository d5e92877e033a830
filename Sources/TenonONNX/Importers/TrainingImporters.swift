import TenonIR

/// Steps of training: what gradients do to parameters. Arithmetic, element by element.
enum TrainingImporters {
    private static let domain = "ai.onnx.preview.training."

    static let table: [String: OperatorImporter] = [
        domain + "Adagrad": OperatorImporter { node in
            let (epsilon, decay) = (try node.float("epsilon", 1e-6), try node.float("decay_factor", 0))
            return try each(node, tensorCount: 3) { step, tensors in
                // The rate falls with the number of steps.
                let slowed = try step.number("add", try step.number("multiply", step.count, decay), 1)
                let rate = try step.alike(try step.of("divide", step.rate, slowed))
                let gradient = try step.regularized(tensors[0], tensors[1])
                let squares = try step.of("add", tensors[2], try step.of("multiply", gradient, gradient))
                let root = try step.number("add", try step.of("sqrt", squares), epsilon)
                let change = try step.of("divide", try step.of("multiply", rate, gradient), root)
                return [try step.of("subtract", tensors[0], change), squares]
            }
        },
        domain + "Adam": OperatorImporter { node in
            let (alpha, beta) = (try node.float("alpha", 0.9), try node.float("beta", 0.999))
            let (epsilon, after) = (try node.float("epsilon", 1e-6), try node.float("norm_coefficient_post", 0))
            return try each(node, tensorCount: 4) { step, tensors in
                let gradient = try step.regularized(tensors[0], tensors[1])
                let mean = try step.mixed(tensors[2], alpha, gradient)
                let squares = try step.mixed(tensors[3], beta, try step.of("multiply", gradient, gradient))
                // Both begin at 0, which the first steps make up for. 1 - β^t needs more digits than f32 has.
                let (first, second) = (try step.remaining(alpha), try step.remaining(beta))
                let corrected = try step.of(
                    "divide", try step.of("multiply", step.rate, try step.of("sqrt", second)), first)
                let rate = try step.alike(try step.afterFirst(corrected, step.rate))
                let root = try step.number("add", try step.of("sqrt", squares), epsilon)
                let change = try step.of("multiply", rate, try step.of("divide", mean, root))
                let moved = try step.of("subtract", tensors[0], change)
                return [after == 0 ? moved : try step.number("multiply", moved, 1 - after), mean, squares]
            }
        },
        domain + "Momentum": OperatorImporter { node in
            let (alpha, beta) = (try node.float("alpha", 0), try node.float("beta", 0))
            let mode = try node.string("mode", "standard")
            guard mode == "standard" || mode == "nesterov" else {
                throw node.error(.invalidArgument, "mode is \(quoted(mode))")
            }
            return try each(node, tensorCount: 3) { step, tensors in
                let gradient = try step.regularized(tensors[0], tensors[1])
                // The first step takes the whole gradient.
                let share = try step.alike(try step.afterFirst(step.real(beta), step.real(1)))
                let momentum = try step.of(
                    "add", try step.number("multiply", tensors[2], alpha), try step.of("multiply", share, gradient))
                let direction =
                    mode == "standard"
                    ? momentum : try step.of("add", gradient, try step.number("multiply", momentum, alpha))
                let change = try step.of("multiply", try step.alike(step.rate), direction)
                return [try step.of("subtract", tensors[0], change), momentum]
            }
        },
    ]

    /// Calls `update` for every parameter. Inputs are the rate, the number of steps, and then all parameters, all gradients and
    /// all tensors of each state; outputs all parameters and all of each state.
    private static func each(
        _ node: Node, tensorCount: Int, _ update: (Step, [Operand]) throws -> [Operand]
    ) throws -> [ImportedValue] {
        let given = node.inputCount - 2
        guard given > 0, given % tensorCount == 0 else {
            throw node.error(
                .invalidGraph, "expected 2 inputs and \(tensorCount) per parameter, found \(node.inputCount)")
        }
        let parameterCount = given / tensorCount
        let norm = try node.float("norm_coefficient", 0)
        let rate = try node.reshape(try node.cast(try node.operand(0), .float64), [])
        let count = try node.reshape(try node.cast(try node.operand(1), .float64), [])
        var results: [[Operand]] = []
        for index in 0..<parameterCount {
            let own = try (0..<tensorCount).map { try node.operand(2 + $0 * parameterCount + index) }
            let dtype = try node.type(of: own[0]).dtype ?? .float32
            results.append(try update(Step(node: node, rate: rate, count: count, dtype: dtype, norm: norm), own))
        }
        return (0..<tensorCount - 1).flatMap { state in results.map { .operand($0[state]) } }
    }

    /// What an update needs. Rate, count and what is made of them are f64 scalars.
    private struct Step {
        let node: Node
        let rate: Operand
        let count: Operand
        let dtype: DataType
        let norm: Double

        func of(_ op: String, _ operands: Operand...) throws -> Operand { try node.call(op, operands) }
        func real(_ value: Double) throws -> Operand { .constant(try Constant.scalar(.float64, value)) }

        /// `x` and a number of its type.
        func number(_ op: String, _ x: Operand, _ value: Double) throws -> Operand {
            try node.call(op, [x, try node.scalar(value, like: x)])
        }

        /// A scalar in the type of the parameter.
        func alike(_ scalar: Operand) throws -> Operand { try node.cast(scalar, dtype) }

        /// The gradient with that of a penalty on large parameters.
        func regularized(_ x: Operand, _ gradient: Operand) throws -> Operand {
            norm == 0 ? gradient : try of("add", try number("multiply", x, norm), gradient)
        }

        /// factor × old + (1 - factor) × new.
        func mixed(_ old: Operand, _ factor: Double, _ new: Operand) throws -> Operand {
            try of("add", try number("multiply", old, factor), try number("multiply", new, 1 - factor))
        }

        /// 1 - factor^count.
        func remaining(_ factor: Double) throws -> Operand {
            try of("subtract", try real(1), try of("power", try real(factor), count))
        }

        /// `value` save in the step with number 0.
        func afterFirst(_ value: Operand, _ first: Operand) throws -> Operand {
            try of("where", try of("greater", count, try real(0)), value, first)
        }
    }
}
