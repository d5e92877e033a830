import CTenon
import TenonIR
import TenonRewrite

@implementation @_cdecl("tenon_module_bind_parameters")
public func tenon_module_bind_parameters(
    _ module: OpaquePointer!, _ function: UnsafePointer<CChar>!, _ names: UnsafePointer<UnsafePointer<CChar>?>!,
    _ tensors: UnsafePointer<tenon_tensor>!, _ count: Int
) -> tenon_status {
    withStatus {
        let handle = try Handle.object(module, ModuleHandle.self)
        let function = function == nil ? "main" : try string(function, "function")
        let names = try strings(names, count, "names")
        let given = try Sized.array(tensors, count, tenon_tensor(), "tensors")
        var constants: [String: Constant] = [:]
        for (name, tensor) in zip(names, given) {
            var tensor = tensor
            // What was read has the size of this library's structure.
            tensor.struct_size = UInt32(MemoryLayout<tenon_tensor>.size)
            let elements = try DenseElements(&tensor)
            let constant = try Constant(dtype: elements.dtype, shape: elements.shape, copying: elements.bytes)
            guard constants.updateValue(constant, forKey: name) == nil else {
                throw invalid("names: '\(name)' is there twice")
            }
        }
        try handle.change { module in
            let changed = try module.bindingParameters(of: function, to: constants)
            try changed.verify()
            return changed
        }
    }
}

@implementation @_cdecl("tenon_module_bind_symbols")
public func tenon_module_bind_symbols(
    _ module: OpaquePointer!, _ function: UnsafePointer<CChar>!, _ names: UnsafePointer<UnsafePointer<CChar>?>!,
    _ values: UnsafePointer<Int64>!, _ count: Int
) -> tenon_status {
    withStatus {
        let handle = try Handle.object(module, ModuleHandle.self)
        let function = try function.map { try string($0, "function") }
        let names = try strings(names, count, "names")
        let given = try array(values, count, "values")
        var sizes: [String: Int64] = [:]
        for (name, value) in zip(names, given) { sizes[name] = value }
        try handle.change { module in
            let changed = try module.bindingSymbols(sizes, of: function)
            try changed.verify()
            return changed
        }
    }
}
