import TenonIR

/// Operators whose number of results depends on the data. They have no prepared kernel, since the memory of the result
/// is not known before; they are evaluated at once. (`arange` has one too, for numbers that are known.)
extension Kernels {
    private typealias Evaluate = @Sendable (KernelCall, [Constant]) throws -> [Constant]

    private static let dependent: [OperatorID: Evaluate] = {
        let functions: [(String, Evaluate)] = [
            ("nonzero", NonzeroEvaluation.evaluate), ("unique", UniqueEvaluation.evaluate),
            ("compress", NonzeroEvaluation.compress), ("arange", RangeEvaluation.evaluate),
            ("vision.all_class_non_max_suppression", SuppressionEvaluation.evaluate),
        ]
        var table: [OperatorID: Evaluate] = [:]
        for (name, function) in functions {
            if let id = Operators.named(name) { table[id] = function }
        }
        return table
    }()

    /// Whether the shape of the operator's results depends on the values of its inputs.
    public static func dependsOnData(_ op: OperatorID) -> Bool { dependent[op] != nil }

    /// The results of such an operator, in order. Attributes are complete, as `Inference.call` gives them.
    public static func evaluate(
        _ op: OperatorID, _ inputs: [Constant], _ attributes: Attributes
    ) throws -> [Constant] {
        guard let function = dependent[op] else {
            throw TenonError(.unsupported, "\(op.name): no evaluation", operatorName: op.name)
        }
        let call = KernelCall(
            op: op, inputs: inputs.map { TensorSpec($0.dtype, $0.shape.map { Int($0) }) }, outputs: [],
            attributes: attributes)
        try call.require(inputs: op.schema.requiredInputCount, outputs: 0)
        // Lists of places, of values and of groups, none longer than the elements times the dimensions.
        for input in call.inputs {
            try KernelMemory.require(input.count, 16 * max(input.shape.count, 4), call)
        }
        return try function(call, inputs)
    }
}

/// Elements that are not 0, by position or by value.
enum NonzeroEvaluation {
    static func evaluate(_ call: KernelCall, _ inputs: [Constant]) throws -> [Constant] {
        let places = try call.dispatch(call.inputs[0].dtype, allowingBool: true, Search(constant: inputs[0]))
        // A scalar counts as a vector of one element.
        let shape = call.inputs[0].shape.isEmpty ? [1] : call.inputs[0].shape
        let steps = StridedCopy.steps(shape)
        var rows: [Int64] = []
        rows.reserveCapacity(places.count * shape.count)
        for axis in shape.indices {
            for (index, place) in places.enumerated() {
                if index & 0xf_ffff == 0 { try Work.check() }
                rows.append(Int64(place / steps[axis] % shape[axis]))
            }
        }
        return [try Constant(.int64, [Int64(shape.count), Int64(places.count)], rows)]
    }

    private struct Search: StorageVisitor {
        let constant: Constant

        func visit<S: Storage>(_: S.Type) throws -> [Int] {
            guard let base = constant.bytes.baseAddress else { return [] }
            let x = base.assumingMemoryBound(to: S.self)
            var places: [Int] = []
            for index in 0..<constant.count {
                if index & 0xf_ffff == 0 { try Work.check() }
                if x[index].value != .zero { places.append(index) }
            }
            return places
        }
    }

    static func compress(_ call: KernelCall, _ inputs: [Constant]) throws -> [Constant] {
        let (x, condition) = (call.inputs[0], call.inputs[1])
        guard condition.dtype == .bool, condition.shape.count == 1, x.dtype.byteCount > 0 else {
            throw call.error(.invalidType, "expects a bool vector as condition, found \(inputs[1].type)")
        }
        var shape = [x.count]
        var axis = 0
        if let given = call.attributes.int("axis") {
            shape = x.shape
            axis = try call.axis(Int(given), rank: shape.count)
        }
        guard condition.count <= shape[axis] else {
            throw call.error(.invalidShape, "condition has \(condition.count) values, more than \(shape[axis])")
        }
        let picked = (0..<condition.count).filter { inputs[1].int(at: $0) != 0 }
        let bytes = shape[(axis + 1)...].reduce(1, *) * x.dtype.byteCount
        let outer = shape[..<axis].reduce(1, *)
        var result: [UInt8] = []
        result.reserveCapacity(outer * picked.count * bytes)
        for row in 0..<outer {
            for index in picked {
                let start = (row * shape[axis] + index) * bytes
                result.append(contentsOf: inputs[0].bytes[start..<start + bytes])
            }
        }
        shape[axis] = picked.count
        return [
            try result.withUnsafeBytes {
                try Constant(dtype: x.dtype, shape: shape.map { Int64($0) }, copying: $0)
            }
        ]
    }
}

/// Different values, or different slices along an axis.
enum UniqueEvaluation {
    static func evaluate(_ call: KernelCall, _ inputs: [Constant]) throws -> [Constant] {
        let x = call.inputs[0]
        var shape = [x.count]
        var axis = 0
        if let given = call.attributes.int("axis") {
            shape = x.shape
            axis = try call.axis(Int(given), rank: shape.count)
        }
        let groups = try call.dispatch(
            x.dtype, allowingBool: true,
            Grouping(constant: inputs[0], shape: shape, axis: axis, isSorted: call.bool("sorted")))
        let bytes = shape[(axis + 1)...].reduce(1, *) * x.dtype.byteCount
        var values: [UInt8] = []
        for row in 0..<shape[..<axis].reduce(1, *) {
            for group in groups {
                let start = (row * shape[axis] + group.first) * bytes
                values.append(contentsOf: inputs[0].bytes[start..<start + bytes])
            }
        }
        var inverse = [Int64](repeating: 0, count: shape[axis])
        for (index, group) in groups.enumerated() {
            for member in group.members { inverse[member] = Int64(index) }
        }
        shape[axis] = groups.count
        let count = Int64(groups.count)
        return [
            try values.withUnsafeBytes { try Constant(dtype: x.dtype, shape: shape.map { Int64($0) }, copying: $0) },
            try Constant(.int64, [count], groups.map { Int64($0.first) }),
            try Constant(.int64, [Int64(inverse.count)], inverse),
            try Constant(.int64, [count], groups.map { Int64($0.members.count) }),
        ]
    }

    struct Group {
        var first: Int
        var members: [Int]
    }

    private struct Grouping: StorageVisitor {
        let constant: Constant
        let shape: [Int]
        let axis: Int
        let isSorted: Bool

        func visit<S: Storage>(_: S.Type) throws -> [Group] {
            let inner = shape[(axis + 1)...].reduce(1, *)
            let outer = shape[..<axis].reduce(1, *)
            let length = shape[axis]
            guard length > 0 else { return [] }
            // Slices without elements have no address, and none is read.
            guard let base = constant.bytes.baseAddress, outer * inner > 0 else {
                return [Group(first: 0, members: Array(0..<length))]
            }
            let x = base.assumingMemoryBound(to: S.self)
            /// Slices by their elements; NaN is the largest value and equal to itself.
            func order(_ a: Int, _ b: Int) -> Int {
                for row in 0..<outer {
                    for column in 0..<inner {
                        let p = x[(row * length + a) * inner + column].value
                        let q = x[(row * length + b) * inner + column].value
                        if p < q || q.isNotANumber && !p.isNotANumber { return -1 }
                        if q < p || p.isNotANumber && !q.isNotANumber { return 1 }
                    }
                }
                return 0
            }
            let sorted = (0..<length).sorted {
                let order = order($0, $1)
                return order == 0 ? $0 < $1 : order < 0
            }
            var groups: [Group] = []
            for index in sorted {
                if let last = groups.last, order(last.first, index) == 0 {
                    groups[groups.count - 1].members.append(index)
                } else {
                    groups.append(Group(first: index, members: [index]))
                }
            }
            return isSorted ? groups : groups.sorted { $0.first < $1.first }
        }
    }
}
