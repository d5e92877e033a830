/// Operators that cut, repeat and pad.
enum RegroupingOperators {
    static let schemas: [OperatorSchema] = written.map { schema in
        guard schema.name == "split" else { return schema }
        var split = schema
        split.aliases = ["indices_or_sections": ["sections", "indices"]]
        return split
    }

    private static let written: [OperatorSchema] = [
        OperatorSchema(
            "broadcast_to", "x repeated along dimensions of size 1 until it has the shape.",
            inputs: [.init("x"), .init("shape", .shape)], infer: broadcast),
        OperatorSchema(
            "split", "x cut along axis, into equal sections (the last may be smaller) or before the given indices.",
            inputs: [.init("x")],
            attributes: [.optional("sections", .int), .optional("indices", .ints), .defaulted("axis", 0)], infer: split),
        OperatorSchema(
            "stack", "Tensors of one shape along a new axis.", inputs: [.init("tensors", .tuple)],
            attributes: [.defaulted("axis", 0)], infer: stack),
        OperatorSchema(
            "tile", "x repeated as a whole along each axis.", inputs: [.init("x")],
            attributes: [.required("repeats", .ints)], infer: tile),
        OperatorSchema(
            "repeat", "Each element repeated along axis.", inputs: [.init("x")],
            attributes: [.required("repeats", .int), .required("axis", .int)]
        ) { site in
            let x = try site.tensor(0)
            let repeats = try site.int("repeats")
            guard repeats >= 0 else { throw site.attributeError("repeats", expects: "a number from 0") }
            guard var shape = x.shape else { return .tensor(x) }
            let axis = try site.axis(try site.int("axis"), rank: shape.count)
            shape[axis] = try site.dim(Dim.multiplying(shape[axis], .fixed(repeats)))
            return .tensor(TensorType(x.dtype, shape))
        },
        OperatorSchema(
            "flip", "x with the order along axis reversed.", inputs: [.init("x")], attributes: [.required("axis", .int)]
        ) { site in
            let x = try site.tensor(0)
            if let rank = x.rank { _ = try site.axis(try site.int("axis"), rank: rank) }
            return .tensor(x)
        },
        OperatorSchema(
            "nn.pad",
            """
            data with pad_width [before, after] per dimension of pad_value, of its mirrored inside, of its edge or of its \
            other end; a negative width cuts.
            """,
            inputs: [.init("data")],
            attributes: [
                .required("pad_width", .ints),
                .defaulted("pad_mode", "constant", allowed: ["constant", "reflect", "replicate", "circular"]),
                .defaulted("pad_value", 0.0),
            ], infer: pad),
        OperatorSchema(
            "nn.depth_to_space", "Blocks of channels of [n,c,h,w] moved into block_size × block_size squares.",
            inputs: [.init("data")],
            attributes: [.required("block_size", .int), .defaulted("mode", "DCR", allowed: ["DCR", "CRD"])]
        ) { site in
            let data = try site.tensor(0, rank: 4)
            let (block, area) = try blockSize(site)
            guard let x = data.shape else { return .tensor(data) }
            if let channels = x[1].value, channels % area != 0 {
                throw site.inputError(0, expects: "a number of channels that \(area) divides")
            }
            return .tensor(
                data.dtype,
                [
                    x[0], try site.dim(Dim.floorDividing(x[1], by: area)),
                    try site.dim(Dim.multiplying(x[2], .fixed(block))),
                    try site.dim(Dim.multiplying(x[3], .fixed(block))),
                ])
        },
        OperatorSchema(
            "nn.space_to_depth", "block_size × block_size squares of [n,c,h,w] moved into channels.",
            inputs: [.init("data")], attributes: [.required("block_size", .int)]
        ) { site in
            let data = try site.tensor(0, rank: 4)
            let (block, area) = try blockSize(site)
            guard let x = data.shape else { return .tensor(data) }
            for axis in 2...3 {
                if let size = x[axis].value, size % block != 0 {
                    throw site.inputError(0, expects: "height and width that \(block) divides")
                }
            }
            return .tensor(
                data.dtype,
                [
                    x[0], try site.dim(Dim.multiplying(x[1], .fixed(area))),
                    try site.dim(Dim.floorDividing(x[2], by: block)), try site.dim(Dim.floorDividing(x[3], by: block)),
                ])
        },
    ]

    private static func blockSize(_ site: CallSite) throws -> (block: Int64, area: Int64) {
        let block = try site.int("block_size")
        guard block > 0, block <= 1 << 15 else { throw site.attributeError("block_size", expects: "a number above 0") }
        return (block, block * block)
    }

    private static func broadcast(_ site: CallSite) throws -> ValueType {
        let x = try site.tensor(0)
        guard let target = site.dims(1) else { return .tensor(TensorType(dtype: x.dtype, rank: nil)) }
        guard target.allSatisfy({ ($0.value ?? 0) >= 0 }) else { throw site.inputError(1, expects: "sizes from 0") }
        if let shape = x.shape {
            guard shape.count <= target.count, let common = Broadcast.shape(shape, target),
                zip(common, target).allSatisfy({ $0 == $1 || !$0.isFixed || !$1.isFixed })
            else { throw site.inputError(1, expects: "a shape that \(x) broadcasts to") }
        }
        return .tensor(TensorType(x.dtype, target))
    }

    private static func split(_ site: CallSite) throws -> ValueType {
        let x = try site.tensor(0)
        let (sections, indices) = (site.attributes.int("sections"), site.attributes.ints("indices"))
        guard (sections == nil) != (indices == nil) else {
            throw site.error(.invalidArgument, "expected one of the attributes 'sections' and 'indices'")
        }
        if let sections, sections < 1 || sections > 1 << 20 {
            throw site.attributeError("sections", expects: "a number above 0")
        }
        let count = indices.map { $0.count + 1 } ?? Int(sections ?? 1)
        guard let rank = x.rank else {
            return .tuple([ValueType](repeating: .tensor(TensorType(dtype: x.dtype, rank: nil)), count: count))
        }
        let axis = try site.axis(try site.int("axis"), rank: rank)
        guard let shape = x.shape else {
            return .tuple([ValueType](repeating: .tensor(TensorType(dtype: x.dtype, rank: rank)), count: count))
        }
        var bounds: [Dim] = [0]
        if let indices {
            for index in indices {
                guard index >= 0, index >= bounds.last?.value ?? 0, index <= shape[axis].value ?? .max else {
                    throw site.attributeError("indices", expects: "rising positions within \(shape[axis])")
                }
                bounds.append(.fixed(index))
            }
        } else {
            // Sections of ⌈size / count⌉, as many as fit, then the rest, then nothing.
            let rounded = try site.dim(Dim.adding(shape[axis], .fixed(Int64(count) - 1)))
            let part = try site.dim(Dim.floorDividing(rounded, by: Int64(count)))
            for index in 1..<max(count, 1) {
                let bound = try site.dim(Dim.multiplying(part, .fixed(Int64(index))))
                if let position = bound.value, let size = shape[axis].value {
                    bounds.append(.fixed(min(position, size)))
                } else {
                    bounds.append(bound)
                }
            }
        }
        bounds.append(shape[axis])
        return .tuple(
            try (0..<count).map { index in
                var part = shape
                part[axis] = try site.dim(Dim.subtracting(bounds[index + 1], bounds[index]))
                return .tensor(TensorType(x.dtype, part))
            })
    }

    private static func stack(_ site: CallSite) throws -> ValueType {
        let tensors = try site.tensors(0)
        guard let first = tensors.first else { throw site.inputError(0, expects: "at least one tensor") }
        for other in tensors where other.dtype != first.dtype {
            throw site.inputError(0, .invalidType, expects: "one element type")
        }
        guard let shape = first.shape else {
            return .tensor(TensorType(dtype: first.dtype, rank: first.rank.map { $0 + 1 }))
        }
        for other in tensors {
            guard let dims = other.shape else { continue }
            guard dims.count == shape.count, zip(dims, shape).allSatisfy({ $0 == $1 || !$0.isFixed || !$1.isFixed })
            else {
                throw site.inputError(0, expects: "tensors of one shape")
            }
        }
        var result = shape
        result.insert(.fixed(Int64(tensors.count)), at: try site.axis(try site.int("axis"), rank: shape.count + 1))
        return .tensor(TensorType(first.dtype, result))
    }

    private static func tile(_ site: CallSite) throws -> ValueType {
        let x = try site.tensor(0)
        let repeats = try site.ints("repeats")
        guard repeats.allSatisfy({ $0 >= 0 }) else { throw site.attributeError("repeats", expects: "numbers from 0") }
        guard let shape = x.shape else {
            return .tensor(TensorType(dtype: x.dtype, rank: x.rank.map { max($0, repeats.count) }))
        }
        let rank = max(shape.count, repeats.count)
        return .tensor(
            x.dtype,
            try (0..<rank).map { position -> Dim in
                let size: Dim = position + shape.count < rank ? 1 : shape[position + shape.count - rank]
                let count = position + repeats.count < rank ? 1 : repeats[position + repeats.count - rank]
                return try site.dim(Dim.multiplying(size, .fixed(count)))
            })
    }

    private static func pad(_ site: CallSite) throws -> ValueType {
        let data = try site.tensor(0)
        let widths = try site.ints("pad_width")
        guard let rank = data.rank else { return .tensor(data) }
        guard widths.count == rank * 2 else { throw site.attributeError("pad_width", expects: "\(rank * 2) values") }
        guard let shape = data.shape else { return .tensor(data) }
        let mode = site.attributes.string("pad_mode") ?? "constant"
        var result: [Dim] = []
        for axis in 0..<rank {
            let (before, after) = (widths[axis * 2], widths[axis * 2 + 1])
            let (total, overflow) = before.addingReportingOverflow(after)
            guard !overflow else { throw site.attributeError("pad_width", expects: "widths of usual size") }
            let size = try site.dim(Dim.adding(shape[axis], .fixed(total)))
            if let size = size.value, size < 0 {
                throw site.attributeError("pad_width", expects: "widths that leave dimension \(axis) a size from 0")
            }
            if let size = shape[axis].value {
                let most: Int64 = mode == "reflect" ? max(size - 1, 0) : .max
                let empty = mode != "constant" && size == 0 && (before > 0 || after > 0)
                guard before <= most, after <= most, !empty else {
                    throw site.attributeError("pad_width", expects: "widths that mode '\(mode)' can fill from \(data)")
                }
            }
            result.append(size)
        }
        return .tensor(TensorType(data.dtype, result))
    }
}
