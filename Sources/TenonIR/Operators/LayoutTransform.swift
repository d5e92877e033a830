/// Relax's `layout_transform`: dimensions split, padded, exchanged and joined, as a map of indices says.
enum LayoutTransform {
    static let schema = OperatorSchema(
        "layout_transform",
        """
        x with its dimensions split, exchanged and joined: index_map "n, c -> c // 4, n, c % 4" says where each element goes. What a \
        split dimension lacks is filled with pad_value.
        """,
        inputs: [.init("x")], attributes: [.required("index_map", .string), .defaulted("pad_value", 0.0)],
        expansion: { expander, call in
            let (dtype, shape) = try expander.shaped(call.arguments[0], "layout_transform")
            let plan: IndexMap.Plan
            do {
                plan = try IndexMap(call.attributes.string("index_map") ?? "").plan(shape)
            } catch let refusal as IndexMap.Refusal {
                throw TenonError(
                    .unsupported, "layout_transform: index_map expects \(refusal.expectation)",
                    operatorName: "layout_transform")
            }
            var x = call.arguments[0]
            if plan.padding.contains(where: { $0 != 0 }) {
                guard dtype != .string else {
                    throw TenonError(.unsupported, "layout_transform: strings are not padded")
                }
                x = try expander.call(
                    "nn.pad", [x],
                    [
                        "pad_width": .ints(plan.padding.flatMap { [0, $0] }),
                        "pad_value": .float(call.attributes.float("pad_value") ?? 0),
                    ])
            }
            x = try expander.call("reshape", [x, .shape(plan.split)])
            x = try expander.call("permute_dims", [x], ["axes": .ints(plan.order.map { Int64($0) })])
            return try expander.call("reshape", [x, .shape(plan.result)])
        }
    ) { site in
        let x = try site.tensor(0)
        do {
            let map = try IndexMap(site.attributes.string("index_map") ?? "")
            if let rank = x.rank, rank != map.axes.count {
                throw site.attributeError("index_map", expects: "\(rank) indices before '->'")
            }
            guard let shape = x.shape else { return .tensor(TensorType(dtype: x.dtype, rank: map.outputs.count)) }
            return .tensor(TensorType(x.dtype, try map.plan(shape).result))
        } catch let refusal as IndexMap.Refusal {
            throw site.attributeError("index_map", expects: refusal.expectation)
        }
    }
}

/// A map of indices whose results are digits of the indices: `i`, `i // 4`, `i % 4`, `(i // 4) % 2`, and sums as `i * 4 + j`.
struct IndexMap {
    struct Refusal: Error { var expectation: String }

    /// `(index // divisor) % modulus`, times what the digits behind it count to.
    struct Digit: Equatable {
        var axis: Int
        var divisor: Int64 = 1
        var modulus: Int64?
        var factor: Int64 = 1
    }

    private(set) var axes: [String] = []
    private(set) var outputs: [[Digit]] = []

    struct Plan {
        /// Elements to add at the end of each dimension.
        var padding: [Int64]
        /// Dimensions as digits, the largest first.
        var split: [Dim]
        /// Which of them stand where.
        var order: [Int]
        var result: [Dim]
    }

    func plan(_ shape: [Dim]) throws -> Plan {
        var plan = Plan(padding: [], split: [], order: [], result: [])
        var places: [(digit: Digit, place: Int, extent: Dim)] = []
        for axis in axes.indices {
            let digits = outputs.joined().filter { $0.axis == axis }.sorted { $0.divisor > $1.divisor }
            if digits.count == 1, digits[0].divisor == 1, digits[0].modulus == nil {
                places.append((digits[0], plan.split.count, shape[axis]))
                plan.split.append(shape[axis])
                plan.padding.append(0)
                continue
            }
            guard let size = shape[axis].value else {
                throw Refusal(expectation: "a dimension of known size where '\(axes[axis])' is split")
            }
            // From the largest digit down each must begin where the one above ends.
            var above: Int64?
            var total: Int64 = 1
            for digit in digits {
                let extent: Int64
                if let above {
                    let (whole, rest) = above.quotientAndRemainder(dividingBy: digit.divisor)
                    guard rest == 0, digit.modulus == whole else {
                        throw Refusal(expectation: "digits of '\(axes[axis])' without gaps")
                    }
                    extent = whole
                } else {
                    extent = size == 0 ? 0 : (size - 1) / digit.divisor + 1
                    if let modulus = digit.modulus, modulus < extent {
                        throw Refusal(expectation: "all digits of '\(axes[axis])'")
                    }
                }
                let (product, overflow) = total.multipliedReportingOverflow(by: extent)
                guard !overflow else { throw Refusal(expectation: "sizes that can be counted") }
                (total, above) = (product, digit.divisor)
                places.append((digit, plan.split.count, .fixed(extent)))
                plan.split.append(.fixed(extent))
            }
            guard above == 1 || (digits.isEmpty && size == 1) else {
                throw Refusal(expectation: "all digits of '\(axes[axis])'")
            }
            plan.padding.append(max(total - size, 0))
        }
        for output in outputs {
            var joined: Dim = 1
            // From the last digit on, each counts as many times as those behind it have values.
            for digit in output.reversed() {
                guard let found = places.first(where: { $0.digit == digit }), joined == .fixed(digit.factor) else {
                    throw Refusal(expectation: "sums whose factors are the sizes of what stands behind")
                }
                guard let product = Dim.multiplying(joined, found.extent) else {
                    throw Refusal(expectation: "sizes that can be counted")
                }
                joined = product
            }
            for digit in output { plan.order.append(places.first { $0.digit == digit }?.place ?? 0) }
            plan.result.append(joined)
        }
        guard plan.order.count == plan.split.count, Set(plan.order).count == plan.order.count else {
            throw Refusal(expectation: "each digit once")
        }
        return plan
    }
}

// MARK: - Text

extension IndexMap {
    /// As Python writes it behind `lambda`.
    var pythonText: String {
        let results = outputs.map { digits in
            digits.map { digit in
                var text = axes[digit.axis]
                if digit.divisor != 1 { text += " // \(digit.divisor)" }
                if let modulus = digit.modulus { text += " % \(modulus)" }
                return digit.factor == 1 ? text : "\(text) * \(digit.factor)"
            }.joined(separator: " + ")
        }
        return "\(axes.joined(separator: ", ")): (\(results.joined(separator: ", "))\(results.count == 1 ? "," : ""))"
    }

    init(_ text: String) throws {
        var reader = Reader(text)
        while true {
            guard let name = reader.name(), !axes.contains(name) else {
                throw Refusal(expectation: "names of indices before '->'")
            }
            axes.append(name)
            if !reader.take(",") { break }
        }
        guard reader.take("->"), axes.count <= 64 else {
            throw Refusal(expectation: "'->' behind the names of indices")
        }
        repeat {
            outputs.append(try sum(&reader))
            guard outputs.count <= 64 else { throw Refusal(expectation: "at most 64 results") }
        } while reader.take(",")
        guard reader.isAtEnd else { throw Refusal(expectation: "results as i, i // 4, i % 4 or i * 4 + j") }
    }

    private func sum(_ reader: inout Reader) throws -> [Digit] {
        var terms = try product(&reader)
        while reader.take("+") { terms += try product(&reader) }
        return terms
    }

    /// `i // 4 % 2 * 8`, from left to right.
    private func product(_ reader: inout Reader) throws -> [Digit] {
        var digits: [Digit]
        if reader.take("(") {
            guard reader.nest() else { throw Refusal(expectation: "fewer brackets") }
            digits = try sum(&reader)
            guard reader.take(")") else { throw Refusal(expectation: "')'") }
        } else if let name = reader.name(), let axis = axes.firstIndex(of: name) {
            digits = [Digit(axis: axis)]
        } else {
            throw Refusal(expectation: "results that begin with one of \(axes.joined(separator: ", "))")
        }
        while let operation = ["//", "%", "*"].first(where: { reader.take($0) }) {
            guard let number = reader.number(), number > 0 else {
                throw Refusal(expectation: "a number above 0 behind '\(operation)'")
            }
            switch operation {
            case "*":
                for index in digits.indices {
                    let (product, overflow) = digits[index].factor.multipliedReportingOverflow(by: number)
                    guard !overflow else { throw Refusal(expectation: "sizes that can be counted") }
                    digits[index].factor = product
                }
            case "//":
                guard digits.count == 1, digits[0].factor == 1 else {
                    throw Refusal(expectation: "single indices to divide")
                }
                let (product, overflow) = digits[0].divisor.multipliedReportingOverflow(by: number)
                let rest = (digits[0].modulus ?? 0) % number
                guard !overflow, rest == 0 else { throw Refusal(expectation: "digits that divide each other") }
                digits[0].divisor = product
                digits[0].modulus = digits[0].modulus.map { $0 / number }
            default:
                guard digits.count == 1, digits[0].factor == 1 else {
                    throw Refusal(expectation: "single indices to divide")
                }
                guard (digits[0].modulus ?? number) % number == 0 else {
                    throw Refusal(expectation: "digits that divide each other")
                }
                digits[0].modulus = number
            }
        }
        return digits
    }

    private struct Reader {
        private var rest: ArraySlice<UInt8>
        private var depth = 0

        init(_ text: String) { rest = ArraySlice(Array(text.utf8)) }

        var isAtEnd: Bool {
            mutating get {
                skip()
                return rest.isEmpty
            }
        }

        mutating func nest() -> Bool {
            depth += 1
            return depth <= 64
        }

        private mutating func skip() { rest = rest.drop { $0 == 0x20 || $0 == 0x0A || $0 == 0x09 } }

        mutating func take(_ sign: String) -> Bool {
            skip()
            guard rest.starts(with: sign.utf8) else { return false }
            rest = rest.dropFirst(sign.utf8.count)
            return true
        }

        mutating func name() -> String? {
            skip()
            let part = rest.prefix { Self.isLetter($0) || (0x30...0x39).contains($0) }
            guard let first = part.first, Self.isLetter(first) else { return nil }
            rest = rest.dropFirst(part.count)
            return String(decoding: part, as: UTF8.self)
        }

        mutating func number() -> Int64? {
            skip()
            // TVM says the type of larger ones.
            let isTyped = take("T.int64(")
            let part = rest.prefix { (0x30...0x39).contains($0) }
            rest = rest.dropFirst(part.count)
            if isTyped, !take(")") { return nil }
            return Int64(String(decoding: part, as: UTF8.self))
        }

        private static func isLetter(_ byte: UInt8) -> Bool {
            (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x5F
        }
    }
}
