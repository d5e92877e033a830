import TenonIR

/// Computes nodes while importing whose inputs are small and known: the arithmetic on shapes that exporters leave in.
///
/// Integers may be symbolic. A fold that cannot be done exactly (a quotient of symbols, say) is not done, and the
/// node's importer gets its turn.
enum HostFolding {
    /// The outputs from the contents of the inputs (nil for an input left out), or nil when it cannot be done.
    typealias Fold = @Sendable (Node, [HostTensor?]) throws -> [HostTensor]?

    /// Operators that are folded when every input is known.
    private static let table: [String: Fold] = {
        var table = ArithmeticFolding.table
        table.merge(SelectionFolding.table) { first, _ in first }
        table.merge(ReshapingFolding.table) { first, _ in first }
        return table
    }()

    static func knows(_ proto: ONNXNodeProto) -> Bool {
        guard proto.domain.isEmpty || proto.domain == "ai.onnx" else { return false }
        return table[proto.opType] != nil || proto.opType == "Shape" || proto.opType == "Size"
    }

    /// The node's outputs, or nil when an input is not known or the operator is not folded.
    static func fold(_ node: Node) throws -> [HostTensor]? {
        guard knows(node.proto) else { return nil }
        switch node.proto.opType {
        case "Shape": return try shape(node)
        case "Size": return try size(node)
        default: break
        }
        guard let fold = table[node.proto.opType] else { return nil }
        var inputs: [HostTensor?] = []
        for index in 0..<node.inputCount {
            guard node.has(index) else {
                inputs.append(nil)
                continue
            }
            guard let host = try node.host(index) else { return nil }
            inputs.append(host)
        }
        return try fold(node, inputs)
    }

    /// Shape: dimensions `start` to `end` of the input, as far as they are known or symbolic.
    private static func shape(_ node: Node) throws -> [HostTensor]? {
        try node.requireInputs(1...1)
        guard let shape = try node.type(0).shape else { return nil }
        let rank = Int64(shape.count)
        func clamped(_ position: Int64) -> Int { Int(min(max(position < 0 ? position + rank : position, 0), rank)) }
        let start = clamped(max(try node.int("start", 0), -rank))
        let end = clamped(max(try node.int("end", rank), -rank - 1))
        return [HostTensor(dims: start < end ? Array(shape[start..<end]) : [])]
    }

    /// Size: the number of elements.
    private static func size(_ node: Node) throws -> [HostTensor]? {
        try node.requireInputs(1...1)
        guard let shape = try node.type(0).shape else { return nil }
        guard let product = ReshapingFolding.product(shape) else {
            throw node.error(.invalidShape, "the number of elements of \(shape) does not fit")
        }
        return [try HostTensor(.int64, [], .dims([product]))]
    }
}

/// Positions of a broadcast between small shapes.
struct HostBroadcast {
    let shape: [Int64]
    let count: Int
    private let sources: [[Int64]]

    /// Nil when the shapes do not broadcast or the result is too large for the host.
    init?(_ shapes: [[Int64]]) {
        var dims: [Dim] = []
        for shape in shapes {
            guard let next = Broadcast.shape(dims, shape.map { .fixed($0) }) else { return nil }
            dims = next
        }
        shape = dims.compactMap(\.value)
        guard let count = checkedElementCount(shape), count <= HostTensor.maximumCount else { return nil }
        self.count = count
        sources = shapes
    }

    /// The element of operand `operand` that meets element `index` of the result.
    func index(_ index: Int, of operand: Int) -> Int {
        let source = sources[operand]
        var rest = Int64(index)
        var position: Int64 = 0
        var stride: Int64 = 1
        for axis in 0..<shape.count {
            let size = shape[shape.count - 1 - axis]
            let coordinate = size > 0 ? rest % size : 0
            rest = size > 0 ? rest / size : 0
            guard axis < source.count else { continue }
            let own = source[source.count - 1 - axis]
            if own != 1 { position += coordinate * stride }
            stride *= own
        }
        return Int(position)
    }
}
