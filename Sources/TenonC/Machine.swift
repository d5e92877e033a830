import CTenon
import TenonDNNL
import TenonRuntime

@implementation @_cdecl("tenon_machine_init")
public func tenon_machine_init(_ machine: UnsafeMutablePointer<tenon_machine>!, _ struct_size: UInt32) {
    Sized.initialise(machine, struct_size)
}

/// What does not change while the process lives.
private enum MachineText {
    static let instructionSets = StaticText(CPUFeatures.names.joined(separator: " "))
    static let kernels = StaticText(CPUFeatures.kernels)
    static let version = StaticText(DNNLBackend.libraryVersion)
    static let instructionSet = StaticText(DNNLBackend.instructionSet)
}

@implementation @_cdecl("tenon_get_machine")
public func tenon_get_machine(_ machine: UnsafeMutablePointer<tenon_machine>!) -> tenon_status {
    withStatus {
        var result = tenon_machine()
        result.usable_cpus = UInt32(clamping: CPUCount.usable)
        result.instruction_sets = MachineText.instructionSets.pointer
        result.kernels = MachineText.kernels.pointer
        result.onednn_version = MachineText.version.pointer
        result.onednn_instruction_set = MachineText.instructionSet.pointer
        try Sized.write(result, to: machine, "tenon_machine")
    }
}
