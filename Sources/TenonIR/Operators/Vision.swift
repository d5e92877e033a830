/// Sampling and detection on images [n, c, spatial…].
enum VisionOperators {
    static let schemas: [OperatorSchema] = [
        RelaxForms.axesOfGrid(
            OperatorSchema(
                "image.grid_sample",
                """
                data [n, c, spatial…] read at the positions of grid [n, out…, axes], which lists the last spatial axis first \
                and runs from -1 to 1. With keep_positions a cubic outside of a border reads the border's pixels at the positions \
                that the grid says; else positions are moved inside first.
                """,
                inputs: [.init("data"), .init("grid")],
                attributes: [
                    .defaulted("method", "bilinear", allowed: ["nearest", "bilinear", "bicubic"]),
                    .defaulted("padding_mode", "zeros", allowed: ["zeros", "border", "reflection"]),
                    .defaulted("align_corners", false), .optional("keep_positions", .bool), layout,
                ], infer: gridSample)),
        regionsView.applied(
            to: OperatorSchema(
                "vision.roi_align",
                """
                Means (or largest values) of points read by interpolation in a grid of parts of each region; rois [r, 5] are \
                batch index, x1, y1, x2, y2.
                """,
                inputs: [.init("data"), .init("rois")],
                attributes: [
                    .required("pooled_size", .ints), .defaulted("spatial_scale", 1.0), .defaulted("sample_ratio", 0),
                    .defaulted("aligned", false), .defaulted("mode", "avg", allowed: ["avg", "max"]),
                ], infer: regions)),
        regionsView.applied(
            to: OperatorSchema(
                "vision.roi_pool", "Largest values in a grid of parts of each region, with bounds rounded to pixels.",
                inputs: [.init("data"), .init("rois")],
                attributes: [.required("pooled_size", .ints), .defaulted("spatial_scale", 1.0)], infer: regions)),
        OperatorSchema(
            "vision.all_class_non_max_suppression",
            """
            Rows (batch, class, box) of the boxes [n, b, 4] that are kept, best score [n, c, b] first, without those that \
            overlap a kept one by more than iou_threshold; how many there are depends on the data.
            """,
            inputs: [.init("boxes"), .init("scores")],
            attributes: [
                .defaulted("max_output_boxes_per_class", 0), .defaulted("iou_threshold", 0.0),
                .optional("score_threshold", .float), .defaulted("center_point_box", false),
            ]
        ) { site in
            let (boxes, scores) = (try site.tensor(0, rank: 3), try site.tensor(1, rank: 3))
            _ = try site.sameDType(0, 1)
            if let p = boxes.shape, let q = scores.shape {
                guard p[2].value ?? 4 == 4 else { throw site.inputError(0, expects: "4 numbers per box") }
                for (a, b) in [(p[0], q[0]), (p[1], q[2])] where a.isFixed && b.isFixed && a != b {
                    throw site.inputError(1, expects: "a score of each class for each of the boxes (\(boxes))")
                }
            }
            return .tensor(TensorType(dtype: .int64, rank: 2))
        },
    ]

    /// What Relax says of images and volumes in the one order that there is.
    private static var layout: OperatorSchema.Attribute {
        var attribute = OperatorSchema.Attribute.implied("layout", "NCHW")
        attribute.allowed = ["NCHW", "NCDHW"]
        return attribute
    }

    private static let regionsView = LayoutView(
        inputs: [(0, "layout", DimensionOrder.data(2))], output: (nil, DimensionOrder.data(2)))

    private static func gridSample(_ site: CallSite) throws -> ValueType {
        let data = try site.tensor(0)
        let grid = try site.tensor(1)
        guard let rank = data.rank ?? grid.rank else { return .tensor(data) }
        guard rank == 4 || rank == 5 else { throw site.inputError(0, expects: "4 or 5 dimensions") }
        if let other = grid.rank, other != rank { throw site.inputError(1, expects: "\(rank) dimensions") }
        if rank == 5, site.attributes.string("method") == "bicubic" {
            throw site.attributeError("method", expects: "'nearest' or 'bilinear' for volumes")
        }
        guard let x = data.shape, let g = grid.shape else { return .tensor(TensorType(dtype: data.dtype, rank: rank)) }
        if let axes = g[rank - 1].value, axes != Int64(rank - 2) {
            throw site.inputError(1, expects: "\(rank - 2) in its last dimension")
        }
        if let a = x[0].value, let b = g[0].value, a != b { throw site.inputError(1, expects: "batch size \(a)") }
        return .tensor(data.dtype, Array(x[..<2]) + Array(g[1..<(rank - 1)]))
    }

    private static func regions(_ site: CallSite) throws -> ValueType {
        let (data, rois) = (try site.tensor(0, rank: 4), try site.tensor(1, rank: 2))
        _ = try site.sameDType(0, 1)
        let size = try site.ints("pooled_size", count: 2)
        guard size.allSatisfy({ $0 > 0 && $0 <= 1 << 20 }) else {
            throw site.attributeError("pooled_size", expects: "numbers above 0")
        }
        if let width = rois.shape?[1].value, width != 5 { throw site.inputError(1, expects: "5 numbers per region") }
        guard let x = data.shape, let r = rois.shape else { return .tensor(TensorType(dtype: data.dtype, rank: 4)) }
        return .tensor(data.dtype, [r[0], x[1], .fixed(size[0]), .fixed(size[1])])
    }
}
