/// What a model says about itself besides its graph. No part of the text form, and none of what makes modules equal.
public struct ModelInfo: Sendable, Hashable {
    public struct Entry: Sendable, Hashable {
        public var key: String
        public var value: String

        public init(key: String, value: String) {
            self.key = key
            self.value = value
        }
    }

    public struct OperatorSet: Sendable, Hashable {
        /// "" for ONNX's own.
        public var domain: String
        public var version: Int64

        public init(domain: String, version: Int64) {
            self.domain = domain
            self.version = version
        }
    }

    public var producerName = ""
    public var producerVersion = ""
    public var domain = ""
    public var description = ""
    public var graphName = ""
    public var graphDescription = ""
    /// The model's own; nil when it states none.
    public var version: Int64?
    /// Of the file that was read; 0 when there was none.
    public var irVersion: Int64 = 0
    /// Those of the file that was read.
    public var operatorSets: [OperatorSet] = []
    /// Keys and values in the file's order.
    public var metadata: [Entry] = []

    public init() {}
}
