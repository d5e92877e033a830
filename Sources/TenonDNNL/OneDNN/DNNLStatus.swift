import CDNNL
import TenonIR

/// What a call into oneDNN returned. Open: a later oneDNN may know more.
struct DNNLStatus: RawRepresentable, Hashable, Sendable {
    let rawValue: Int32

    static let success = DNNLStatus(rawValue: 0)
    static let outOfMemory = DNNLStatus(rawValue: 1)
    static let invalidArguments = DNNLStatus(rawValue: 2)
    static let unimplemented = DNNLStatus(rawValue: 3)
    static let lastImplementation = DNNLStatus(rawValue: 4)

    var name: String { String(cString: tdnnl_status_name(rawValue)) }

    /// Throws unless the call succeeded. `what` says what was being done.
    static func check(_ status: Int32, _ what: @autoclosure () -> String) throws(TenonError) {
        if status == 0 { return }
        let status = DNNLStatus(rawValue: status)
        let kind: Status =
            switch status {
            case .outOfMemory: .outOfMemory
            case .unimplemented: .unsupported
            default: .backend
            }
        throw TenonError(kind, "\(what()): oneDNN says \(status.name)")
    }
}
