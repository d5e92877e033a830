import TenonIR

/// A transformation of a whole module.
public protocol ModulePass: Sendable {
    /// The name in the registry, in messages and in the lists of required and disabled passes.
    var name: String { get }
    /// From which optimisation level on a `Sequential` runs the pass.
    var optimisationLevel: Int { get }
    /// Gives a new module, or throws and leaves the given one as it is.
    func run(on module: Module, _ context: PassContext) throws -> Module
}

extension ModulePass {
    public var optimisationLevel: Int { 0 }
}

/// A pass that can be told things by name.
public protocol ConfigurablePass: ModulePass {
    /// Names, kinds and defaults of what it can be told.
    static var arguments: [OperatorSchema.Attribute] { get }
    init(arguments: Attributes) throws
}

/// What passes are told from outside.
public struct PassContext: Sendable {
    /// Passes of a higher level are left out by `Sequential`.
    public var optimisationLevel: Int
    /// Passes that run whatever their level.
    public var requiredPasses: Set<String>
    public var disabledPasses: Set<String>
    /// Fusion rules, by name, that are not applied.
    public var disabledRules: Set<String>
    /// Runs the verifier after each pass.
    public var verifies: Bool
    /// Hear of every pass that runs.
    public var instruments: [any PassInstrument]
    /// Functions that passes begin with or look at which ask for such; empty for a pass's own choice.
    public var entryFunctions: [String] = []
    /// Evaluates a call whose inputs are known; nil where it cannot. The rewriting layer knows no kernels.
    public var evaluate: (@Sendable (_ call: Call, _ type: ValueType) throws -> [Constant]?)?

    public init(
        optimisationLevel: Int = 2, requiredPasses: Set<String> = [], disabledPasses: Set<String> = [],
        disabledRules: Set<String> = [], verifies: Bool = false, instruments: [any PassInstrument] = [],
        evaluate: (@Sendable (_ call: Call, _ type: ValueType) throws -> [Constant]?)? = nil
    ) {
        self.optimisationLevel = optimisationLevel
        self.requiredPasses = requiredPasses
        self.disabledPasses = disabledPasses
        self.disabledRules = disabledRules
        self.verifies = verifies
        self.instruments = instruments
        self.evaluate = evaluate
    }

    public func isDisabled(rule: String) -> Bool { disabledRules.contains(rule) }

    /// Whether a `Sequential` runs the pass.
    public func isEnabled(_ pass: any ModulePass) -> Bool {
        if disabledPasses.contains(pass.name) { return false }
        return requiredPasses.contains(pass.name) || pass.optimisationLevel <= optimisationLevel
    }
}

/// Hears of passes before and after they run; what it throws ends them.
public protocol PassInstrument: Sendable {
    /// Whether the pass is to run. When one of several says no, `didRun` of none is called.
    func willRun(_ pass: any ModulePass, on module: Module) throws -> Bool
    func didRun(_ pass: any ModulePass, before: Module, after: Module, nanoseconds: UInt64) throws
}

/// Passes one after another; a pass of its own.
public struct Sequential: ModulePass {
    public var passes: [any ModulePass]
    public let name: String

    public init(_ passes: [any ModulePass], name: String = "Sequential") {
        self.passes = passes
        self.name = name
    }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        for pass in passes where context.isEnabled(pass) { result = try pass.apply(to: result, context) }
        return result
    }
}

extension ModulePass {
    /// Runs the pass with everything the context asks for around it.
    public func apply(to module: Module, _ context: PassContext = PassContext()) throws -> Module {
        for instrument in context.instruments where try !instrument.willRun(self, on: module) { return module }
        try Work.check()
        let start = MonotonicClock.now
        let result = try run(on: module, context)
        let elapsed = MonotonicClock.now - start
        if context.verifies {
            do {
                try result.verify()
            } catch let error as TenonError {
                throw TenonError(.internal, "\(name) left a module that is not well formed: \(error)")
            }
        }
        for instrument in context.instruments {
            try instrument.didRun(self, before: module, after: result, nanoseconds: elapsed)
        }
        return result
    }
}
