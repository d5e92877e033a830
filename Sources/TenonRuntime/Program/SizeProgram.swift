import TenonIR

/// A dimension in a program: a number, or an entry of the table of sizes that a run fills.
enum Size: Hashable, Sendable {
    case fixed(Int64)
    case slot(Int32)
}

/// Sizes as compiled expressions over the symbols of a program, evaluated into a table of numbers on the host.
///
/// Instructions are kept in the order in which they were asked for; a stage of a program evaluates a range of them when it
/// begins, after all symbols that occur there are bound.
struct SizeProgram: Sendable {
    enum Opcode: UInt8, Sendable {
        case add
        case multiply
        case floorDivide
        case maximum
        /// By the expression itself, for forms that have no instruction.
        case expression
        /// Fails unless both are equal.
        case equal
        /// Fails when the first is negative.
        case natural
    }

    struct Instruction: Sendable {
        var opcode: Opcode
        var a: Size
        var b: Size
        var target: Int32
        /// Index of a message, or of an expression.
        var note: Int32
    }

    private(set) var instructions: [Instruction] = []
    private(set) var slotCount = 0
    /// What a check says when it fails.
    private(set) var notes: [String] = []
    private(set) var expressions: [Dim] = []
    private var slots: [Dim: Int32] = [:]
    /// Symbols that are bound where the program is being compiled.
    private(set) var symbols: [String: Int32] = [:]
    /// Those that ever were.
    private(set) var allSymbols: [String: Int32] = [:]

    /// What is compiled so far, for returning to it when a block ends: sizes of a branch are not there behind it.
    struct Mark {
        fileprivate var slots: [Dim: Int32]
        fileprivate var symbols: [String: Int32]
    }

    var mark: Mark { Mark(slots: slots, symbols: symbols) }
    mutating func restore(_ mark: Mark) { (slots, symbols) = (mark.slots, mark.symbols) }

    // MARK: - Compiling

    /// A new symbol, bound by whatever writes its slot.
    mutating func bindable(_ name: String) -> (dim: Dim, slot: Int32) {
        let dim = Dim.symbol(name)
        let slot = newSlot()
        symbols[name] = slot
        allSymbols[name] = slot
        slots[dim] = slot
        return (dim, slot)
    }

    /// The value of a dimension; the instructions that compute it are added.
    ///
    /// - Throws: when a symbol is not bound.
    mutating func size(_ dim: Dim) throws -> Size {
        switch dim {
        case .fixed(let value): return .fixed(value)
        case .symbolic(let expression):
            if let slot = slots[dim] { return .slot(slot) }
            guard dim.symbols.allSatisfy({ symbols[$0] != nil }) else { throw SizeProgram.unbound(dim) }
            let slot = try compile(expression, of: dim)
            slots[dim] = slot
            return .slot(slot)
        }
    }

    static func unbound(_ dim: Dim) -> TenonError {
        TenonError(.invalidGraph, "the size \(dim) has a symbol that nothing binds")
    }

    private mutating func compile(_ expression: DimExpression, of dim: Dim) throws -> Int32 {
        var total: Size?
        for term in expression.terms {
            var product: Size?
            for factor in term.factors {
                let value: Size
                switch factor {
                case .symbol(let name):
                    guard let slot = symbols[name] else { throw SizeProgram.unbound(dim) }
                    value = .slot(slot)
                case .floorDivide(let inner, let divisor):
                    value = add(.floorDivide, try size(inner.dim), .fixed(divisor), dim)
                case .max(let a, let b):
                    value = add(.maximum, try size(a.dim), try size(b.dim), dim)
                @unknown default: return general(dim)
                }
                product = product.map { add(.multiply, $0, value, dim) } ?? value
            }
            if term.coefficient != 1 || product == nil {
                let factor = Size.fixed(term.coefficient)
                product = product.map { add(.multiply, $0, factor, dim) } ?? factor
            }
            if let product { total = total.map { add(.add, $0, product, dim) } ?? product }
        }
        if expression.constant != 0 || total == nil {
            let constant = Size.fixed(expression.constant)
            total = total.map { add(.add, $0, constant, dim) } ?? constant
        }
        if case .slot(let slot)? = total { return slot }
        return general(dim)
    }

    private mutating func general(_ dim: Dim) -> Int32 {
        let slot = newSlot()
        expressions.append(dim)
        instructions.append(
            Instruction(
                opcode: .expression, a: .fixed(0), b: .fixed(0), target: slot, note: Int32(expressions.count - 1)))
        return slot
    }

    private mutating func add(_ opcode: Opcode, _ a: Size, _ b: Size, _ dim: Dim) -> Size {
        let slot = newSlot()
        instructions.append(
            Instruction(opcode: opcode, a: a, b: b, target: slot, note: note("a size overflows: \(dim)")))
        return .slot(slot)
    }

    private mutating func newSlot() -> Int32 {
        slotCount += 1
        return Int32(truncatingIfNeeded: slotCount - 1)
    }

    private mutating func note(_ text: String) -> Int32 {
        if notes.last != text { notes.append(text) }
        return Int32(truncatingIfNeeded: notes.count - 1)
    }

    /// A check that two sizes are equal when the program runs. False when they never are.
    mutating func require(_ a: Dim, equals b: Dim, _ message: String) throws -> Bool {
        if a == b { return true }
        if a.isFixed, b.isFixed { return false }
        let (x, y) = (try size(a), try size(b))
        instructions.append(Instruction(opcode: .equal, a: x, b: y, target: 0, note: note(message)))
        return true
    }

    /// A check that a size is not negative.
    mutating func requireNatural(_ size: Size, _ message: @autoclosure () -> String) {
        guard case .slot = size else { return }
        instructions.append(Instruction(opcode: .natural, a: size, b: .fixed(0), target: 0, note: note(message())))
    }

    // MARK: - Evaluating

    /// Evaluates instructions into the table. Allocates nothing when all is well.
    func evaluate(_ range: Range<Int>, _ table: UnsafeMutablePointer<Int64>) throws {
        for index in range {
            let step = instructions[index]
            let (a, b) = (SizeProgram.value(step.a, table), SizeProgram.value(step.b, table))
            var overflow = false
            switch step.opcode {
            case .add: (table[Int(step.target)], overflow) = a.addingReportingOverflow(b)
            case .multiply: (table[Int(step.target)], overflow) = a.multipliedReportingOverflow(by: b)
            case .floorDivide:
                guard let quotient = Dim.floorDividing(.fixed(a), by: b)?.value else { throw failure(step) }
                table[Int(step.target)] = quotient
            case .maximum: table[Int(step.target)] = max(a, b)
            case .expression: table[Int(step.target)] = try general(step, table)
            case .equal: if a != b { throw failure(step, ", found \(a) and \(b)") }
            case .natural: if a < 0 { throw failure(step, ", found \(a)") }
            }
            if overflow { throw failure(step) }
        }
    }

    @inline(__always) static func value(_ size: Size, _ table: UnsafePointer<Int64>) -> Int64 {
        switch size {
        case .fixed(let value): value
        case .slot(let slot): table[Int(slot)]
        }
    }

    @inline(__always) static func value(_ size: Size, _ table: UnsafeMutablePointer<Int64>) -> Int64 {
        value(size, UnsafePointer(table))
    }

    private func general(_ step: Instruction, _ table: UnsafeMutablePointer<Int64>) throws -> Int64 {
        let dim = expressions[Int(step.note)]
        var values: [String: Int64] = [:]
        for symbol in dim.symbols {
            guard let slot = allSymbols[symbol] else { throw SizeProgram.unbound(dim) }
            values[symbol] = table[Int(slot)]
        }
        guard let value = dim.evaluate(values) else {
            throw TenonError(.invalidShape, "a size overflows or divides by 0: \(dim)")
        }
        return value
    }

    private func failure(_ step: Instruction, _ found: String = "") -> TenonError {
        TenonError(.invalidShape, "\(notes[Int(step.note)])\(found)")
    }
}

extension DimExpression {
    /// The dimension that has this expression; a number where it has no terms.
    var dim: Dim { terms.isEmpty ? .fixed(constant) : .symbolic(self) }
}
