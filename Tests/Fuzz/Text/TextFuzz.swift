import FuzzDriver
import Glibc
import TenonIR

@main enum Program {
    static func main() { exit(fuzz_run(CommandLine.argc, CommandLine.unsafeArgv, fuzzText)) }
}

/// Bytes as the text of a module: an error, or a module that prints to a text of which it comes again.
private func fuzzText(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let text = String(decoding: UnsafeBufferPointer(start: data, count: size), as: UTF8.self)
    guard let module = try? Module(text: text) else { return 0 }
    let isSound = module.findings(limit: 1).isEmpty
    let printed = module.text(PrintOptions(constants: .data))
    guard isSound else { return 0 }
    do {
        let again = try Module(text: printed)
        if !again.isStructurallyEqual(to: module) { fatalError("another module comes of\n\(printed)") }
    } catch {
        fatalError("\(error)\n\(printed)")
    }
    return 0
}
