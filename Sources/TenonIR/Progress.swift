/// Told how far long work has come: the stage ("import", "compile", "tune"), the parts that are done, and all of them. Ends the
/// work by throwing.
public typealias ProgressReport = @Sendable (_ stage: StaticString, _ done: Int, _ total: Int) throws -> Void
