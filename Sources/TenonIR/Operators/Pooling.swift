/// Pooling. Padding lists all begins, then all ends, as in ONNX and Relax.
enum PoolingOperators {
    static let schemas: [OperatorSchema] = [1, 2, 3].flatMap { spatial -> [OperatorSchema] in
        var kernel = OperatorSchema.Attribute.required("pool_size", .ints)
        kernel.spread = spatial
        let view = LayoutView(
            inputs: [(0, "layout", DimensionOrder.data(spatial))], output: ("out_layout", DimensionOrder.data(spatial)))
        let window: [OperatorSchema.Attribute] = [
            kernel,
            .spread("strides", .ints([Int64](repeating: 1, count: spatial)), spatial),
            .spread("padding", .ints([Int64](repeating: 0, count: spatial * 2)), spatial * 2),
            .spread("dilation", .ints([Int64](repeating: 1, count: spatial)), spatial),
            .defaulted("ceil_mode", false),
        ]
        return [
            view.applied(
                to: OperatorSchema(
                    "nn.max_pool\(spatial)d", "Largest value of each window; padding never wins.",
                    inputs: [.init("data")], attributes: window, infer: { try pool($0, spatial: spatial) })),
            OperatorSchema(
                "nn.max_pool\(spatial)d_with_indices",
                """
                Largest value of each window and, as i64, where in data it stands, counted over all of data in row-major \
                order, or with column_major the first spatial axis fastest; -1 for a window that meets padding only.
                """,
                inputs: [.init("data")], attributes: window + [.defaulted("column_major", false)]
            ) { site in
                let values = try pool(site, spatial: spatial)
                guard case .tensor(var places) = values else { return .tuple([values, values]) }
                places.dtype = .int64
                return .tuple([values, .tensor(places)])
            },
            view.applied(
                to: OperatorSchema(
                    "nn.avg_pool\(spatial)d",
                    "Mean of each window; padding counts as zeros with count_include_pad, else it does not count.",
                    inputs: [.init("data")], attributes: window + [.defaulted("count_include_pad", false)],
                    infer: { try pool($0, spatial: spatial) })),
            view.applied(
                to: OperatorSchema(
                    "nn.adaptive_avg_pool\(spatial)d",
                    "Mean over windows that divide each spatial axis into output_size parts; 1 is global pooling.",
                    inputs: [.init("data")],
                    attributes: [.spread("output_size", .ints([Int64](repeating: 1, count: spatial)), spatial)],
                    infer: { try adaptive($0, spatial: spatial) })),
            view.applied(
                to: OperatorSchema(
                    "nn.adaptive_max_pool\(spatial)d",
                    "Largest value of windows that divide each spatial axis into output_size parts; 1 is global pooling.",
                    inputs: [.init("data")],
                    attributes: [.spread("output_size", .ints([Int64](repeating: 1, count: spatial)), spatial)],
                    infer: { try adaptive($0, spatial: spatial) })),
        ]
    }

    static func pool(_ site: CallSite, spatial: Int) throws -> ValueType {
        let data = try site.tensor(0, rank: spatial + 2)
        let window = try Window(site, spatial: spatial)
        let kernel = try site.ints("pool_size", count: spatial)
        guard kernel.allSatisfy({ $0 > 0 && $0 <= Int32.max }) else {
            throw site.attributeError("pool_size", expects: "numbers above 0")
        }
        for axis in 0..<spatial
        where window.padding[axis] >= kernel[axis] * window.dilation[axis]
            || window.padding[axis + spatial] >= kernel[axis] * window.dilation[axis]
        {
            throw site.attributeError("padding", expects: "padding smaller than the window \(kernel)")
        }
        guard let x = data.shape else { return .tensor(TensorType(dtype: data.dtype, rank: spatial + 2)) }
        var shape = Array(x.prefix(2))
        for axis in 0..<spatial {
            shape.append(try window.output(site, x[axis + 2], kernel: kernel[axis], axis: axis))
        }
        return .tensor(TensorType(data.dtype, shape))
    }

    static func adaptive(_ site: CallSite, spatial: Int) throws -> ValueType {
        let data = try site.tensor(0, rank: spatial + 2)
        let sizes = try site.ints("output_size", count: spatial)
        guard sizes.allSatisfy({ $0 > 0 }) else { throw site.attributeError("output_size", expects: "numbers above 0") }
        guard let x = data.shape else { return .tensor(TensorType(dtype: data.dtype, rank: spatial + 2)) }
        return .tensor(TensorType(data.dtype, x.prefix(2) + sizes.map { .fixed($0) }))
    }
}
