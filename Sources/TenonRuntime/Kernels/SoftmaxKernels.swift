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
        while index < count {
            let lanes = min(8, count &- index)
            // Lanes beyond the end add exp(-∞) = 0.
            var part = Vector(repeating: -.infinity)
            if lanes == 8 {
                part = Vector(loading: x + index)
            } else {
                for lane in 0..<lanes { part[lane] = x[index &+ lane] }
            }
            let distance = part - highest
            let power = VectorMath.exp(distance)
            sums += power
            if lanes == 8 {
                (isLog ? distance : power).store(to: y + index)
            } else {
                let kept = isLog ? distance : power
                for lane in 0..<lanes { y[index &+ lane] = kept[lane] }
            }
            index &+= 8
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
