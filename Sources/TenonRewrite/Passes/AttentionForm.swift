import TenonIR

/// What attention written out in products, additions and a softmax says, read from the softmax inwards.
struct AttentionForm {
    /// A side of a product: what it is made of, and how that is to be permuted to [batch, head, token, size].
    struct Side {
        var operand: Operand
        var axes: [Int64]
        /// What the operand is to be reshaped to first.
        var shape: [Dim]?
        /// How many query heads share each head of the operand.
        var group: Int64 = 1

        /// The layout that says the same as the permutation, where one does.
        var layout: String? { AttentionLayout(axes: axes)?.rawValue }
    }

    /// What is added to the scaled products; of windows, it is first repeated for every image, then windows and images are one dimension.
    struct Mask {
        var operand: Operand
        var repeated: [Dim]?
        var shape: [Dim]?
    }

    var query = Side(operand: .tuple([]), axes: [])
    var key = Side(operand: .tuple([]), axes: [])
    var scale = 1.0
    var softcap = 0.0
    var masks: [Mask] = []
    /// Where scores count, and what stands in their place elsewhere.
    var allowed: (condition: Operand, isInverted: Bool, value: Double)?
    /// A factor was read outside of what comes next: a mask inside it would be scaled too.
    private var isScaled = false
    /// Something is added outside of what comes next.
    private var isMoved = false

    /// Reads the operand of the softmax.
    static func read(_ scores: Operand, _ reader: Reader) -> AttentionForm? {
        var form = AttentionForm()
        guard form.walk(scores, reader, depth: 0), form.scale.isFinite else { return nil }
        return form
    }

    private mutating func walk(_ operand: Operand, _ reader: Reader, depth: Int) -> Bool {
        guard depth < 16, let (name, call) = reader.call(operand), reader.isSpent(operand) else { return false }
        switch name {
        case "matmul": return readProduct(call, reader)
        case "add":
            for side in 0...1
            where !isScaled && reader.transformer.type(of: call.arguments[side]) == reader.transformer.type(of: operand)
            {
                var attempt = self
                attempt.isMoved = true
                if attempt.walk(call.arguments[side], reader, depth: depth + 1) {
                    attempt.masks.append(Mask(operand: call.arguments[1 - side]))
                    self = attempt
                    return true
                }
            }
            return false
        case "reshape": return readWindows(operand, call, reader, depth)
        case "where": return readChoice(operand, call, reader, depth)
        case "multiply", "divide":
            guard let factor = factor(name, call, reader) else { return false }
            if name == "multiply", readCap(factor.operand, factor.number, reader, depth) { return true }
            guard softcap == 0 else { return false }
            scale *= factor.number
            isScaled = true
            return walk(factor.operand, reader, depth: depth + 1)
        case "astype":
            guard reader.transformer.type(of: call.arguments[0]) == reader.transformer.type(of: operand) else {
                return false
            }
            return walk(call.arguments[0], reader, depth: depth + 1)
        default: return false
        }
    }

    /// A mask per window, added where images and windows are two dimensions, as in shifted windows.
    private mutating func readWindows(_ operand: Operand, _ call: Call, _ reader: Reader, _ depth: Int) -> Bool {
        let types = reader.transformer
        guard !isScaled, reader.isSpent(call.arguments[0]), let (name, sum) = reader.call(call.arguments[0]),
            name == "add",
            let joined = types.type(of: operand).asTensor?.shape,
            let split = types.type(of: call.arguments[0]).asTensor?.shape, split.count == joined.count + 1,
            AttentionForm.groups(joined, split)?.first == [0, 1]
        else { return false }
        for side in 0...1 {
            let (scores, mask) = (sum.arguments[side], sum.arguments[1 - side])
            guard reader.isSpent(scores), let (name, inner) = reader.call(scores), name == "reshape",
                types.type(of: scores).asTensor?.shape == split,
                types.type(of: inner.arguments[0]) == types.type(of: operand),
                let own = types.type(of: mask).asTensor?.shape, own.count == split.count
            else { continue }
            let repeated = Array(split.prefix(2) + own.dropFirst(2))
            var attempt = self
            attempt.isMoved = true
            guard attempt.walk(inner.arguments[0], reader, depth: depth + 1) else { continue }
            attempt.masks.append(Mask(operand: mask, repeated: repeated, shape: [joined[0]] + own.dropFirst(2)))
            self = attempt
            return true
        }
        return false
    }

    /// cap · tanh(x / cap)
    private mutating func readCap(_ operand: Operand, _ cap: Double, _ reader: Reader, _ depth: Int) -> Bool {
        guard softcap == 0, !isScaled, let bounded = reader.inner(operand, "tanh"),
            let (name, call) = reader.call(bounded.arguments[0]), name == "divide" || name == "multiply",
            reader.isSpent(bounded.arguments[0]), let factor = factor(name, call, reader), cap > 0
        else { return false }
        var attempt = self
        // Whatever the factor is, it is part of the scale: cap · tanh(f · x) is cap · tanh((f · cap · x) / cap).
        attempt.softcap = cap
        attempt.scale = factor.number * cap
        attempt.isScaled = true
        guard attempt.walkScaled(factor.operand, reader, depth: depth + 1) else { return false }
        self = attempt
        return true
    }

    /// Inside of a soft cap only factors may follow.
    private mutating func walkScaled(_ operand: Operand, _ reader: Reader, depth: Int) -> Bool {
        guard depth < 16, let (name, call) = reader.call(operand), reader.isSpent(operand) else { return false }
        if name == "matmul" { return readProduct(call, reader) }
        guard name == "multiply" || name == "divide", let factor = factor(name, call, reader) else { return false }
        scale *= factor.number
        return walkScaled(factor.operand, reader, depth: depth + 1)
    }

    /// Scores where a condition holds, and else one number far below.
    private mutating func readChoice(_ operand: Operand, _ call: Call, _ reader: Reader, _ depth: Int) -> Bool {
        guard call.arguments.count == 3, allowed == nil, !isScaled else { return false }
        let (inner, value, isInverted): (Operand, Double, Bool)
        if let number = reader.number(call.arguments[2]) {
            (inner, value, isInverted) = (call.arguments[1], number, false)
        } else if let number = reader.number(call.arguments[1]) {
            (inner, value, isInverted) = (call.arguments[2], number, true)
        } else {
            return false
        }
        // A finite number that is added to afterwards is no longer that number.
        guard value < 0, value == -.infinity || !isMoved,
            reader.transformer.type(of: inner) == reader.transformer.type(of: operand)
        else { return false }
        let before = masks.count
        allowed = (call.arguments[0], isInverted, value)
        guard walk(inner, reader, depth: depth + 1) else { return false }
        return value == -.infinity || masks.count == before
    }

    private func factor(_ name: String, _ call: Call, _ reader: Reader) -> (operand: Operand, number: Double)? {
        guard let split = reader.splitConstant(call), split.number.isFinite else { return nil }
        if name == "multiply" { return split }
        guard split.operand == call.arguments[0], split.number != 0 else { return nil }
        return (split.operand, 1 / split.number)
    }

    private mutating func readProduct(_ call: Call, _ reader: Reader) -> Bool {
        guard let rank = reader.transformer.type(of: call.arguments[0]).asTensor?.rank, rank == 4 || rank == 3,
            reader.transformer.type(of: call.arguments[1]).asTensor?.rank == rank,
            // Two constants, or a constant on the right, are a layer.
            reader.transformer.constant(call.arguments[1]) == nil
        else { return false }
        let plain: [Int64] = (0..<Int64(rank)).map { $0 }
        var swapped = plain
        swapped.swapAt(rank - 1, rank - 2)
        query = peel(Side(operand: call.arguments[0], axes: plain), reader, scales: true)
        key = peel(Side(operand: call.arguments[1], axes: swapped), reader, scales: true)
        return true
    }

    /// Goes through permutations, also where a reshape splits their dimensions, and with `scales` through factors.
    mutating func peel(_ side: Side, _ reader: Reader, scales: Bool) -> Side {
        var side = side
        for _ in 0..<8 {
            guard let (name, call) = reader.call(side.operand) else { break }
            if name == "permute_dims", let axes = AttentionForm.axes(call, side.axes.count) {
                side.axes = side.axes.map { axes[Int($0)] }
                side.operand = call.arguments[0]
            } else if name == "reshape", let inner = splitting(side, call, reader) {
                side = inner
                if side.shape != nil { break }
            } else if scales, name == "multiply" || name == "divide", let factor = factor(name, call, reader),
                reader.transformer.type(of: factor.operand) == reader.transformer.type(of: side.operand)
            {
                scale *= factor.number
                side.operand = factor.operand
            } else {
                break
            }
        }
        return side
    }

    /// What a reshape behind a permutation splits is split in front of it: PyTorch's layers keep the batch and the heads in one
    /// dimension. The operand is what has the split shape already, where there is such a value.
    private func splitting(_ side: Side, _ reshape: Call, _ reader: Reader) -> Side? {
        let types = reader.transformer
        guard let (name, inner) = reader.call(reshape.arguments[0]), name == "permute_dims",
            let joined = types.type(of: reshape.arguments[0]).asTensor?.shape,
            let axes = AttentionForm.axes(inner, joined.count),
            let split = types.type(of: side.operand).asTensor?.shape,
            split.count == side.axes.count, let groups = AttentionForm.groups(joined, split)
        else { return nil }
        // In the order of the permutation's operand: where each dimension goes, and how large it is.
        var (places, shape) = ([Int64](repeating: 0, count: split.count), [Dim]())
        for axis in axes.indices {
            guard let position = axes.firstIndex(of: Int64(axis)) else { return nil }
            for index in groups[position] {
                places[index] = Int64(shape.count)
                shape.append(split[index])
            }
        }
        var result = side
        result.axes = side.axes.map { places[Int($0)] }
        result.operand = inner.arguments[0]
        while types.type(of: result.operand).asTensor?.shape != shape, let (name, call) = reader.call(result.operand),
            name == "reshape"
        {
            result.operand = call.arguments[0]
        }
        result.shape = types.type(of: result.operand).asTensor?.shape == shape ? nil : shape
        return result
    }

    /// Which dimensions of `split` each of `joined` consists of; nil where that is not all.
    private static func groups(_ joined: [Dim], _ split: [Dim]) -> [[Int]]? {
        var (groups, next) = ([[Int]](), 0)
        for size in joined {
            var (group, product): ([Int], Dim) = ([], 1)
            repeat {
                guard next < split.count, let larger = Dim.multiplying(product, split[next]) else { return nil }
                group.append(next)
                (product, next) = (larger, next + 1)
            } while product != size
            groups.append(group)
        }
        return next == split.count ? groups : nil
    }

    /// The axes of a permutation, from 0; nil where they are none.
    static func axes(_ call: Call, _ rank: Int) -> [Int64]? {
        let axes = call.attributes.ints("axes") ?? (0..<Int64(rank)).reversed().map { $0 }
        let positive = axes.map { $0 < 0 ? $0 + Int64(rank) : $0 }
        return positive.sorted() == (0..<Int64(rank)).map { $0 } ? positive : nil
    }
}
