import Glibc
import TenonIR

/// Files that ONNX Runtime saved after choosing layouts for its own processor (domain com.microsoft.nchwc): tensors lie in
/// blocks of channels, their shapes say so in nothing but a number of channels that blocks fill. Here they are plain tensors
/// again, and weights are unpacked while importing.
enum BlockedImporters {
    static let table: [String: OperatorImporter] = {
        var table: [String: OperatorImporter] = [
            "Conv": OperatorImporter(convolution),
            "ReorderInput": OperatorImporter(reorderInput),
            "ReorderOutput": OperatorImporter(reorderOutput),
            "Upsample": OperatorImporter(upsample),
        ]
        for op in ["MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"] {
            table[op] = OperatorImporter { node in
                guard let importer = OperatorImporters.find(op, domain: "") else { throw node.unsupported("'\(op)'") }
                let inner = try node.asONNX(opset: 12)
                let results = try importer.run(inner)
                if let unread = inner.unreadAttribute { throw node.unsupported("attribute \(quoted(unread))") }
                return results
            }
        }
        return Dictionary(uniqueKeysWithValues: table.map { ("com.microsoft.nchwc." + $0.key, $0.value) })
    }()

    /// How many channels a block has: 16 where the processor that saved the file has vectors of 512 bits, else 8. A file does
    /// not say. ONNX Runtime takes the block of the processor that loads the file, and so does this, save for numbers of channels
    /// that 16 does not divide.
    private static func block(_ shape: [Int64]) -> Int64 {
        let fits = shape[0] % 16 == 0 && (shape[1] < 8 || shape[1] % 16 == 0)
        return fits && ProcessorVectors.haveWideRegisters ? 16 : 8
    }

    private static func convolution(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...4)
        guard let weight = try node.constant(1), weight.shape.count == 4, weight.shape.allSatisfy({ $0 > 0 }) else {
            throw node.unsupported("a weight of \(try node.type(1)), expected a constant of 4 dimensions")
        }
        let groups = try node.int("group", 1)
        let shape = weight.shape
        let block = block(shape)
        guard shape[0] % block == 0, groups > 0, shape[0] % groups == 0 else {
            throw node.error(.invalidShape, "a weight of \(weight.type) in \(groups) groups does not lie in blocks")
        }
        let isDepthwise = groups > 1 && shape[1] == 1
        // Of few channels the input is plain.
        let isPlain = isDepthwise || groups == 1 && shape[1] < block
        let unpacked = try BlockedWeights.unpacked(weight, block: Int(block), inputBlock: isPlain ? 1 : Int(block))
        let kernel = Array(shape.dropFirst(2))
        if let declared = try node.ints("kernel_shape"), declared != kernel {
            throw node.error(.invalidShape, "kernel_shape is \(declared), the weight has \(kernel)")
        }
        let data = try node.type(0)
        let window = try WindowAttributes(node, kernel: kernel, input: data.shape.map { Array($0.dropFirst(2)) })
        var x = try node.call(
            "nn.conv2d", [try window.padded(node, try node.operand(0)), .constant(unpacked)],
            [
                "strides": .ints(window.strides), "padding": .ints(window.pads), "dilation": .ints(window.dilations),
                "groups": .int(groups),
            ])
        x = try ConvolutionImporters.addBias(node, to: x, channels: .fixed(shape[0]), spatial: 2)
        if node.has(3) { x = try node.call("add", [x, try node.operand(3)]) }
        let name = try node.string("activation", "")
        return [
            .operand(try ContribActivations.applied(node, to: x, name, try node.floats("activation_params") ?? []))
        ]
    }

    /// Into blocks: channels last come in front. Channels fill blocks already, or ONNX Runtime would not have done this.
    private static func reorderInput(_ node: Node) throws -> [ImportedValue] {
        let x = try ArithmeticImporters.single(node)
        guard try node.rank(0) == 4 else {
            throw node.error(.invalidShape, "X expects 4 dimensions, found \(try node.type(0))")
        }
        if try node.bool("channels_last", false) {
            return try node.result("permute_dims", [x], ["axes": .ints([0, 3, 1, 2])])
        }
        return [.operand(x)]
    }

    /// Out of blocks: the channels that fill them up are left out.
    private static func reorderOutput(_ node: Node) throws -> [ImportedValue] {
        var x = try ArithmeticImporters.single(node)
        guard try node.rank(0) == 4 else {
            throw node.error(.invalidShape, "X expects 4 dimensions, found \(try node.type(0))")
        }
        let channels = try node.int("channels", 0)
        if channels > 0, try node.shape(0)[1].value != channels {
            x = try node.call(
                "strided_slice", [x, .tuple([.int(1)]), .tuple([.int(0)]), .tuple([.int(channels)])])
        }
        if try node.bool("channels_last", false) {
            x = try node.call("permute_dims", [x], ["axes": .ints([0, 2, 3, 1])])
        }
        return [.operand(x)]
    }

    private static func upsample(_ node: Node) throws -> [ImportedValue] {
        let x = try ArithmeticImporters.single(node)
        let shape = try node.shape(0)
        guard let scales = try node.ints("scales"), scales.count == 4, shape.count == 4, scales[0] == 1, scales[1] == 1,
            scales[2] > 0, scales[3] > 0, let height = Dim.multiplying(shape[2], .fixed(scales[2])),
            let width = Dim.multiplying(shape[3], .fixed(scales[3]))
        else { throw node.error(.invalidArgument, "scales expects 4 numbers, the first two 1") }
        let mode = try node.string("mode", "nearest")
        guard let method = ["nearest": "nearest_neighbor", "linear": "linear"][mode] else {
            throw node.unsupported("mode \(quoted(mode))")
        }
        let transformation = try node.string("coordinate_transformation_mode", "half_pixel")
        return try node.result(
            "image.resize2d", [x, .shape([height, width])],
            [
                "method": .string(method), "scales": .floats([Double(scales[2]), Double(scales[3])]),
                "coordinate_transformation_mode": .string(method == "linear" ? transformation : "asymmetric"),
                "rounding_method": "floor",
            ])
    }
}

/// Weights out of ONNX Runtime's blocks.
enum BlockedWeights {
    /// [outputs / block, inputs / inputBlock, height, width, inputBlock, block] as [outputs, inputs, height, width].
    static func unpacked(_ weight: Constant, block: Int, inputBlock: Int) throws -> Constant {
        let sizes = weight.shape.compactMap { Int(exactly: $0) }
        guard sizes.count == 4, sizes[0] % block == 0, sizes[1] % inputBlock == 0, weight.dtype == .float32 else {
            throw TenonError(.unsupported, "a weight of \(weight.type) in blocks of \(block)")
        }
        let (inputs, area) = (sizes[1], sizes[2] * sizes[3])
        let values = [Float](unsafeUninitializedCapacity: weight.count) { target, count in
            let source = weight.bytes.bindMemory(to: Float.self)
            var from = 0
            for outer in 0..<sizes[0] / block {
                for inner in 0..<inputs / inputBlock {
                    for place in 0..<area {
                        for input in inner * inputBlock..<(inner + 1) * inputBlock {
                            for output in outer * block..<(outer + 1) * block {
                                target[(output * inputs + input) * area + place] = source[from]
                                from += 1
                            }
                        }
                    }
                }
            }
            count = weight.count
        }
        return try Constant.floats(weight.shape, values)
    }
}

/// What the processor's vectors are.
enum ProcessorVectors {
    /// Whether there are registers of 512 bits that the system lets programs use.
    static let haveWideRegisters: Bool = {
        guard let file = fopen("/proc/cpuinfo", "r") else { return false }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 8192)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if text.hasPrefix("flags") { return text.split(separator: " ").contains("avx512f") }
        }
        return false
    }()
}
