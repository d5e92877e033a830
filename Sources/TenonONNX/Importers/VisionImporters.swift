import TenonIR

/// Sampling, and pooling of regions.
enum VisionImporters {
    static let table: [String: OperatorImporter] = [
        "GridSample": OperatorImporter(since: 16, gridSample),
        "RoiAlign": OperatorImporter(since: 10, roiAlign),
        "MaxRoiPool": OperatorImporter { node in
            try node.requireInputs(2...2)
            return try node.result(
                "vision.roi_pool", [try node.operand(0), try node.operand(1)],
                [
                    "pooled_size": .ints(try node.ints("pooled_shape") ?? []),
                    "spatial_scale": .float(try node.float("spatial_scale", 1)),
                ])
        },
    ]

    private static func gridSample(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...2)
        // The names without "bi" came with opset 20.
        let methods = [
            "bilinear": "bilinear", "linear": "bilinear", "nearest": "nearest", "bicubic": "bicubic",
            "cubic": "bicubic",
        ]
        let mode = try node.string("mode", "linear")
        guard let method = methods[mode] else { throw node.error(.invalidArgument, "mode is \(quoted(mode))") }
        return try node.result(
            "image.grid_sample", [try node.operand(0), try node.operand(1)],
            [
                "method": .string(method), "padding_mode": .string(try node.string("padding_mode", "zeros")),
                "align_corners": .bool(try node.bool("align_corners", false)),
            ])
    }

    /// The batch index of each region goes in front of its corners.
    private static func roiAlign(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(3...3)
        let rois = try node.operand(1)
        let dtype = try node.type(1).dtype ?? .float32
        let batch = try node.call("astype", [try node.operand(2)], ["dtype": .dtype(dtype)])
        let column = try node.call("expand_dims", [batch], ["axis": .ints([1])])
        let mode = try node.string("mode", "avg")
        let transformation = try node.string(
            "coordinate_transformation_mode", node.opset < 16 ? "output_half_pixel" : "half_pixel")
        guard transformation == "half_pixel" || transformation == "output_half_pixel" else {
            throw node.error(.invalidArgument, "coordinate_transformation_mode is \(quoted(transformation))")
        }
        return try node.result(
            "vision.roi_align",
            [try node.operand(0), try node.call("concat", [.tuple([column, rois])], ["axis": 1])],
            [
                "pooled_size": .ints([try node.int("output_height", 1), try node.int("output_width", 1)]),
                "spatial_scale": .float(try node.float("spatial_scale", 1)),
                "sample_ratio": .int(try node.int("sampling_ratio", 0)),
                "aligned": .bool(transformation == "half_pixel"), "mode": .string(mode),
            ])
    }
}
