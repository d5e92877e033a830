import CDNNL
import TenonIR

/// A convolution, or a piece of one, as oneDNN is told of it.
struct ConvolutionForm {
    let convolution: Convolution
    let algorithm: tdnnl_algorithm
    let source: BoundOperand
    let target: MemoryDescriptor
    /// Weights as they are stored, [groups,] outputs, inputs, kernel.
    let weights: (dims: [Int], strides: [Int]?)
    let weightsType: DataType
    let outputs: Int
    private let biasType: DataType?

    init(
        _ maker: CandidateMaker, _ node: RegionNode, _ given: Convolution, _ from: Layout, _ to: Layout,
        _ algorithm: tdnnl_algorithm, cut: Pieces.Cut? = nil
    ) throws {
        let (context, graph) = (maker.context, maker.graph)
        let dtype = graph[node.output].dtype
        var (x, y) = (graph[node.inputs[0]].dims, graph[node.output].dims)
        var (convolution, view) = (given, ConvolutionLowering.weightsView(given, graph))
        if let cut {
            y = cut.piece(y, of: y)
            x[0] = cut.samples
            view.dims[0] /= cut.channels
            if given.groups > 1 {
                x[1] /= cut.channels
                convolution.groups /= cut.channels
            }
        }
        outputs = y[1]
        if maker.isColumn(node, convolution) {
            (x, y) = (x.turned, y.turned)
            view = (view.dims.turned, view.strides?.turned)
            convolution.turn()
        }
        source = BoundOperand(
            argument: Int32(TDNNL_ARG_SRC.rawValue), tensor: node.inputs[0], place: .layout(from),
            descriptor: try context.descriptor(x, graph[node.inputs[0]].dtype, from))
        target = try context.descriptor(y, dtype, to)
        weights = view
        weightsType = graph[convolution.weights].dtype
        biasType = convolution.bias.map { graph[$0].dtype }
        self.convolution = convolution
        self.algorithm = algorithm
    }

    func create(_ engine: OpaquePointer) throws -> CandidateMaker.Create {
        let weights = try MemoryDescriptor.any(weights.dims, weightsType)
        let bias = try biasType.map { try MemoryDescriptor.any([outputs], $0) }
        return { attributes in
            var handle: OpaquePointer?
            let make = convolution.isTransposed ? tdnnl_deconvolution_create : tdnnl_convolution_create
            let status = make(
                &handle, engine, Int32(algorithm.rawValue), source.descriptor.handle, weights.handle, bias?.handle,
                target.handle,
                convolution.strides, convolution.dilations, convolution.padsBegin, convolution.padsEnd, attributes)
            return (status, handle)
        }
    }

    /// Weights and bias as an implementation wants them.
    func packed(_ descriptor: PrimitiveDescriptor) throws -> [BoundOperand]? {
        try descriptor.packed(
            weights: convolution.weights, dims: weights.dims, strides: weights.strides, bias: convolution.bias,
            outputs: outputs)
    }
}

extension CandidateMaker {
    /// Whether an image is one element wide, as sequences that were exported as images are. Kernels cut rows into blocks, but not
    /// columns: with height and width exchanged it is computed at least twice as fast, from the same memory in every layout.
    func isColumn(_ node: RegionNode, _ convolution: Convolution) -> Bool {
        let (x, y, kernel) = (graph[node.inputs[0]].dims, graph[node.output].dims, graph[convolution.weights].dims)
        guard x.count == 4, y.count == 4, kernel.count == 4, x[2] > 1, x[3] == 1, y[3] == 1, kernel[3] == 1,
            convolution.padsBegin[1] == 0, convolution.padsEnd[1] == 0
        else { return false }
        return node.postOps.allSatisfy { op in
            // Height and width of operands of the image's size would have to be exchanged too.
            guard case .binary(_, let operand) = op.kind else { return true }
            return graph[operand].dims.suffix(2).allSatisfy { $0 == 1 }
        }
    }

    /// How a candidate is computed piece by piece; nil when it is short, or when no piece has the same implementation.
    func pieces(
        of candidate: Candidate, _ node: RegionNode, _ convolution: Convolution, _ algorithm: tdnnl_algorithm,
        _ from: Layout
    ) throws -> Pieces? {
        let (x, y, to) = (graph[node.inputs[0]].dims, graph[node.output].dims, candidate.output)
        let excess = LongSteps.excess(
            convolution.flops(x, y, graph), expected: candidate.time, threads: context.threads)
        guard let cut = LongSteps.cut(excess, batch: y[0], channels: channelPieces(convolution, x, y, from, to)),
            let postOps = try PostOpPlan(
                node, context, shape: y, layout: to, usesSum: candidate.accumulates != nil, cut: cut)
        else { return nil }
        let form = try ConvolutionForm(self, node, convolution, from, to, algorithm, cut: cut)
        var found: Pieces?
        try implementations(limit: 2, postOps.list, "convolution", form.create(engine)) { descriptor in
            guard found == nil, descriptor.implementation == candidate.implementation,
                var packed = try form.packed(descriptor)
            else { return }
            packed[0].scale = convolution.scale
            let bytes = form.source.descriptor.byteCount
            let isGrouped = convolution.groups > 1
            var operands = [
                Pieces.Operand(
                    bound: form.source, sampleBytes: bytes / cut.samples &* (isGrouped ? cut.channels : 1),
                    channelStep: isGrouped ? bytes : 0)
            ]
            operands += try packed.map { operand in
                let step = cut.channels > 1 ? try MemoryPlanner.rounded(operand.descriptor.byteCount) : 0
                return Pieces.Operand(bound: operand, channelStep: step)
            }
            operands += postOps.pieces(of: y, cut, for: descriptor)
            found = Pieces(
                descriptor: descriptor, cut: cut, operands: operands, result: result(node, form, to, cut))
        }
        return found
    }

    /// In how many pieces the output channels of one sample may be cut. They lie one behind the other where blocks of them are
    /// outermost.
    private func channelPieces(
        _ convolution: Convolution, _ x: [Int], _ y: [Int], _ from: Layout, _ to: Layout
    ) -> Int {
        guard to == .blocked, convolution.scale == nil, graph[convolution.weights].isConstant,
            convolution.bias.map({ graph[$0].isConstant }) ?? true
        else { return 1 }
        let groups = convolution.groups
        if groups > 1 {
            let isWhole = from == .blocked && [x[1], y[1]].allSatisfy { $0 / groups % context.blockSize == 0 }
            return isWhole ? groups : 1
        }
        guard y[1] % context.blockSize == 0 else { return 1 }
        let blocks = y[1] / context.blockSize
        return context.endsEarly || blocks % LongSteps.goodBlocks != 0 ? blocks : blocks / LongSteps.goodBlocks
    }

    private func result(_ node: RegionNode, _ form: ConvolutionForm, _ layout: Layout, _ cut: Pieces.Cut)
        -> Pieces.Operand
    {
        let bytes = form.target.byteCount
        return Pieces.Operand(
            bound: BoundOperand(
                argument: Int32(TDNNL_ARG_DST.rawValue), tensor: node.output, place: .layout(layout),
                descriptor: form.target), sampleBytes: bytes / cut.samples &* cut.channels, channelStep: bytes)
    }
}

extension Array where Element == Int {
    /// With height and width exchanged.
    fileprivate var turned: [Int] { dropLast(2) + [self[count - 1], self[count - 2]] }
}

extension Convolution {
    /// Exchanges height and width; the weights stay as they are.
    fileprivate mutating func turn() {
        strides.swapAt(0, 1)
        dilations.swapAt(0, 1)
        padsBegin.swapAt(0, 1)
        padsEnd.swapAt(0, 1)
    }
}
