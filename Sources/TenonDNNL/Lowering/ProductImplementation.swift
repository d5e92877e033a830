import CDNNL
import CKernels
import TenonIR
import TenonRuntime

/// Our product with packed weights: the same for any number of rows, and it ends when a run is told to.
struct ProductImplementation: Implementation {
    static let name = "tenon:matmul"

    var call: ProductCall

    var name: String { Self.name }
    var version: Int { 1 }
    var parameters: [Int64] {
        let sizes = call.result.map(Int64.init) + [Int64(call.depth), call.isTransposed ? 1 : 0]
        return sizes
            + call.steps.flatMap { step -> [Int64] in
                switch step {
                case .activation(let activation): [-1] + activation.words
                case .binary(let kind, let shape): [Int64(kind.rawValue)] + shape.map(Int64.init)
                }
            }
    }
    /// The kernel holds them itself.
    var packedBytes: Int { 0 }

    func pack(_ packer: WeightPacker, _ graph: RegionGraph) throws -> WeightMemory? { nil }

    func kernel(threads: Int, operands: Int, inPlace: Bool) throws -> PreparedKernel {
        guard let kernel = try Kernels.prepareProduct(call) else {
            throw TenonError(.unsupported, "\(name): no kernel for \(call.result)")
        }
        return kernel
    }
}

extension CandidateMaker {
    /// Our kernel; nil where it does not take the weights or what stands behind the product.
    func ownProduct(_ node: RegionNode, _ product: MatrixProduct) throws -> Candidate? {
        let (x, w, y) = (graph[node.inputs[0]], graph[product.weights], graph[node.output])
        guard tkernel_gemm_panel() > 0, x.dtype == .float32, w.dtype == .float32, y.dtype == .float32,
            w.dims.count == 2, x.dims.count == y.dims.count, x.dims.dropLast() == y.dims.dropLast(),
            let depth = x.dims.last, let constant = w.constant, let lies = isTransposed(product, w.dims, constant)
        else { return nil }
        var steps: [ProductCall.Step] = []
        var operands = [try context.plain(node.inputs[0], argument: TDNNL_ARG_SRC)]
        if let bias = product.bias {
            steps.append(.binary(TKERNEL_STEP_ADD, shape: [graph[bias].count]))
            operands.append(try context.plain(bias, argument: TDNNL_ARG_BIAS))
        }
        for op in node.postOps {
            switch op.kind {
            case .eltwise(let function):
                guard let activation = function.kernelActivation else { return nil }
                steps.append(.activation(activation))
            case .binary(let algorithm, let operand):
                guard let kind = Self.steps[algorithm.rawValue], graph[operand].dtype == .float32 else { return nil }
                steps.append(.binary(kind, shape: graph[operand].dims))
                operands.append(try context.plain(operand, argument: TDNNL_ARG_SRC_1))
            }
        }
        let call = ProductCall(
            result: y.dims, depth: depth, weights: constant.constant, isTransposed: lies, steps: steps)
        return Candidate(
            implementation: ProductImplementation.name, operands: operands, output: .plain,
            outputDescriptor: try context.descriptor(node.output, .plain),
            kernel: ProductImplementation(call: call), time: productTime(node, product, ProductImplementation.name))
    }

    private static let steps: [UInt32: tkernel_step_kind] = [
        TDNNL_BINARY_ADD.rawValue: TKERNEL_STEP_ADD, TDNNL_BINARY_SUB.rawValue: TKERNEL_STEP_SUBTRACT,
        TDNNL_BINARY_MUL.rawValue: TKERNEL_STEP_MULTIPLY, TDNNL_BINARY_DIV.rawValue: TKERNEL_STEP_DIVIDE,
        TDNNL_BINARY_MAX.rawValue: TKERNEL_STEP_MAXIMUM, TDNNL_BINARY_MIN.rawValue: TKERNEL_STEP_MINIMUM,
    ]

    /// Whether the constant lies as [columns, depth]; nil for any other order than the two.
    private func isTransposed(_ product: MatrixProduct, _ dims: [Int], _ view: ConstantView) -> Bool? {
        guard let strides = view.strides, strides != rowMajorStrides(dims) else { return product.isTransposed }
        return strides == [1, dims[0]] ? !product.isTransposed : nil
    }
}
