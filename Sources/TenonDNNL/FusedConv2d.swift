import Synchronization
import TenonIR
import TenonRewrite
import TenonRuntime

/// `relu(conv2d(source, weights) + bias)` on plain memory: the kernel behind `tenon_dnnl_fused_conv2d_bias_relu`.
public enum FusedConv2d {
    /// Sizes of one call. Tensors are f32, dense and row-major: source [batch, inChannels, height, width], weights
    /// [outChannels, inChannels / groups, kernelHeight, kernelWidth], bias [outChannels].
    public struct Geometry: Hashable, Sendable {
        /// Images.
        public var batch: Int64
        /// Channels of the source.
        public var inChannels: Int64
        /// Rows of the source.
        public var height: Int64
        /// Columns of the source.
        public var width: Int64
        /// Channels of the result.
        public var outChannels: Int64
        /// Groups of channels that do not see each other.
        public var groups: Int64
        /// Top, left, bottom, right.
        public var pads: [Int64]
        /// Height, width.
        public var kernel: [Int64]
        /// Height, width.
        public var strides: [Int64]
        /// Height, width; 1 means none.
        public var dilations: [Int64]

        /// Sizes as given; `FusedConv2d.run` checks them.
        public init(
            batch: Int64, inChannels: Int64, height: Int64, width: Int64, outChannels: Int64, groups: Int64,
            pads: [Int64], kernel: [Int64], strides: [Int64], dilations: [Int64]
        ) {
            self.batch = batch
            self.inChannels = inChannels
            self.height = height
            self.width = width
            self.outChannels = outChannels
            self.groups = groups
            self.pads = pads
            self.kernel = kernel
            self.strides = strides
            self.dilations = dilations
        }
    }

    /// Geometries kept for the next call, the least recently used going first.
    public static let cacheCapacity = 16

    private struct Entry {
        var executable: Executable
        var lastUse: UInt64
    }

    private struct Cache {
        var entries: [Geometry: Entry] = [:]
        var clock: UInt64 = 0
    }

    private static let cache = Mutex(Cache())

    /// Computes into `destination`, which has room for the result and overlaps nothing. Any thread; calls of one geometry
    /// run side by side.
    /// - Throws: `.invalidArgument` that names the argument.
    public static func run(
        source: UnsafePointer<Float>?, weights: UnsafePointer<Float>?, bias: UnsafePointer<Float>?,
        destination: UnsafeMutablePointer<Float>?, geometry: Geometry
    ) throws {
        let shapes = try check(geometry)
        let pointers: [(String, UnsafeMutableRawPointer?)] = [
            ("src", .init(mutating: source)), ("weights", .init(mutating: weights)), ("bias", .init(mutating: bias)),
            ("dst", .init(destination)),
        ]
        for (name, pointer) in pointers where pointer == nil { throw invalid(name, "a pointer", "NULL") }
        let executable = try executable(geometry, shapes)
        // All four tensors' sizes in one list, so that views can point into it.
        let dims = shapes.flatMap { $0 }
        try dims.withUnsafeBufferPointer { dims in
            var views: [TensorView] = []
            var offset = 0
            for (shape, (_, pointer)) in zip(shapes, pointers) {
                views.append(
                    TensorView(
                        dtype: .float32, data: pointer, rank: shape.count, shape: dims.baseAddress.map { $0 + offset }))
                offset += shape.count
            }
            try views.withUnsafeBufferPointer { views in
                try executable.run(
                    inputs: UnsafeBufferPointer(rebasing: views[..<3]),
                    outputs: UnsafeBufferPointer(rebasing: views[3...]))
            }
        }
    }

    private static func invalid(_ argument: String, _ expected: String, _ found: String) -> TenonError {
        TenonError(
            .invalidArgument, "fused_conv2d_bias_relu: '\(argument)' expects \(expected), found \(found)",
            operatorName: "nn.conv2d")
    }

    // MARK: - Geometry

    /// Shapes of source, weights, bias and destination.
    private static func check(_ g: Geometry) throws -> [[Int64]] {
        let limit = Int64(Int32.max)
        let sizes = [
            ("batch", g.batch), ("in_channels", g.inChannels), ("height", g.height), ("width", g.width),
            ("out_channels", g.outChannels), ("groups", g.groups),
        ]
        for (name, value) in sizes where value < 1 || value > limit {
            throw invalid(name, "a number from 1 to \(limit)", "\(value)")
        }
        guard g.pads.count == 4, g.kernel.count == 2, g.strides.count == 2, g.dilations.count == 2 else {
            throw invalid("pads", "four pads and two values per kernel, stride and dilation", "other counts")
        }
        for (name, value) in zip(["pad_top", "pad_left", "pad_bottom", "pad_right"], g.pads)
        where value < 0 || value > limit {
            throw invalid(name, "a number from 0 to \(limit)", "\(value)")
        }
        for (group, values) in [("kernel", g.kernel), ("stride", g.strides), ("dilation", g.dilations)] {
            for (suffix, value) in zip(["h", "w"], values) where value < 1 || value > limit {
                throw invalid("\(group)_\(suffix)", "a number from 1 to \(limit)", "\(value)")
            }
        }
        guard g.inChannels % g.groups == 0, g.outChannels % g.groups == 0 else {
            throw invalid(
                "groups", "a divisor of \(g.inChannels) input and \(g.outChannels) output channels", "\(g.groups)")
        }
        // Factors are below 2^31, so the extents fit into 64 bits.
        var output: [Int64] = []
        for (axis, size) in [g.height, g.width].enumerated() {
            let extent = (g.kernel[axis] - 1) * g.dilations[axis] + 1
            let room = size + g.pads[axis] + g.pads[axis + 2] - extent
            guard room >= 0 else {
                throw invalid(
                    axis == 0 ? "kernel_h" : "kernel_w", "an extent of at most \(room + extent), the padded size",
                    "\(extent)")
            }
            output.append(room / g.strides[axis] + 1)
        }
        let shapes: [[Int64]] = [
            [g.batch, g.inChannels, g.height, g.width],
            [g.outChannels, g.inChannels / g.groups, g.kernel[0], g.kernel[1]], [g.outChannels],
            [g.batch, g.outChannels, output[0], output[1]],
        ]
        for (name, shape) in zip(["src", "weights", "bias", "dst"], shapes)
        where TensorType(.float32, shape.map { .fixed($0) }).byteCount == nil {
            throw invalid(name, "a size in bytes that fits", "\(shape)")
        }
        return shapes
    }

    // MARK: - Executables

    private static func executable(_ geometry: Geometry, _ shapes: [[Int64]]) throws -> Executable {
        let known = ForkBarrier.away {
            cache.withLock { cache -> Executable? in
                cache.clock += 1
                cache.entries[geometry]?.lastUse = cache.clock
                return cache.entries[geometry]?.executable
            }
        }
        if let known { return known }
        let made = try make(geometry, shapes)
        // Whoever came first wins; what is pushed out ends behind the lock, and lives on in calls that use it.
        let (kept, _) = ForkBarrier.away {
            cache.withLock { cache -> (Executable, Executable?) in
                if let other = cache.entries[geometry]?.executable { return (other, made) }
                var evicted: Executable?
                if cache.entries.count >= cacheCapacity,
                    let oldest = cache.entries.min(by: { $0.value.lastUse < $1.value.lastUse })
                {
                    evicted = oldest.value.executable
                    cache.entries[oldest.key] = nil
                }
                cache.entries[geometry] = Entry(executable: made, lastUse: cache.clock)
                return (made, evicted)
            }
        }
        return kept
    }

    private static func make(_ g: Geometry, _ shapes: [[Int64]]) throws -> Executable {
        var builder = FunctionBuilder(attributes: ["global_symbol": "main"])
        let source = builder.parameter("src", .tensor(.float32, shapes[0]))
        let weights = builder.parameter("weights", .tensor(.float32, shapes[1]))
        let bias = builder.parameter("bias", .tensor(.float32, shapes[2]))
        let convolution = try builder.call(
            "nn.conv2d", [.value(source), .value(weights)],
            [
                "padding": .ints(g.pads), "strides": .ints(g.strides), "dilation": .ints(g.dilations),
                "groups": .int(g.groups),
            ])
        let row = try builder.call("reshape", [.value(bias), .shape([1, .fixed(g.outChannels), 1, 1])])
        let sum = try builder.call("add", [.value(convolution), .value(row)])
        let result = try builder.call("nn.relu", [.value(sum)])
        let module = Module(functions: ["main": try builder.finish(.value(result))])
        let fused = try Sequential([FuseConv2dReshapeAddRelu(), MergeCompositeFunctions()], name: "FusedConv2d")
            .apply(to: module)
        return try Executable(
            module: fused, backends: [DNNLBackend()], options: CompileOptions(threads: CPUCount.usable))
    }
}
