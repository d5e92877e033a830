/// Convolutions. Padding lists all begins, then all ends, as in ONNX and Relax.
enum ConvolutionOperators {
    static let schemas: [OperatorSchema] = [1, 2, 3].flatMap { spatial -> [OperatorSchema] in
        let ones = AttributeValue.ints([Int64](repeating: 1, count: spatial))
        let zeros = AttributeValue.ints([Int64](repeating: 0, count: spatial))
        let window: [OperatorSchema.Attribute] = [
            .spread("strides", ones, spatial),
            .spread("padding", .ints([Int64](repeating: 0, count: spatial * 2)), spatial * 2),
            .spread("dilation", ones, spatial),
            .defaulted("groups", 1),
        ]
        func view(_ kernel: String) -> LayoutView {
            LayoutView(
                inputs: [(0, "data_layout", DimensionOrder.data(spatial)), (1, "kernel_layout", kernel)],
                output: ("out_layout", DimensionOrder.data(spatial)), hasDType: true)
        }
        return [
            view(DimensionOrder.kernel(spatial)).applied(
                to: OperatorSchema(
                    "nn.conv\(spatial)d",
                    "\(spatial)-D convolution (cross-correlation) of [n, c, spatial…] with weight [o, c/groups, kernel…].",
                    inputs: [.init("data"), .init("weight")], attributes: window,
                    infer: { try convolution($0, spatial: spatial) })),
            view(DimensionOrder.transposedKernel(spatial)).applied(
                to: OperatorSchema(
                    "nn.conv\(spatial)d_transpose",
                    "Gradient of the \(spatial)-D convolution by its data: [n, c, spatial…] with weight [c, o/groups, kernel…].",
                    inputs: [.init("data"), .init("weight")],
                    attributes: window + [.spread("output_padding", zeros, spatial)],
                    infer: { try transposed($0, spatial: spatial) })),
        ]
    }

    static func convolution(_ site: CallSite, spatial: Int) throws -> ValueType {
        let data = try site.tensor(0, rank: spatial + 2)
        let weight = try site.tensor(1, rank: spatial + 2)
        let dtype = try site.sameDType(0, 1)
        let window = try Window(site, spatial: spatial)
        let groups = try site.int("groups")
        guard groups > 0 else { throw site.attributeError("groups", expects: "a number above 0") }
        guard let x = data.shape, let w = weight.shape else {
            return .tensor(TensorType(dtype: dtype, rank: spatial + 2))
        }
        if let channels = x[1].value, let perGroup = w[1].value {
            let (expected, overflow) = perGroup.multipliedReportingOverflow(by: groups)
            guard !overflow, channels == expected else {
                throw site.inputError(
                    1, expects: "\(channels) channels / \(groups) groups in dimension 1 (data is \(data))")
            }
        }
        if let outputs = w[0].value, outputs % groups != 0 {
            throw site.inputError(1, expects: "a number of output channels that \(groups) groups divide")
        }
        var shape = [x[0], w[0]]
        for axis in 0..<spatial {
            guard let kernel = w[axis + 2].value else { throw site.inputError(1, expects: "a kernel of known size") }
            shape.append(try window.output(site, x[axis + 2], kernel: kernel, axis: axis))
        }
        return .tensor(TensorType(dtype, shape))
    }

    /// Sizes: (size - 1) × stride + dilation × (kernel - 1) + 1 - pads + output_padding.
    static func transposed(_ site: CallSite, spatial: Int) throws -> ValueType {
        let data = try site.tensor(0, rank: spatial + 2)
        let weight = try site.tensor(1, rank: spatial + 2)
        let dtype = try site.sameDType(0, 1)
        let window = try Window(site, spatial: spatial)
        let extra = try site.ints("output_padding", count: spatial)
        let groups = try site.int("groups")
        guard groups > 0 else { throw site.attributeError("groups", expects: "a number above 0") }
        for axis in 0..<spatial where extra[axis] < 0 || extra[axis] > Int32.max {
            throw site.attributeError("output_padding", expects: "numbers from 0")
        }
        guard let x = data.shape, let w = weight.shape else {
            return .tensor(TensorType(dtype: dtype, rank: spatial + 2))
        }
        if let channels = x[1].value, let inputs = w[0].value, channels != inputs {
            throw site.inputError(1, expects: "\(channels) in dimension 0, as data (\(data)) has channels")
        }
        if let inputs = w[0].value, inputs % groups != 0 {
            throw site.inputError(1, expects: "a number of input channels that \(groups) groups divide")
        }
        var shape = [x[0], try site.dim(Dim.multiplying(w[1], .fixed(groups)))]
        for axis in 0..<spatial {
            guard let kernel = w[axis + 2].value, kernel > 0, kernel <= Int32.max else {
                throw site.inputError(1, expects: "a kernel of known size from 1")
            }
            let steps = try site.dim(Dim.adding(x[axis + 2], -1))
            let reach = try site.dim(Dim.multiplying(steps, .fixed(window.strides[axis])))
            // All factors are below 2^31, so these cannot overflow.
            let rest =
                window.dilation[axis] * (kernel - 1) + 1 - window.padding[axis] - window.padding[axis + spatial]
                + extra[axis]
            let size = try site.dim(Dim.adding(reach, .fixed(rest)))
            if let size = size.value, size < 0 {
                throw site.error(.invalidShape, "spatial axis \(axis) would have size \(size)")
            }
            shape.append(size)
        }
        return .tensor(TensorType(dtype, shape))
    }
}

/// Strides, padding and dilation of a sliding window, checked.
struct Window {
    var strides: [Int64]
    var padding: [Int64]
    var dilation: [Int64]
    var ceilMode: Bool

    init(_ site: CallSite, spatial: Int) throws {
        strides = try site.ints("strides", count: spatial)
        padding = try site.ints("padding", count: spatial * 2)
        dilation = try site.ints("dilation", count: spatial)
        ceilMode = site.bool("ceil_mode")
        guard strides.allSatisfy({ $0 > 0 && $0 <= Int32.max }) else {
            throw site.attributeError("strides", expects: "numbers above 0")
        }
        guard dilation.allSatisfy({ $0 > 0 && $0 <= Int32.max }) else {
            throw site.attributeError("dilation", expects: "numbers above 0")
        }
        guard padding.allSatisfy({ $0 >= 0 && $0 <= Int32.max }) else {
            throw site.attributeError("padding", expects: "numbers from 0")
        }
    }

    /// ⌊(size + pads - dilation × (kernel - 1) - 1) / stride⌋ + 1, the ceiling with `ceil_mode` as long as the last window
    /// begins inside the input or its leading padding.
    func output(_ site: CallSite, _ size: Dim, kernel: Int64, axis: Int) throws -> Dim {
        let spatial = strides.count
        guard kernel > 0, kernel <= Int32.max else {
            throw site.error(.invalidShape, "kernel size \(kernel) is out of range")
        }
        let (begin, end) = (padding[axis], padding[axis + spatial])
        // All factors are below 2^31, so these cannot overflow.
        let extent = dilation[axis] * (kernel - 1) + 1
        let room = try site.dim(Dim.adding(size, .fixed(begin + end - extent)))
        if let room = room.value, room < 0 {
            throw site.error(
                .invalidShape,
                "kernel of extent \(extent) exceeds the padded input of \(room + extent) in spatial axis \(axis)")
        }
        let stride = strides[axis]
        let numerator = ceilMode ? try site.dim(Dim.adding(room, .fixed(stride - 1))) : room
        let steps = try site.dim(Dim.floorDividing(numerator, by: stride))
        let count = try site.dim(Dim.adding(steps, 1))
        if ceilMode, let number = count.value, let input = size.value,
            let start = Optional((number - 1).multipliedReportingOverflow(by: stride)), !start.overflow,
            start.partialValue - begin >= input
        {
            return .fixed(number - 1)
        }
        return count
    }
}
