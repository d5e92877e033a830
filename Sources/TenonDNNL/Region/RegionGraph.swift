import TenonIR
import TenonRuntime

/// Names a tensor of a region.
struct TensorID: Hashable, Comparable, Sendable {
    let index: Int

    static func < (a: TensorID, b: TensorID) -> Bool { a.index < b.index }
}

/// A tensor of known contents, perhaps seen under other dimensions or strides than it is stored with.
struct ConstantView {
    var constant: Constant
    /// In elements; nil for row-major.
    var strides: [Int]?

    /// A copy in row-major order. Single precision only.
    func rowMajor(_ dims: [Int]) throws -> Constant {
        guard let strides, let base = constant.bytes.baseAddress, strides.count == dims.count else { return constant }
        var elements: [Float] = []
        elements.reserveCapacity(constant.count)
        var index = [Int](repeating: 0, count: dims.count)
        var offset = 0
        for _ in 0..<constant.count {
            elements.append(base.loadUnaligned(fromByteOffset: offset * 4, as: Float.self))
            var axis = dims.count - 1
            while axis >= 0 {
                index[axis] += 1
                offset += strides[axis]
                if index[axis] < dims[axis] { break }
                offset -= strides[axis] * dims[axis]
                index[axis] = 0
                axis -= 1
            }
        }
        return try Constant(.float32, dims.map(Int64.init), elements)
    }
}

struct RegionTensor {
    enum Origin {
        case input(Int)
        case constant(ConstantView)
        case computed
    }

    var name: String
    var dims: [Int]
    var dtype: DataType
    var origin: Origin

    var count: Int { dims.reduce(1, *) }

    var type: TensorType { TensorType(dtype, dims.map { .fixed(Int64($0)) }) }

    /// Nothing that is known of `type` is otherwise here.
    func isA(_ type: TensorType) -> Bool {
        if let expected = type.dtype, expected != dtype { return false }
        if let rank = type.rank, rank != dims.count { return false }
        guard let shape = type.shape else { return true }
        return zip(shape, dims).allSatisfy { expected, found in expected.value.map { $0 == Int64(found) } ?? true }
    }

    var constant: ConstantView? {
        if case .constant(let view) = origin { return view }
        return nil
    }

    var isConstant: Bool { constant != nil }
}

/// One operator call of a region, its composites written out.
struct RegionOp {
    var op: OperatorID
    var inputs: [TensorID]
    var outputs: [TensorID]
    /// As written in the call; literals are read from here.
    var arguments: [Operand]
    var attributes: Attributes
    var binding: String
    /// Which composite call it comes from; nil for an operator that stands alone.
    var composite: Int?

    var name: String { op.name }
}

/// What a region computes, as tensors and operator calls in program order.
struct RegionGraph {
    var tensors: [RegionTensor] = []
    var ops: [RegionOp] = []
    /// Names of the composites, by the number that ops carry.
    var composites: [String] = []
    var inputs: [TensorID] = []
    var outputs: [TensorID] = []

    subscript(id: TensorID) -> RegionTensor { tensors[id.index] }

    mutating func add(_ tensor: RegionTensor) -> TensorID {
        tensors.append(tensor)
        return TensorID(index: tensors.count - 1)
    }

    /// A tensor like `id`, computed.
    mutating func addLike(_ id: TensorID, name: String) -> TensorID {
        var copy = self[id]
        copy.name = name
        copy.origin = .computed
        return add(copy)
    }

    /// How often each tensor is used by ops and as an output.
    func useCounts() -> [Int] {
        var counts = [Int](repeating: 0, count: tensors.count)
        for op in ops {
            for input in op.inputs { counts[input.index] += 1 }
        }
        for output in outputs { counts[output.index] += 1 }
        return counts
    }
}
