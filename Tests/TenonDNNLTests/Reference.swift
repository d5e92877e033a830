import Glibc
import TenonIR

@testable import TenonDNNL

/// Naive loops over the operators of a function, in double precision: what the primitives are compared with.
struct Reference {
    private var values: [[Double]?]
    private let graph: RegionGraph

    /// The outputs of `function` for `inputs`, all in single precision.
    static func run(_ function: Function, _ inputs: [[Float]]) throws -> [[Float]] {
        let graph = try RegionReader.read(function)
        var reference = Reference(graph)
        for (id, input) in zip(graph.inputs, inputs) { reference.values[id.index] = input.map(Double.init) }
        for op in graph.ops { try reference.run(op) }
        return try graph.outputs.map { id in try reference.value(id).map { Float($0) } }
    }

    private init(_ graph: RegionGraph) {
        self.graph = graph
        values = graph.tensors.map { $0.constant?.constant.doubleElements }
    }

    private func value(_ id: TensorID) throws -> [Double] {
        guard let value = values[id.index] else { throw TenonError(.internal, "reference: no value") }
        return value
    }

    private mutating func run(_ op: RegionOp) throws {
        let inputs = try op.inputs.map { try value($0) }
        let dims = op.inputs.map { graph[$0].dims }
        let shape = graph[op.outputs[0]].dims
        switch op.name {
        case "nn.conv1d", "nn.conv2d", "nn.conv3d":
            values[op.outputs[0].index] = convolution(op, inputs, dims, shape, isTransposed: false)
        case "nn.conv2d_transpose":
            values[op.outputs[0].index] = convolution(op, inputs, dims, shape, isTransposed: true)
        case "reshape", "flatten", "squeeze", "expand_dims": values[op.outputs[0].index] = inputs[0]
        case "permute_dims":
            let axes = op.attributes.ints("axes")?.map(Int.init) ?? (0..<dims[0].count).reversed()
            let strides = rowMajorStrides(dims[0])
            values[op.outputs[0].index] = indices(shape).map { index in
                inputs[0][zip(index, axes).reduce(0) { $0 + $1.0 * strides[$1.1] }]
            }
        case "nn.dense", "matmul": values[op.outputs[0].index] = product(op, inputs, dims, shape)
        case "add": binary(op, inputs, dims, shape, +)
        case "subtract": binary(op, inputs, dims, shape, -)
        case "multiply": binary(op, inputs, dims, shape, *)
        case "divide": binary(op, inputs, dims, shape, /)
        case "maximum": binary(op, inputs, dims, shape, max)
        case "minimum": binary(op, inputs, dims, shape, min)
        case "nn.max_pool2d", "nn.avg_pool2d": values[op.outputs[0].index] = pool(op, inputs[0], dims[0], shape)
        case "nn.adaptive_avg_pool2d":
            let area = dims[0][2] * dims[0][3]
            values[op.outputs[0].index] = (0..<shape[0] * shape[1]).map { plane in
                inputs[0][plane * area..<(plane + 1) * area].reduce(0, +) / Double(area)
            }
        case "nn.batch_norm":
            let area = dims[0].dropFirst(2).reduce(1, *)
            values[op.outputs[0].index] = inputs[0].enumerated().map { index, x in
                let c = index / area % dims[0][1]
                return (x - inputs[3][c]) / (inputs[4][c] + Double(op.float("epsilon"))).squareRoot() * inputs[1][c]
                    + inputs[2][c]
            }
            values[op.outputs[1].index] = inputs[3]
            values[op.outputs[2].index] = inputs[4]
        case "nn.layer_norm":
            let length = dims[0][dims[0].count - 1]
            values[op.outputs[0].index] = inputs[0].indices.map { index in
                let row = inputs[0][index / length * length..<(index / length + 1) * length]
                let mean = row.reduce(0, +) / Double(length)
                let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(length)
                return (inputs[0][index] - mean) / (variance + Double(op.float("epsilon"))).squareRoot()
                    * inputs[1][index % length] + inputs[2][index % length]
            }
        case "nn.softmax":
            let axis = op.axis(rank: shape.count) ?? 0
            let (step, length) = (rowMajorStrides(shape)[axis], shape[axis])
            values[op.outputs[0].index] = inputs[0].indices.map { index in
                let base = index - index / step % length * step
                let sum = (0..<length).reduce(0) { $0 + exp(inputs[0][base + $1 * step]) }
                return exp(inputs[0][index]) / sum
            }
        case "concat":
            let axis = op.axis(rank: shape.count) ?? 0
            let inner = shape[(axis + 1)...].reduce(1, *)
            var result: [Double] = []
            for outer in 0..<shape[..<axis].reduce(1, *) {
                for (input, dims) in zip(inputs, dims) {
                    let length = dims[axis] * inner
                    result += input[outer * length..<(outer + 1) * length]
                }
            }
            values[op.outputs[0].index] = result
        default: values[op.outputs[0].index] = try inputs[0].map { try unary(op, $0) }
        }
    }

    private mutating func binary(
        _ op: RegionOp, _ inputs: [[Double]], _ dims: [[Int]], _ shape: [Int], _ f: (Double, Double) -> Double
    ) {
        func place(_ index: [Int], _ dims: [Int]) -> Int {
            let strides = rowMajorStrides(dims)
            return dims.indices.reduce(0) {
                $0 + (dims[$1] == 1 ? 0 : index[$1 + index.count - dims.count]) * strides[$1]
            }
        }
        values[op.outputs[0].index] = indices(shape).map {
            f(inputs[0][place($0, dims[0])], inputs[1][place($0, dims[1])])
        }
    }

    private func indices(_ shape: [Int]) -> [[Int]] {
        let strides = rowMajorStrides(shape)
        return (0..<shape.reduce(1, *)).map { flat in shape.indices.map { flat / strides[$0] % shape[$0] } }
    }

    private func unary(_ op: RegionOp, _ x: Double) throws -> Double {
        let (a, b) = (Double(op.float("alpha")), Double(op.float("beta")))
        switch op.name {
        case "nn.relu": return max(x, 0)
        case "nn.relu6": return min(max(x, 0), 6)
        case "nn.leakyrelu": return x > 0 ? x : a * x
        case "nn.elu": return x > 0 ? x : a * (exp(x) - 1)
        case "sigmoid": return 1 / (1 + exp(-x))
        case "tanh": return tanh(x)
        case "nn.silu": return x / (1 + exp(-x))
        case "nn.gelu": return 0.5 * x * (1 + erf(x / 2.0.squareRoot()))
        case "nn.gelu_tanh": return 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        case "nn.hard_sigmoid": return max(0, min(1, a * x + b))
        case "nn.hard_swish": return x * max(0, min(1, x / 6 + 0.5))
        case "nn.softplus": return log1p(exp(x))
        case "nn.mish": return x * tanh(log1p(exp(x)))
        case "abs": return abs(x)
        case "exp": return exp(x)
        case "square": return x * x
        case "round": return x.rounded(.toNearestOrEven)
        case "negative": return -x
        case "clip": return min(max(x, op.number(1) ?? 0), op.number(2) ?? 0)
        default: throw TenonError(.unsupported, "reference: no \(op.name)")
        }
    }

    private func product(_ op: RegionOp, _ inputs: [[Double]], _ dims: [[Int]], _ shape: [Int]) -> [Double] {
        let isDense = op.name == "nn.dense"
        let (m, n) = (shape[shape.count - 2], shape[shape.count - 1])
        let k = dims[0][dims[0].count - 1]
        let weights = dims[1].dropLast(2).reduce(1, *)
        var result: [Double] = []
        for batch in 0..<shape.dropLast(2).reduce(1, *) {
            let offset = weights == 1 ? 0 : batch * k * n
            for i in 0..<m {
                for j in 0..<n {
                    var sum = 0.0
                    for p in 0..<k {
                        sum +=
                            inputs[0][(batch * m + i) * k + p] * inputs[1][offset + (isDense ? j * k + p : p * n + j)]
                    }
                    result.append(sum)
                }
            }
        }
        return result
    }

    private func pool(_ op: RegionOp, _ x: [Double], _ dims: [Int], _ shape: [Int]) -> [Double] {
        let (kernel, strides) = (op.attributes.ints("pool_size") ?? [], op.attributes.ints("strides") ?? [])
        let (padding, dilation) = (op.attributes.ints("padding") ?? [], op.attributes.ints("dilation") ?? [])
        let includesPadding = op.attributes.bool("count_include_pad") == true
        return indices(shape).map { at in
            var (sum, best, count) = (0.0, -Double.infinity, 0.0)
            for r in 0..<Int(kernel[0]) {
                for s in 0..<Int(kernel[1]) {
                    let h = at[2] * Int(strides[0]) - Int(padding[0]) + r * Int(dilation[0])
                    let w = at[3] * Int(strides[1]) - Int(padding[1]) + s * Int(dilation[1])
                    if h < 0 || w < 0 || h >= dims[2] || w >= dims[3] { continue }
                    let value = x[((at[0] * dims[1] + at[1]) * dims[2] + h) * dims[3] + w]
                    sum += value
                    best = max(best, value)
                    count += 1
                }
            }
            if op.name.contains("max") { return best }
            return sum / (includesPadding ? Double(kernel[0] * kernel[1]) : count)
        }
    }

    /// Any number of spatial dimensions; the transpose scatters what the convolution would gather.
    private func convolution(
        _ op: RegionOp, _ inputs: [[Double]], _ dims: [[Int]], _ shape: [Int], isTransposed: Bool
    ) -> [Double] {
        let strides = (op.attributes.ints("strides") ?? []).map(Int.init)
        let padding = (op.attributes.ints("padding") ?? []).map(Int.init)
        let dilation = (op.attributes.ints("dilation") ?? []).map(Int.init)
        let groups = Int(op.attributes.int("groups") ?? 1)
        let (xStrides, wStrides, yStrides) = (
            rowMajorStrides(dims[0]), rowMajorStrides(dims[1]), rowMajorStrides(shape)
        )
        let (inPerGroup, outPerGroup) = (dims[0][1] / groups, shape[1] / groups)
        let kernels = indices(Array(dims[1].dropFirst(2)))
        var result = [Double](repeating: 0, count: shape.reduce(1, *))
        // `small` walks the tensor that windows are laid over step by step: the result, or the data of a transpose.
        let (small, large) = isTransposed ? (dims[0], shape) : (shape, dims[0])
        for at in indices([small[0]] + small.dropFirst(2)) {
            for kernel in kernels {
                var inside = true
                var place = [Int]()
                for axis in strides.indices {
                    let position = at[axis + 1] * strides[axis] - padding[axis] + kernel[axis] * dilation[axis]
                    if position < 0 || position >= large[axis + 2] { inside = false }
                    place.append(position)
                }
                if !inside { continue }
                let here = Array(at.dropFirst())
                let (xAt, yAt) = isTransposed ? (here, place) : (place, here)
                let xBase = at[0] * xStrides[0] + zip(xAt, xStrides.dropFirst(2)).reduce(0) { $0 + $1.0 * $1.1 }
                let yBase = at[0] * yStrides[0] + zip(yAt, yStrides.dropFirst(2)).reduce(0) { $0 + $1.0 * $1.1 }
                let wBase = zip(kernel, wStrides.dropFirst(2)).reduce(0) { $0 + $1.0 * $1.1 }
                for group in 0..<groups {
                    for o in 0..<outPerGroup {
                        for i in 0..<inPerGroup {
                            let (x, y) = (group * inPerGroup + i, group * outPerGroup + o)
                            let w = isTransposed ? x * wStrides[0] + o * wStrides[1] : y * wStrides[0] + i * wStrides[1]
                            result[yBase + y * yStrides[1]] += inputs[0][xBase + x * xStrides[1]] * inputs[1][wBase + w]
                        }
                    }
                }
            }
        }
        return result
    }
}
