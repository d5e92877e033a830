import Glibc
import TenonIR

extension RecurrentKernels {
    /// A function between the gates of a recurrent layer and its states.
    enum Activation: Sendable {
        case sigmoid, tanh, relu, softsign, softplus
        case affine(Double, Double)
        case leakyRelu(Double)
        case thresholdedRelu(Double)
        case scaledTanh(Double, Double)
        case hardSigmoid(Double, Double)
        case elu(Double)

        init(_ name: String, _ alpha: Double, _ beta: Double) {
            self =
                switch name {
                case "sigmoid": .sigmoid
                case "relu": .relu
                case "softsign": .softsign
                case "softplus": .softplus
                case "affine": .affine(alpha, beta)
                case "leakyrelu": .leakyRelu(alpha)
                case "thresholdedrelu": .thresholdedRelu(alpha)
                case "scaledtanh": .scaledTanh(alpha, beta)
                case "hardsigmoid": .hardSigmoid(alpha, beta)
                case "elu": .elu(alpha)
                default: .tanh
                }
        }

        @inline(__always) func callAsFunction<T: RealNumber>(_ x: T) -> T {
            switch self {
            case .sigmoid: T(1 / (1 + Glibc.exp(-x.double)))
            case .tanh: T(Glibc.tanh(x.double))
            case .relu: x > 0 ? x : (x.isNotANumber ? x : 0)
            default: T(general(x.double))
            }
        }

        /// The rarer ones.
        func general(_ x: Double) -> Double {
            switch self {
            case .sigmoid: 1 / (1 + Glibc.exp(-x))
            case .tanh: Glibc.tanh(x)
            case .relu: x > 0 ? x : (x.isNaN ? x : 0)
            case .softsign: x / (1 + x.magnitude)
            case .softplus: x > 30 ? x : Glibc.log1p(Glibc.exp(x))
            case .affine(let alpha, let beta): alpha * x + beta
            case .leakyRelu(let alpha): x < 0 ? alpha * x : x
            case .thresholdedRelu(let alpha): x > alpha || x.isNaN ? x : 0
            case .scaledTanh(let alpha, let beta): alpha * Glibc.tanh(beta * x)
            case .hardSigmoid(let alpha, let beta): x.isNaN ? x : max(0, min(1, alpha * x + beta))
            case .elu(let alpha): x < 0 ? alpha * Glibc.expm1(x) : x
            }
        }
    }
}
