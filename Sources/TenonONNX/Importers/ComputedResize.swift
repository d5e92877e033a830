import TenonIR

/// A Resize whose scales, sizes or region the run computes: the arithmetic of the target shape as operators on vectors.
struct ComputedResize {
    let node: Node
    /// The dimensions that scales, sizes and region are for.
    let axes: [Int]
    /// Indices of the inputs that are given.
    var scales: Int?
    var sizes: Int?
    var roi: Int?
    var policy = "stretch"

    func call(_ attributes: Attributes) throws -> [ImportedValue] {
        let shape = try node.shape(0)
        let spatial = shape.count - 2
        guard (1...3).contains(spatial) else {
            throw node.unsupported("an input of \(shape.count) dimensions, expected 3 to 5")
        }
        guard (scales == nil) != (sizes == nil) else {
            throw node.error(.invalidArgument, "expected one of the inputs 'scales' and 'sizes'")
        }
        let own = try node.sizes(of: shape)
        let target: Operand
        if let scales {
            let product = try node.call("multiply", [try real(try picked(own)), try real(try node.operand(scales))])
            target = try node.cast(try node.call("floor", [product]), .int64)
        } else {
            target = try wantedSizes(own)
        }
        // The run fails when batch or channels would change.
        let full = try node.shape(
            try spread(target, over: own), count: shape.count, known: shape.prefix(2).map { Optional($0) })
        let inner = try tail(try node.call("shape_to_tensor", [full]))
        let size = try node.shape(inner, count: spatial)
        let op = "image.resize\(spatial)d"
        if scales == nil, roi == nil { return try node.result(op, [try node.operand(0), size], attributes) }
        var factors: Operand
        if let scales {
            let ones = Operand.constant(try Constant.filled(.float32, [Int64(shape.count)], 1))
            factors = try tail(try spread(try node.cast(try node.operand(scales), .float32), over: ones))
        } else {
            factors = try node.call("divide", [try real(inner), try real(try tail(own))])
        }
        factors = try node.cast(factors, .float32)
        let result = try node.dynamic(
            op, [try node.operand(0), size], [factors, try region(rank: shape.count)], attributes)
        guard case .shape(let dims?) = node.graph.builder.type(of: size) else { return [.operand(result)] }
        let known = (shape.prefix(2) + dims).map { Optional($0) }
        return [.operand(try node.freshlySized(result, try node.type(0).dtype, rank: shape.count, known: known))]
    }

    /// The sizes asked for, or those that one scale gives for all axes.
    private func wantedSizes(_ own: Operand) throws -> Operand {
        guard let sizes else { return own }
        let wanted = try node.cast(try node.operand(sizes), .int64)
        if policy == "stretch" { return wanted }
        guard policy == "not_larger" || policy == "not_smaller" else {
            throw node.error(.invalidArgument, "keep_aspect_ratio_policy is \(quoted(policy))")
        }
        let before = try real(try picked(own))
        let ratios = try node.call("divide", [try real(wanted), before])
        let ratio = try node.call(policy == "not_larger" ? "min" : "max", [ratios])
        let scaled = try node.call("multiply", [before, ratio])
        let half = try node.call("add", [scaled, .constant(try Constant.scalar(.float64, 0.5))])
        return try node.cast(try node.call("floor", [half]), .int64)
    }

    /// The whole input where no region is given, else starts and ends of the spatial axes.
    private func region(rank: Int) throws -> Operand {
        let count = Int64(axes.count)
        let bounds = try [0.0, 1.0].map { Operand.constant(try Constant.filled(.float32, [Int64(rank)], $0)) }
        var parts = bounds
        if let roi {
            let given = try node.cast(try node.operand(roi), .float32)
            for index in 0..<2 {
                let begin = Int64(index) * count
                let part = try slice(given, begin, begin + count)
                parts[index] = try spread(part, over: bounds[index])
            }
        }
        return try node.call("concat", [.tuple(try parts.map(tail))], ["axis": 0])
    }

    private func real(_ x: Operand) throws -> Operand { try node.cast(x, .float64) }

    private func slice(_ vector: Operand, _ begin: Int64, _ end: Int64) throws -> Operand {
        try node.call(
            "strided_slice", [vector, .tuple([.int(0)]), .tuple([.int(begin)]), .tuple([.int(end)])])
    }

    /// What a vector over all dimensions says of the spatial ones.
    private func tail(_ vector: Operand) throws -> Operand { try slice(vector, 2, Int64(Int32.max)) }

    private var isOverAll: Bool { get throws { try axes == Array(0..<node.rank(0)) } }

    /// The entries of a vector over all dimensions that `axes` lists.
    private func picked(_ vector: Operand) throws -> Operand {
        if try isOverAll { return vector }
        return try node.call("take", [vector, try node.list(axes.map { Int64($0) })], ["axis": 0])
    }

    /// `base`, a vector over all dimensions, with the values of `axes` put in.
    private func spread(_ values: Operand, over base: Operand) throws -> Operand {
        if try isOverAll { return values }
        let places = Operand.constant(try Constant.ints([Int64(axes.count), 1], axes.map { Int64($0) }))
        return try node.call("scatter_nd", [base, places, values])
    }
}
