import TenonIR

/// Calls of operators that hardly come about by chance: types of operands, or literals, and attributes that are needed.
enum Recipes {
    struct Recipe {
        enum Wanted {
            case tensor(String)
            case literal(Operand)
        }
        var operands: [Wanted]
        var attributes: Attributes = [:]
    }

    static let all: [String: Recipe] = {
        var table: [String: Recipe] = [:]
        func add(_ name: String, _ types: [String], _ attributes: Attributes = [:]) {
            table[name] = Recipe(operands: types.map { .tensor($0) }, attributes: attributes)
        }
        add("dequantize", ["i8[2,4]", "f32[]", "i8[]"])
        add("quantize", ["f32[2,4]", "f32[]", "i8[]"], ["out_dtype": .dtype(.int8)])
        add("matmul", ["f32[5,8]", "f32[8,16]"])
        add("matmul_integer", ["u8[3,4]", "i8[4,5]"])
        add("quantized_matmul", ["u8[3,4]", "f32[]", "u8[]", "i8[4,5]", "f32[]", "i8[]"])
        add("nn.group_norm", ["f32[2,4,3,3]", "f32[4]", "f32[4]"], ["num_groups": 2])
        add("nn.lstm", ["f32[3,2,4]", "f32[1,20,4]", "f32[1,20,5]", "f32[1,40]", "f32[1,2,5]", "f32[1,2,5]"])
        add("nn.gru", ["f32[3,2,4]", "f32[1,15,4]", "f32[1,15,5]", "f32[1,30]", "f32[1,2,5]"])
        add("nn.rnn", ["f32[3,2,4]", "f32[1,5,4]", "f32[1,5,5]", "f32[1,10]", "f32[1,2,5]"])
        add("nn.attention", ["f32[1,4,2,8]", "f32[1,4,2,8]", "f32[1,4,2,8]"])
        add("vision.roi_align", ["f32[1,2,6,6]", "f32[3,5]"], ["pooled_size": .ints([2, 2])])
        add("vision.roi_pool", ["f32[1,2,6,6]", "f32[3,5]"], ["pooled_size": .ints([2, 2])])
        let windows: [[Int64]] = [[2], [2, 3], [2, 3, 2]]
        for (rank, (sizes, taps)) in zip(1..., zip(["9", "9,8", "5,4,6"], ["3", "3,3", "3,2,3"])) {
            let picture = "1,4,\(sizes)"
            add("nn.conv\(rank)d", ["f32[\(picture)]", "f32[8,4,\(taps)]"])
            add("nn.conv\(rank)d_transpose", ["f32[\(picture)]", "f32[4,6,\(taps)]"])
            add("nn.conv\(rank)d_integer", ["u8[\(picture)]", "i8[8,4,\(taps)]", "u8[]", "i8[]"])
            add(
                "nn.quantized_conv\(rank)d",
                ["u8[\(picture)]", "i8[8,4,\(taps)]", "f32[]", "u8[]", "f32[]", "i8[]"])
            add("nn.adaptive_avg_pool\(rank)d", ["f32[\(picture)]"])
            add("nn.adaptive_max_pool\(rank)d", ["f32[\(picture)]"])
            for kind in ["avg_pool\(rank)d", "max_pool\(rank)d", "max_pool\(rank)d_with_indices"] {
                add("nn.\(kind)", ["f32[\(picture)]"], ["pool_size": .ints(windows[rank - 1])])
            }
        }
        table["clip"] = Recipe(operands: [.tensor("f32[2,3]"), .literal(.float(0)), .literal(.float(1))])
        table["image.resize3d"] = Recipe(
            operands: [.tensor("f32[1,2,3,4,4]"), .literal(.shape([4, 2, 3]))])
        table["slice_scatter"] = Recipe(
            operands: [
                .tensor("f32[6,4]"), .tensor("f32[2,4]"), .literal(.int(1)), .literal(.int(3)), .literal(.int(1)),
            ])
        return table
    }()
}
