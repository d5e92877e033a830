import TenonIR

extension Executable {
    /// Sizes that a symbol of the inputs takes: first, first + step, … up to last.
    public struct SizeRange: Sendable {
        public var symbol: String
        public var first: Int64
        public var last: Int64
        public var step: Int64

        var count: Int { Int(clamping: (last - first) / step + 1) }

        public init(symbol: String, first: Int64, last: Int64, step: Int64) throws {
            guard first >= 0, last >= first, step > 0, last <= 1 << 40 else {
                throw TenonError(
                    .invalidArgument,
                    "size '\(symbol)' expects 0 <= first <= last and a step above 0, found \(first) to \(last) in steps of \(step)"
                )
            }
            self.symbol = symbol
            (self.first, self.last, self.step) = (first, last, step)
        }
    }

    /// More combinations than this are a mistake.
    private static var mostCombinations: Int { 1 << 16 }

    /// Prepares for every combination of sizes. Every symbol of the inputs needs a range.
    public func prepare(ranges: [SizeRange]) throws {
        var known: Set<String> = []
        for port in signature.inputs {
            for dim in port.type.shape ?? [] { known.formUnion(dim.symbols) }
        }
        for range in ranges where known.remove(range.symbol) == nil {
            throw TenonError(
                .notFound, "no input has a size '\(range.symbol)' that is not given yet", node: range.symbol)
        }
        if let missing = known.min() {
            throw TenonError(.invalidArgument, "size '\(missing)' expects a range", node: missing)
        }
        var combinations = 1
        for range in ranges {
            let (product, overflow) = combinations.multipliedReportingOverflow(by: range.count)
            guard !overflow, product <= Executable.mostCombinations else {
                throw TenonError(.limitExceeded, "more than \(Executable.mostCombinations) combinations of sizes")
            }
            combinations = product
        }
        try prepare(ranges[...], [:])
    }

    private func prepare(_ ranges: ArraySlice<SizeRange>, _ sizes: [String: Dim]) throws {
        guard let range = ranges.first else {
            _ = try prepare(
                try signature.inputs.map { port in
                    guard let shape = port.type.shape else {
                        throw TenonError(.invalidArgument, "input '\(port.name)' has no known rank", node: port.name)
                    }
                    return try shape.map { dim in
                        guard let size = dim.substituting(sizes)?.value, size >= 0 else {
                            throw TenonError(
                                .invalidShape, "input '\(port.name)': size \(dim) has no value", node: port.name)
                        }
                        return size
                    }
                })
            return
        }
        for size in stride(from: range.first, through: range.last, by: Int(range.step)) {
            var sizes = sizes
            sizes[range.symbol] = .fixed(size)
            try prepare(ranges.dropFirst(), sizes)
        }
    }
}
