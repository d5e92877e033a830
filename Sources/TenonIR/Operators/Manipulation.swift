/// Operators that move or regroup elements.
enum ManipulationOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "reshape", "The same elements in row-major order under another shape; one entry may be -1.",
            inputs: [.init("x"), .init("shape", .shape)], infer: reshape),
        OperatorSchema(
            "flatten", "The same elements as one dimension.", inputs: [.init("x")]
        ) { site in
            let x = try site.tensor(0)
            guard let shape = x.shape else { return .tensor(TensorType(dtype: x.dtype, rank: 1)) }
            return .tensor(TensorType(x.dtype, [try site.dim(product(shape))]))
        },
        OperatorSchema(
            "permute_dims", "Dimension i of the result is dimension axes[i] of x; without axes, the order is reversed.",
            inputs: [.init("x")], attributes: [.optional("axes", .ints)], infer: permute),
        OperatorSchema(
            "concat", "Tensors one after the other along axis.", inputs: [.init("tensors", .tuple)],
            attributes: [.defaulted("axis", 0)], infer: concat),
        OperatorSchema(
            "squeeze", "Without the dimensions of size 1 that axis lists; without axis, without all of them.",
            inputs: [.init("x")], attributes: [.optional("axis", .ints)], infer: squeeze),
        OperatorSchema(
            "expand_dims", "With dimensions of size 1 put in, at the places of the result that axis lists.",
            inputs: [.init("x")], attributes: [.required("axis", .ints)], infer: expand),
        OperatorSchema(
            "astype",
            "Each value converted; floating-point to integer towards zero. To 8-bit floats without saturate (default true) what is too large becomes infinity or NaN; round_mode (default up) is for f8e8m0.",
            inputs: [.init("x")],
            attributes: [
                .required("dtype", .dtype), .optional("saturate", .bool),
                .optional("round_mode", .string, allowed: ["up", "down", "nearest"]),
            ]
        ) { site in
            var type = try site.tensor(0)
            type.dtype = site.attributes.dtype("dtype")
            return .tensor(type)
        },
        OperatorSchema(
            "reinterpret", "The bits of each value read as another element type of the same size.",
            inputs: [.init("x")],
            attributes: [.required("dtype", .dtype)]
        ) { site in
            var type = try site.tensor(0)
            let dtype = site.attributes.dtype("dtype") ?? .float32
            if let own = type.dtype, own.byteCount != dtype.byteCount || own == .string || dtype == .string {
                throw site.attributeError("dtype", expects: "an element type of \(own.byteCount) bytes")
            }
            type.dtype = dtype
            return .tensor(type)
        },
    ]

    static func permute(_ site: CallSite) throws -> ValueType {
        let x = try site.tensor(0)
        guard let rank = x.rank else {
            return .tensor(TensorType(dtype: x.dtype, rank: site.attributes.ints("axes")?.count))
        }
        let axes: [Int] =
            try site.attributes.ints("axes")?.map { try site.axis($0, rank: rank, attribute: "axes") }
            ?? (0..<rank).reversed()
        guard axes.sorted() == Array(0..<rank) else {
            throw site.attributeError("axes", expects: "each of the \(rank) dimensions once")
        }
        guard let shape = x.shape else { return .tensor(x) }
        return .tensor(TensorType(x.dtype, axes.map { shape[$0] }))
    }

    static func concat(_ site: CallSite) throws -> ValueType {
        let tensors = try site.tensors(0)
        guard let first = tensors.first else { throw site.inputError(0, expects: "at least one tensor") }
        guard tensors.allSatisfy({ $0.dtype == first.dtype || $0.dtype == nil || first.dtype == nil }) else {
            throw site.inputError(0, .invalidType, expects: "one element type")
        }
        guard let rank = tensors.lazy.compactMap(\.rank).first else {
            return .tensor(TensorType(dtype: first.dtype, rank: nil))
        }
        let axis = try site.axis(try site.int("axis"), rank: rank)
        guard tensors.allSatisfy({ $0.rank == nil || $0.rank == rank }) else {
            throw site.inputError(0, expects: "tensors of one rank")
        }
        let shapes = tensors.compactMap(\.shape)
        guard shapes.count == tensors.count, var shape = shapes.first else {
            return .tensor(TensorType(dtype: first.dtype, rank: rank))
        }
        for other in shapes.dropFirst() {
            for position in 0..<rank {
                if position == axis {
                    shape[axis] = try site.dim(Dim.adding(shape[axis], other[axis]))
                } else if let a = shape[position].value, let b = other[position].value {
                    guard a == b else { throw site.inputError(0, expects: "equal sizes outside axis \(axis)") }
                } else if other[position].isFixed {
                    shape[position] = other[position]
                }
            }
        }
        return .tensor(TensorType(first.dtype, shape))
    }

    static func squeeze(_ site: CallSite) throws -> ValueType {
        let x = try site.tensor(0)
        guard let rank = x.rank else { return .tensor(TensorType(dtype: x.dtype, rank: nil)) }
        guard let listed = site.attributes.ints("axis") else {
            guard let shape = x.staticShape else { return .tensor(TensorType(dtype: x.dtype, rank: nil)) }
            return .tensor(x.dtype, shape.filter { $0 != 1 })
        }
        // More axes than dimensions are not looked at one by one: they may be millions.
        guard listed.count <= rank else { throw site.attributeError("axis", expects: "different axes") }
        let axes = Set(try listed.map { try site.axis($0, rank: rank) })
        guard axes.count == listed.count else { throw site.attributeError("axis", expects: "different axes") }
        guard let shape = x.shape else { return .tensor(TensorType(dtype: x.dtype, rank: rank - axes.count)) }
        for axis in axes {
            if let size = shape[axis].value, size != 1 {
                throw site.inputError(0, expects: "size 1 in dimension \(axis)")
            }
        }
        return .tensor(TensorType(x.dtype, shape.indices.filter { !axes.contains($0) }.map { shape[$0] }))
    }

    static func expand(_ site: CallSite) throws -> ValueType {
        let x = try site.tensor(0)
        let listed = try site.ints("axis")
        guard let rank = x.rank else { return .tensor(TensorType(dtype: x.dtype, rank: nil)) }
        let axes = Set(try listed.map { try site.axis($0, rank: rank + listed.count) })
        guard axes.count == listed.count else { throw site.attributeError("axis", expects: "different axes") }
        guard var shape = x.shape else { return .tensor(TensorType(dtype: x.dtype, rank: rank + axes.count)) }
        for axis in axes.sorted() { shape.insert(1, at: axis) }
        return .tensor(TensorType(x.dtype, shape))
    }

    static func reshape(_ site: CallSite) throws -> ValueType {
        let x = try site.tensor(0)
        guard var target = site.dims(1) else { return .tensor(TensorType(dtype: x.dtype, rank: nil)) }
        let unknown = target.indices.filter { target[$0].value == -1 }
        if target.contains(where: { ($0.value ?? 0) < -1 }) || unknown.count > 1 {
            throw site.inputError(1, expects: "sizes from 0 and at most one -1")
        }
        guard let source = x.shape else {
            return unknown.isEmpty
                ? .tensor(TensorType(x.dtype, target)) : .tensor(TensorType(dtype: x.dtype, rank: target.count))
        }
        if let position = unknown.first {
            target[position] = try missing(site, source, target, at: position)
        }
        let (before, after) = (try site.dim(product(source)), try site.dim(product(target)))
        if before.isFixed, after.isFixed, before != after {
            throw site.inputError(1, expects: "\(before) elements, as in \(x)")
        }
        return .tensor(TensorType(x.dtype, target))
    }

    /// The size that makes both products equal.
    private static func missing(_ site: CallSite, _ source: [Dim], _ target: [Dim], at position: Int) throws -> Dim {
        // Equal factors cancel, so that [n, 4] as [n, -1] needs no division by n.
        var numerator = source
        var denominator: [Dim] = []
        for (index, dim) in target.enumerated() where index != position {
            if let match = numerator.firstIndex(of: dim) {
                numerator.remove(at: match)
            } else {
                denominator.append(dim)
            }
        }
        let total = try site.dim(product(numerator))
        let divisor = try site.dim(product(denominator))
        if let number = divisor.value {
            guard number > 0 else { throw site.inputError(1, expects: "sizes above 0 beside -1") }
            if let size = total.value, size % number != 0 {
                throw site.inputError(1, expects: "sizes that divide \(size) elements")
            }
        }
        guard let size = Dim.floorDividing(total, by: divisor) else {
            throw site.inputError(1, expects: "sizes from 0 beside -1")
        }
        return size
    }

    static func product(_ dims: [Dim]) -> Dim? { Dim.product(dims) }
}
