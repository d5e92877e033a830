import TenonIR
import TenonRuntime
import Testing

@testable import TenonDNNL

/// What is done before another thread has woken up is done on the caller's thread.
struct SmallPlanTests {
    private func threads(_ text: String, _ threads: Int = 2, reference: Bool = false) throws -> [Int] {
        let module = try DefaultPipeline.make().apply(to: try Module(text: text))
        let executable = try Executable(
            module: module, backends: [DNNLBackend()],
            options: CompileOptions(threads: threads, usesReferenceKernels: reference))
        return executable.planThreads
    }

    private func product(_ rows: Int, _ depth: Int, _ columns: Int) -> String {
        """
        fn @main(%x: f32[\(rows),\(depth)], %w: f32[\(depth),\(columns)]) {
          dataflow {
            %m = matmul(%x, %w)
            %y = nn.relu(%m)
            output %y
          }
          return %y
        }
        """
    }

    @Test func littleWorkStaysOnOneThread() throws {
        #expect(try threads(product(1, 16, 16)) == [1])
        #expect(try threads("fn @main(%x: i64[8]) { dataflow { %y = multiply(%x, %x) output %y } return %y }") == [1])
    }

    @Test func muchWorkIsShared() throws {
        #expect(try threads(product(512, 512, 512)) == [2])
        #expect(try threads(product(1, 16, 16), 1) == [1])
    }

    /// Nobody knows how long such a kernel takes.
    @Test func unknownWorkIsShared() throws {
        #expect(
            try threads("fn @main(%x: f32[8]) { dataflow { %y = sort(%x) output %y } return %y }", reference: true) == [
                2
            ])
    }

    @Test(.enabled(if: EltwiseKernelTests.isThere, "needs AVX-512")) func lstmByItsProducts() throws {
        func lstm(_ steps: Int, _ units: Int) -> String {
            """
            fn @main(%x: f32[\(steps),1,\(units)]) {
              dataflow {
                %h = zeros(shape[1,1,\(units)]) {dtype=f32}
                %w = ones(shape[1,\(4 * units),\(units)]) {dtype=f32}
                %b = ones(shape[1,\(8 * units)]) {dtype=f32}
                %p = zeros(shape[1,\(3 * units)]) {dtype=f32}
                %t = nn.lstm(%x, %w, %w, %b, %h, %h, %p) {activations=["sigmoid", "tanh", "tanh"]}
                %y = %t.0
                output %y
              }
              return %y
            }
            """
        }
        #expect(try threads(lstm(1, 64)) == [1])
        #expect(try threads(lstm(200, 256)) == [2])
    }

    @Test func resultsAndConcurrentCallers() async throws {
        let module = try DefaultPipeline.make().apply(to: try Module(text: product(3, 16, 16)))
        let executable = try Executable(
            module: module, backends: [DNNLBackend()], options: CompileOptions(threads: 2))
        let x = try Constant.floats([3, 16], (0..<48).map { Float($0 % 7) - 3 })
        let w = try Constant.floats([16, 16], (0..<256).map { Float($0 % 5) - 2 })
        let wanted = try Interpreter(module: module).run([x, w])[0].doubleElements ?? []
        let isRight = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    try (0..<50).allSatisfy { _ in
                        let found = try executable.run([x, w])[0].doubleElements ?? []
                        return found.count == 48 && zip(found, wanted).allSatisfy { abs($0 - $1) < 1e-4 }
                    }
                }
            }
            return try await group.reduce(true) { $0 && $1 }
        }
        #expect(isRight)
        // Rows that are counted at the run are a program's; no plan is made for them.
        let open = product(3, 16, 16).replacing("f32[3,16]", with: "f32[n,16]")
        let growing = try Executable(
            module: try DefaultPipeline.make().apply(to: try Module(text: open)), backends: [DNNLBackend()],
            options: CompileOptions(threads: 2))
        for _ in 0..<3 {
            let found = try growing.run([x, w])[0].doubleElements ?? []
            #expect(found.count == 48 && zip(found, wanted).allSatisfy { abs($0 - $1) < 1e-4 })
        }
        #expect(growing.planThreads.isEmpty)
    }
}
