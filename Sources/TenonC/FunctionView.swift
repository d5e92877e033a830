import CTenon
import TenonIR
import TenonRewrite

/// Numbers for the operands of one function: values have their own number, everything else gets one when it is met.
final class OperandTable {
    /// Numbers below are values.
    private let valueCount: Int
    private var operands: [Operand] = []

    init(valueCount: Int = 0) { self.valueCount = valueCount }

    /// How many numbers there are.
    private var count: Int { valueCount + operands.count }

    func number(_ operand: Operand) throws -> tenon_value {
        if case .value(let id) = operand, id.int >= 0, id.int < valueCount { return tenon_value(id.int) }
        guard count < Int(Int32.max) else { throw TenonError(.limitExceeded, "too many values") }
        operands.append(operand)
        return tenon_value(count - 1)
    }

    func operand(_ number: tenon_value, _ what: @autoclosure () -> String) throws -> Operand {
        let index = Int(number)
        guard index < count else { throw invalid("\(what()): \(number) is no value of this function") }
        return index < valueCount ? .value(ValueID(index)) : operands[index - valueCount]
    }
}

/// A function as a host reads it. What is asked for is made once and kept.
final class FunctionHandle: HandleObject {
    static let tag: UInt64 = 0x7465_6e6f_6e66_756e
    static let name: StaticString = "tenon_function"

    let functionName: String
    let numbers: OperandTable
    let pool = Pool()
    private let function: Function
    private let module: Module?
    let bindings: BindingTable
    private let knownUsers: ((ValueID) -> [ValueID])?
    private var allUsers: [ValueID: [ValueID]]?
    private var infos: [tenon_value: tenon_value_info] = [:]
    private var lists: [Question: (start: UnsafePointer<tenon_value>, count: Int)] = [:]
    private var attributes: [tenon_value: OpaquePointer] = [:]
    private var callees: [tenon_value: OpaquePointer] = [:]

    /// Lists of values that can be asked for.
    private enum Question: Hashable {
        case parameters
        case bindings
        case results
        case users(tenon_value)
    }

    /// `users` says what a value is used by where only a part of the function counts.
    init(
        _ bindings: BindingTable, name: String, module: Module? = nil, users: ((ValueID) -> [ValueID])? = nil
    ) {
        functionName = name
        function = bindings.function
        numbers = OperandTable(valueCount: bindings.function.values.count)
        self.bindings = bindings
        self.module = module
        knownUsers = users
    }

    convenience init(_ function: Function, name: String, module: Module? = nil) {
        self.init(BindingTable(function), name: name, module: module)
    }

    deinit {
        for pointer in attributes.values { Handle.release(pointer, AttributesHandle.self) }
        for pointer in callees.values { Handle.release(pointer, FunctionHandle.self) }
    }

    // MARK: - Lists

    private func list(_ question: Question, _ make: () throws -> [tenon_value]) throws -> (
        start: UnsafePointer<tenon_value>, count: Int
    ) {
        if let known = lists[question] { return known }
        let values = try make()
        let made = (start: try pool.array(values), count: values.count)
        lists[question] = made
        return made
    }

    func parameters() throws -> (start: UnsafePointer<tenon_value>, count: Int) {
        try list(.parameters) { try function.parameters.map { try numbers.number(.value($0)) } }
    }

    func allBindings() throws -> (start: UnsafePointer<tenon_value>, count: Int) {
        try list(.bindings) {
            var values: [tenon_value] = []
            try function.forEachBinding { values.append(try numbers.number(.value($0.id))) }
            return values
        }
    }

    func results() throws -> (start: UnsafePointer<tenon_value>, count: Int) {
        try list(.results) {
            var values: [tenon_value] = []
            var stack = [function.body.result]
            while let operand = stack.popLast() {
                switch bindings.unwrap(operand) {
                case .operand(.tuple(let fields)): stack.append(contentsOf: fields.reversed())
                case .bound(let id):
                    if case .tuple(let fields)? = bindings.definition(id) {
                        stack.append(contentsOf: fields.reversed())
                    } else {
                        values.append(try numbers.number(.value(id)))
                    }
                case .operand(let other): values.append(try numbers.number(other))
                case .callee: break
                }
            }
            return values
        }
    }

    func users(of value: tenon_value) throws -> (start: UnsafePointer<tenon_value>, count: Int) {
        guard case .value(let id) = try numbers.operand(value, "value") else {
            return try list(.users(value)) { [] }
        }
        return try list(.users(value)) {
            try (knownUsers?(id) ?? tableOfUsers()[id] ?? []).map { try numbers.number(.value($0)) }
        }
    }

    private func tableOfUsers() -> [ValueID: [ValueID]] {
        if let allUsers { return allUsers }
        var table: [ValueID: [ValueID]] = [:]
        function.forEachBinding { binding in
            if case .conditional(let condition, _, _) = binding.expression {
                // What is inside the branches is visited by itself.
                return condition.forEachValue { table[$0, default: []].append(binding.id) }
            }
            binding.expression.forEachValue { used in
                if table[used]?.last != binding.id { table[used, default: []].append(binding.id) }
            }
        }
        allUsers = table
        return table
    }

    // MARK: - One value

    func info(_ value: tenon_value) throws -> tenon_value_info {
        if let known = infos[value] { return known }
        let operand = try numbers.operand(value, "value")
        var info = tenon_value_info()
        info.rank = -1
        info.name = StaticText.empty
        info.callee = StaticText.empty
        info.text = StaticText.empty
        switch operand {
        case .value(let id): try describe(id, value, &info)
        case .constant(let constant):
            info.kind = TENON_VALUE_CONSTANT.rawValue
            info.data = UnsafeRawPointer(constant.bytes.baseAddress)
            info.byte_count = constant.bytes.count
        case .tuple(let fields):
            info.kind = TENON_VALUE_TUPLE.rawValue
            try setInputs(fields, &info)
        default:
            info.kind = TENON_VALUE_LITERAL.rawValue
            info.text = try pool.text(try operand.text())
        }
        try setType(function.type(of: operand), &info)
        infos[value] = info
        return info
    }

    private func setType(_ type: ValueType, _ info: inout tenon_value_info) throws {
        info.type = try pool.text(type.text)
        guard let tensor = type.asTensor else { return }
        info.dtype = UInt32(tensor.dtype?.rawValue ?? 0)
        guard let rank = tensor.rank, let narrow = Int32(exactly: rank) else { return }
        info.rank = narrow
        let unknown = Int64(TENON_DIM_UNKNOWN)
        info.shape = try pool.array(
            tensor.shape?.map { $0.value ?? unknown } ?? [Int64](repeating: unknown, count: rank))
    }

    private func setInputs(_ operands: [Operand], _ info: inout tenon_value_info) throws {
        info.inputs = try pool.array(try operands.map { try numbers.number($0) })
        info.input_count = operands.count
    }

    private func describe(_ id: ValueID, _ value: tenon_value, _ info: inout tenon_value_info) throws {
        guard let known = function.info(id) else {
            throw invalid("value: \(value) was added by the builder, which knows its type")
        }
        info.name = try pool.text(known.name)
        guard let expression = bindings.definition(id) else {
            let isParameter = function.parameters.contains(id)
            info.kind = (isParameter ? TENON_VALUE_PARAMETER : TENON_VALUE_VARIABLE).rawValue
            return
        }
        if !known.isDataflow { info.flags = 1 }
        switch expression {
        case .call(let call):
            switch call.callee {
            case .op(let op):
                info.kind = TENON_VALUE_CALL.rawValue
                info.callee = try pool.text(op.name)
            case .function(let name):
                info.kind = TENON_VALUE_FUNCTION_CALL.rawValue
                info.callee = try pool.text(name)
            case .local(let local):
                info.kind = TENON_VALUE_LOCAL_CALL.rawValue
                info.callee = try pool.text(function.info(local)?.name ?? "")
            case .external(let name):
                info.kind = TENON_VALUE_EXTERNAL_CALL.rawValue
                info.callee = try pool.text(name)
            }
            try setInputs(call.arguments, &info)
            info.attributes = try attributes(call.attributes, of: value)
        case .tuple(let fields):
            info.kind = TENON_VALUE_TUPLE.rawValue
            try setInputs(fields, &info)
        case .tupleGetItem(let tuple, let index):
            info.kind = TENON_VALUE_TUPLE_GET_ITEM.rawValue
            try setInputs([tuple], &info)
            info.index = index
        case .operand(let operand):
            info.kind = TENON_VALUE_ALIAS.rawValue
            try setInputs([operand], &info)
        case .matchCast(let operand, _):
            info.kind = TENON_VALUE_MATCH_CAST.rawValue
            try setInputs([operand], &info)
        case .function(let inner):
            info.kind = TENON_VALUE_FUNCTION.rawValue
            info.attributes = try attributes(inner.attributes, of: value)
        case .conditional(let condition, _, _):
            info.kind = TENON_VALUE_CONDITIONAL.rawValue
            try setInputs([condition], &info)
        }
    }

    private func attributes(_ found: Attributes, of value: tenon_value) throws -> OpaquePointer {
        if let known = attributes[value] { return known }
        let made = try Handle.make(AttributesHandle(found))
        attributes[value] = made
        return made
    }

    /// Attributes of the function itself.
    func ownAttributes() throws -> OpaquePointer { try attributes(function.attributes, of: noValue) }

    func callee(_ value: tenon_value) throws -> OpaquePointer {
        if let known = callees[value] { return known }
        guard case .value(let id) = try numbers.operand(value, "value"), let expression = bindings.definition(id) else {
            throw TenonError(.notFound, "value \(value) is no function and calls none")
        }
        let made: FunctionHandle
        switch expression {
        case .function(let inner): made = FunctionHandle(inner, name: "", module: module)
        case .call(let call):
            switch call.callee {
            case .local(let local):
                guard case .function(let inner)? = bindings.definition(local) else {
                    throw TenonError(.notFound, "the function that value \(value) calls is not known here")
                }
                made = FunctionHandle(inner, name: "", module: module)
            case .function(let name):
                guard let target = module?[name] else {
                    throw TenonError(.notFound, "function '\(name)' is not known here", node: name)
                }
                made = FunctionHandle(target, name: name, module: module)
            case .op, .external: throw TenonError(.notFound, "value \(value) calls no function")
            }
        default: throw TenonError(.notFound, "value \(value) is no function and calls none")
        }
        let pointer = try Handle.make(made)
        callees[value] = pointer
        return pointer
    }
}

/// `TENON_NO_VALUE`.
let noValue = tenon_value.max
