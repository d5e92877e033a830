import CTenon
import TenonIR
import TenonRewrite

@implementation @_cdecl("tenon_instrument_init")
public func tenon_instrument_init(_ instrument: UnsafeMutablePointer<tenon_instrument>!, _ struct_size: UInt32) {
    Sized.initialise(instrument, struct_size)
}

/// The instruments of a host, for one call. Passes run on the thread of that call.
final class HostInstruments: PassInstrument, @unchecked Sendable {
    private let instruments: [tenon_instrument]
    private var depth: UInt32 = 0

    init(_ instruments: UnsafePointer<tenon_instrument>?, _ count: Int) throws {
        self.instruments = try Sized.array(instruments, count, tenon_instrument(), "instruments")
        for (index, instrument) in self.instruments.enumerated() where instrument.flags != 0 {
            throw invalid("instrument \(index): flags is \(instrument.flags); expected 0")
        }
    }

    var isEmpty: Bool { instruments.isEmpty }

    func willRun(_ pass: any ModulePass, on module: Module) throws -> Bool {
        for instrument in instruments {
            guard let before = instrument.before else { continue }
            let accepts = try tell(before, instrument.user_data, "before", pass, module, 0)
            guard accepts else { return false }
        }
        depth &+= 1
        return true
    }

    func didRun(_ pass: any ModulePass, before: Module, after: Module, nanoseconds: UInt64) throws {
        depth &-= 1
        for instrument in instruments {
            guard let function = instrument.after else { continue }
            _ = try tell(function, instrument.user_data, "after", pass, after, nanoseconds)
        }
    }

    private func tell(
        _ function: tenon_instrument_function, _ userData: UnsafeMutableRawPointer?, _ when: String,
        _ pass: any ModulePass, _ module: Module, _ nanoseconds: UInt64
    ) throws -> Bool {
        // Passes may go on with what they were given, so the host reads a handle that changes nothing.
        let handle = try Handle.make(ModuleHandle(module))
        defer { Handle.release(handle, ModuleHandle.self) }
        return try pass.name.withCString { name in
            var event = tenon_pass_event()
            event.struct_size = UInt32(MemoryLayout<tenon_pass_event>.size)
            event.depth = depth
            event.name = name
            event.module = handle
            event.nanoseconds = nanoseconds
            return try Verdict.ask("pass '\(pass.name)': the instrument \(when) it") { reply in
                withUnsafePointer(to: &event) { function($0, reply, userData) }
            }.accepts
        }
    }
}
