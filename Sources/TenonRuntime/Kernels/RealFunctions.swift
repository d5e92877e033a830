import Glibc

private typealias M = VectorMath

struct Exponential: RealFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector { M.exp(x) }
    func apply(_ x: Double) -> Double { exp(x) }
}

struct Logarithm: RealFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector { M.log(x) }
    func apply(_ x: Double) -> Double { log(x) }
}

struct LogOnePlus: RealFunction {
    // log(1 + x) loses what 1 + x rounds away; where that matters the series in x / (2 + x) does not. From -½ to 1 the quotient
    // is within ⅓ of 0.
    @inline(__always) func apply(_ x: Vector) -> Vector {
        let isNear = (x .>= -0.5) .& (x .<= 1)
        return M.select(isNear, M.logOnePlus(unit: M.select(isNear, x, Vector.zero)), M.log(1 + x))
    }
    func apply(_ x: Double) -> Double { log1p(x) }
}

struct SquareRoot: RealFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector { M.squareRoot(x) }
    func apply(_ x: Double) -> Double { x.squareRoot() }
}

struct ReciprocalSquareRoot: RealFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector { 1 / M.squareRoot(x) }
    func apply(_ x: Double) -> Double { 1 / x.squareRoot() }
}

struct Reciprocal: RealFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector { 1 / x }
    func apply(_ x: Double) -> Double { 1 / x }
}

struct ErrorFunction: RealFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector { M.erf(x) }
    func apply(_ x: Double) -> Double { erf(x) }
}

struct Sigmoid: RealFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector { M.sigmoid(x) }
    func apply(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
}

struct HyperbolicTangent: RealFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector { M.tanh(x) }
    func apply(_ x: Double) -> Double { tanh(x) }
}

struct Gelu: RealFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector {
        // Left of 0 the sum would cancel.
        let right = x * 0.5 * (1 + M.erf(x * 0.70710678))
        return M.select(x .< -0.5, x * 0.5 * M.erfc(positive: M.magnitude(x) * 0.70710678), right)
    }
    func apply(_ x: Double) -> Double { x * 0.5 * erfc(-x / 2.0.squareRoot()) }
}

struct GeluTanh: RealFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector {
        // 1 + tanh(u) is twice the sigmoid of 2u.
        let inner = 1.59576912 * x * (1 + 0.044715 * x * x)
        return x * M.sigmoid(inner)
    }
    func apply(_ x: Double) -> Double {
        0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    }
}

struct Silu: RealFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector {
        // Left of 0 by the root of the power, which is a normal number where the product is.
        let root = M.exp(M.select(x .< 0, x, Vector.zero) * 0.5)
        let left = (x * root) * root / (1 + root * root)
        return M.select((x .< 0) .& (x .> -.infinity), left, x / (1 + M.exp(-x)))
    }
    func apply(_ x: Double) -> Double { x / (1 + exp(-x)) }
}

struct Mish: RealFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector {
        // tanh(log(1 + e)) is n / (n + 2) with n = e(e + 2).
        let root = M.exp(M.select(x .< 0, x, Vector.zero) * 0.5)
        let power = root * root
        let left = (x * root) * root * ((power + 2) / (power * (power + 2) + 2))
        return M.select((x .< 0) .& (x .> -.infinity), left, x * M.tanh(M.softplus(x)))
    }
    func apply(_ x: Double) -> Double { x * tanh(max(x, 0) + log1p(exp(-abs(x)))) }
}

struct Softsign: RealFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector { x / (1 + M.magnitude(x)) }
    func apply(_ x: Double) -> Double { x / (1 + abs(x)) }
}

struct HardSwish: RealFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector { x * HardSigmoid.unit(x * (1.0 / 6) + 0.5) }
    func apply(_ x: Double) -> Double { x * HardSigmoid.unit(x / 6 + 0.5) }
}

struct HardSigmoid: RealFunction {
    var alpha: Double
    var beta: Double

    @inline(__always) static func unit(_ x: Vector) -> Vector {
        let positive = M.select(x .< 0, Vector.zero, x)
        return M.select(positive .> 1, Vector(repeating: 1), positive)
    }
    static func unit(_ x: Double) -> Double { x < 0 ? 0 : x > 1 ? 1 : x }
    @inline(__always) func apply(_ x: Vector) -> Vector { HardSigmoid.unit(x * Float(alpha) + Float(beta)) }
    func apply(_ x: Double) -> Double { HardSigmoid.unit(alpha * x + beta) }
}

struct LeakyRelu: RealFunction {
    var alpha: Double
    @inline(__always) func apply(_ x: Vector) -> Vector { M.select(x .< 0, x * Float(alpha), x) }
    func apply(_ x: Double) -> Double { x < 0 ? alpha * x : x }
}

/// ELU, and with `gamma` SELU.
struct Elu: RealFunction {
    var alpha: Double
    var gamma: Double
    @inline(__always) func apply(_ x: Vector) -> Vector {
        M.select(x .< 0, M.expMinusOne(x) * Float(alpha), x) * Float(gamma)
    }
    func apply(_ x: Double) -> Double { gamma * (x < 0 ? alpha * expm1(x) : x) }
}

struct Celu: RealFunction {
    var alpha: Double
    @inline(__always) func apply(_ x: Vector) -> Vector {
        M.select(x .< 0, M.expMinusOne(x / Float(alpha)) * Float(alpha), x)
    }
    func apply(_ x: Double) -> Double { x < 0 ? alpha * expm1(x / alpha) : x }
}

struct Softplus: RealFunction {
    var beta: Double
    var threshold: Double
    @inline(__always) func apply(_ x: Vector) -> Vector {
        let scaled = x * Float(beta)
        return M.select(scaled .> Float(threshold), x, M.softplus(scaled) / Float(beta))
    }
    func apply(_ x: Double) -> Double {
        let scaled = x * beta
        return scaled > threshold ? x : (max(scaled, 0) + log1p(exp(-abs(scaled)))) / beta
    }
}

struct ThresholdedRelu: RealFunction {
    var alpha: Double
    @inline(__always) func apply(_ x: Vector) -> Vector { M.select(x .<= Float(alpha), Vector.zero, x) }
    func apply(_ x: Double) -> Double { x <= alpha ? 0 : x }
}

struct Shrink: RealFunction {
    var lambda: Double
    var bias: Double
    @inline(__always) func apply(_ x: Vector) -> Vector {
        let upper = M.select(x .> Float(lambda), x - Float(bias), Vector.zero)
        return M.select(x .< Float(-lambda), x + Float(bias), upper)
    }
    func apply(_ x: Double) -> Double { x < -lambda ? x + bias : x > lambda ? x - bias : 0 }
}

/// Functions that leave integers as they are.
protocol RoundingFunction: RealFunction {}

struct Floor: RoundingFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector { M.floor(x) }
    func apply(_ x: Double) -> Double { x.rounded(.down) }
}

struct Ceil: RoundingFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector { -M.floor(-x) }
    func apply(_ x: Double) -> Double { x.rounded(.up) }
}

struct RoundEven: RoundingFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector { M.roundEven(x) }
    func apply(_ x: Double) -> Double { x.rounded(.toNearestOrEven) }
}

struct Truncate: RoundingFunction {
    @inline(__always) func apply(_ x: Vector) -> Vector { M.copySign(M.floor(M.magnitude(x)), x) }
    func apply(_ x: Double) -> Double { x.rounded(.towardZero) }
}
