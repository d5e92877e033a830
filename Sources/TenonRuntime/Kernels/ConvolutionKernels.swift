import TenonIR

/// Convolutions as matrix products of the weights with the windows, which are packed as they are needed; with one result
/// channel per group, directly.
enum ConvolutionKernels {
    static let table: [(String, Kernels.Prepare)] = (1...3).flatMap { spatial -> [(String, Kernels.Prepare)] in
        [
            ("nn.conv\(spatial)d", { try prepare($0, transposed: false) }),
            ("nn.conv\(spatial)d_transpose", { try prepare($0, transposed: true) }),
        ]
    }

    private static func prepare(_ call: KernelCall, transposed: Bool) throws -> PreparedKernel {
        let geometry = try ConvolutionGeometry(call, transposed: transposed)
        guard call.inputs[0].dtype == call.outputs[0].dtype else { throw call.unsupported(call.outputs[0].dtype) }
        if call.inputs[0].dtype == .float32, !transposed, geometry.outputs < 4 { return direct(geometry) }
        return try call.dispatch(call.inputs[0].dtype, Visitor(call: call, geometry: geometry))
    }

    private struct Visitor: StorageVisitor {
        let call: KernelCall
        let geometry: ConvolutionGeometry

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let geometry = geometry
            let product = PanelProduct<S>(rows: geometry.outputs, depth: geometry.depth, depthUnit: geometry.taps)
            let weights = geometry.isTransposed ? call.inputs[1].count : 0
            guard let elements = product.scratchElements,
                case let (bytes, overflow) = elements.multipliedReportingOverflow(
                    by: Pieces.most * MemoryLayout<S.Value>.stride), !overflow
            else { throw call.error(.invalidShape, "a size overflows") }
            let area = geometry.resultArea
            let blocks = (area + 63) / 64
            let reordered = weights * MemoryLayout<S>.stride
            return PreparedKernel(scratchBytes: (bytes + 63) / 64 * 64 + reordered) { arguments in
                let x = arguments.input(0, S.self)
                let y = arguments.output(0, S.self)
                let scratch = arguments.scratch.assumingMemoryBound(to: S.Value.self)
                var w = arguments.input(1, S.self)
                if geometry.isTransposed {
                    let target = (arguments.scratch + (bytes + 63) / 64 * 64).assumingMemoryBound(to: S.self)
                    reorder(w, target, geometry)
                    w = UnsafePointer(target)
                }
                let weights = w
                Pieces.forEach(arguments.parallel, geometry.batch * geometry.groups * blocks) { piece, range in
                    for unit in range {
                        let (index, block) = (unit / blocks, unit % blocks)
                        let group = index % geometry.groups
                        let source = x + index * geometry.inputs * geometry.sourceArea
                        product.run(
                            a: weights + group * geometry.outputs * geometry.depth, stepA: geometry.depth,
                            c: y + index * geometry.outputs * area, stepC: area,
                            columns: block * 64..<min(block * 64 + 64, area), scratch: scratch + piece * elements,
                            limits: arguments.parallel.limits
                        ) { k, count, column, columns, target in
                            geometry.pack(source, k: k, count: count, position: column, columns: columns, target)
                        }
                    }
                }
            }
        }
    }

    /// Weights of a transposed convolution, [group, c, o, taps], as [group, o, c, taps].
    private static func reorder<S: Storage>(
        _ from: UnsafePointer<S>, _ target: UnsafeMutablePointer<S>, _ geometry: ConvolutionGeometry
    ) {
        let (inputs, outputs, taps) = (geometry.inputs, geometry.outputs, geometry.taps)
        for group in 0..<geometry.groups {
            let base = group * inputs * outputs * taps
            for o in 0..<outputs {
                for c in 0..<inputs {
                    (target + base + (o * inputs + c) * taps).update(
                        from: from + base + (c * outputs + o) * taps, count: taps)
                }
            }
        }
    }

    /// Row by row: each tap adds a scaled, shifted row of the source to a row of the result.
    private static func direct(_ g: ConvolutionGeometry) -> PreparedKernel {
        let planes = g.batch * g.groups * g.outputs
        return PreparedKernel { arguments in
            let (x, w, y) = (
                arguments.input(0, Float.self), arguments.input(1, Float.self), arguments.output(0, Float.self)
            )
            let rows = g.result.d * g.result.h
            let work = max(1, g.depth * g.result.w)
            arguments.parallel.forEach(planes * rows, grain: max(1, 50_000 / work)) { range in
                for index in range {
                    let (plane, line) = (index / max(rows, 1), index % max(rows, 1))
                    let channel = plane % (g.groups * g.outputs)
                    let source = x + plane / g.outputs * g.inputs * g.sourceArea
                    row(g, source, w + channel * g.depth, line / g.result.h, line % g.result.h, y + index * g.result.w)
                }
            }
        }
    }

    private static func row(
        _ g: ConvolutionGeometry, _ source: UnsafePointer<Float>, _ weights: UnsafePointer<Float>, _ d: Int, _ h: Int,
        _ result: UnsafeMutablePointer<Float>
    ) {
        result.update(repeating: 0, count: g.result.w)
        for channel in 0..<g.inputs {
            var tap = weights + channel * g.taps
            for kd in 0..<g.kernel.d {
                for kh in 0..<g.kernel.h {
                    guard
                        let sd = ConvolutionGeometry.meet(
                            d, kd, g.stride.d, g.begin.d, g.dilation.d, g.source.d, false),
                        let sh = ConvolutionGeometry.meet(h, kh, g.stride.h, g.begin.h, g.dilation.h, g.source.h, false)
                    else {
                        tap += g.kernel.w
                        continue
                    }
                    let line = source + channel * g.sourceArea + (sd * g.source.h + sh) * g.source.w
                    for kw in 0..<g.kernel.w {
                        add(tap[0], line, kw * g.dilation.w - g.begin.w, g.source.w, g.stride.w, g.result.w, result)
                        tap += 1
                    }
                }
            }
        }
    }

    /// result[i] += factor × line[i × stride + shift] where that is inside the line.
    @inline(__always) private static func add(
        _ factor: Float, _ line: UnsafePointer<Float>, _ shift: Int, _ size: Int, _ stride: Int, _ count: Int,
        _ result: UnsafeMutablePointer<Float>
    ) {
        let first = shift >= 0 ? 0 : (-shift + stride - 1) / stride
        let last = size - 1 - shift < 0 ? 0 : min(count, (size - 1 - shift) / stride + 1)
        guard first < last else { return }
        if stride == 1 {
            let line = line + shift
            for index in first..<last { result[index] += factor * line[index] }
        } else {
            for index in first..<last { result[index] += factor * line[index &* stride &+ shift] }
        }
    }
}
