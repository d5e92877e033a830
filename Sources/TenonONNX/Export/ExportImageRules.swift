import TenonIR

/// The ONNX forms of operators on images and regions of them.
enum ExportImageRules {
    static let table: [String: ExportRules.Rule] = [
        "image.resize1d": resize, "image.resize2d": resize, "image.resize3d": resize,
        "image.grid_sample": { call in
            let modes = ["nearest": "nearest", "bilinear": "linear", "bicubic": "cubic"]
            guard let mode = modes[call.attributes.string("method") ?? "bilinear"] else {
                throw call.unsupported("its method")
            }
            var attributes = call.kept(["padding_mode", "align_corners"])
            attributes["mode"] = .string(mode)
            return try call.result("GridSample", [try call.input(0), try call.input(1)], attributes)
        },
        "vision.roi_align": { call in
            let (rois, axis) = (try call.input(1), try call.list([1]))
            func columns(_ first: Int64, _ end: Int64) throws -> String {
                call.step("Slice", [rois, try call.list([first]), try call.list([end]), axis])
            }
            let batch = call.step("Cast", [call.step("Squeeze", [try columns(0, 1), axis])], ["to": .dtype(.int64)])
            let size = try call.ints("pooled_size")
            guard size.count == 2 else { throw call.unsupported("pooled_size of \(size.count) numbers") }
            return try call.result(
                "RoiAlign", [try call.input(0), try columns(1, 5), batch],
                [
                    "output_height": .int(size[0]), "output_width": .int(size[1]),
                    "sampling_ratio": .int(try call.int("sample_ratio")),
                    "spatial_scale": .float(try call.float("spatial_scale")),
                    "mode": .string(call.attributes.string("mode") ?? "avg"),
                    "coordinate_transformation_mode": call.isTrue("aligned") ? "half_pixel" : "output_half_pixel",
                ])
        },
        "vision.roi_pool": { call in
            try call.result(
                "MaxRoiPool", [try call.input(0), try call.input(1)],
                [
                    "pooled_shape": .ints(try call.ints("pooled_size")),
                    "spatial_scale": .float(try call.float("spatial_scale")),
                ])
        },
        "vision.all_class_non_max_suppression": { call in
            var inputs = [
                try call.input(0), try call.input(1), try call.list([try call.int("max_output_boxes_per_class")]),
                try call.graph.name(of: Constant.filled(.float32, [1], try call.float("iou_threshold"))),
            ]
            if let least = call.attributes.float("score_threshold") {
                inputs.append(call.graph.name(of: try Constant.filled(.float32, [1], least)))
            }
            return try call.result(
                "NonMaxSuppression", inputs, ["center_point_box": .bool(call.isTrue("center_point_box"))])
        },
    ]

    /// ONNX takes scales or sizes: scales where they are given, because positions follow from them.
    @Sendable private static func resize(_ call: ExportCall) throws -> GraphExport.Value {
        let transformation = call.attributes.string("coordinate_transformation_mode") ?? "half_pixel"
        guard transformation != "tf_half_pixel_for_nn" else {
            throw call.unsupported("coordinate_transformation_mode '\(transformation)'")
        }
        let method = call.attributes.string("method") ?? "linear"
        var attributes: Attributes = [
            "mode": .string(method == "nearest_neighbor" ? "nearest" : method),
            "coordinate_transformation_mode": .string(transformation),
            "nearest_mode": .string(call.attributes.string("rounding_method") ?? "round_prefer_floor"),
            "cubic_coeff_a": .float(call.attributes.float("cubic_alpha") ?? -0.75),
            "exclude_outside": .bool(call.isTrue("cubic_exclude")), "antialias": .bool(call.isTrue("antialias")),
            "extrapolation_value": .float(call.attributes.float("extrapolation_value") ?? 0),
        ]
        let spatial = Int64(try call.rank(0)) - 2
        guard spatial > 0 else { throw call.unsupported("an input without spatial axes") }
        attributes["axes"] = .ints((2..<spatial + 2).map { $0 })
        var region = ""
        if transformation == "tf_crop_and_resize" {
            let roi: [Double]
            if case .floats(let given)? = call.attributes["roi"] {
                roi = given
            } else {
                roi = (0..<2 * spatial).map { $0 < spatial ? 0 : 1 }
            }
            region = call.graph.name(of: try Constant.floats([2 * spatial], roi.map { Float($0) }))
        }
        if case .floats(let scales)? = call.attributes["scales"] {
            let name = call.graph.name(of: try Constant.floats([Int64(scales.count)], scales.map { Float($0) }))
            try requireSizes(call, scales)
            return try call.result("Resize", [try call.input(0), region, name], attributes)
        }
        return try call.result("Resize", [try call.input(0), region, "", try call.vector(1)], attributes)
    }

    /// ONNX computes the sizes from the scales; other ones cannot be asked for together with them.
    private static func requireSizes(_ call: ExportCall, _ scales: [Double]) throws {
        guard case .literal(.shape(let sizes))? = call.arguments.dropFirst().first,
            let shape = try call.tensor(0).type.shape, shape.count == sizes.count + 2, scales.count == sizes.count
        else { throw call.unsupported("scales together with sizes that are computed") }
        for ((before, after), scale) in zip(zip(shape.dropFirst(2), sizes), scales) {
            // A symbolic size with a scale comes from ONNX, where it is what the scale gives.
            guard let before = before.value, let after = after.value else { continue }
            guard Int64(clamping: (Double(before) * scale).rounded(.down)) == after else {
                throw call.unsupported("size \(after) and scale \(scale) of \(before), which contradict each other")
            }
        }
    }
}
