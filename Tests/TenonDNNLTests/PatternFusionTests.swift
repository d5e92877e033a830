import TenonIR
import TenonRewrite
import TenonRuntime
import Testing

@testable import TenonDNNL

/// A pattern that a host brings, all the way to the library that runs it.
@Suite(.serialized) struct PatternFusionTests {
    @Test("D-04 End to end on a CPU library") func endToEnd() throws {
        var net = Net(seed: 4)
        let x = net.input([1, 64, 56, 56])
        let first = try net.call("nn.relu", [try net.conv(x, 64, pad: 1, bias: false)])
        let module = try net.module(try net.call("nn.relu", [try net.conv(first, 64, pad: 0, bias: false)]))
        let main = try #require(module.main)
        #expect(main.resultType == .tensor(.float32, [1, 64, 54, 54] as [Int64]))
        let pattern = FusionPattern("dnnl.conv2d_relu", try Pattern.parse("nn.relu(nn.conv2d(*, *))"))
        let merged = try Sequential([FuseOpsByPattern([pattern]), MergeCompositeFunctions()]).apply(to: module)
        #expect(merged.functions.count == 2)
        #expect(merged.main?.body.blocks.flatMap(\.bindings).count == 1)
        let executable = try Executable(
            module: merged, backends: [DNNLBackend()], options: CompileOptions(threads: 2))
        #expect(executable.composites == ["dnnl.conv2d_relu", "dnnl.conv2d_relu"])
        var numbers = Numbers(7)
        let input = numbers.list(64 * 56 * 56)
        let expected = try Reference.run(main, [input])[0]
        let found = try executable.run([try Constant.floats([1, 64, 56, 56], input)])[0].doubleElements ?? []
        #expect(found.count == expected.count)
        let worst = zip(found, expected).map { abs($0 - Double($1)) / max(1, abs(Double($1))) }.max() ?? .infinity
        #expect(worst <= 1e-3)
    }
}
