import TenonIR

/// Inverses and determinants by elimination with row exchanges, in double precision.
enum LinearAlgebraKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("linalg.inv", { try prepare($0, isInverse: true) }), ("linalg.det", { try prepare($0, isInverse: false) }),
    ]

    private static func prepare(_ call: KernelCall, isInverse: Bool) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let shape = call.inputs[0].shape
        guard shape.count >= 2, shape[shape.count - 1] == shape[shape.count - 2],
            call.outputs[0].dtype == call.inputs[0].dtype
        else { throw call.error(.invalidShape, "expects square matrices, found \(shape)") }
        try call.requireOutput(0, isInverse ? shape : Array(shape.dropLast(2)))
        let count = shape.dropLast(2).reduce(1, *)
        let size = shape[shape.count - 1]
        let scratch = try CheckedSize(call: call).multiply(size, size, 2, MemoryLayout<Double>.stride)
        return try call.dispatchReal(
            call.inputs[0].dtype, Visitor(count: count, size: size, isInverse: isInverse, scratchBytes: scratch))
    }

    private struct Visitor: RealVisitor {
        let count: Int
        let size: Int
        let isInverse: Bool
        let scratchBytes: Int

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel where S.Value: RealNumber {
            let (count, size, isInverse) = (count, size, isInverse)
            return PreparedKernel(scratchBytes: scratchBytes) { arguments in
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                let work = arguments.scratch.assumingMemoryBound(to: Double.self)
                let elements = size * size
                for matrix in 0..<count {
                    for place in 0..<elements {
                        work[place] = x[matrix * elements + place].value.double
                        work[elements + place] = place % (size + 1) == 0 ? 1 : 0
                    }
                    let determinant = eliminate(work, work + elements, size, isInverse)
                    if isInverse {
                        for place in 0..<elements {
                            y[matrix * elements + place] = S(storing: S.Value(work[elements + place]))
                        }
                    } else {
                        y[matrix] = S(storing: S.Value(determinant))
                    }
                }
            }
        }
    }

    /// Turns `a` into the identity and what `b` holds along with it, or, for the determinant alone, into a triangle.
    private static func eliminate(
        _ a: UnsafeMutablePointer<Double>, _ b: UnsafeMutablePointer<Double>, _ size: Int, _ isInverse: Bool
    ) -> Double {
        var determinant = 1.0
        for column in 0..<size {
            var pivot = column
            for row in column..<size where a[row * size + column].magnitude > a[pivot * size + column].magnitude {
                pivot = row
            }
            if pivot != column {
                determinant = -determinant
                for other in 0..<size {
                    (a[column * size + other], a[pivot * size + other]) = (
                        a[pivot * size + other], a[column * size + other]
                    )
                    (b[column * size + other], b[pivot * size + other]) = (
                        b[pivot * size + other], b[column * size + other]
                    )
                }
            }
            let head = a[column * size + column]
            determinant *= head
            if !isInverse, head == 0 { return 0 }
            for row in isInverse ? 0..<size : column + 1..<size where row != column {
                let factor = a[row * size + column] / head
                for other in column..<size { a[row * size + other] -= factor * a[column * size + other] }
                if isInverse { for other in 0..<size { b[row * size + other] -= factor * b[column * size + other] } }
            }
            if isInverse { for other in 0..<size { b[column * size + other] /= head } }
            if isInverse { for other in column..<size { a[column * size + other] /= head } }
        }
        return determinant
    }
}
