import TenonIR

extension ProgramBuilder {
    // MARK: - Branches

    mutating func branch(
        _ condition: Lowered, _ then: Body, _ other: Body, _ id: ValueID, _ scope: inout Scope
    ) throws -> Lowered {
        if let flag = constant(condition)?.double(at: 0) {
            var inner = scope
            let value = try lower(flag != 0 ? then : other, &inner)
            return value
        }
        guard case .tensor(let tensor) = condition else {
            throw TenonError(.invalidType, "a condition is one number or bool")
        }
        closeStage(nil)
        let stage = stageNumber
        var (first, second): (Lowered?, Lowered?)
        let outer = scope
        let thenBlock = try inBlock { builder in
            var inner = outer
            let value = try builder.lower(then, &inner)
            first = value
            return try builder.tensors(value)
        }
        let otherBlock = try inBlock { builder in
            var inner = outer
            let value = try builder.lower(other, &inner)
            second = value
            return try builder.tensors(value)
        }
        guard let first, let second else { throw TenonError(.internal, "a branch has no result") }
        openStage()
        var joins: [Program.Join] = []
        let result = try join(first, second, scope.name(id), &joins)
        program.stages[stage].end = .branch(
            Program.Branch(
                condition: tensor, then: thenBlock, other: otherBlock, joins: joins, name: scope.name(id)))
        return result
    }

    private func tensors(_ value: Lowered) throws -> [Int] {
        var tensors: [Int] = []
        collectTensors(value, into: &tensors)
        return tensors
    }

    /// One value of what two branches give.
    private mutating func join(
        _ a: Lowered, _ b: Lowered, _ name: String, _ joins: inout [Program.Join]
    ) throws -> Lowered {
        switch (a, b) {
        case (.tensor(let x), .tensor(let y)):
            let output = try joined(type(of: x), type(of: y), name)
            joins.append(Program.Join(output: output, then: x, other: y))
            return .tensor(output.tensor)
        case (.tuple(let fields), .tuple(let others)) where fields.count == others.count:
            var joined: [Lowered] = []
            for (field, other) in zip(fields, others) { joined.append(try join(field, other, name, &joins)) }
            return .tuple(joined)
        case (.literal(let x), .literal(let y)) where x == y: return a
        default: throw CannotLower(reason: "branches of different types")
        }
    }

    /// A tensor that is one of two: sizes that differ become symbols that the run binds.
    mutating func joined(_ a: TensorType, _ b: TensorType, _ name: String) throws -> Program.LateOutput {
        program.roots.append(.patched)
        let root = program.roots.count - 1
        let dtype = a.dtype == b.dtype ? a.dtype : nil
        guard let x = a.shape, let y = b.shape, x.count == y.count else {
            return Program.LateOutput(tensor: newTensor(dtype, nil, root: root, name: name), dims: nil)
        }
        var shape: [Dim] = []
        var found: [Program.Found] = []
        for (p, q) in zip(x, y) {
            if p == q, allBound(p) {
                shape.append(p)
                found.append(.known)
            } else {
                let (fresh, slot) = bindable("size")
                shape.append(fresh)
                found.append(.bind(slot))
            }
        }
        return Program.LateOutput(tensor: newTensor(dtype, shape, root: root, name: name), dims: found)
    }

    // MARK: - Loops

    /// (condition, state…, scan…) = body(i, condition, state…, captures…), as the schema of `loop` says.
    mutating func loop(_ arguments: [Lowered], _ id: ValueID, _ scope: inout Scope) throws -> Lowered {
        guard arguments.count == 5, case .function(let body) = arguments[0], case .tensor(let trips) = arguments[1],
            case .tensor(let flag) = arguments[2], case .tuple(let states) = arguments[3],
            case .tuple(let captures) = arguments[4]
        else { throw CannotLower(reason: "a loop of an unusual form") }
        var initial: [Int] = []
        for state in states {
            guard case .tensor(let tensor) = state else { throw CannotLower(reason: "a loop state that is no tensor") }
            initial.append(tensor)
        }
        guard body.parameters.count == 2 + initial.count + captures.count else {
            throw TenonError(
                .invalidGraph,
                "loop: its body takes \(body.parameters.count) values, given are \(2 + initial.count + captures.count)")
        }
        closeStage(nil)
        let before = self
        // States keep their sizes in most loops; those that do not are found by trying.
        var types: [TensorType] = initial.map { type(of: $0) }
        for _ in 0...(initial.count * 2 + 2) {
            self = before
            let (made, next) = try loop(
                body, trips: trips, flag: flag, initial: initial, types: types, captures: captures, scope.name(id),
                scope)
            if next == types { return made }
            types = next
        }
        throw CannotLower(reason: "a loop whose states have no common type")
    }

    /// Lowers a loop whose states have these types, and gives the types that the body makes of them.
    private mutating func loop(
        _ body: Function, trips: Int, flag: Int, initial: [Int], types: [TensorType], captures: [Lowered],
        _ name: String, _ scope: Scope
    ) throws -> (Lowered, [TensorType]) {
        let stage = stageNumber
        var (iteration, given, next) = (0, 0, 0)
        var parameters: [Program.LateOutput] = []
        var results: [Int] = []
        let outer = Set(program.sizes.symbols.keys)
        let number = try inBlock { builder in
            iteration = builder.parameter(.int64, [], "iteration")
            given = builder.parameter(.bool, [], "condition")
            for type in types {
                parameters.append(try builder.state(type, outer, name))
            }
            // What a parameter binds is there before the body's sizes are evaluated.
            let arguments: [Lowered] =
                [.tensor(iteration), .tensor(given)] + parameters.map { .tensor($0.tensor) } + captures
            let value = try builder.lower(
                body, arguments, composite: scope.composite, depth: scope.depth + 1)
            guard case .tuple(let fields) = value, fields.count > types.count else {
                throw TenonError(.invalidGraph, "loop: its body gives no condition and state", operatorName: "loop")
            }
            for field in fields {
                guard case .tensor(let tensor) = field else {
                    throw CannotLower(reason: "a loop whose body gives no tensor")
                }
                results.append(tensor)
            }
            next = results[0]
            return results
        }
        var generalised: [TensorType] = []
        for (index, type) in types.enumerated() {
            generalised.append(ProgramBuilder.common(type, self.type(of: results[index + 1]), outer))
        }
        openStage()
        var states: [Program.State] = []
        var fields: [Lowered] = []
        for index in types.indices {
            let output = try state(types[index], outer, name)
            states.append(
                Program.State(
                    initial: initial[index], parameter: parameters[index], next: results[index + 1], output: output))
            fields.append(.tensor(output.tensor))
        }
        var scans: [Program.Scan] = []
        for tensor in results[(types.count + 1)...] {
            let type = type(of: tensor)
            guard let dtype = type.dtype, let rank = type.rank else {
                throw CannotLower(reason: "a scan value of unknown rank")
            }
            program.roots.append(.patched)
            let root = program.roots.count - 1
            let (count, slot) = bindable("iterations")
            var shape = [count]
            var found = [Program.Found.bind(slot)]
            for _ in type.shape ?? [] {
                let (fresh, slot) = bindable("size")
                shape.append(fresh)
                found.append(.bind(slot))
            }
            scans.append(
                Program.Scan(
                    value: tensor,
                    output: Program.LateOutput(
                        tensor: newTensor(dtype, type.shape == nil ? nil : shape, root: root, name: name),
                        dims: type.shape == nil ? nil : found),
                    dtype: dtype, rank: rank))
            fields.append(.tensor(scans[scans.count - 1].output.tensor))
        }
        program.stages[stage].end = .loop(
            Program.Loop(
                tripCount: trips, condition: flag, body: number, iteration: iteration, given: given, next: next,
                states: states, scans: scans, name: name))
        return (.tuple(fields), generalised)
    }

    private mutating func parameter(_ dtype: DataType, _ shape: [Dim], _ name: String) -> Int {
        program.roots.append(.patched)
        return newTensor(dtype, shape, root: program.roots.count - 1, name: name)
    }

    /// A tensor for a state of this type: sizes in symbols from outside stay, others are bound anew.
    private mutating func state(
        _ type: TensorType, _ outer: Set<String>, _ name: String
    ) throws -> Program.LateOutput {
        program.roots.append(.patched)
        let root = program.roots.count - 1
        guard let dims = type.shape else {
            guard let rank = type.rank else {
                return Program.LateOutput(tensor: newTensor(type.dtype, nil, root: root, name: name), dims: nil)
            }
            var shape: [Dim] = []
            var found: [Program.Found] = []
            for _ in 0..<rank {
                let (fresh, slot) = bindable("size")
                shape.append(fresh)
                found.append(.bind(slot))
            }
            return Program.LateOutput(tensor: newTensor(type.dtype, shape, root: root, name: name), dims: found)
        }
        var shape: [Dim] = []
        var found: [Program.Found] = []
        for dim in dims {
            if dim.symbols.allSatisfy(outer.contains) {
                shape.append(dim)
                found.append(.known)
            } else {
                let (fresh, slot) = bindable("size")
                shape.append(fresh)
                found.append(.bind(slot))
            }
        }
        return Program.LateOutput(tensor: newTensor(type.dtype, shape, root: root, name: name), dims: found)
    }

    /// What holds for both: equal sizes in symbols from outside stay, other sizes are any (said by a symbol of no scope).
    private static func common(_ a: TensorType, _ b: TensorType, _ outer: Set<String>) -> TensorType {
        let dtype = a.dtype == b.dtype ? a.dtype : nil
        guard let x = a.shape, let y = b.shape, x.count == y.count else {
            if let rank = a.rank, rank == b.rank { return TensorType(dtype, [Dim](repeating: anySize, count: rank)) }
            return TensorType(dtype: dtype, rank: nil)
        }
        return TensorType(dtype, zip(x, y).map { $0 == $1 && $0.symbols.allSatisfy(outer.contains) ? $0 : anySize })
    }

    private static let anySize = Dim.symbol("?")
}
