import TenonIR

/// Writes operators on images in the layouts asked for, as `nn.conv2d` in `NHWC` with weights in `OHWI`.
///
/// Permutations stand around each; what is computed of the result takes it in the new layout, pools, resizing, normalisation,
/// element-wise operators, concatenation and so on, so that the permutations move behind it, meet those in front of the next
/// and go. Those at the edges stay: parameters and results keep their types. Those of constants are left to `FoldConstant`.
public struct ConvertLayout: ConfigurablePass {
    /// By operator: the layouts of its inputs that have one, and of its result where that is another than the first.
    private let layouts: [String: [String]]

    /// Converts nothing.
    public init() { layouts = [:] }

    public init(_ layouts: [String: [String]]) throws {
        for (op, given) in layouts { try Self.check(given, op) }
        self.layouts = layouts
    }

    public static let arguments: [OperatorSchema.Attribute] = Operators.all
        .filter { $0.layoutView != nil }.map { .optional($0.name, .strings) }

    public init(arguments: Attributes) throws {
        var layouts: [String: [String]] = [:]
        for entry in arguments.entries {
            if case .strings(let given) = entry.value { layouts[entry.name] = given }
        }
        try self.init(layouts)
    }

    public var name: String { "ConvertLayout" }

    private static func check(_ given: [String], _ op: String) throws {
        guard let view = try Operators.require(op).schema.layoutView else {
            throw TenonError(.invalidArgument, "ConvertLayout: \(op) has no layouts", operatorName: op)
        }
        let orders = view.inputs.map(\.canonical) + (view.output.attribute == nil ? [] : [view.output.canonical])
        guard given.count >= view.inputs.count, given.count <= orders.count else {
            let count =
                orders.count == view.inputs.count ? "\(orders.count)" : "\(view.inputs.count) or \(orders.count)"
            throw TenonError(
                .invalidArgument, "ConvertLayout: \(op): expected \(count) layouts, found \(given.count)",
                operatorName: op)
        }
        for (order, canonical) in zip(given, orders) where DimensionOrder.axes(from: order, to: canonical) == nil {
            throw TenonError(
                .invalidArgument,
                "ConvertLayout: \(op): expected an order of the letters \(canonical), found '\(order)'",
                operatorName: op)
        }
    }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        guard !layouts.isEmpty else { return module }
        var result = module
        for (name, function) in module.functions
        where !function.isPrimitive && function.composite == nil && function.codegen == nil {
            do {
                if let converted = try converted(function) { result[name] = converted }
            } catch let error as TenonError {
                throw TenonError(
                    error.status, "\(self.name): @\(name): \(error)", operatorName: error.operatorName)
            }
        }
        return result
    }

    private struct State {
        var images: MoveTransposes.State
        /// Cuts of images, by the old tuple: the tuple in front of the permutation.
        var cuts: [ValueID: (tuple: Operand, axes: [Int64])] = [:]
    }

    /// Nil when there is nothing to do.
    private func converted(_ given: Function) throws -> Function? {
        var function = given
        var hasChanged = false
        function.body = try given.body.mapExpressions { expression in
            guard case .function(let local) = expression, let inner = try converted(local) else { return expression }
            hasChanged = true
            return .function(inner)
        }
        var state = State(images: try MoveTransposes().begin(function, PassContext()))
        let changed = try BindingTransformer.transform(function) { transformer, binding in
            try Work.check()
            return try visit(binding, &transformer, &state)
        }
        guard let changed else { return hasChanged ? function : nil }
        return changed.removingUnusedBindings(.unknown) ?? changed.compacted()
    }

    private func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout State
    ) throws -> Operand? {
        let name = transformer.function.values[binding.id.int].name
        if case .tupleGetItem(let tuple, let index) = binding.expression {
            return try item(of: tuple, index, binding, name, &transformer, &state)
        }
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee else { return nil }
        let schema = op.schema
        var mover = PermutationMover(call: call, op: op.name, name: name, permutesOthers: true)
        let moved: Operand?
        if let view = schema.layoutView {
            if let wanted = layouts[op.name] {
                moved = try mover.inLayouts(wanted, view, schema, &transformer)
            } else {
                moved = try mover.inLayoutOfImage(view, schema, &transformer, state.images)
            }
        } else if op.name == "nn.group_norm" || op.name == "nn.instance_norm" {
            moved = try mover.channelNormalisation(&transformer, state.images)
        } else if op.name == "nn.layer_norm" || op.name == "nn.rms_norm" {
            moved = try mover.layerNormalisation(&transformer, state.images)
        } else {
            moved = try mover.moved(&transformer, state.images)
        }
        if let moved, transformer.type(of: moved) == transformer.type(of: .value(binding.id)) {
            state.images.mark(moved)
            for part in mover.images { state.images.mark(part) }
            return moved
        }
        if schema.layoutView != nil || call.arguments.contains(where: { state.images.follows($0) }) {
            state.images.mark(.value(binding.id))
        }
        return nil
    }

    private func item(
        of tuple: Operand, _ index: Int, _ binding: Binding, _ name: String, _ transformer: inout BindingTransformer,
        _ state: inout State
    ) throws -> Operand? {
        guard let (id, op, call) = transformer.call(tuple) else { return nil }
        var mover = PermutationMover(call: call, op: op.name, name: name, permutesOthers: true)
        let moved: Operand?
        switch op.name {
        case "nn.batch_norm" where index == 0 && call.attributes.bool("training") != true:
            moved = try mover.normalisation(&transformer, state.images)
        case "split":
            let cut: (tuple: Operand, axes: [Int64])
            if let known = state.cuts[id] {
                cut = known
            } else if let made = try mover.split(&transformer, state.images) {
                cut = made
                state.cuts[id] = made
            } else {
                return nil
            }
            guard case .tuple(let fields) = transformer.type(of: cut.tuple), fields.indices.contains(index) else {
                return nil
            }
            let piece = transformer.emit(.tupleGetItem(cut.tuple, index), fields[index], name: name)
            moved = try mover.permuted(piece, cut.axes, &transformer)
        default: moved = nil
        }
        guard let moved, transformer.type(of: moved) == transformer.type(of: .value(binding.id)) else { return nil }
        state.images.mark(moved)
        for part in mover.images { state.images.mark(part) }
        return moved
    }
}
