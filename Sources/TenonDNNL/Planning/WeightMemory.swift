import Glibc
import TenonIR
import TenonRuntime

/// Constant data in the layout that a primitive reads. Immutable once made.
final class WeightMemory: SharedWeights, @unchecked Sendable {
    let address: UnsafeMutableRawPointer
    let bytes: Int
    /// Set when the data are a constant's own.
    private let constant: Constant?

    /// The constant's own data, which already lie right.
    init(borrowing constant: Constant) throws(TenonError) {
        guard let base = constant.bytes.baseAddress else {
            throw TenonError(.invalidType, "a constant without data cannot be an operand")
        }
        address = UnsafeMutableRawPointer(mutating: base)
        bytes = 0
        self.constant = constant
    }

    /// Contents are undefined.
    init(bytes: Int) throws(TenonError) {
        guard let memory = AlignedMemory.allocate(bytes) else {
            throw TenonError(.outOfMemory, "\(bytes) bytes for packed weights are not available")
        }
        address = memory
        self.bytes = bytes
        constant = nil
    }

    deinit {
        if constant == nil { free(address) }
    }
}
