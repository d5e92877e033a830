import TenonIR

/// Expands sparse initialisers to dense constants.
enum SparseReader {
    /// Zero everywhere but at `indices`, which are positions in row-major order or one row of coordinates per value.
    static func constant(
        _ sparse: ONNXSparseTensorProto, name: String, reader: inout TensorReader, limits: ONNXLimits
    ) throws -> Constant {
        let values = try reader.constant(sparse.values, name: name)
        let indices = try reader.constant(sparse.indices, name: name + " indices")
        let shape = sparse.dims
        guard shape.count <= limits.rank, let count = checkedElementCount(shape), values.dtype != .string,
            case let (byteCount, overflow) = count.multipliedReportingOverflow(by: values.dtype.byteCount), !overflow,
            byteCount <= limits.structureBytes
        else { throw TenonError.onnxLimit("sparse tensor \(quoted(name)) of shape \(shape)") }
        guard values.shape.count == 1, indices.dtype == .int64 else {
            throw TenonError.malformedONNX(
                "sparse tensor \(quoted(name)): expected a list of values and int64 indices, found \(values.type), \(indices.type)"
            )
        }
        let places = indices.intElements ?? []
        let positions: [Int64]
        if indices.shape == values.shape {
            positions = places
        } else if indices.shape == [Int64(values.count), Int64(shape.count)] {
            positions = try (0..<values.count).map { row in
                try position(Array(places[row * shape.count..<(row + 1) * shape.count]), shape, name)
            }
        } else {
            throw TenonError.malformedONNX(
                "sparse tensor \(quoted(name)): \(indices.type) does not give one place per value of \(values.type)")
        }
        var dense = [UInt8](repeating: 0, count: byteCount)
        let size = values.dtype.byteCount
        for (index, position) in positions.enumerated() {
            guard position >= 0, position < Int64(count) else {
                throw TenonError.malformedONNX("sparse tensor \(quoted(name)): place \(position) is outside \(shape)")
            }
            let begin = Int(position) * size
            for byte in 0..<size { dense[begin + byte] = values.bytes[index * size + byte] }
        }
        return try dense.withUnsafeBytes { try Constant(dtype: values.dtype, shape: shape, copying: $0) }
    }

    /// The row-major position of one row of coordinates; the shape's product is known to fit.
    private static func position(_ coordinates: [Int64], _ shape: [Int64], _ name: String) throws -> Int64 {
        var position: Int64 = 0
        for (coordinate, size) in zip(coordinates, shape) {
            guard coordinate >= 0, coordinate < size else {
                throw TenonError.malformedONNX(
                    "sparse tensor \(quoted(name)): coordinates \(coordinates) are outside \(shape)")
            }
            position = position * size + coordinate
        }
        return position
    }
}
