import TenonIR

/// Checks a program without regard to what made it: every index, that tensors are written once and before they are read,
/// that views have the size of what they view, that sizes are computed before they are used.
struct ProgramVerifier {
    private let program: Program
    /// Tensors that have a value, and roots that one of them has filled.
    private var written: [Bool]
    private var filled: [Bool]
    /// Entries of the table of sizes that have one.
    private var sized: [Bool]
    /// Blocks that something runs.
    private var entered: [Bool]

    static func verify(_ program: Program) throws {
        var verifier = ProgramVerifier(
            program: program, written: [Bool](repeating: false, count: program.tensors.count),
            filled: [Bool](repeating: false, count: program.roots.count),
            sized: [Bool](repeating: false, count: program.sizes.slotCount),
            entered: [Bool](repeating: false, count: program.blocks.count))
        try verifier.verify()
    }

    private mutating func verify() throws {
        for tensor in program.tensors.indices {
            guard program.roots.indices.contains(program.tensors[tensor].root) else {
                throw fault("tensor \(tensor) has no root")
            }
            if case .constant(let index) = program.roots[program.tensors[tensor].root] {
                guard program.constants.indices.contains(index) else { throw fault("constant \(index) is missing") }
                try constant(tensor, program.constants[index])
                written[tensor] = true
                filled[program.tensors[tensor].root] = true
            }
        }
        for (index, input) in program.inputs.enumerated() {
            try self.tensor(input.tensor)
            guard case .input(index) = program.roots[program.tensors[input.tensor].root] else {
                throw fault("input \(index) is bound to another root")
            }
            try find(Program.LateOutput(tensor: input.tensor, dims: input.dims), "input \(index)")
        }
        try evaluate(program.entry, "the inputs")
        try evaluate(program.outputSizes, "the outputs", isTrial: true)
        guard program.outputDims.count == program.outputs.count else { throw fault("outputs without sizes") }
        try block(Program.main)
        for output in program.outputs { try read(output, "the result") }
    }

    private func constant(_ index: Int, _ constant: Constant) throws {
        let tensor = program.tensors[index]
        var sizes: [Int64] = []
        for case .fixed(let value)? in (tensor.dims ?? []).map({ Optional($0) }) { sizes.append(value) }
        guard tensor.dtype == constant.dtype, sizes.count == tensor.dims?.count,
            checkedElementCount(sizes) == constant.count
        else { throw fault("tensor \(index) does not view its constant") }
    }

    // MARK: - Blocks

    private mutating func block(_ number: Int) throws {
        guard program.blocks.indices.contains(number), !entered[number] else {
            throw fault("block \(number) is missing or runs in two places")
        }
        entered[number] = true
        for stage in program.blocks[number].stages {
            guard program.stages.indices.contains(stage) else { throw fault("stage \(stage) is missing") }
            try self.stage(program.stages[stage], stage)
        }
        for result in program.blocks[number].results { try read(result, "the result of block \(number)") }
    }

    private mutating func stage(_ stage: Program.Stage, _ number: Int) throws {
        try evaluate(stage.sizes, "stage \(number)")
        for node in stage.nodes {
            let what = "'\(node.name)'"
            var own: Set<Int32> = []
            for position in node.slots {
                guard let index = Int(exactly: position), stage.slots.indices.contains(index) else {
                    throw fault("\(what) depends on a size that its stage does not name")
                }
                own.insert(stage.slots[index])
            }
            let slots = own
            func depends(_ size: Size) throws {
                if case .slot(let slot) = size, !slots.contains(slot) {
                    throw fault("\(what) uses size \(slot) and does not name it")
                }
            }
            for input in node.inputs {
                try read(input, what)
                guard program.tensors[input].isPlanned else { throw fault("\(what) reads a tensor of unknown size") }
                for size in program.tensors[input].dims ?? [] { try depends(size) }
            }
            for output in node.outputs {
                try write(output, what)
                guard program.tensors[output].isPlanned,
                    case .node(number) = program.roots[program.tensors[output].root]
                else { throw fault("\(what) writes what does not belong to its stage") }
                for size in program.tensors[output].dims ?? [] {
                    try depends(size)
                    try use(size, what)
                }
            }
            switch node.work {
            case .sizes(let sizes): for size in sizes { try use(size, what) }
            case .operation(let operation): try arguments(operation.arguments, node.inputs, what)
            case .chain(let chain):
                try arguments(chain.anchor.arguments, Array(node.inputs.prefix(max(chain.anchorInputs, 0))), what)
                guard
                    chain.steps.allSatisfy({
                        $0.operand.map { $0 >= 0 && $0 < node.inputs.count - chain.anchorInputs } ?? true
                    })
                else {
                    throw fault("\(what): a step has no operand")
                }
            case .region(let region): try arguments(region.arguments, nil, what)
            }
        }
        try end(stage.end)
    }

    private func arguments(_ arguments: [Program.Argument], _ inputs: [Int]?, _ what: String) throws {
        for argument in arguments {
            switch argument {
            case .tensor(let tensor), .shapeTensor(let tensor):
                try self.tensor(tensor)
                if let inputs, !inputs.contains(tensor) { throw fault("\(what): an argument is no input") }
            case .shape(let sizes): for size in sizes { try use(size, what) }
            case .tuple(let fields): try self.arguments(fields, inputs, what)
            case .literal: break
            }
        }
    }

    private mutating func end(_ end: Program.End?) throws {
        switch end {
        case nil: break
        case .late(let late):
            for input in late.inputs { try read(input, "'\(late.name)'") }
            try arguments(late.operation.arguments, late.inputs, "'\(late.name)'")
            for output in late.outputs { try patch(output, "'\(late.name)'") }
        case .sizes(let tensor, let dims, let name):
            try read(tensor, "'\(name)'")
            for dim in dims { try find(dim, "'\(name)'") }
        case .cast(let tensor, let output, let name):
            try read(tensor, "'\(name)'")
            guard program.tensors[tensor].root == program.tensors[output.tensor].root else {
                throw fault("'\(name)' casts to another root")
            }
            try find(output, "'\(name)'")
        case .branch(let branch):
            try read(branch.condition, "'\(branch.name)'")
            let before = (written, filled, sized)
            try block(branch.then)
            for join in branch.joins { try read(join.then, "'\(branch.name)'") }
            (written, filled, sized) = before
            try block(branch.other)
            for join in branch.joins { try read(join.other, "'\(branch.name)'") }
            (written, filled, sized) = before
            for join in branch.joins { try patch(join.output, "'\(branch.name)'") }
        case .loop(let loop): try self.loop(loop)
        }
    }

    private mutating func loop(_ loop: Program.Loop) throws {
        let name = "'\(loop.name)'"
        for tensor in [loop.tripCount, loop.condition] + loop.states.map(\.initial) { try read(tensor, name) }
        let before = (written, filled, sized)
        for tensor in [loop.iteration, loop.given] { try patch(Program.LateOutput(tensor: tensor, dims: []), name) }
        for state in loop.states { try patch(state.parameter, name) }
        try block(loop.body)
        for tensor in [loop.next] + loop.states.map(\.next) + loop.scans.map(\.value) { try read(tensor, name) }
        (written, filled, sized) = before
        for output in loop.states.map(\.output) + loop.scans.map(\.output) { try patch(output, name) }
    }

    // MARK: - Tensors and sizes

    private func tensor(_ index: Int) throws {
        guard program.tensors.indices.contains(index) else { throw fault("tensor \(index) is missing") }
    }

    private func read(_ index: Int, _ what: String) throws {
        try tensor(index)
        let root = program.tensors[index].root
        guard filled[root] else { throw fault("\(what) reads tensor \(index) before it is written") }
        for size in program.tensors[index].dims ?? [] { try use(size, what) }
    }

    private mutating func write(_ index: Int, _ what: String) throws {
        try tensor(index)
        guard !written[index] else { throw fault("\(what) writes tensor \(index) a second time") }
        written[index] = true
        filled[program.tensors[index].root] = true
    }

    /// A tensor whose address comes with the run.
    private mutating func patch(_ output: Program.LateOutput, _ what: String) throws {
        try tensor(output.tensor)
        guard case .patched = program.roots[program.tensors[output.tensor].root] else {
            throw fault("\(what) gives an address to memory that has one")
        }
        try find(output, what)
    }

    private mutating func find(_ output: Program.LateOutput, _ what: String) throws {
        try write(output.tensor, what)
        guard let dims = output.dims else {
            guard program.tensors[output.tensor].dims == nil else { throw fault("\(what) does not find its sizes") }
            return
        }
        guard dims.count == program.tensors[output.tensor].dims?.count ?? dims.count else {
            throw fault("\(what) finds sizes of another rank")
        }
        for dim in dims { try find(dim, what) }
    }

    private mutating func find(_ found: Program.Found, _ what: String) throws {
        switch found {
        case .bind(let slot):
            guard sized.indices.contains(Int(slot)) else { throw fault("\(what) binds size \(slot), which is missing") }
            sized[Int(slot)] = true
        // What an input is held against may be computed from other inputs.
        case .check(let size):
            if case .slot(let slot) = size, !sized.indices.contains(Int(slot)) {
                throw fault("\(what) is held against size \(slot), which is missing")
            }
        case .known: break
        }
    }

    private func use(_ size: Size, _ what: String) throws {
        guard case .slot(let slot) = size else { return }
        guard sized.indices.contains(Int(slot)), sized[Int(slot)] else {
            throw fault("\(what) uses size \(slot) before it is computed")
        }
    }

    private mutating func evaluate(_ range: Range<Int>, _ what: String, isTrial: Bool = false) throws {
        guard range.lowerBound >= 0, range.upperBound <= program.sizes.instructions.count else {
            throw fault("\(what): instructions \(range) are missing")
        }
        let before = sized
        for index in range {
            let step = program.sizes.instructions[index]
            if step.opcode == .expression {
                guard program.sizes.expressions.indices.contains(Int(step.note)) else {
                    throw fault("\(what): expression \(step.note) is missing")
                }
                for symbol in program.sizes.expressions[Int(step.note)].symbols {
                    guard let slot = program.sizes.allSymbols[symbol] else {
                        throw fault("\(what): no symbol \(symbol)")
                    }
                    try use(.slot(slot), what)
                }
            } else {
                try use(step.a, what)
                try use(step.b, what)
                guard program.sizes.notes.indices.contains(Int(step.note)) else { throw fault("\(what): no message") }
            }
            guard step.opcode == .equal || step.opcode == .natural || sized.indices.contains(Int(step.target)) else {
                throw fault("\(what) computes size \(step.target), which is missing")
            }
            if step.opcode != .equal, step.opcode != .natural { sized[Int(step.target)] = true }
        }
        if isTrial { sized = before }
    }

    private func fault(_ text: String) -> TenonError { TenonError(.internal, "program: \(text)") }
}
