/// What an ONNX file may ask for before it is refused.
///
/// The defaults let every published model through that fits a large machine; a service that reads files of
/// strangers sets them lower. Exceeding one is an error that names the limit, never a crash.
package struct ONNXLimits: Sendable, Equatable {
    /// Largest model file, and largest file of external data, in bytes.
    package var fileBytes: UInt64 = 64 << 30
    /// Largest sum of everything in the file that is not tensor payload: names, nodes, small attributes.
    package var structureBytes: Int = 256 << 20
    /// Most nodes in all graphs and functions together.
    package var nodes: Int = 1_000_000
    /// Most dimensions of one tensor.
    package var rank: Int = 16
    /// Largest single tensor, in bytes.
    package var tensorBytes: Int = 32 << 30
    /// Deepest nesting of graphs in attributes and of messages in one another.
    package var nesting: Int = 32

    package init() {}
}
