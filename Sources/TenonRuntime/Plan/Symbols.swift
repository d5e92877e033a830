import TenonIR

/// Values of the symbols of one function, found by holding declared types against actual ones.
struct SymbolTable {
    private(set) var values: [String: Int64] = [:]
    var replacements: [String: Dim] { values.mapValues { .fixed($0) } }

    /// Binds the symbols that stand alone as a dimension of `declared`. A type that says less fits any.
    mutating func bind(_ declared: ValueType, to actual: ValueType, _ name: String) throws {
        switch (declared, actual) {
        case (.tensor(let declared), .tensor(let actual)):
            guard let shape = declared.shape, let found = actual.shape else { return }
            guard shape.count == found.count else { throw mismatch(name, "\(declared)", "\(actual)") }
            try bind(shape, to: found, name, "\(declared)", "\(actual)")
        case (.shape(let shape?), .shape(let found?)):
            guard shape.count == found.count else { throw mismatch(name, "\(declared)", "\(actual)") }
            try bind(shape, to: found, name, "\(declared)", "\(actual)")
        case (.tuple(let fields), .tuple(let found)):
            guard fields.count == found.count else { throw mismatch(name, "\(declared)", "\(actual)") }
            for (field, type) in zip(fields, found) { try bind(field, to: type, name) }
        default: break
        }
    }

    private mutating func bind(
        _ shape: [Dim], to found: [Dim], _ name: String, _ declared: String, _ actual: String
    ) throws {
        for (dim, size) in zip(shape, found) {
            guard let size = size.value else { continue }
            switch dim {
            case .fixed(let expected):
                if expected != size { throw mismatch(name, declared, actual) }
            case .symbolic:
                guard let symbol = [dim].bareSymbols.first else { continue }
                // What expressions are simplified to relies on it.
                if size < 0 {
                    throw TenonError(
                        .invalidShape, "'\(name)' expects sizes from 0 in \(declared), found \(actual)", node: name)
                }
                if let before = values[symbol], before != size {
                    throw TenonError(
                        .invalidShape,
                        "'\(name)' expects \(declared) with \(symbol) = \(before) as before, found \(actual)",
                        node: name)
                }
                values[symbol] = size
            }
        }
    }

    /// Checks what `bind` could not use: dimensions that are expressions, and element types.
    func check(_ declared: ValueType, against actual: ValueType, _ name: String) throws {
        switch (declared, actual) {
        case (.tensor(let declared), .tensor(let actual)):
            if let dtype = declared.dtype, let found = actual.dtype, dtype != found {
                throw TenonError(.invalidType, "'\(name)' expects \(declared), found \(actual)", node: name)
            }
            if let rank = declared.rank, let found = actual.rank, rank != found {
                throw mismatch(name, "\(declared)", "\(actual)")
            }
            for (dim, size) in zip(declared.shape ?? [], actual.shape ?? []) {
                if let expected = dim.evaluate(values), let size = size.value, expected != size {
                    throw mismatch(name, "\(declared) (here \(expected) for \(dim))", "\(actual)")
                }
            }
        case (.tuple(let fields), .tuple(let found)):
            for (field, type) in zip(fields, found) { try check(field, against: type, name) }
        default: break
        }
    }

    private func mismatch(_ name: String, _ declared: String, _ actual: String) -> TenonError {
        TenonError(.invalidShape, "'\(name)' expects \(declared), found \(actual)", node: name)
    }
}

extension ValueType {
    /// Symbols that stand alone as a dimension, so that a value of this type binds them.
    var bareSymbols: [String] {
        switch self {
        case .tensor(let type): (type.shape ?? []).bareSymbols
        case .shape(let dims): (dims ?? []).bareSymbols
        case .tuple(let fields): fields.flatMap(\.bareSymbols)
        default: []
        }
    }

    func hasSymbol(of symbols: Set<String>) -> Bool {
        !symbols.isEmpty && bareSymbols.contains { symbols.contains($0) }
    }

    /// Whether every tensor in it has a known element type and sizes that are numbers.
    var isConcrete: Bool {
        switch self {
        case .tensor(let type): type.dtype != nil && type.staticShape != nil
        case .tuple(let fields): fields.allSatisfy(\.isConcrete)
        case .shape(let dims): dims?.allSatisfy(\.isFixed) ?? false
        case .scalar, .function: true
        case .object: false
        }
    }
}

extension [Dim] {
    fileprivate var bareSymbols: [String] {
        compactMap { dim in dim.symbols.first.flatMap { dim == .symbol($0) ? $0 : nil } }
    }
}
