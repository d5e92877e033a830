import CDNNL
import Synchronization
import TenonIR
import TenonRewrite

/// Asks oneDNN, before a match becomes a composite, whether it has an optimised implementation of it: one primitive for all
/// of the match, and not the reference loops, which are slower than separate operators. Sizes that are not known are left
/// to planning, which cuts such chains.
enum BackendSupport {
    /// The rule, with oneDNN asked after its own check.
    static func asking(_ rule: FusionPattern) -> FusionPattern {
        var asking = rule
        let check = rule.check
        asking.check = { candidate in try check?(candidate) ?? refusal(candidate) }
        return asking
    }

    /// Answers given before, by what was asked.
    private static let answers = Mutex<[Int: Refusal?]>([:])
    private static let mostAnswers = 1 << 14

    private static func refusal(_ candidate: FusionCandidate) -> Refusal? {
        if let view = view(candidate) { return view }
        guard let question = CandidateFunction(candidate) else { return nil }
        if let known = ForkBarrier.away({ answers.withLock { $0[question.key] } }) { return known }
        // What cannot be asked here is decided, and reported, by the compilation.
        guard let answer = try? ask(question.function) else { return nil }
        ForkBarrier.away {
            answers.withLock {
                if $0.count >= mostAnswers { $0.removeAll() }
                $0[question.key] = .some(answer.refusal)
            }
        }
        return answer.refusal
    }

    /// Layouts are written out before rules are asked.
    private static func view(_ candidate: FusionCandidate) -> Refusal? {
        for id in candidate.interior {
            guard case .call(let call)? = candidate.table.definition(id), !call.isPlain else { continue }
            return Refusal(
                .attribute, found: "a layout other than the operator's own", expected: "ExpandOperators applied before")
        }
        return nil
    }

    private struct Answer {
        var refusal: Refusal?
    }

    private static let blockSize: Int? = (try? Engine.shared()).map { PlanContext.preferredBlockSize($0) }

    private static func ask(_ function: Function) throws -> Answer {
        var graph = try RegionReader.read(function)
        graph.composites = ["asked"]
        for index in graph.ops.indices { graph.ops[index].composite = 0 }
        let folded = try ChainFolding.fold(graph)
        let threads = max(Int(tdnnl_get_threads()), 1)
        let context = PlanContext(
            engine: try Engine.shared(), graph: folded.graph, threads: threads, blockSize: blockSize ?? 16,
            costs: CostModel(threads: threads))
        var primitives = 0
        for node in folded.nodes {
            switch node.operation {
            // A concatenation costs nothing where its parts are computed in place.
            case .view, .transposition, .concat: continue
            case .kernel(let op): return Answer(refusal: none("\(op.name) with these attributes and sizes"))
            default: primitives += 1
            }
            if primitives > 1 {
                return Answer(refusal: none("the match as one primitive: \(node.binding) would be a second one"))
            }
            if let refusal = try refusal(node, graph.ops[0].name, context) { return Answer(refusal: refusal) }
        }
        return Answer(refusal: nil)
    }

    /// Nil as soon as one layout has more than reference loops.
    private static func refusal(_ node: RegionNode, _ name: String, _ given: PlanContext) throws -> Refusal? {
        var context = given
        var best: String?
        // Blocks first: where they are possible, they mostly end the search.
        for layout in [Layout.blocked, .channelsLast, .plain] {
            context.onlyLayout = layout
            let found = try CandidateMaker(context: context).candidates(node)
            if CandidateMaker.isFast(found) { return nil }
            best = best ?? found.first?.implementation
        }
        let steps = node.postOps.isEmpty ? "" : " with \(node.postOps.count) post-operations"
        guard let best else { return none(name + steps) }
        return Refusal(
            .backendRefused, found: "\(best) for \(name)\(steps)", expected: "an optimised implementation in oneDNN")
    }

    private static func none(_ what: String) -> Refusal {
        Refusal(
            .backendRefused, found: "no implementation in oneDNN of \(what)",
            expected: "an optimised implementation in oneDNN")
    }
}

/// A match as a function of its own, and what tells it from others as far as oneDNN is concerned: operators, attributes,
/// sizes, and the values of single numbers.
struct CandidateFunction {
    let function: Function
    let key: Int

    /// Nil where a size is not known; with `assumedSize`, that stands for each symbol.
    init?(_ candidate: FusionCandidate, assumedSize: Int64? = nil) {
        let source = candidate.table.function
        var function = Function()
        var block = Block(isDataflow: true)
        var inner: [ValueID: ValueID] = [:]
        var hasher = Hasher()
        func hash(_ type: ValueType) -> Bool {
            guard let tensor = type.asTensor, let shape = tensor.staticShape else { return false }
            hasher.combine(tensor.dtype)
            hasher.combine(shape)
            return true
        }
        func sized(_ dims: [Dim]) -> [Dim]? {
            guard let assumedSize else { return dims }
            let sizes = Dictionary(dims.flatMap(\.symbols).map { ($0, assumedSize) }) { first, _ in first }
            let known = dims.compactMap { $0.evaluate(sizes) }
            return known.count == dims.count && known.allSatisfy { $0 >= 0 } ? known.map { .fixed($0) } : nil
        }
        func sized(_ type: ValueType) -> ValueType? {
            guard let tensor = type.asTensor, tensor.staticShape == nil, let dtype = tensor.dtype,
                let shape = tensor.shape
            else { return type }
            return sized(shape).map { .tensor(TensorType(dtype, $0)) }
        }
        func mapped(_ operand: Operand) -> Operand? {
            var operand = operand
            if case .value(let id) = operand, inner[id] == nil,
                case .operand(let literal) = candidate.table.unwrap(operand)
            {
                operand = literal
            }
            switch operand {
            case .value(let id):
                if let known = inner[id] {
                    hasher.combine(known)
                    return .value(known)
                }
                guard let type = sized(source.type(of: id)), hash(type) else { return nil }
                let parameter = function.addValue("", type)
                function.parameters.append(parameter)
                inner[id] = parameter
                hasher.combine(parameter)
                return .value(parameter)
            case .constant(let constant):
                guard hash(.tensor(constant.type)) else { return nil }
                if constant.count == 1 { hasher.combine(constant.double(at: 0)) }
                return operand
            case .tuple(let fields):
                var list: [Operand] = []
                for field in fields {
                    guard let field = mapped(field) else { return nil }
                    list.append(field)
                }
                return .tuple(list)
            case .shape(let dims):
                guard let known = sized(dims) else { return nil }
                hasher.combine(known)
                return .shape(known)
            case .int, .float, .string, .dtype:
                hasher.combine(operand)
                return operand
            case .global: return nil
            }
        }
        // Values are numbered in the order of their definition.
        for id in candidate.interior.sorted(by: { $0.index < $1.index }) {
            guard let type = sized(source.type(of: id)), case .call(var call)? = candidate.table.definition(id),
                case .op(let op) = call.callee, call.isPlain,
                hash(type)
            else {
                return nil
            }
            hasher.combine(op)
            hasher.combine(call.attributes)
            var arguments: [Operand] = []
            for argument in call.arguments {
                guard let argument = mapped(argument) else { return nil }
                arguments.append(argument)
            }
            call.arguments = arguments
            let made = function.addValue(source.info(id)?.name ?? "", type, isDataflow: id != candidate.root)
            block.bindings.append(Binding(made, .call(call)))
            inner[id] = made
        }
        guard let root = inner[candidate.root], !block.bindings.isEmpty else { return nil }
        function.body = Body(blocks: [block], result: .value(root))
        self.function = function
        key = hasher.finalize()
    }
}
