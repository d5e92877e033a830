/// Convolutions. Padding lists all begins, then all ends, as in ONNX and Relax.
enum ConvolutionOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "nn.conv2d", "2-D convolution (cross-correlation) of f[n,c,h,w] with weight [o, c/groups, kh, kw].",
            inputs: [.init("data"), .init("weight")],
            attributes: [
                .defaulted("strides", .ints([1, 1])),
                .defaulted("padding", .ints([0, 0, 0, 0])),
                .defaulted("dilation", .ints([1, 1])),
                .defaulted("groups", 1),
            ], infer: { try convolution($0, spatial: 2) })
    ]

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
                .invalidShape, "kernel of extent \(extent) exceeds the padded input of \(room + extent) in spatial axis \(axis)")
        }
        let stride = strides[axis]
        let numerator = ceilMode ? try site.dim(Dim.adding(room, .fixed(stride - 1))) : room
        let steps = try site.dim(Dim.floorDividing(numerator, by: stride))
        let count = try site.dim(Dim.adding(steps, 1))
        if ceilMode, let number = count.value, let input = size.value,
            let start = Optional((number - 1).multipliedReportingOverflow(by: stride)), !start.overflow,
            start.partialValue >= input + begin
        {
            return .fixed(number - 1)
        }
        return count
    }
}
