import Testing

@testable import TenonIR

@Suite struct StructuralEqualityTests {
    /// relu(conv2d(x, w)) with the given names, symbol, weight and attribute.
    private func function(
        names: [String] = ["x", "y", "z"], symbol: String = "n", weight: Float = 1, stride: Int64 = 1,
        attributes: Attributes = ["Composite": "dnnl.conv2d"]
    ) throws -> Function {
        var builder = FunctionBuilder(attributes: attributes)
        let x = builder.parameter(names[0], .tensor(.float32, [.symbol(symbol), 2, 4, 4]))
        let w = try Constant.floats([2, 2, 1, 1], [weight, 2, 3, 4])
        let y = try builder.call(
            "nn.conv2d", [.value(x), .constant(w)], ["strides": .ints([stride, stride])], name: names[1])
        let z = try builder.call("nn.relu", [.value(y)], name: names[2])
        return try builder.finish(.value(z))
    }

    private func expectEqual(_ a: Function, _ b: Function, _ equal: Bool, ignoring ignored: [String] = []) {
        #expect(a.isStructurallyEqual(to: b, ignoring: ignored) == equal)
        #expect(b.isStructurallyEqual(to: a, ignoring: ignored) == equal)
        #expect((StructuralKey(a, ignoring: ignored) == StructuralKey(b, ignoring: ignored)) == equal)
        if equal { #expect(a.structuralHash(ignoring: ignored) == b.structuralHash(ignoring: ignored)) }
    }

    @Test func namesOfValuesAndSymbolsDoNotMatter() throws {
        expectEqual(try function(), try function(names: ["p", "q", "r"], symbol: "batch"), true)
    }

    @Test func contentsMatter() throws {
        let base = try function()
        expectEqual(base, try function(weight: 7), false)
        expectEqual(base, try function(stride: 2), false)
        expectEqual(base, try function(attributes: ["Composite": "dnnl.other"]), false)
        expectEqual(base, try function(attributes: ["Composite": "dnnl.other"]), true, ignoring: ["Composite"])
    }

    @Test func numberingOfValuesDoesNotMatter() throws {
        let base = try function()
        var renumbered = base
        // An unused slot in front moves every number by one.
        renumbered.values.insert(ValueInfo(name: "unused", type: .object), at: 0)
        let shift = { (id: ValueID) in ValueID(id.int + 1) }
        renumbered.parameters = base.parameters.map(shift)
        renumbered.body = base.body.mapValues { .value(shift($0)) }
        for block in renumbered.body.blocks.indices {
            for index in renumbered.body.blocks[block].bindings.indices {
                let old = renumbered.body.blocks[block].bindings[index].id
                renumbered.body.blocks[block].bindings[index].id = shift(old)
            }
        }
        expectEqual(base, renumbered, true)
    }

    @Test func symbolsMapOneToOne() throws {
        func function(_ first: String, _ second: String) throws -> Function {
            var builder = FunctionBuilder()
            let a = builder.parameter("a", .tensor(.float32, [.symbol(first), .symbol(second)]))
            let total = try #require(Dim.adding(.symbol(first), .symbol(second)))
            _ = builder.parameter("b", .tensor(.float32, [total]))
            return try builder.finish(.value(a))
        }
        expectEqual(try function("n", "m"), try function("a", "b"), true)
        expectEqual(try function("n", "m"), try function("m", "n"), true)
        expectEqual(try function("n", "m"), try function("n", "n"), false)
    }

    @Test func whichArgumentMatters() throws {
        func function(swapped: Bool) throws -> Function {
            var builder = FunctionBuilder()
            let type = ValueType.tensor(.float32, [4] as [Int64])
            let a = builder.parameter("a", type)
            let b = builder.parameter("b", type)
            let c = try builder.call("subtract", swapped ? [.value(b), .value(a)] : [.value(a), .value(b)])
            return try builder.finish(.value(c))
        }
        expectEqual(try function(swapped: false), try function(swapped: true), false)
        expectEqual(try function(swapped: true), try function(swapped: true), true)
    }

    @Test func modulesCompareByNameInAnyOrder() throws {
        let (f, g) = (try function(), try function(weight: 5))
        let a = Module(functions: ["f": f, "g": g])
        let b = Module(functions: ["g": g, "f": f])
        #expect(a.isStructurallyEqual(to: b))
        #expect(a.structuralHash == b.structuralHash)
        #expect(!a.isStructurallyEqual(to: Module(functions: ["f": g, "g": f])))
    }

    @Test func notANumberEqualsItself() throws {
        func function(_ value: Double) throws -> Function {
            var builder = FunctionBuilder(attributes: ["value": .float(value)])
            return try builder.finish(.float(value))
        }
        expectEqual(try function(.nan), try function(.nan), true)
        expectEqual(try function(0.0), try function(-0.0), false)
    }
}
