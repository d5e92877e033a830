import TenonIR

/// How far a value of a fused run lies from the reference.
public struct BindingError: Sendable {
    /// The value, as named in the module; an output by its name in the signature.
    public var name: String
    public var type: TensorType
    /// The largest |fused - reference|; infinite where only one of both is a number.
    public var absolute: Double
    /// `absolute` relative to the largest |reference|.
    public var relative: Double
    public var isWithinTolerance: Bool
}

/// Runs a module as its backends compile it and by the reference kernels, and compares every value that both have.
public enum Verification {
    /// One entry per tensor that a binding of `main` gives, in program order. What is inside a fused region is not seen;
    /// the region's results are. A value passes when each element is within `absoluteTolerance` or within
    /// `relativeTolerance` of the largest reference element.
    public static func run(
        module: Module, backends: [any Backend], options: CompileOptions, inputs: [Constant],
        absoluteTolerance: Double = 1e-6, relativeTolerance: Double = 1e-4
    ) throws -> [BindingError] {
        guard var main = module.main else { throw TenonError(.notFound, "the module has no function 'main'") }
        var observed: [ValueID] = []
        let isUsed = PlanBuilder.Scope.uses(of: main)
        for block in main.body.blocks {
            for binding in block.bindings where isUsed.indices.contains(binding.id.int) && isUsed[binding.id.int] {
                guard case .tensor(let type) = main.type(of: binding.id), type.dtype != .string else { continue }
                observed.append(binding.id)
            }
        }
        // The values must be the same ones that the module computes, so `main` gives all of them.
        main.body.result = .tuple(observed.map { .value($0) })
        main.attributes["output_names"] = nil
        var exposed = module
        exposed["main"] = main
        let found = try Executable(module: exposed, backends: backends, options: options).run(inputs)

        var expected: [ValueID: Constant] = [:]
        let interpreter = Interpreter(module: exposed) { binding, _, value in
            if case .tensor(let constant) = value { expected[binding.id] = constant }
        }
        _ = try interpreter.run(inputs)
        guard found.count == observed.count else { throw TenonError(.internal, "verify: a value is missing") }
        var errors: [BindingError] = []
        for (id, value) in zip(observed, found) {
            guard let reference = expected[id] else { throw TenonError(.internal, "verify: a value is missing") }
            errors.append(
                try compare(
                    main.info(id)?.name ?? "", value, reference, absoluteTolerance: absoluteTolerance,
                    relativeTolerance: relativeTolerance))
        }
        return errors
    }

    static func compare(
        _ name: String, _ value: Constant, _ reference: Constant, absoluteTolerance: Double, relativeTolerance: Double
    ) throws -> BindingError {
        guard value.shape == reference.shape, value.dtype == reference.dtype else {
            throw TenonError(
                .internal, "verify: '\(name)' is \(value.type), the reference \(reference.type)", node: name)
        }
        var (largest, scale) = (0.0, 0.0)
        for index in 0..<value.count {
            guard let a = value.double(at: index), let b = reference.double(at: index) else { continue }
            if b.isFinite { scale = max(scale, abs(b)) }
            if a == b || (a.isNaN && b.isNaN) { continue }
            let difference = abs(a - b)
            largest = difference.isNaN ? .infinity : max(largest, difference)
        }
        let relative = largest == 0 ? 0 : scale > 0 ? largest / scale : .infinity
        return BindingError(
            name: name, type: value.type, absolute: largest, relative: relative,
            isWithinTolerance: largest <= absoluteTolerance || relative <= relativeTolerance)
    }
}
