import TenonIR

/// New constants from old ones, for what an importer can settle at once.
enum ConstantTransform {
    /// Rows and columns of a matrix exchanged; the caller has checked that there are two dimensions.
    static func transposed(_ constant: Constant) throws -> Constant {
        guard constant.shape.count == 2, constant.dtype != .string else {
            throw TenonError(.invalidShape, "expected a matrix, found \(constant.type)")
        }
        let (rows, columns) = (Int(constant.shape[0]), Int(constant.shape[1]))
        let size = constant.dtype.byteCount
        // Blocks keep both sides in the cache.
        let block = 32
        let bytes = [UInt8](unsafeUninitializedCapacity: constant.bytes.count) { target, count in
            let source = constant.bytes
            for rowBlock in stride(from: 0, to: rows, by: block) {
                for columnBlock in stride(from: 0, to: columns, by: block) {
                    for row in rowBlock..<min(rowBlock + block, rows) {
                        for column in columnBlock..<min(columnBlock + block, columns) {
                            let (from, to) = ((row * columns + column) * size, (column * rows + row) * size)
                            for byte in 0..<size { target[to + byte] = source[from + byte] }
                        }
                    }
                }
            }
            count = constant.bytes.count
        }
        return try bytes.withUnsafeBytes {
            try Constant(dtype: constant.dtype, shape: constant.shape.reversed(), copying: $0)
        }
    }

    /// Every element times `factor`, or nil for types that are not floating-point.
    static func scaled(_ constant: Constant, by factor: Double) throws -> Constant? {
        guard constant.dtype.isFloatingPoint, let values = constant.doubleElements else { return nil }
        return try Constant.from(doubles: values.map { $0 * factor }, constant.dtype, constant.shape)
    }
}
