import TenonIR

/// Makes a stage ready for the sizes in a table: kernels prepared, regions compiled, memory laid out.
struct StageBinder {
    private let nodes: NodePreparation
    private let module: Module
    private let backends: [String: any Backend]
    private let options: CompileOptions
    /// Whether pieces of memory are made larger than they must be.
    private var hasRoom = false

    private var steps: [StagePlan.Step] = []
    private var work: [(node: Int, inputs: [Int], outputs: [Int])] = []
    private var kernels: [PreparedKernel] = []
    private var regions: [any CompiledRegion] = []
    private var descriptions: [StepDescription] = []
    private var nanoseconds = 0.0

    static func bind(
        _ number: Int, _ program: Program, _ table: UnsafePointer<Int64>, module: Module,
        backends: [String: any Backend], options: CompileOptions, outputs: Set<Int>, previous: StagePlan?,
        hasRoom: Bool = false
    ) throws -> StagePlan {
        var binder = StageBinder(
            nodes: NodePreparation(program: program, table: table, providers: options.askedProviders), module: module,
            backends: backends, options: options)
        binder.hasRoom = hasRoom
        let stage = program.stages[number]
        let previous = previous.flatMap { $0.threads == options.threads ? $0 : nil }
        for (index, node) in stage.nodes.enumerated() {
            do {
                if let previous, node.slots.allSatisfy({ previous.key[Int($0)] == table[Int(stage.slots[Int($0)])] }) {
                    binder.take(index, node, from: previous)
                } else {
                    try binder.add(node, index)
                }
            } catch let error as TenonError {
                throw error.located(at: node.name)
            }
        }
        return try binder.finish(stage, number, outputs)
    }

    private var program: Program { nodes.program }
    private var table: UnsafePointer<Int64> { nodes.table }

    private init(
        nodes: NodePreparation, module: Module, backends: [String: any Backend], options: CompileOptions
    ) {
        self.nodes = nodes
        self.module = module
        self.backends = backends
        self.options = options
    }

    // MARK: - Nodes

    /// A step whose sizes are as they were in another plan of the stage.
    private mutating func take(_ index: Int, _ node: Program.Node, from plan: StagePlan) {
        let step = plan.steps[index]
        var work = step.work
        switch work {
        case .kernel(let kernel):
            work = .kernel(kernels.count)
            kernels.append(plan.kernels[kernel])
        case .region(let region):
            work = .region(regions.count)
            regions.append(plan.regions[region])
        case .sizes: break
        }
        let end = index + 1 < plan.steps.count ? plan.steps[index + 1].description : plan.descriptions.count
        append(
            work, node, index, workspace: step.workspaceBytes,
            Array(plan.descriptions.prefix(end).dropFirst(step.description)),
            nanoseconds: step.nanoseconds)
    }

    private mutating func add(_ node: Program.Node, _ index: Int) throws {
        switch node.work {
        case .operation(let operation): try add(operation.op, operation.op.name, node, index)
        case .region(let region): try add(region, node, index)
        case .chain(let chain):
            let op = chain.anchor.op
            try add(op, "\(op.name)+\(chain.steps.count)", node, index)
        case .sizes(let sizes):
            append(
                .sizes(sizes), node, index, workspace: 0,
                [
                    StepDescription(
                        binding: node.name, composite: node.composite, implementation: "tenon:sizes",
                        bytes: sizes.count * 8)
                ], nanoseconds: 100)
        }
    }

    private mutating func append(
        _ work: StagePlan.Work, _ node: Program.Node, _ index: Int, workspace: Int, _ described: [StepDescription],
        nanoseconds: Double
    ) {
        steps.append(
            StagePlan.Step(
                work: work, inputs: 0, outputs: 0, end: 0, workspace: 0, workspaceBytes: workspace,
                nanoseconds: nanoseconds, description: descriptions.count,
                name: node.name))
        self.work.append((index, node.inputs, node.outputs))
        descriptions += described
        self.nanoseconds += nanoseconds
    }

    private mutating func add(
        _ op: OperatorID, _ work: String, _ node: Program.Node, _ index: Int
    ) throws {
        let (kernel, specs) = try nodes.prepare(node)
        kernels.append(kernel)
        append(
            .kernel(kernels.count - 1), node, index, workspace: kernel.scratchBytes,
            [
                StepDescription(
                    binding: node.name, composite: node.composite, implementation: "\(kernel.provider):\(work)",
                    bytes: specs.totalBytes)
            ], nanoseconds: PlanBuilder.nanoseconds(op, kernel, specs))
    }

    private mutating func add(_ region: Program.Region, _ node: Program.Node, _ index: Int) throws {
        guard let backend = backends[region.codegen] else {
            throw TenonError(.notFound, "region '\(region.name)': no backend '\(region.codegen)'")
        }
        let given = try region.arguments.map { argument in
            let type = try self.type(of: argument)
            let known = nodes.operand(argument)
            return Specialiser.Argument(type: type, known: Specialiser.isKnown(known) ? known : nil)
        }
        let special = try Specialiser(module: module).specialise(region.function, given, depth: 0)
        let ready: any CompiledRegion
        do {
            ready = try backend.compile(special, name: region.name, options: options)
        } catch let error as TenonError where error.status == .unsupported {
            throw RegionRefused(name: region.name)
        }
        regions.append(ready)
        append(
            .region(regions.count - 1), node, index, workspace: ready.workspaceBytes,
            ready.steps.map { step in
                var step = step
                step.region = region.name
                return step
            }, nanoseconds: ready.expectedNanoseconds)
    }

    private func type(of argument: Program.Argument) throws -> ValueType {
        switch argument {
        case .tensor(let tensor), .shapeTensor(let tensor):
            let spec = try nodes.spec(tensor)
            return .tensor(spec.dtype, spec.shape.map { Int64($0) })
        case .shape(let sizes): return .shape(sizes.map { .fixed(SizeProgram.value($0, table)) })
        case .literal(.int): return .scalar(.int64)
        case .literal(.float): return .scalar(.float64)
        case .literal(.string): return .scalar(.string)
        case .literal: return .object
        case .tuple(let fields): return .tuple(try fields.map { try type(of: $0) })
        }
    }

    // MARK: - Memory

    /// Gives every root of the stage its place in one block.
    private mutating func finish(
        _ stage: Program.Stage, _ number: Int, _ outputs: Set<Int>
    ) throws -> StagePlan {
        var requests: [ArenaRequest] = []
        var request: [Int: Int] = [:]
        for (position, entry) in work.enumerated() {
            for tensor in entry.inputs + entry.outputs {
                let root = program.tensors[tensor].root
                guard case .node(number) = program.roots[root], !outputs.contains(root) else { continue }
                let bytes = try nodes.spec(tensor).byteCount
                if let index = request[root] {
                    requests[index].last = max(requests[index].last, position)
                    requests[index].bytes = max(requests[index].bytes, bytes)
                } else {
                    request[root] = requests.count
                    requests.append(ArenaRequest(bytes: bytes, first: position, last: position))
                }
            }
        }
        for root in stage.escaping { if let index = request[root] { requests[index].last = steps.count } }
        let firstScratch = requests.count
        for (position, step) in steps.enumerated() {
            requests.append(ArenaRequest(bytes: step.workspaceBytes, first: position, last: position))
        }
        if hasRoom {
            for index in requests.indices { requests[index].bytes = StageBinder.larger(requests[index].bytes) }
        }
        guard let arena = ArenaPlanner.plan(requests) else {
            throw TenonError(.limitExceeded, "main: intermediates need more bytes than can be addressed")
        }
        try StageMemory.verify(requests, arena.offsets, arena.bytes)
        var places: [StagePlan.Place] = []
        for (position, entry) in work.enumerated() {
            steps[position].inputs = Int32(places.count)
            for tensor in entry.inputs { places.append(place(tensor, request, requests, arena.offsets)) }
            steps[position].outputs = Int32(places.count)
            for tensor in entry.outputs { places.append(place(tensor, request, requests, arena.offsets)) }
            steps[position].end = Int32(places.count)
            steps[position].workspace = arena.offsets[firstScratch + position]
            steps[position].workspaceBytes = requests[firstScratch + position].bytes
        }
        var escaping: [(root: Int, offset: Int)] = []
        for root in stage.escaping { if let index = request[root] { escaping.append((root, arena.offsets[index])) } }
        return StagePlan(
            key: stage.slots.map { table[Int($0)] }, threads: options.threads, steps: steps, places: places,
            escaping: escaping, kernels: kernels, regions: regions, descriptions: descriptions, bytes: arena.bytes,
            scratchBytes: requests[firstScratch...].reduce(0) { max($0, $1.bytes) }, expectedNanoseconds: nanoseconds)
    }

    /// With room for what grows by steps; large pieces are as large as they must be.
    private static func larger(_ bytes: Int) -> Int {
        bytes > 0 && bytes <= 1 << 20 ? bytes &+ bytes / 2 &+ 64 : bytes
    }

    private func place(
        _ tensor: Int, _ request: [Int: Int], _ requests: [ArenaRequest], _ offsets: [Int]
    ) -> StagePlan.Place {
        let root = program.tensors[tensor].root
        if let index = request[root] {
            return StagePlan.Place(root: -1, offset: offsets[index], room: requests[index].bytes)
        }
        return StagePlan.Place(root: Int32(root), offset: 0)
    }
}

/// Checks a layout of memory without regard to what made it.
enum StageMemory {
    /// That pieces alive at the same time do not overlap and lie inside the block.
    static func verify(_ requests: [ArenaRequest], _ offsets: [Int], _ bytes: Int) throws {
        guard requests.count == offsets.count else { throw fault("a piece without a place") }
        let order = requests.indices.filter { requests[$0].bytes > 0 }.sorted {
            requests[$0].first < requests[$1].first
        }
        var alive: [Int] = []
        for index in order {
            let request = requests[index]
            let (end, overflow) = offsets[index].addingReportingOverflow(request.bytes)
            guard !overflow, offsets[index] >= 0, end <= bytes, request.first <= request.last else {
                throw fault("a piece lies outside")
            }
            alive.removeAll { requests[$0].last < request.first }
            for other in alive where offsets[other] < end && offsets[index] < offsets[other] + requests[other].bytes {
                throw fault("pieces \(other) and \(index) overlap while both are used")
            }
            alive.append(index)
        }
    }

    private static func fault(_ text: String) -> TenonError { TenonError(.internal, "memory plan: \(text)") }
}
