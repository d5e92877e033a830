import CTenon
import Glibc
import TenonIR

/// C strings that live as long as the process.
struct StaticText: @unchecked Sendable {
    let pointer: UnsafePointer<CChar>

    init(_ text: String) { pointer = UnsafePointer(strdup(text) ?? UnsafeMutablePointer(mutating: StaticText.empty)) }

    nonisolated(unsafe) static let empty: UnsafePointer<CChar> = {
        let memory = UnsafeMutablePointer<CChar>.allocate(capacity: 1)
        memory.initialize(to: 0)
        return UnsafePointer(memory)
    }()

    /// One per entry, made once.
    static func table(_ texts: [String]) -> [StaticText] { texts.map { StaticText($0) } }
}

/// A copy of a required C string.
func string(_ text: UnsafePointer<CChar>?, _ argument: StaticString) throws -> String {
    guard let text else { throw invalid("\(argument) is NULL") }
    return String(cString: text)
}

/// A copy of a C string, "" for NULL.
func optionalString(_ text: UnsafePointer<CChar>?) -> String { text.map { String(cString: $0) } ?? "" }

/// Copies of an array of C strings.
func strings(
    _ texts: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int, _ argument: StaticString
) throws -> [String] {
    try array(texts, count, argument).map { try string($0, argument) }
}

/// An array of a caller; NULL is fine for no elements.
func array<T>(_ pointer: UnsafePointer<T>?, _ count: Int, _ argument: StaticString) throws -> UnsafeBufferPointer<T> {
    let limit = Int.max / max(MemoryLayout<T>.stride, 1)
    guard count >= 0, count <= limit else { throw invalid("the count of \(argument) is out of range") }
    guard pointer != nil || count == 0 else { throw invalid("\(argument) is NULL, but its count is \(count)") }
    return UnsafeBufferPointer(start: pointer, count: count)
}

/// A C string that the caller releases.
func transferred(_ text: String) throws -> UnsafeMutablePointer<CChar> {
    guard let copy = strdup(text) else { throw TenonError(.outOfMemory, "no memory for a text") }
    return copy
}

/// Checks an output parameter and clears it.
func output<T>(_ pointer: UnsafeMutablePointer<T?>?, _ argument: StaticString) throws -> UnsafeMutablePointer<T?> {
    guard let pointer else { throw invalid("\(argument) is NULL") }
    pointer.pointee = nil
    return pointer
}

/// Checks an output parameter that is no pointer, and sets it to `value`.
func output<T>(
    _ pointer: UnsafeMutablePointer<T>?, _ value: T, _ argument: StaticString
) throws -> UnsafeMutablePointer<T> {
    guard let pointer else { throw invalid("\(argument) is NULL") }
    pointer.pointee = value
    return pointer
}

/// Copies of Swift values as C memory, each made once, valid until the pool goes.
final class Pool {
    private var texts: [String: UnsafePointer<CChar>] = [:]
    private var arrays: [AttributeValue: UnsafeRawPointer] = [:]
    private var owned: [UnsafeMutableRawPointer] = []

    deinit { for memory in owned { free(memory) } }

    func text(_ text: String) throws -> UnsafePointer<CChar> {
        if let known = texts[text] { return known }
        let copy = try transferred(text)
        owned.append(UnsafeMutableRawPointer(copy))
        texts[text] = UnsafePointer(copy)
        return UnsafePointer(copy)
    }

    func array<T: BitwiseCopyable>(_ elements: [T]) throws -> UnsafePointer<T> {
        guard let memory = malloc(max(1, elements.count * MemoryLayout<T>.stride)) else {
            throw TenonError(.outOfMemory, "no memory for \(elements.count) elements")
        }
        owned.append(memory)
        let base = memory.bindMemory(to: T.self, capacity: elements.count)
        for (index, element) in elements.enumerated() { base[index] = element }
        return UnsafePointer(base)
    }

    /// The elements of a list attribute.
    func list<T: BitwiseCopyable>(_ value: AttributeValue, _ elements: [T]) throws -> UnsafePointer<T> {
        if let known = arrays[value] { return known.assumingMemoryBound(to: T.self) }
        let copy = try array(elements)
        arrays[value] = UnsafeRawPointer(copy)
        return copy
    }
}
