import CTenon
import TenonIR

@implementation @_cdecl("tenon_value_info_init")
public func tenon_value_info_init(_ info: UnsafeMutablePointer<tenon_value_info>!, _ struct_size: UInt32) {
    Sized.initialise(info, struct_size)
}

@implementation @_cdecl("tenon_module_get_function")
public func tenon_module_get_function(
    _ module: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ function: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus {
        let result = try output(function, "function")
        let handle = try Handle.object(module, ModuleHandle.self)
        let name = try string(name, "name")
        result.pointee = try Handle.make(
            FunctionHandle(try handle.function(name), name: name, module: handle.module))
    }
}

@implementation @_cdecl("tenon_function_release")
public func tenon_function_release(_ function: OpaquePointer!) { Handle.release(function, FunctionHandle.self) }

@implementation @_cdecl("tenon_module_set_function")
public func tenon_module_set_function(
    _ module: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ function: OpaquePointer!
) -> tenon_status {
    withStatus {
        let handle = try Handle.object(module, ModuleHandle.self)
        let name = try string(name, "name")
        guard !name.isEmpty else { throw invalid("name is empty") }
        var function = try Handle.object(function, FunctionHandle.self).bindings.function
        try handle.change { module in
            var changed = module
            // A copy of what is known by its name outside is known by its own.
            if let symbol = function.globalSymbol, symbol != name, function.codegen == nil, module[symbol] != nil {
                function.attributes["global_symbol"] = .string(name)
            }
            changed[name] = function
            try changed.verify()
            return changed
        }
    }
}

@implementation @_cdecl("tenon_function_name")
public func tenon_function_name(_ function: OpaquePointer!) -> UnsafePointer<CChar>! {
    withFloats {
        guard let handle = Handle.optional(function, FunctionHandle.self) else { return StaticText.empty }
        return (try? handle.pool.text(handle.functionName)) ?? StaticText.empty
    }
}

@implementation @_cdecl("tenon_function_get_attributes")
public func tenon_function_get_attributes(
    _ function: OpaquePointer!, _ attributes: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus {
        let result = try output(attributes, "attributes")
        result.pointee = try Handle.object(function, FunctionHandle.self).ownAttributes()
    }
}

/// Gives a list that belongs to a function.
func list(
    _ values: UnsafeMutablePointer<UnsafePointer<tenon_value>?>?, _ count: UnsafeMutablePointer<Int>?,
    _ make: () throws -> (start: UnsafePointer<tenon_value>, count: Int)
) -> tenon_status {
    withStatus {
        let values = try output(values, "values")
        let count = try output(count, 0, "count")
        let made = try make()
        values.pointee = made.start
        count.pointee = made.count
    }
}

@implementation @_cdecl("tenon_function_get_parameters")
public func tenon_function_get_parameters(
    _ function: OpaquePointer!, _ values: UnsafeMutablePointer<UnsafePointer<tenon_value>?>!,
    _ count: UnsafeMutablePointer<Int>!
) -> tenon_status { list(values, count) { try Handle.object(function, FunctionHandle.self).parameters() } }

@implementation @_cdecl("tenon_function_get_bindings")
public func tenon_function_get_bindings(
    _ function: OpaquePointer!, _ values: UnsafeMutablePointer<UnsafePointer<tenon_value>?>!,
    _ count: UnsafeMutablePointer<Int>!
) -> tenon_status { list(values, count) { try Handle.object(function, FunctionHandle.self).allBindings() } }

@implementation @_cdecl("tenon_function_get_results")
public func tenon_function_get_results(
    _ function: OpaquePointer!, _ values: UnsafeMutablePointer<UnsafePointer<tenon_value>?>!,
    _ count: UnsafeMutablePointer<Int>!
) -> tenon_status { list(values, count) { try Handle.object(function, FunctionHandle.self).results() } }

@implementation @_cdecl("tenon_function_get_users")
public func tenon_function_get_users(
    _ function: OpaquePointer!, _ value: tenon_value, _ users: UnsafeMutablePointer<UnsafePointer<tenon_value>?>!,
    _ count: UnsafeMutablePointer<Int>!
) -> tenon_status { list(users, count) { try Handle.object(function, FunctionHandle.self).users(of: value) } }

@implementation @_cdecl("tenon_function_get_value")
public func tenon_function_get_value(
    _ function: OpaquePointer!, _ value: tenon_value, _ info: UnsafeMutablePointer<tenon_value_info>!
) -> tenon_status {
    withStatus {
        let found = try Handle.object(function, FunctionHandle.self).info(value)
        try Sized.write(
            found, to: info, "tenon_value_info", first: MemoryLayout<tenon_value_info>.offset(of: \.flags))
    }
}

@implementation @_cdecl("tenon_function_get_callee")
public func tenon_function_get_callee(
    _ function: OpaquePointer!, _ value: tenon_value, _ callee: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus {
        let result = try output(callee, "callee")
        result.pointee = try Handle.object(function, FunctionHandle.self).callee(value)
    }
}
