import TenonIR

/// The functions of a module while a pass adds more: names stay unique, and what is structurally equal is shared.
struct FunctionTable {
    private(set) var module: Module
    /// Names of functions that a new one may be shared with, by structural hash; made when first needed. Only names, so that
    /// growing the table moves little.
    private var known: [Int: [String]]?
    /// Names that are taken although no function has them (yet).
    private var reserved: Set<String> = []
    /// Next suffix to try, by base name, so that many functions of one base name stay cheap.
    private var nextSuffix: [String: Int] = [:]
    private let ignoredAttributes: [String]

    /// `ignoredAttributes` do not tell functions apart (a function's own name, say).
    init(_ module: Module, ignoring ignoredAttributes: [String] = []) {
        self.module = module
        self.ignoredAttributes = ignoredAttributes
    }

    /// Adds a function unless an equal one exists, and returns the name to call. `name` is asked for only when it is added,
    /// and gives the base name and what is appended after it was made unique.
    mutating func add(_ function: Function, name: () -> (base: String, suffix: String)) -> String {
        if known == nil {
            var table: [Int: [String]] = [:]
            for (name, candidate) in module.functions
            where candidate.isPrimitive || candidate.composite != nil || candidate.codegen != nil {
                table[candidate.structuralHash(ignoring: ignoredAttributes), default: []].append(name)
            }
            known = table
        }
        let hash = function.structuralHash(ignoring: ignoredAttributes)
        for candidate in known?[hash] ?? [] {
            if module.functions[candidate]?.isStructurallyEqual(to: function, ignoring: ignoredAttributes) == true {
                return candidate
            }
        }
        let (base, suffix) = name()
        let unique = unused(base)
        reserved.insert(unique)
        let full =
            suffix.isEmpty
            ? unique : module.functions[unique + suffix] == nil ? unique + suffix : unused(unique + suffix)
        known?[hash, default: []].append(full)
        module.functions[full] = function
        return full
    }

    mutating func replace(_ name: String, with function: Function) { module.functions[name] = function }

    private mutating func unused(_ base: String) -> String {
        if module.functions[base] == nil && !reserved.contains(base) { return base }
        var suffix = nextSuffix[base] ?? 1
        while module.functions["\(base)\(suffix)"] != nil || reserved.contains("\(base)\(suffix)") { suffix += 1 }
        nextSuffix[base] = suffix + 1
        return "\(base)\(suffix)"
    }
}

/// Names of generated functions: `fused`, then what each binding calls.
enum FusedName {
    /// Longer names are cut and ended with a checksum: a region of thousands of composites needs no name of all of them.
    static let longest = 1024

    private static let parts: [String] = Operators.all.map { underscored($0.registryName) }

    private static func underscored(_ name: String) -> String {
        String(decoding: name.utf8.map { $0 == UInt8(ascii: ".") ? UInt8(ascii: "_") : $0 }, as: UTF8.self)
    }

    static func make(_ callees: some Sequence<Callee>) -> String {
        var name = "fused"
        var rest: UInt64 = 0xcbf2_9ce4_8422_2325
        var isCut = false
        for callee in callees {
            let part: String
            switch callee {
            case .op(let id): part = parts[Int(id.index)]
            case .function(let function):
                part = function.hasPrefix("fused_") ? String(function.dropFirst(6)) : underscored(function)
            case .external(let function): part = underscored(function)
            case .local: continue
            }
            if !isCut && name.utf8.count + part.utf8.count < longest {
                name += "_"
                name += part
            } else {
                isCut = true
                for byte in part.utf8 { rest = (rest ^ UInt64(byte)) &* 0x100_0000_01b3 }
            }
        }
        return isCut ? name + "_" + String(rest, radix: 16) : name
    }
}
