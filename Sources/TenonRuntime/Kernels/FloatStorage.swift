import TenonIR

/// Storage that is computed in as floats, eight at a time.
protocol FloatStorage: Storage where Value == Float {
    static func load(_ pointer: UnsafePointer<Self>) -> Vector
    static func store(_ vector: Vector, to pointer: UnsafeMutablePointer<Self>)
}

extension FloatStorage {
    /// Fewer than eight elements; the other lanes get `filling`.
    @inline(__always) static func load(_ pointer: UnsafePointer<Self>, lanes: Int, filling: Float) -> Vector {
        withUnsafeTemporaryAllocation(of: Self.self, capacity: 8) { buffer in
            for lane in 0..<8 { buffer[lane] = Self(storing: filling) }
            guard let base = buffer.baseAddress else { return .zero }
            base.update(from: pointer, count: lanes)
            return load(base)
        }
    }

    @inline(__always) static func store(_ vector: Vector, to pointer: UnsafeMutablePointer<Self>, lanes: Int) {
        withUnsafeTemporaryAllocation(of: Self.self, capacity: 8) { buffer in
            guard let base = buffer.baseAddress else { return }
            store(vector, to: base)
            pointer.update(from: base, count: lanes)
        }
    }
}

extension Float: FloatStorage {
    @inline(__always) static func load(_ pointer: UnsafePointer<Float>) -> Vector { Vector(loading: pointer) }
    @inline(__always) static func store(_ vector: Vector, to pointer: UnsafeMutablePointer<Float>) {
        vector.store(to: pointer)
    }
}

/// IEEE 754 binary16 in memory.
struct Half: FloatStorage {
    var bits: UInt16
    @inline(__always) init(storing value: Float) { bits = HalfPrecision.half(from: value) }
    @inline(__always) var value: Float { HalfPrecision.float(fromHalf: bits) }

    @inline(__always) static func load(_ pointer: UnsafePointer<Half>) -> Vector {
        let bits = SIMD8<UInt32>(
            truncatingIfNeeded: UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<UInt16>.self))
        let magnitude = (bits & 0x7fff) &<< 13
        // The exponent grows by 112; subnormal numbers become normal by the same product.
        let finite = Vector(bits: magnitude) * 0x1p112
        let special = magnitude | 0x7f80_0000
        let isSpecial = magnitude .>= 0x0f80_0000
        return Vector(bits: finite.bits.replacing(with: special, where: isSpecial) | ((bits & 0x8000) &<< 16))
    }

    @inline(__always) static func store(_ vector: Vector, to pointer: UnsafeMutablePointer<Half>) {
        let sign = (vector.bits &>> 16) & 0x8000
        let magnitude = vector.bits & 0x7fff_ffff
        // Normal numbers: round to even on the 13 bits that go, and let the exponent shrink by 112.
        let rounded = (magnitude &+ 0xfff &+ ((magnitude &>> 13) & 1)) &- 0x3800_0000
        var result = rounded &>> 13
        // Subnormal ones: an addition that leaves the bits in place rounds them.
        let shifted = (Vector(bits: magnitude) + 0.5).bits &- 0x3f00_0000
        result = result.replacing(with: shifted, where: magnitude .< 0x3880_0000)
        result = result.replacing(with: SIMD8<UInt32>(repeating: 0x7c00), where: magnitude .>= 0x477f_f000)
        result = result.replacing(with: SIMD8<UInt32>(repeating: 0x7e00), where: magnitude .> 0x7f80_0000)
        UnsafeMutableRawPointer(pointer).storeBytes(
            of: SIMD8<UInt16>(truncatingIfNeeded: result | sign), as: SIMD8<UInt16>.self)
    }
}

/// The upper half of a binary32 in memory.
struct BFloat16: FloatStorage {
    var bits: UInt16
    @inline(__always) init(storing value: Float) { bits = HalfPrecision.bfloat16(from: value) }
    @inline(__always) var value: Float { HalfPrecision.float(fromBFloat16: bits) }

    @inline(__always) static func load(_ pointer: UnsafePointer<BFloat16>) -> Vector {
        let bits = UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<UInt16>.self)
        return Vector(bits: SIMD8<UInt32>(truncatingIfNeeded: bits) &<< 16)
    }

    @inline(__always) static func store(_ vector: Vector, to pointer: UnsafeMutablePointer<BFloat16>) {
        let bits = vector.bits
        var result = (bits &+ 0x7fff &+ ((bits &>> 16) & 1)) &>> 16
        let isNaN = (bits & 0x7fff_ffff) .> 0x7f80_0000
        result = result.replacing(with: (bits &>> 16) | 0x40, where: isNaN)
        UnsafeMutableRawPointer(pointer).storeBytes(
            of: SIMD8<UInt16>(truncatingIfNeeded: result), as: SIMD8<UInt16>.self)
    }
}
