/// A number for what a plan runs. With reproducible compilation, equal numbers and equal inputs give equal bits.
struct PlanDigest {
    // FNV-1a with 64 bits: to tell plans apart, not to withstand anybody.
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    init(_ steps: [StepDescription], threads: Int, backends: [any Backend]) {
        add("\(threads)")
        for backend in backends.sorted(by: { $0.name < $1.name }) { add("\(backend.name) \(backend.version)") }
        for step in steps {
            for text in [step.region, step.binding, step.composite, step.implementation, step.layouts] { add(text) }
            add("\(step.bytes) \(step.flops)")
        }
    }

    private mutating func add(_ text: String) {
        for byte in text.utf8 { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
        // Keeps the texts apart.
        value = (value ^ 0xff) &* 0x100_0000_01b3
    }
}
