import TenonIR

/// Measures candidates on the machine.
struct Tuner {
    var deadline: UInt64
}
