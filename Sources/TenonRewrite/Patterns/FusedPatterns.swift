import TenonIR

/// An operator of two inputs, then a bias if wanted, then an activation if wanted; what most backends fuse.
///
/// With `allowReshape` the bias is what a `reshape` gives, as frontends write it that spread one value per channel over a
/// feature map.
public func fusedBiasActivationPattern(
    _ op: String, withBias: Bool = false, activation: String? = nil, allowReshape: Bool = false
) throws -> Pattern {
    var result = try isOp(op)(wildcard(), wildcard())
    if withBias {
        let bias =
            allowReshape
            ? try isOp("reshape").call([wildcard(), wildcard()], variadic: true) : wildcard()
        result = try isOp("add").call([result, bias], variadic: allowReshape)
    }
    if let activation { result = try isOp(activation)(result) }
    return result
}
