/// When two constants may be computed with before the run instead of one after the other during it.
///
/// Arithmetic in single precision rounds after every step, and models use that: `(x + 12582912) - 12582912` rounds to whole
/// numbers, `x · 3e38 · 1e-38` saturates. What is joined here must not overflow, vanish or cancel where the steps did not, nor
/// keep digits that they drop. `docs/fusion.md` says the rules.
public enum JoinedConstants {
    /// Terms up to this size drop no digits that anybody could have meant to drop.
    public static let largestTerm = 256.0
    /// Terms of opposite signs leave digits that the larger one had dropped; of this size, less than the layer's own rounding.
    static let largestCancelledTerm = 16.0
    /// Outside of these bounds a factor makes infinities or zeros out of everyday numbers.
    static let factors = 0x1p-32...0x1p32
    /// Factors and weights below this belong to channels that training has switched off.
    static let dead = 0x1p-100

    /// a + b for `(x + a) + b`; nil when the sum must stay two.
    public static func sum(_ a: Double, _ b: Double) -> Double? {
        if a == 0 { return b }
        if b == 0 { return a }
        let sum = a + b
        return (a < 0) == (b < 0) && abs(sum) <= largestTerm ? sum : nil
    }

    /// a · b for `(x · a) · b`; nil when the product must stay two. Both factors shrink or both grow, so that what is in between
    /// lies between the operand and the result.
    public static func product(_ a: Double, _ b: Double) -> Double? {
        if a == 1 { return b }
        if b == 1 { return a }
        let (x, y) = (abs(a), abs(b))
        guard x <= 1 && y <= 1 || x >= 1 && y >= 1 else { return nil }
        let product = a * b
        guard product.isFinite, product == 0 ? a == 0 || b == 0 : isNormal(product) else { return nil }
        return product
    }

    static func isNormal(_ value: Double) -> Bool {
        (Double(Float.leastNormalMagnitude)...Double(Float.greatestFiniteMagnitude)).contains(abs(value))
    }

    /// bias · factor + shift of a layer's channel, whose weights are multiplied by `factor`. Both terms come from constants of
    /// their own, so a rounding constant may be among them.
    static func bias(_ bias: Double, _ factor: Double, _ shift: Double) -> Double? {
        if bias == 0 { return abs(shift) <= largestTerm || factor == 1 ? shift : nil }
        if factor != 1, abs(bias) > largestTerm { return nil }
        let scaled = bias * factor
        guard shift != 0 else { return scaled.isFinite ? scaled : nil }
        let sum = scaled + shift
        guard max(abs(scaled), abs(shift), abs(bias)) <= largestTerm else { return nil }
        guard (scaled < 0) == (shift < 0) || max(abs(scaled), abs(shift)) <= largestCancelledTerm else { return nil }
        return sum
    }

    /// Whether a layer's weights, or what has been added to its result, may be multiplied by the factor.
    public static func isFactor(_ value: Double) -> Bool { value == 0 || factors.contains(abs(value)) }
}
