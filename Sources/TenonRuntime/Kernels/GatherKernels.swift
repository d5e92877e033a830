import TenonIR

/// Elements and slices picked by position, one index per element or a row of indices per slice.
enum GatherKernels {
    static let table: [(String, Kernels.Prepare)] = [("gather_elements", elements), ("gather_nd", slices)]

    private static func elements(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 2)
        let (data, indices) = (call.inputs[0], call.inputs[1])
        let place = try ElementPlaces(call, data.shape, indices)
        try call.requireOutput(0, indices.shape)
        let bytes = data.dtype.byteCount
        guard call.outputs[0].dtype == data.dtype, bytes > 0 else { throw call.unsupported(data.dtype) }
        return PreparedKernel { arguments in
            let list = IndexList(base: arguments.inputs[1], dtype: indices.dtype)
            try place.check(list)
            let (from, to) = (arguments.inputs[0], arguments.outputs[0])
            arguments.parallel.forEach(place.count, grain: 4096) { range in
                for index in range {
                    (to + index * bytes).copyMemory(from: from + place.offset(index, list) * bytes, byteCount: bytes)
                }
            }
        }
    }

    private static func slices(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 2)
        let (data, indices) = (call.inputs[0], call.inputs[1])
        let place = try SlicePlaces(call, data.shape, indices, batch: try call.int("batch_dims"))
        try call.requireOutput(0, place.resultShape)
        let bytes = place.slice * data.dtype.byteCount
        guard call.outputs[0].dtype == data.dtype, data.dtype.byteCount > 0 else { throw call.unsupported(data.dtype) }
        return PreparedKernel { arguments in
            let list = IndexList(base: arguments.inputs[1], dtype: indices.dtype)
            try place.check(list)
            let (from, to) = (arguments.inputs[0], arguments.outputs[0])
            guard bytes > 0 else { return }
            arguments.parallel.forEach(place.rows, grain: max(1, (1 << 16) / bytes)) { range in
                for row in range {
                    (to + row * bytes).copyMemory(
                        from: from + place.offset(row, list) * data.dtype.byteCount, byteCount: bytes)
                }
            }
        }
    }
}

/// Where the element of `data` is that each element of `indices` names along one axis.
struct ElementPlaces: Sendable {
    let count: Int
    private let name: String
    private let axis: Int
    private let size: Int
    private let shape: [Int]
    private let strides: [Int]

    init(_ call: KernelCall, _ data: [Int], _ indices: TensorSpec) throws {
        guard indices.dtype.isInteger, indices.shape.count == data.count else {
            throw call.error(.invalidShape, "indices \(indices.dtype.name)\(indices.shape) do not fit data \(data)")
        }
        let axis = try call.axis(try call.int("axis"), rank: data.count)
        for position in data.indices where position != axis && indices.shape[position] > data[position] {
            throw call.error(.invalidShape, "indices \(indices.shape) reach beyond data \(data)")
        }
        name = call.op.name
        self.axis = axis
        size = data[axis]
        shape = indices.shape
        count = indices.count
        var strides = [Int](repeating: 1, count: data.count)
        for position in (0..<max(data.count - 1, 0)).reversed() {
            strides[position] = strides[position + 1] * data[position + 1]
        }
        self.strides = strides
    }

    func check(_ list: IndexList) throws {
        for index in 0..<count where list[index] < -size || list[index] >= size {
            throw TenonError(
                .invalidArgument, "\(name): index \(list[index]) is out of range for axis \(axis) of size \(size)",
                operatorName: name)
        }
    }

    @inline(__always) func offset(_ index: Int, _ list: IndexList) -> Int {
        var rest = index
        var offset = 0
        for position in shape.indices.reversed() {
            let coordinate = rest % shape[position]
            rest /= shape[position]
            if position != axis { offset &+= coordinate &* strides[position] }
        }
        let named = list[index]
        return offset &+ (named < 0 ? named &+ size : named) &* strides[axis]
    }
}

/// Where the slice of `data` is that each row of `indices` names.
struct SlicePlaces: Sendable {
    let rows: Int
    /// Elements of a slice.
    let slice: Int
    let resultShape: [Int]
    private let name: String
    private let depth: Int
    private let sizes: [Int]
    private let strides: [Int]
    /// Rows and elements of data per index of the leading dimensions that both share.
    private let batchRows: Int
    private let batchElements: Int

    init(_ call: KernelCall, _ data: [Int], _ indices: TensorSpec, batch: Int) throws {
        guard indices.dtype.isInteger, let depth = indices.shape.last, batch >= 0, batch < indices.shape.count,
            depth <= data.count - batch, indices.shape[..<batch] == data[..<min(batch, data.count)]
        else {
            throw call.error(.invalidShape, "indices \(indices.dtype.name)\(indices.shape) do not fit data \(data)")
        }
        name = call.op.name
        self.depth = depth
        sizes = Array(data[batch..<batch + depth])
        slice = data[(batch + depth)...].reduce(1, *)
        rows = indices.shape.dropLast().reduce(1, *)
        batchRows = indices.shape[batch..<indices.shape.count - 1].reduce(1, *)
        batchElements = data[batch...].reduce(1, *)
        resultShape = indices.shape.dropLast() + data[(batch + depth)...]
        var strides = [Int](repeating: 1, count: depth)
        var stride = slice
        for position in (0..<depth).reversed() {
            strides[position] = stride
            stride *= sizes[position]
        }
        self.strides = strides
    }

    func check(_ list: IndexList) throws {
        for index in 0..<rows * depth {
            let size = sizes[index % depth]
            if list[index] < -size || list[index] >= size {
                throw TenonError(
                    .invalidArgument, "\(name): index \(list[index]) is out of range for size \(size)",
                    operatorName: name)
            }
        }
    }

    @inline(__always) func offset(_ row: Int, _ list: IndexList) -> Int {
        var offset = row / batchRows * batchElements
        for position in 0..<depth {
            let named = list[row &* depth &+ position]
            offset &+= (named < 0 ? named &+ sizes[position] : named) &* strides[position]
        }
        return offset
    }
}
