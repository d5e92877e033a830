/// Eight floats at a time. Coefficients are minimax fits; errors are below 2 units in the last place unless stated.
typealias Vector = SIMD8<Float>

enum VectorMath {
    @inline(__always) static func select(_ mask: SIMDMask<SIMD8<Int32>>, _ yes: Vector, _ no: Vector) -> Vector {
        no.replacing(with: yes, where: mask)
    }

    /// |x| by clearing the sign.
    @inline(__always) static func magnitude(_ x: Vector) -> Vector {
        Vector(bits: x.bits & SIMD8<UInt32>(repeating: 0x7fff_ffff))
    }

    @inline(__always) static func copySign(_ magnitude: Vector, _ sign: Vector) -> Vector {
        Vector(bits: magnitude.bits | (sign.bits & SIMD8<UInt32>(repeating: 0x8000_0000)))
    }

    /// To the nearest integer, halves to even. Beyond 2^23 every float is an integer.
    @inline(__always) static func roundEven(_ x: Vector) -> Vector {
        let t = magnitude(x)
        return select(t .< 8_388_608, copySign((t + 8_388_608) - 8_388_608, x), x)
    }

    @inline(__always) static func floor(_ x: Vector) -> Vector {
        let rounded = roundEven(x)
        return select(rounded .> x, rounded - 1, rounded)
    }

    @inline(__always) static func squareRoot(_ x: Vector) -> Vector {
        Vector(
            x[0].squareRoot(), x[1].squareRoot(), x[2].squareRoot(), x[3].squareRoot(), x[4].squareRoot(),
            x[5].squareRoot(), x[6].squareRoot(), x[7].squareRoot())
    }

    /// (e^r - 1 - r) / r² for |r| ≤ 0.36.
    @inline(__always) private static func tail(_ r: Vector) -> Vector {
        var p = Vector(repeating: 1.9923958e-4)
        p = p * r + 1.3950593e-3
        p = p * r + 8.3332537e-3
        p = p * r + 4.1666206e-2
        p = p * r + 1.6666667e-1
        return p * r + 0.5
    }

    @inline(__always) static func exp(_ x: Vector) -> Vector {
        // Beyond these bounds the result is 0 or infinite; NaN passes both comparisons.
        let low = Vector(repeating: -104)
        let high = Vector(repeating: 89)
        var x = select(x .< low, low, x)
        x = select(x .> high, high, x)
        // Adding and taking away 1.5 × 2^23 rounds to the nearest integer.
        let magic = Vector(repeating: 12_582_912)
        let shifted = x * 1.442695040888963 + magic
        let n = shifted - magic
        let r = (x - n * 0.693359375) - n * -2.12194440e-4
        let p = tail(r) * (r * r) + r + 1
        // 2^n in two factors, so that neither leaves the range of normal numbers.
        let exponent = SIMD8<Int32>(truncatingIfNeeded: shifted.bits) &- SIMD8<Int32>(repeating: 0x4b40_0000)
        let half = exponent &>> 1
        return p * power2(half) * power2(exponent &- half)
    }

    @inline(__always) private static func power2(_ exponent: SIMD8<Int32>) -> Vector {
        let biased = (exponent &+ SIMD8<Int32>(repeating: 127)) &<< 23
        return Vector(bits: SIMD8<UInt32>(truncatingIfNeeded: biased))
    }

    /// e^x - 1, accurate near 0 too.
    @inline(__always) static func expMinusOne(_ x: Vector) -> Vector {
        select(magnitude(x) .< 0.35, tail(x) * (x * x) + x, exp(x) - 1)
    }

    /// Natural logarithm: -∞ at 0, NaN below.
    @inline(__always) static func log(_ x: Vector) -> Vector {
        // Subnormal numbers are scaled up first.
        let isSmall = x .< 1.1754944e-38
        let scaled = select(isSmall, x * 8_388_608, x)
        let bits = SIMD8<Int32>(truncatingIfNeeded: scaled.bits)
        // The mantissa as a number from √½ to √2, and the exponent that goes with it.
        let exponent = (bits &- SIMD8<Int32>(repeating: 0x3f35_04f3)) &>> 23
        let mantissa = Vector(bits: SIMD8<UInt32>(truncatingIfNeeded: bits &- (exponent &<< 23)))
        let n = Vector(exponent) - select(isSmall, Vector(repeating: 23), Vector.zero)
        let s = (mantissa - 1) / (mantissa + 1)
        let z = s * s
        var p = Vector(repeating: 0.23582155)
        p = p * z + 0.28537309
        p = p * z + 0.40000334
        p = p * z + 0.66666663
        let part = p * z * s + 2 * s
        var result = n * 0.693359375 + (n * -2.12194440e-4 + part)
        result = select(x .== Vector(repeating: .infinity), x, result)
        result = select(x .== 0, Vector(repeating: -.infinity), result)
        return select(x .>= 0, result, Vector(repeating: .nan))
    }

    /// log(1 + u) for u from 0 to 1.
    @inline(__always) static func logOnePlus(unit u: Vector) -> Vector {
        let s = u / (2 + u)
        let z = s * s
        var p = Vector(repeating: 0.21792397)
        p = p * z + 0.17147850
        p = p * z + 0.22301501
        p = p * z + 0.28568396
        p = p * z + 0.40000054
        p = p * z + 0.66666669
        return p * z * s + 2 * s
    }

    @inline(__always) static func tanh(_ x: Vector) -> Vector {
        let t = magnitude(x)
        let z = x * x
        var p = Vector(repeating: 2.0646621e-3)
        p = p * z - 8.0919648e-3
        p = p * z + 2.1666344e-2
        p = p * z - 5.3940564e-2
        p = p * z + 1.3333158e-1
        p = p * z - 3.3333328e-1
        let small = p * z * x + x
        let large = copySign(1 - 2 / (exp(t + t) + 1), x)
        // NaN takes the first branch and stays.
        return select(t .> 0.65, large, small)
    }

    /// Left of 0 by way of the power itself, which loses nothing.
    @inline(__always) static func sigmoid(_ x: Vector) -> Vector {
        let power = exp(-magnitude(x))
        return select(x .< 0, power, Vector(repeating: 1)) / (1 + power)
    }

    /// Absolute error below 2e-7.
    @inline(__always) static func erf(_ x: Vector) -> Vector {
        let t = magnitude(x)
        let z = x * x
        var p = Vector(repeating: 7.8891193e-5)
        p = p * z - 8.0208411e-4
        p = p * z + 5.1895352e-3
        p = p * z - 2.6854444e-2
        p = p * z + 1.1283600e-1
        p = p * z - 3.7612626e-1
        p = p * z + 1.1283791
        // log(erfc(t)) from 1 to 4; further out the result is 1.
        let u = select(t .> 4, Vector(repeating: 4), t)
        var q = Vector(repeating: 2.5132655e-7)
        q = q * u - 2.5314808e-5
        q = q * u + 4.6378802e-4
        q = q * u - 4.2823828e-3
        q = q * u + 2.5373556e-2
        q = q * u - 1.0863899e-1
        q = q * u - 6.3303959e-1
        q = q * u - 1.1296612
        q = q * u + 2.0435988e-4
        return select(t .> 1, copySign(1 - exp(q), x), p * x)
    }

    /// 1 - erf(t) for t from 0 on, with few units of the last place also where it is tiny: e^-t² by way of a t whose square is
    /// exact, and the rest, times a quotient (Numerical Recipes' Chebyshev fit).
    @inline(__always) static func erfc(positive t: Vector) -> Vector {
        let u = 1 / (1 + 0.5 * t)
        var p = Vector(repeating: 0.17087277)
        p = p * u - 0.82215223
        p = p * u + 1.48851587
        p = p * u - 1.13520398
        p = p * u + 0.27886807
        p = p * u - 0.18628806
        p = p * u + 0.09678418
        p = p * u + 0.37409196
        p = p * u + 1.00002368
        p = p * u - 1.26551223
        let high = Vector(bits: t.bits & SIMD8<UInt32>(repeating: 0xffff_f000))
        return u * exp(-high * high) * exp((high - t) * (high + t) + p)
    }

    /// log(1 + e^x).
    @inline(__always) static func softplus(_ x: Vector) -> Vector {
        let positive = select(x .< 0, Vector.zero, x)
        return positive + logOnePlus(unit: exp(-magnitude(x)))
    }
}

extension SIMD8<Float> {
    @inline(__always) var bits: SIMD8<UInt32> { unsafeBitCast(self, to: SIMD8<UInt32>.self) }
    @inline(__always) init(bits: SIMD8<UInt32>) { self = unsafeBitCast(bits, to: SIMD8<Float>.self) }

    @inline(__always) init(loading pointer: UnsafePointer<Float>) {
        self = UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<Float>.self)
    }

    @inline(__always) func store(to pointer: UnsafeMutablePointer<Float>) {
        UnsafeMutableRawPointer(pointer).storeBytes(of: self, as: SIMD8<Float>.self)
    }
}
