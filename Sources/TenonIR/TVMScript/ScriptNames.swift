/// Where Relax's functions and this library's schemas differ in more than their order.
enum ScriptNames {
    /// Operators by the names that Relax gives forms of them.
    static let operators = [
        "roi_align": "vision.roi_align", "roi_pool": "vision.roi_pool",
        "all_class_non_max_suppression": "vision.all_class_non_max_suppression",
    ]

    /// Python's signs.
    static let operations = [
        "+": "add", "-": "subtract", "*": "multiply", "/": "divide", "//": "floor_divide", "%": "mod", "**": "power",
        "<": "less",
        ">": "greater", "<=": "less_equal", ">=": "greater_equal", "==": "equal", "!=": "not_equal",
    ]

    /// Parameters in Relax's order, of functions whose parameters stand in another one than the schema's.
    static let parameters: [String: [String]] = [
        "split": ["x", "indices_or_sections", "axis"],
        "nn.attention": ["query", "key", "value", "mask", "scale", "causal_mask", "window_size"],
        "nn.conv1d_transpose": transposed, "nn.conv2d_transpose": transposed, "nn.conv3d_transpose": transposed,
        "nn.max_pool1d": maxPool, "nn.max_pool2d": maxPool, "nn.max_pool3d": maxPool,
        "image.resize2d": resize, "image.resize3d": resize,
        "image.grid_sample": ["data", "grid", "method", "layout", "padding_mode", "align_corners"],
        "quantize": ["x", "scale", "zero_point", "axis", "out_dtype"],
        "dequantize": ["x", "scale", "zero_point", "axis", "out_dtype"],
        "topk": ["data", "k", "axis", "ret_type", "largest", "dtype"],
        "unique": ["x", "sorted", "return_index", "return_inverse", "return_counts", "axis"],
        "nn.prelu": ["x", "slope", "axis"], "hint_on_device": ["x", "dst_vdevice", "memory_scope"],
        "to_vdevice": ["x", "dst_vdevice"],
        "vision.roi_align": [
            "data", "rois", "pooled_size", "spatial_scale", "sample_ratio", "aligned", "layout", "mode",
        ],
    ]

    private static let transposed = [
        "data", "weight", "strides", "padding", "output_padding", "dilation", "groups", "data_layout", "kernel_layout",
        "out_layout", "out_dtype",
    ]
    private static let maxPool = [
        "data", "pool_size", "strides", "padding", "dilation", "ceil_mode", "count_include_pad", "layout", "out_layout",
    ]
    private static let resize = [
        "data", "size", "roi", "layout", "method", "coordinate_transformation_mode", "rounding_method", "cubic_alpha",
        "cubic_exclude", "extrapolation_value", "out_dtype",
    ]

    /// What Relax's functions call inputs that have another name here.
    static let inputs: [String: [String]] = [
        "data": ["x"], "expr": ["x", "shape"], "input": ["x"], "x1": ["a"], "x2": ["b"], "alpha": ["slope"],
        "bias": ["mask"], "input_tensor": ["input", "data"], "seq_lengths": ["sequence_lens"], "x": ["data"],
    ]

    /// What an attribute is where Relax's function is not told, and this library's default is another.
    static let defaults: [String: Attributes] = [
        "nn.prelu": ["axis": 1], "nn.batch_norm": ["training": true], "topk": ["dtype": .dtype(.int32)],
        "argsort": ["dtype": .dtype(.int32)], "reverse_sequence": ["seq_axis": 1, "batch_axis": 0],
        "nn.avg_pool1d": ["pool_size": 1, "count_include_pad": true], "nn.avg_pool2d": ["pool_size": 1],
        "nn.avg_pool3d": ["pool_size": 1, "count_include_pad": true], "nn.max_pool1d": ["pool_size": 1],
        "nn.max_pool2d": ["pool_size": 1], "nn.max_pool3d": ["pool_size": 1],
        "unique": ["return_index": false, "return_inverse": false, "return_counts": false],
    ]

    /// Attributes that are written although they have their default value: Relax's function has another default, or none.
    static let written: [String: Set<String>] = {
        var result: [String: Set<String>] = [
            "nn.batch_norm": ["axis"], "nn.layer_norm": ["axes"], "nn.rms_norm": ["axes"],
            "nn.instance_norm": ["channel_axis", "axes"], "nn.group_norm": ["channel_axis", "axes"], "zeros": ["dtype"],
            "ones": ["dtype"], "vision.roi_align": ["spatial_scale"], "vision.roi_pool": ["spatial_scale"],
            "hamming_window": ["dtype"], "cumsum": ["axis"], "cumprod": ["axis"],
            "nn.adaptive_avg_pool1d": ["output_size"],
            "nn.adaptive_avg_pool2d": ["output_size"], "nn.adaptive_avg_pool3d": ["output_size"],
        ]
        for (name, attributes) in defaults { result[name, default: []].formUnion(attributes.entries.map(\.name)) }
        return result
    }()

    /// Attributes that mean nothing here.
    static let dropped: [String: Set<String>] = [
        "hint_on_device": ["dst_vdevice", "device_type", "index", "memory_scope"], "to_vdevice": ["dst_vdevice"],
        "nn.max_pool1d": ["count_include_pad"], "nn.max_pool2d": ["count_include_pad"],
        "grad.max_pool2d_backward": ["count_include_pad"],
        "layout_transform": ["axis_separators", "input_axis_separators"],
        "nn.max_pool3d": ["count_include_pad"], "image.resize2d": ["out_dtype"], "image.resize3d": ["out_dtype"],
    ]

    /// Values that have another name here, by operator and attribute.
    static let values: [String: [String: String]] = [
        "image.resize2d.rounding_method": ["round": "round_prefer_floor", "": "round_prefer_floor"],
        "image.resize3d.rounding_method": ["round": "round_prefer_floor", "": "round_prefer_floor"],
    ]
}
