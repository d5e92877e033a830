/// Operators on images [n, c, spatial…].
enum ImageOperators {
    static let schemas: [OperatorSchema] = [1, 2, 3].map { spatial in
        LayoutView(inputs: [(0, "layout", DimensionOrder.data(spatial))], output: (nil, DimensionOrder.data(spatial)))
            .applied(
                to: OperatorSchema(
                    "image.resize\(spatial)d",
                    """
                    data sampled at size positions per spatial axis. A position comes from coordinate_transformation_mode with \
                    scales, or output over input size where scales is left out; roi (all starts, all ends) serves tf_crop_and_resize.
                    """,
                    inputs: [.init("data"), .init("size", .shape)],
                    attributes: [
                        .optional("scales", .floats), .optional("roi", .floats),
                        .defaulted("method", "linear", allowed: ["nearest_neighbor", "linear", "cubic"]),
                        .defaulted(
                            "coordinate_transformation_mode", "half_pixel",
                            allowed: [
                                "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
                                "asymmetric",
                                "tf_half_pixel_for_nn", "tf_crop_and_resize",
                            ]),
                        .defaulted(
                            "rounding_method", "round_prefer_floor",
                            allowed: ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
                        .defaulted("cubic_alpha", -0.75), .defaulted("cubic_exclude", false),
                        .defaulted("antialias", false),
                        .defaulted("extrapolation_value", 0.0),
                    ], infer: { try resize($0, spatial: spatial) }))
    }

    private static func resize(_ site: CallSite, spatial: Int) throws -> ValueType {
        let data = try site.tensor(0, rank: spatial + 2)
        if let scales = site.attributes["scales"], case .floats(let values) = scales {
            guard values.count == spatial, values.allSatisfy({ $0 > 0 && $0.isFinite }) else {
                throw site.attributeError("scales", expects: "\(spatial) numbers above 0")
            }
        }
        if let roi = site.attributes["roi"], case .floats(let values) = roi, values.count != spatial * 2 {
            throw site.attributeError("roi", expects: "\(spatial * 2) numbers")
        }
        if site.attributes.string("coordinate_transformation_mode") == "tf_crop_and_resize",
            site.attributes["roi"] == nil
        {
            throw site.attributeError("roi", expects: "\(spatial * 2) numbers for tf_crop_and_resize")
        }
        guard let size = site.dims(1) else { return .tensor(TensorType(dtype: data.dtype, rank: spatial + 2)) }
        guard size.count == spatial, size.allSatisfy({ ($0.value ?? 1) > 0 }) else {
            throw site.inputError(1, expects: "\(spatial) sizes above 0")
        }
        guard let shape = data.shape else { return .tensor(TensorType(dtype: data.dtype, rank: spatial + 2)) }
        for axis in 2..<spatial + 2 where shape[axis].value == 0 {
            throw site.inputError(0, expects: "spatial sizes above 0")
        }
        return .tensor(TensorType(data.dtype, shape.prefix(2) + size))
    }
}
