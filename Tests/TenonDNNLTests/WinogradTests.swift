import CKernels
import Glibc
import TenonIR
import TenonRuntime
import Testing

@testable import TenonDNNL

/// The Winograd kernel of ours by itself, against loops in double precision.
struct WinogradTests {
    struct Shape: CustomStringConvertible {
        var batch: Int64 = 1
        var inputs: Int64
        var outputs: Int64
        var height: Int64
        var width: Int64
        /// Top, left, bottom, right.
        var pads: [Int64] = [1, 1, 1, 1]
        var description: String { "\(batch)x\(inputs)->\(outputs) \(height)x\(width) \(pads)" }

        var kernel: tkernel_winograd {
            var shape = tkernel_winograd()
            (shape.batch, shape.inputs, shape.outputs) = (batch, inputs, outputs)
            (shape.height, shape.width) = (height, width)
            (shape.pad_top, shape.pad_left) = (pads[0], pads[1])
            shape.out_height = height + pads[0] + pads[2] - 2
            shape.out_width = width + pads[1] + pads[3] - 2
            return shape
        }
    }

    static let isThere: Bool = {
        var kernel = Shape(inputs: 16, outputs: 16, height: 4, width: 4).kernel
        return tkernel_winograd_is_supported(&kernel) != 0
    }()

    static let shapes = [
        Shape(inputs: 16, outputs: 32, height: 1, width: 1),
        Shape(inputs: 24, outputs: 40, height: 5, width: 7),
        Shape(inputs: 3, outputs: 17, height: 13, width: 13, pads: [0, 0, 0, 0]),
        Shape(inputs: 33, outputs: 68, height: 14, width: 14),
        Shape(inputs: 5, outputs: 16, height: 56, width: 56),
        Shape(batch: 3, inputs: 17, outputs: 49, height: 9, width: 6, pads: [1, 0, 0, 1]),
        Shape(batch: 2, inputs: 32, outputs: 32, height: 6, width: 11, pads: [0, 1, 2, 0]),
        Shape(inputs: 16, outputs: 16, height: 4, width: 3, pads: [2, 2, 2, 2]),
    ]

    static let functions: [(kind: tkernel_function, alpha: Float, beta: Float)] = [
        (TKERNEL_IDENTITY, 0, 0), (TKERNEL_RELU, 0, 0), (TKERNEL_RELU, 0.125, 0), (TKERNEL_CLIP, -0.25, 0.5),
        (TKERNEL_SWISH, 1.5, 0), (TKERNEL_HARDSWISH, 1 / 6, 0.5),
    ]

    /// Everything about one convolution, in the order channel, row, column.
    struct Case {
        let shape: Shape
        let source: [Float]
        let weights: [Float]
        let bias: [Float]
        let residual: [Float]

        init(_ shape: Shape) {
            let (kernel, n) = (shape.kernel, shape.batch)
            var numbers = Numbers(UInt64(shape.inputs * shape.width + shape.batch))
            self.shape = shape
            source = numbers.list(Int(n * shape.inputs * shape.height * shape.width))
            weights = numbers.list(Int(shape.outputs * shape.inputs * 9))
            bias = numbers.list(Int(shape.outputs))
            residual = numbers.list(Int(n * shape.outputs * kernel.out_height * kernel.out_width))
        }

        func expected(bias hasBias: Bool, residual hasResidual: Bool) -> [Double] {
            let kernel = shape.kernel
            let (height, width) = (Int(kernel.out_height), Int(kernel.out_width))
            var found: [Double] = []
            for n in 0..<Int(shape.batch) {
                for o in 0..<Int(shape.outputs) {
                    for place in 0..<height * width {
                        var sum = sum(n, o, place / width, place % width)
                        if hasBias { sum += Double(bias[o]) }
                        if hasResidual { sum += Double(residual[found.count]) }
                        found.append(sum)
                    }
                }
            }
            return found
        }

        private func sum(_ n: Int, _ o: Int, _ y: Int, _ x: Int) -> Double {
            let (inputs, height, width) = (Int(shape.inputs), Int(shape.height), Int(shape.width))
            let (top, left) = (y - Int(shape.pads[0]), x - Int(shape.pads[1]))
            var sum = 0.0
            for i in 0..<inputs {
                for tap in 0..<9 {
                    let (row, column) = (top + tap / 3, left + tap % 3)
                    guard row >= 0, row < height, column >= 0, column < width else { continue }
                    let at = ((n * inputs + i) * height + row) * width + column
                    sum += Double(source[at]) * Double(weights[(o * inputs + i) * 9 + tap])
                }
            }
            return sum
        }

        /// What the kernel gives, in the order channel, row, column.
        func run(
            threads: Int, from: Layout, to: Layout, bias hasBias: Bool = true, residual hasResidual: Bool = false,
            inPlace: Bool = false, activation: tkernel_activation = tkernel_activation(), source: [Float]? = nil
        ) throws -> [Float] {
            let sizes = [shape.batch, shape.inputs, shape.height, shape.width].map { Int($0) }
            var kernel = shape.kernel
            let results = [shape.batch, shape.outputs, kernel.out_height, kernel.out_width].map { Int($0) }
            kernel.source = tkernel_layout(from, sizes)
            kernel.target = tkernel_layout(to, results)
            kernel.activation = activation
            var packed = [Float](repeating: .nan, count: Int(tkernel_winograd_weights(&kernel)))
            for block in 0..<tkernel_winograd_packs(&kernel) {
                if hasBias {
                    tkernel_winograd_pack(&kernel, weights, bias, &packed, block, block + 1)
                } else {
                    tkernel_winograd_pack(&kernel, weights, nil, &packed, block, block + 1)
                }
            }
            #expect(packed.allSatisfy { !$0.isNaN })
            let laidOut = lay(source ?? self.source, sizes, kernel.source)
            let beside = lay(residual, results, kernel.target)
            // Numbers behind the last one show whether it writes too much.
            var target = (inPlace ? beside : [Float](repeating: .nan, count: beside.count)) + [777]
            let step = kernel.kernel(threads: threads, hasResidual: hasResidual, inPlace: inPlace)
            let scratch = UnsafeMutableRawPointer.allocate(byteCount: step.scratchBytes, alignment: 64)
            defer { scratch.deallocate() }
            try laidOut.withUnsafeBytes { source in
                try packed.withUnsafeBytes { weights in
                    try beside.withUnsafeBytes { beside in
                        try target.withUnsafeMutableBytes { target in
                            let inputs = [source, weights, beside].compactMap(\.baseAddress)
                            let outputs = [target].compactMap(\.baseAddress)
                            try step.run(
                                KernelArguments(
                                    inputs: inputs, outputs: outputs, scratch: scratch,
                                    parallel: .openMP(threads: threads)))
                        }
                    }
                }
            }
            #expect(target.last == 777)
            return read(target, results, kernel.target)
        }

        private func places(_ dims: [Int], _ layout: tkernel_layout) -> [Int] {
            var found: [Int] = []
            for n in 0..<dims[0] {
                for c in 0..<dims[1] {
                    for y in 0..<dims[2] {
                        for x in 0..<dims[3] {
                            let block = c / 16 * Int(layout.block) + c % 16
                            found.append(n * Int(layout.image) + y * Int(layout.row) + x * Int(layout.pixel) + block)
                        }
                    }
                }
            }
            return found
        }

        private func lay(_ values: [Float], _ dims: [Int], _ layout: tkernel_layout) -> [Float] {
            var memory = [Float](repeating: 0, count: dims[0] * Int(layout.image))
            for (place, value) in zip(places(dims, layout), values) { memory[place] = value }
            return memory
        }

        private func read(_ memory: [Float], _ dims: [Int], _ layout: tkernel_layout) -> [Float] {
            var isRead = [Bool](repeating: false, count: memory.count)
            let found = places(dims, layout).map { place in
                isRead[place] = true
                return memory[place]
            }
            // What only fills a block up is zero.
            #expect(zip(memory.dropLast(), isRead).allSatisfy { $0 == 0 || $1 })
            return found
        }
    }

    private func apply(_ x: Double, _ function: (kind: tkernel_function, alpha: Float, beta: Float)) -> Double {
        let (alpha, beta) = (Double(function.alpha), Double(function.beta))
        switch function.kind {
        case TKERNEL_RELU: return x < 0 ? alpha * x : x
        case TKERNEL_CLIP: return min(max(x, alpha), beta)
        case TKERNEL_SWISH: return x / (1 + exp(-alpha * x))
        case TKERNEL_HARDSWISH: return x * min(max(alpha * x + beta, 0), 1)
        default: return x
        }
    }

    private func compare(_ found: [Float], _ wanted: [Double], largest: Double, _ what: String) {
        var worst = 0.0
        for (a, b) in zip(found, wanted) { worst = max(worst, a.isNaN ? .infinity : abs(Double(a) - b)) }
        #expect(found.count == wanted.count && worst <= 1e-5 * largest, "\(what): \(worst / largest)")
    }

    @Test(.enabled(if: WinogradTests.isThere, "needs AVX-512"), arguments: shapes)
    func equalsLoops(shape: Shape) throws {
        let given = Case(shape)
        for (hasBias, hasResidual) in [(true, false), (false, true)] {
            let sums = given.expected(bias: hasBias, residual: hasResidual)
            let largest = sums.map { abs($0) }.max() ?? 1
            for (number, function) in Self.functions.enumerated() {
                let wanted = sums.map { apply($0, function) }
                let from: Layout = number % 2 == 0 ? .blocked : .channelsLast
                let to: Layout = number / 2 % 2 == 0 ? .blocked : .channelsLast
                let activation = tkernel_activation(
                    function: Int32(function.kind.rawValue), alpha: function.alpha, beta: function.beta)
                var results: [[Float]] = []
                for threads in [1, 2, 3, 6] {
                    let found = try given.run(
                        threads: threads, from: from, to: to, bias: hasBias, residual: hasResidual,
                        inPlace: hasResidual && threads == 2, activation: activation)
                    compare(found, wanted, largest: largest, "\(function) \(from) \(to) \(threads) threads")
                    results.append(found)
                }
                #expect(results.allSatisfy { $0 == results[0] }, "threads change digits")
            }
        }
    }

    /// The rule for Winograd: 1e-4 of the largest result; deep sums lose digits, here far fewer.
    @Test(.enabled(if: WinogradTests.isThere, "needs AVX-512")) func deepSumsKeepTheirDigits() throws {
        let given = Case(Shape(inputs: 512, outputs: 3, height: 7, width: 7))
        let wanted = given.expected(bias: true, residual: false)
        let found = try given.run(threads: 2, from: .blocked, to: .blocked)
        compare(found, wanted, largest: wanted.map { abs($0) }.max() ?? 1, "512 channels")
    }

    /// NaN in one pixel is NaN wherever it is read, in every function, and far away nothing changes.
    @Test(.enabled(if: WinogradTests.isThere, "needs AVX-512")) func notANumber() throws {
        let given = Case(Shape(inputs: 18, outputs: 2, height: 20, width: 20))
        var source = given.source
        source[5 * 400 + 9 * 20 + 10] = .nan
        for function in Self.functions {
            let activation = tkernel_activation(
                function: Int32(function.kind.rawValue), alpha: function.alpha, beta: function.beta)
            let found = try given.run(
                threads: 2, from: .channelsLast, to: .channelsLast, activation: activation, source: source)
            var wrong = 0
            for (index, value) in found.enumerated() {
                let (y, x) = (index / 20 % 20, index % 20)
                if (8...10).contains(y) && (9...11).contains(x) && !value.isNaN { wrong += 1 }
                if (!(4..<16).contains(y) || !(4..<16).contains(x)) && value.isNaN { wrong += 1 }
            }
            #expect(wrong == 0, "\(function)")
        }
    }

    @Test func shapesThatAreNone() {
        var counts = 0
        let changes: [(inout tkernel_winograd) -> Void] = [
            { $0.batch = 0 }, { $0.inputs = 0 }, { $0.outputs = -1 }, { $0.height = 0 }, { $0.pad_top = -1 },
            { $0.pad_left = 3 }, { $0.out_height = 9 }, { $0.out_width = 0 },
        ]
        for change in changes {
            var kernel = Shape(inputs: 16, outputs: 16, height: 6, width: 6).kernel
            change(&kernel)
            counts += tkernel_winograd_is_supported(&kernel) == 0 ? 1 : 0
        }
        #expect(counts == changes.count)
        var huge = Shape(inputs: 1 << 40, outputs: 1 << 40, height: 1, width: 1).kernel
        #expect(tkernel_winograd_weights(&huge) == 0)
    }
}
