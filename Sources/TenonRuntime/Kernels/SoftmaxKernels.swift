import Glibc
import TenonIR

/// softmax and log_softmax along one axis.
enum SoftmaxKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("nn.softmax", { try prepare($0, isLog: false) }), ("nn.log_softmax", { try prepare($0, isLog: true) }),
    ]

    private static func prepare(_ call: KernelCall, isLog: Bool) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let shape = call.inputs[0].shape
        try call.requireOutput(0, shape)
        guard call.outputs[0].dtype == call.inputs[0].dtype else { throw call.unsupported(call.outputs[0].dtype) }
        let axis = try call.axis(try call.int("axis"), rank: shape.count)
        if let rows = RowKernels.softmax(call, axis: axis, isLog: isLog) { return rows }
        let slices = Slices(shape, axis: axis)
        return try call.dispatchReal(call.inputs[0].dtype, Visitor(slices: slices, isLog: isLog))
    }

    private struct Visitor: RealVisitor {
        let slices: Slices
        let isLog: Bool

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel where S.Value: RealNumber {
            let (slices, isLog) = (slices, isLog)
            return PreparedKernel { arguments in
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                arguments.parallel.forEach(slices.count, grain: max(1, 4096 / max(slices.length, 1))) { range in
                    for index in range {
                        let start = slices.start(index)
                        if S.self == Float.self, slices.step == 1 {
                            row(
                                UnsafeRawPointer(x + start).assumingMemoryBound(to: Float.self),
                                UnsafeMutableRawPointer(y + start).assumingMemoryBound(to: Float.self), slices.length,
                                isLog)
                        } else {
                            slice(x + start, y + start, slices.length, slices.step, isLog)
                        }
                    }
                }
            }
        }
    }

    private static func slice<S: Storage>(
        _ x: UnsafePointer<S>, _ y: UnsafeMutablePointer<S>, _ count: Int, _ step: Int, _ isLog: Bool
    ) where S.Value: RealNumber {
        var largest = -Double.infinity
        for index in 0..<count { largest = Double.larger(x[index &* step].value.double, largest) }
        var sum = 0.0
        for index in 0..<count { sum += exp(x[index &* step].value.double - largest) }
        let logarithm = log(sum)
        for index in 0..<count {
            let distance = x[index &* step].value.double - largest
            y[index &* step] = S(storing: S.Value(converting: isLog ? distance - logarithm : exp(distance) / sum))
        }
    }

    private static func row(
        _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ count: Int, _ isLog: Bool
    ) {
        var largest = -Float.infinity
        for index in 0..<count { largest = Float.larger(x[index], largest) }
        let highest = Vector(repeating: largest)
        var sums = Vector.zero
        var index = 0
        while index &+ 8 <= count {
            let distance = Vector(loading: x + index) - highest
            let power = VectorMath.exp(distance)
            sums += power
            (isLog ? distance : power).store(to: y + index)
            index &+= 8
        }
        if index < count {
            let distance = Float.load(x + index, lanes: count &- index, filling: -.infinity) - highest
            let isInside = Vector(0, 1, 2, 3, 4, 5, 6, 7) .< Float(count &- index)
            let power = VectorMath.exp(distance)
            sums += VectorMath.select(isInside, power, .zero)
            Float.store(isLog ? distance : power, to: y + index, lanes: count &- index)
        }
        let sum = sums.sum()
        if isLog {
            let logarithm = logf(sum)
            for index in 0..<count { y[index] -= logarithm }
        } else {
            let factor = 1 / sum
            for index in 0..<count { y[index] *= factor }
        }
    }
}

/// The one-dimensional slices of a tensor along an axis.
struct Slices: Sendable {
    let length: Int
    /// Elements between neighbours of a slice.
    let step: Int
    let count: Int

    init(_ shape: [Int], axis: Int) {
        length = shape[axis]
        step = shape[(axis + 1)...].reduce(1, *)
        count = shape.contains(0) ? 0 : shape.reduce(1, *) / length
    }

    /// First element of slice `index`.
    @inline(__always) func start(_ index: Int) -> Int { index / step &* step &* length &+ index % step }
}
