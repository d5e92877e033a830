import CTenon
import Glibc
import TenonIR

/// Reading and writing structures that begin with their size, so that callers built with another version work.
enum Sized {
    /// No structure of any version is larger.
    private static let limit = 4096

    /// The caller's structure as this version knows it; fields that the caller does not have are zero. `empty` is all
    /// zero. A caller that sets fields unknown here is told so. `first` is the size of the first version; nil when there is no
    /// later one.
    static func read<T: BitwiseCopyable>(
        _ pointer: UnsafePointer<T>, _ empty: T, _ name: StaticString, first: Int? = nil
    ) throws -> T {
        let size = try size(of: UnsafeRawPointer(pointer), known: first ?? MemoryLayout<T>.size, name)
        let source = UnsafeRawPointer(pointer)
        for offset in stride(from: MemoryLayout<T>.size, to: max(size, MemoryLayout<T>.size), by: 1)
        where source.load(fromByteOffset: offset, as: UInt8.self) != 0 {
            throw TenonError(.unsupported, "\(name) sets a field that this version of the library does not know")
        }
        var value = empty
        withUnsafeMutableBytes(of: &value) { target in
            target.copyMemory(from: UnsafeRawBufferPointer(start: source, count: min(size, target.count)))
        }
        return value
    }

    /// As above, where NULL means defaults.
    static func options<T: BitwiseCopyable>(
        _ pointer: UnsafePointer<T>?, _ empty: T, _ name: StaticString, first: Int? = nil
    ) throws -> T {
        guard let pointer else { return empty }
        return try read(pointer, empty, name, first: first)
    }

    /// An array of structures, all of the size of the first.
    static func array<T: BitwiseCopyable>(
        _ pointer: UnsafePointer<T>?, _ count: Int, _ empty: T, _ name: StaticString, first: Int? = nil
    ) throws -> [T] {
        guard count >= 0, count <= 1 << 24 else { throw invalid("the count of \(name) is out of range") }
        guard count > 0 else { return [] }
        guard let pointer else { throw invalid("\(name) is NULL, but its count is \(count)") }
        let base = UnsafeRawPointer(pointer)
        let step = try size(of: base, known: first ?? MemoryLayout<T>.size, name)
        guard step % MemoryLayout<T>.alignment == 0 else { throw invalid("\(name) has struct_size \(step)") }
        var result: [T] = []
        for index in 0..<count {
            let element = (base + index * step).assumingMemoryBound(to: T.self)
            guard Int(base.load(fromByteOffset: index * step, as: UInt32.self)) == step else {
                throw invalid("\(name) \(index) has a struct_size that differs from the first's \(step)")
            }
            result.append(try read(element, empty, name, first: first))
        }
        return result
    }

    /// `struct_size`, checked: all fields of the first version at least.
    static func size(of pointer: UnsafeRawPointer, known: Int, _ name: StaticString) throws -> Int {
        guard UInt(bitPattern: pointer) % 4 == 0 else { throw invalid("\(name) is not aligned") }
        let size = Int(pointer.load(as: UInt32.self))
        guard size >= known, size <= limit else {
            throw invalid("\(name) has struct_size \(size); expected \(known), as its INIT macro sets it")
        }
        return size
    }

    /// Fills in a caller's structure as far as it reaches; the caller has set its size. `first` as for `read`.
    static func write<T: BitwiseCopyable>(
        _ value: T, to pointer: UnsafeMutablePointer<T>?, _ name: StaticString, first: Int? = nil
    ) throws {
        guard let pointer else { throw invalid("\(name) is NULL") }
        let size = try size(of: UnsafeRawPointer(pointer), known: first ?? MemoryLayout<T>.size, name)
        withUnsafeBytes(of: value) { source in
            let target = UnsafeMutableRawBufferPointer(start: pointer, count: size)
            for offset in 4..<size { target[offset] = offset < source.count ? source[offset] : 0 }
        }
    }

    /// All zero but the size.
    static func initialise(_ pointer: UnsafeMutableRawPointer?, _ size: UInt32) {
        guard let pointer, size >= 4, Int(size) <= limit else { return }
        memset(pointer, 0, Int(size))
        pointer.storeBytes(of: size, as: UInt32.self)
    }
}

/// An element type given as a number.
func dtype(_ number: UInt32, _ what: @autoclosure () -> String) throws -> DataType {
    guard let raw = UInt8(exactly: number), let dtype = DataType(rawValue: raw) else {
        throw invalid("\(what()): \(number) is no element type")
    }
    return dtype
}

/// Sizes given by pointer and rank, each at least `least`.
func sizes(_ pointer: UnsafePointer<Int64>?, _ rank: UInt32, least: Int64, _ what: @autoclosure () -> String) throws
    -> [Int64]
{
    guard rank <= UInt32(TENON_MAX_RANK) else {
        throw TenonError(.invalidShape, "\(what()): rank \(rank) is more than \(TENON_MAX_RANK)")
    }
    guard pointer != nil || rank == 0 else { throw invalid("\(what()): shape is NULL, but rank is \(rank)") }
    let sizes = Array(UnsafeBufferPointer(start: pointer, count: Int(rank)))
    for (axis, size) in sizes.enumerated() where size < least {
        throw TenonError(.invalidShape, "\(what()): dimension \(axis) is \(size); expected at least \(least)")
    }
    return sizes
}
