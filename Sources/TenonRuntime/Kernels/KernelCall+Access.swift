import TenonIR

/// Accessors with messages for what a kernel's preparation needs.
extension KernelCall {
    func error(_ status: Status, _ message: ErrorMessage) -> TenonError {
        TenonError(status, "\(op.name): \(message)", operatorName: op.name)
    }

    /// Checks that the call has the tensors that a kernel is about to index.
    func require(inputs least: Int, outputs: Int = 1) throws {
        guard inputs.count >= least, self.outputs.count >= outputs else {
            throw error(
                .invalidArgument,
                "kernel expects \(least) inputs and \(outputs) outputs, found \(inputs.count) and \(self.outputs.count)"
            )
        }
        // Kernels multiply these by element sizes and by numbers of pieces; sizes of 0 must not hide the others.
        for spec in inputs + self.outputs {
            guard let count = checkedElementCount(spec.shape.map { Int64(max($0, 1)) }), count <= 1 << 46,
                spec.shape.allSatisfy({ $0 >= 0 })
            else { throw error(.invalidShape, "a tensor of shape \(spec.shape) is too large") }
        }
    }

    func requireRank(_ index: Int, _ rank: Int) throws {
        guard inputs[index].shape.count == rank else {
            throw error(.invalidShape, "input \(index) expects \(rank) dimensions, found \(inputs[index].shape)")
        }
    }

    func requireShape(_ index: Int, _ shape: [Int]) throws {
        guard inputs[index].shape == shape else {
            throw error(.invalidShape, "input \(index) expects shape \(shape), found \(inputs[index].shape)")
        }
    }

    func requireOutput(_ index: Int = 0, _ shape: [Int]) throws {
        guard outputs[index].shape == shape else {
            throw error(.invalidShape, "output \(index) expects shape \(shape), found \(outputs[index].shape)")
        }
    }

    /// All these tensors have one element type.
    func requireSameType(_ indices: Int...) throws {
        for index in indices where inputs[index].dtype != inputs[indices[0]].dtype {
            throw error(
                .invalidType,
                "inputs expect one element type, found \(inputs.map(\.dtype.name).joined(separator: ", "))")
        }
    }

    func int(_ name: String) throws -> Int {
        guard let value = attributes.int(name) else { throw missing(name) }
        return Int(value)
    }

    func ints(_ name: String, count: Int? = nil) throws -> [Int] {
        guard let values = attributes.ints(name) else { throw missing(name) }
        if let count, values.count != count {
            throw error(.invalidArgument, "attribute '\(name)' expects \(count) values, found \(values.count)")
        }
        return values.map { Int($0) }
    }

    func float(_ name: String) throws -> Double {
        guard let value = attributes.float(name) else { throw missing(name) }
        return value
    }

    func bool(_ name: String) -> Bool { attributes.bool(name) ?? false }

    private func missing(_ name: String) -> TenonError { error(.invalidArgument, "attribute '\(name)' is missing") }

    /// An axis from -rank to rank - 1 as one from 0.
    func axis(_ axis: Int, rank: Int) throws -> Int {
        guard axis >= -rank, axis < rank else {
            throw error(.invalidArgument, "axis \(axis) is out of range for rank \(rank)")
        }
        return axis < 0 ? axis + rank : axis
    }

    /// The axes of a list, from 0, each once; nil stands for all.
    func axes(_ name: String, rank: Int) throws -> [Int] {
        guard let listed = attributes.ints(name) else { return Array(0..<rank) }
        let axes = try listed.map { try axis(Int($0), rank: rank) }
        guard Set(axes).count == axes.count else { throw error(.invalidArgument, "'\(name)' lists an axis twice") }
        return axes.sorted()
    }

    /// Plain numbers of argument `index`: a shape, a tuple of numbers, one number or a tensor literal.
    func integers(_ index: Int) throws -> [Int] {
        guard arguments.indices.contains(index) else { throw error(.invalidArgument, "argument \(index) is missing") }
        switch arguments[index] {
        case .shape(let dims):
            return try dims.map { dim in
                guard let value = dim.value else {
                    throw error(.invalidShape, "argument \(index) expects numbers, found \(dim)")
                }
                return Int(value)
            }
        case .tuple(let fields):
            return try fields.map { field in
                guard case .int(let value) = field else {
                    throw error(.invalidType, "argument \(index) expects numbers")
                }
                return Int(value)
            }
        case .int(let value): return [Int(value)]
        case .constant(let constant):
            if let values = constant.intElements { return values.map { Int($0) } }
        default: break
        }
        throw error(.invalidType, "argument \(index) expects known integers")
    }

    /// The plain number of argument `index`.
    func number(_ index: Int) throws -> Double {
        guard arguments.indices.contains(index) else { throw error(.invalidArgument, "argument \(index) is missing") }
        switch arguments[index] {
        case .int(let value): return Double(value)
        case .float(let value): return value
        case .constant(let constant):
            if constant.isScalar, let value = constant.double(at: 0) { return value }
        default: break
        }
        throw error(.invalidType, "argument \(index) expects a number")
    }
}

extension KernelCall {
    /// The number of argument `index` where it is an integer.
    func wholeNumber(_ index: Int) -> Int64? {
        guard arguments.indices.contains(index) else { return nil }
        switch arguments[index] {
        case .int(let value): return value
        case .constant(let constant): return constant.isScalar ? constant.int(at: 0) : nil
        default: return nil
        }
    }
}

/// A pointer that crosses into closures that run on several threads, each in its own part of the memory.
struct Shared<Element>: @unchecked Sendable {
    let pointer: UnsafeMutablePointer<Element>
}

extension KernelArguments {
    @inline(__always) func input<T>(_ index: Int, _: T.Type = T.self) -> UnsafePointer<T> {
        inputs[index].assumingMemoryBound(to: T.self)
    }

    @inline(__always) func output<T>(_ index: Int = 0, _: T.Type = T.self) -> UnsafeMutablePointer<T> {
        outputs[index].assumingMemoryBound(to: T.self)
    }
}

/// Sizes that are computed from others, with an error instead of a trap.
struct CheckedSize {
    let call: KernelCall

    func multiply(_ factors: Int...) throws -> Int {
        var product = 1
        for factor in factors {
            let (next, overflow) = product.multipliedReportingOverflow(by: factor)
            guard !overflow else { throw call.error(.invalidShape, "a size overflows") }
            product = next
        }
        return product
    }
}

/// Memory that each piece of a parallel loop has of its own: the loop has at most so many pieces.
enum Pieces {
    static let most: Int = max(1, min(64, processorCount))

    /// Calls `body` with a piece's number and its part of [0, count).
    @inline(__always) static func forEach(
        _ parallel: Parallel, _ count: Int, grain: Int = 1, _ body: (_ piece: Int, _ range: Range<Int>) -> Void
    ) {
        guard count > 0 else { return }
        let pieces = max(1, min(most, parallel.threads, count / max(grain, 1)))
        parallel.forEach(pieces) { range in
            for piece in range {
                // Both products are below count × 64, which element counts leave room for.
                let part = count * piece / pieces..<count * (piece + 1) / pieces
                if let limits = parallel.limits {
                    limits.inParts(part, grain: grain) { body(piece, $0) }
                } else {
                    body(piece, part)
                }
            }
        }
    }
}

/// Work inside one piece of a loop that may be long by itself: asks the clock after every million elements.
struct Countdown {
    private let limits: WorkLimits?
    private var rest = Countdown.most
    private(set) var isOver = false
    static let most = 1 << 20

    init(_ limits: WorkLimits?) { self.limits = limits }

    /// Whether the work shall not go on, asked in front of `count` elements of it.
    @inline(__always) mutating func isOver(after count: Int) -> Bool {
        rest &-= count
        return rest < 0 && ask()
    }

    @inline(never) private mutating func ask() -> Bool {
        rest = Countdown.most
        isOver = limits?.isOver ?? false
        return isOver
    }
}
