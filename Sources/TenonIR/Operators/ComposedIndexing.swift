/// Operators of Relax on positions, and losses, written in terms of others.
enum ComposedIndexingOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "index_tensor",
            "Elements or slices of data at the positions that several tensors, broadcast, give for its first dimensions.",
            inputs: [.init("data"), .init("indices", .tuple)],
            expansion: { expander, call in
                let (data, stacked) = (
                    call.arguments[0], try stacked(&expander, call.arguments[1], of: call.arguments[0])
                )
                return try expander.call("gather_nd", [data, stacked])
            }
        ) { site in
            let (data, indices) = (try site.tensor(0), try site.tensors(1))
            guard let shape = data.shape else { return .tensor(TensorType(dtype: data.dtype, rank: nil)) }
            guard let dims = try broadcast(indices, site), indices.count <= shape.count else {
                if indices.count > shape.count { throw site.inputError(1, expects: "at most \(shape.count) tensors") }
                return .tensor(TensorType(dtype: data.dtype, rank: nil))
            }
            return .tensor(TensorType(data.dtype, dims + shape.dropFirst(indices.count)))
        },
        OperatorSchema(
            "index_put", "data with values put, or added with accumulate, at the positions that several tensors give.",
            inputs: [.init("data"), .init("indices", .tuple), .init("values")],
            attributes: [.defaulted("accumulate", false)],
            expansion: { expander, call in
                let data = call.arguments[0]
                let shape = try expander.shaped(data, "index_put").shape
                guard case .tuple(let types) = expander.type(of: call.arguments[1]) else { return nil }
                let stacked = try stacked(&expander, call.arguments[1], of: data)
                let lead = try expander.shaped(stacked, "index_put").shape.dropLast()
                let values = try expander.call(
                    "broadcast_to", [call.arguments[2], .shape(Array(lead) + Array(shape.dropFirst(types.count)))])
                let reduction = call.attributes.bool("accumulate") == true ? "add" : "update"
                return try expander.call("scatter_nd", [data, stacked, values], ["reduction": .string(reduction)])
            }
        ) { site in
            let (data, indices) = (try site.tensor(0), try site.tensors(1))
            if let rank = data.rank, indices.count > rank {
                throw site.inputError(1, expects: "at most \(rank) tensors")
            }
            _ = try broadcast(indices, site)
            _ = try site.sameDType(0, 2)
            return .tensor(data)
        },
        OperatorSchema(
            "slice_scatter", "data with src put at begin, begin + strides, … below end of axis.",
            inputs: [
                .init("data"), .init("src"), .init("start", .scalar), .init("end", .scalar), .init("step", .scalar),
            ],
            attributes: [.defaulted("axis", 0)], expansion: sliceScatter
        ) { site in
            _ = try site.sameDType(0, 1)
            return .tensor(try site.tensor(0))
        },
        OperatorSchema(
            "nn.cross_entropy_with_logits", "-Σ predictions · labels, over the batch where there is one.",
            inputs: [.init("predictions"), .init("labels")],
            expansion: { expander, call in
                let (dtype, shape) = try expander.shaped(call.arguments[0], "nn.cross_entropy_with_logits")
                let product = try expander.call("multiply", [call.arguments[0], call.arguments[1]])
                let sum = try expander.call("negative", [try expander.call("sum", [product])])
                guard shape.count > 1 else { return sum }
                guard let batch = shape[0].value else {
                    throw TenonError(
                        .unsupported, "nn.cross_entropy_with_logits: expects a known batch, found \(shape[0])")
                }
                return try expander.call("divide", [sum, try expander.scalar(Double(batch), dtype)])
            }
        ) { site in
            .tensor(TensorType(try site.sameDType(0, 1), [Dim]()))
        },
        OperatorSchema(
            "nn.nll_loss",
            "-weights[target] · predictions[target] of each target that is not ignore_index, their mean or sum.",
            inputs: [.init("predictions"), .init("targets"), .init("weights", optional: true)],
            attributes: [
                .defaulted("reduction", "mean", allowed: ["none", "mean", "sum"]),
                .defaulted("ignore_index", .int(-100)),
            ], expansion: likelihood
        ) { site in
            let (predictions, targets) = (try site.tensor(0), try site.tensor(1))
            if site.attributes.string("reduction") != "none" { return .tensor(TensorType(predictions.dtype, [Dim]())) }
            var type = targets
            type.dtype = predictions.dtype
            return .tensor(type)
        },
        OperatorSchema(
            "hamming_window",
            "alpha - beta · cos(2πi / n) for i below window_size; n is that or, not periodic, one less.",
            inputs: [
                .init("window_size", .scalar), .init("periodic", .scalar), .init("alpha", .scalar),
                .init("beta", .scalar),
            ],
            attributes: [.defaulted("dtype", .dtype(.float32))], expansion: window
        ) { site in
            guard let size = number(site.arguments.first) else { throw site.inputError(0, expects: "a known number") }
            guard size >= 0, size <= 16_777_216 else { throw site.inputError(0, expects: "0 to 2^24") }
            return .tensor(TensorType(site.attributes.dtype("dtype"), [.fixed(Int64(size))]))
        },
        OperatorSchema(
            "image.affine_grid", "Positions from -1 to 1 of a grid of size, moved by the 2 × 3 matrices of data.",
            inputs: [.init("data"), .init("size", .shape)], attributes: [.defaulted("align_corners", true)],
            expansion: affineGrid
        ) { site in
            let data = try site.tensor(0, rank: 3)
            guard let size = site.dims(1), let shape = data.shape else {
                return .tensor(TensorType(dtype: data.dtype, rank: 4))
            }
            guard size.count == 2, size.allSatisfy({ ($0.value ?? 1) > 0 }) else {
                throw site.inputError(1, expects: "2 sizes from 1")
            }
            return .tensor(TensorType(data.dtype, [shape[0], 2] + size))
        },
        OperatorSchema(
            "multinomial_from_uniform",
            "For each row of prob the first index whose running sum exceeds a uniform sample.",
            inputs: [.init("prob"), .init("uniform_sample"), .init("sample_indices")],
            attributes: [.defaulted("dtype", .dtype(.int64))],
            expansion: { expander, call in
                let rows = try expander.call("reshape", [call.arguments[2], .shape([-1])])
                let picked = try expander.call("take", [call.arguments[0], rows], ["axis": 0])
                let sums = try expander.call("cumsum", [picked], ["axis": 1])
                let below = try expander.call("less_equal", [sums, call.arguments[1]])
                let counted = try expander.call(
                    "astype", [below], ["dtype": call.attributes["dtype"] ?? .dtype(.int64)])
                return try expander.call("sum", [counted], ["axis": .ints([1]), "keepdims": true])
            }
        ) { site in
            var type = try site.tensor(1, rank: 2)
            _ = try site.tensor(0, rank: 2)
            type.dtype = site.attributes.dtype("dtype")
            return .tensor(type)
        },
        OperatorSchema(
            "wrap_param", "data in another element type.", inputs: [.init("data")],
            attributes: [.defaulted("dtype", .dtype(.float32))],
            expansion: { expander, call in
                try expander.call(
                    "astype", [call.arguments[0]], ["dtype": call.attributes["dtype"] ?? .dtype(.float32)])
            }
        ) { site in
            var type = try site.tensor(0)
            type.dtype = site.attributes.dtype("dtype")
            return .tensor(type)
        },
    ]

    private static func number(_ operand: Operand?) -> Double? {
        switch operand {
        case .int(let value): Double(value)
        case .float(let value): value
        case .constant(let constant)?: constant.count == 1 ? constant.double(at: 0) : nil
        default: nil
        }
    }

    private static func broadcast(_ tensors: [TensorType], _ site: CallSite) throws -> [Dim]? {
        var dims: [Dim] = []
        for tensor in tensors {
            if let dtype = tensor.dtype, !dtype.isInteger {
                throw site.inputError(1, .invalidType, expects: "tensors of integers")
            }
            guard let shape = tensor.shape else { return nil }
            guard let joined = Broadcast.shape(dims, shape) else {
                throw site.inputError(1, expects: "tensors that broadcast")
            }
            dims = joined
        }
        return dims
    }

    /// Index tensors, broadcast, as one whose last dimension lists positions.
    private static func stacked(
        _ expander: inout OperatorExpander, _ tuple: Operand, of data: Operand
    ) throws -> Operand {
        guard case .tuple(let types) = expander.type(of: tuple), !types.isEmpty else {
            throw TenonError(.invalidArgument, "index_tensor: input 'indices' expects one tensor at least")
        }
        var fields: [Operand] = []
        if case .tuple(let inline) = tuple {
            fields = inline
        } else {
            for index in types.indices { fields.append(try expander.item(tuple, index)) }
        }
        var dims: [Dim] = []
        for field in fields { dims = Broadcast.shape(dims, try expander.shaped(field, "index_tensor").shape) ?? dims }
        for index in fields.indices {
            let (dtype, shape) = try expander.shaped(fields[index], "index_tensor")
            if dtype != .int64 {
                fields[index] = try expander.call("astype", [fields[index]], ["dtype": .dtype(.int64)])
            }
            if shape != dims { fields[index] = try expander.call("broadcast_to", [fields[index], .shape(dims)]) }
        }
        return try expander.call("stack", [.tuple(fields)], ["axis": -1])
    }

    private static func sliceScatter(_ expander: inout OperatorExpander, _ call: Call) throws -> Operand? {
        let (data, source) = (call.arguments[0], call.arguments[1])
        let shape = try expander.shaped(data, "slice_scatter").shape
        let numbers = call.arguments.dropFirst(2).map { number($0) }
        guard let axis = call.attributes.int("axis"), let start = numbers[0], let end = numbers[1],
            let step = numbers[2],
            axis >= -Int64(shape.count), axis < Int64(shape.count), step >= 1
        else {
            throw TenonError(.unsupported, "slice_scatter: expects a known axis, start and end, and a step from 1")
        }
        let place = Int(axis < 0 ? axis + Int64(shape.count) : axis)
        guard let size = shape[place].value, size < 1 << 30 else {
            throw TenonError(.unsupported, "slice_scatter: expects a known size of axis \(place)")
        }
        func clamped(_ value: Double) -> Int64 {
            let position = Int64(max(min(value, 0x1p40), -0x1p40))
            return min(max(position < 0 ? position + size : position, 0), size)
        }
        let positions = Array(stride(from: clamped(start), to: clamped(end), by: Int(min(step, 0x1p40))))
        guard !positions.isEmpty else { return data }
        let front = [place] + shape.indices.filter { $0 != place }
        let axes = front.map { Int64($0) }
        let moved = try expander.call("permute_dims", [data], ["axes": .ints(axes)])
        let updates = try expander.call("permute_dims", [source], ["axes": .ints(axes)])
        let indices = Operand.constant(try .ints([Int64(positions.count), 1], positions))
        let result = try expander.call("scatter_nd", [moved, indices, updates])
        return try expander.call("permute_dims", [result], ["axes": .ints(DimensionOrder.inverse(axes))])
    }

    private static func likelihood(_ expander: inout OperatorExpander, _ call: Call) throws -> Operand? {
        let (dtype, shape) = try expander.shaped(call.arguments[0], "nn.nll_loss")
        let targets = call.arguments[1]
        let targetType = try expander.shaped(targets, "nn.nll_loss").dtype
        let axis: Int64 = shape.count == 1 ? 0 : 1
        let ignored = try expander.scalar(Double(call.attributes.int("ignore_index") ?? -100), targetType)
        let counts = try expander.call("not_equal", [targets, ignored])
        // What is ignored may be no index: it is looked up at 0 and counts nothing.
        let safe = try expander.call("where", [counts, targets, try expander.call("zeros_like", [targets])])
        let places = try expander.call("expand_dims", [safe], ["axis": .ints([axis])])
        let picked = try expander.call(
            "squeeze", [try expander.call("gather_elements", [call.arguments[0], places], ["axis": .int(axis)])],
            ["axis": .ints([axis])])
        var weights = try expander.call("astype", [counts], ["dtype": .dtype(dtype)])
        if call.arguments.count > 2 {
            let each = try expander.call("take", [call.arguments[2], safe], ["axis": 0])
            weights = try expander.call("multiply", [each, weights])
        }
        let losses = try expander.call("negative", [try expander.call("multiply", [picked, weights])])
        switch call.attributes.string("reduction") {
        case "none": return losses
        case "sum": return try expander.call("sum", [losses])
        default:
            return try expander.call(
                "divide", [try expander.call("sum", [losses]), try expander.call("sum", [weights])])
        }
    }

    private static func window(_ expander: inout OperatorExpander, _ call: Call) throws -> Operand? {
        let numbers = call.arguments.map { number($0) }
        guard numbers.count == 4, let size = numbers[0], let periodic = numbers[1], let alpha = numbers[2],
            let beta = numbers[3],
            let dtype = call.attributes.dtype("dtype")
        else { throw TenonError(.unsupported, "hamming_window: expects known numbers") }
        let count = periodic != 0 ? size : size - 1
        let elements = (0..<Int(size)).map { index in
            size == 1 ? 1 : alpha - beta * RealFunction.cosine(2 * Double.pi * Double(index) / count)
        }
        return .constant(try .from(doubles: elements, dtype, [Int64(size)]))
    }

    private static func affineGrid(_ expander: inout OperatorExpander, _ call: Call) throws -> Operand? {
        let (dtype, shape) = try expander.shaped(call.arguments[0], "image.affine_grid")
        guard case .shape(let given) = expander.type(of: call.arguments[1]), let given, given.count == 2,
            let height = given[0].value,
            let width = given[1].value, height > 0, width > 0, height <= 1 << 15, width <= 1 << 15
        else { throw TenonError(.unsupported, "image.affine_grid: expects a known size") }
        let aligned = call.attributes.bool("align_corners") ?? true
        func positions(_ size: Int64) -> [Double] {
            (0..<size).map { index in
                if aligned { return size == 1 ? -1 : -1 + 2 * Double(index) / Double(size - 1) }
                return -1 + (2 * Double(index) + 1) / Double(size)
            }
        }
        let (rows, columns) = (positions(height), positions(width))
        var grid: [Double] = []
        for _ in rows { grid += columns }
        for row in rows { grid += [Double](repeating: row, count: columns.count) }
        grid += [Double](repeating: 1, count: rows.count * columns.count)
        let places = Operand.constant(try .from(doubles: grid, dtype, [3, height * width]))
        let moved = try expander.call("matmul", [call.arguments[0], places])
        return try expander.call("reshape", [moved, .shape([shape[0], 2, .fixed(height), .fixed(width)])])
    }
}

/// The cosine, without a C library: this room imports nobody.
enum RealFunction {
    static func cosine(_ x: Double) -> Double {
        let turns = (x / (2 * Double.pi)).rounded()
        let angle = x - turns * 2 * Double.pi
        var (term, sum) = (1.0, 1.0)
        for step in stride(from: 2.0, through: 40.0, by: 2.0) {
            term *= -angle * angle / (step * (step - 1))
            sum += term
        }
        return sum
    }
}
