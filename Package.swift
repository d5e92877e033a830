// swift-tools-version: 6.1
import PackageDescription

// Another oneDNN than the system's (a prefix with include/ and lib/) is chosen by TENON_DNNL_ROOT, read when the manifest is.
let dnnlRoot = Context.environment["TENON_DNNL_ROOT"]
let dnnlCFlags: [CSetting] = dnnlRoot.map { [.unsafeFlags(["-I\($0)/include"])] } ?? []
let dnnlLinkFlags: [LinkerSetting] =
    (dnnlRoot.map { [.unsafeFlags(["-L\($0)/lib", "-Xlinker", "-rpath", "-Xlinker", "\($0)/lib"])] } ?? [])
    + [.linkedLibrary("dnnl"), .linkedLibrary("gomp")]

// SwiftPM gives a dynamic product neither soname nor export list; both come from here. The standard library is linked
// in, so that a host needs no Swift runtime.
let libraryFlags: [LinkerSetting] = [
    .unsafeFlags([
        "-static-stdlib",
        "-Xlinker", "-soname=libtenon.so.0",
        "-Xlinker", "--version-script=\(Context.packageDirectory)/Sources/TenonC/tenon.map",
        "-Xlinker", "-z", "-Xlinker", "nodelete", "-Xlinker", "-z", "-Xlinker", "defs", "-Xlinker", "--gc-sections",
        // The Swift runtime's memory comes through CMemory.
        "-Xlinker", "--wrap=swift_slowAlloc", "-Xlinker", "--wrap=swift_slowDealloc",
        "-Xlinker", "--wrap=malloc", "-Xlinker", "--wrap=calloc", "-Xlinker", "--wrap=realloc",
        "-Xlinker", "--wrap=posix_memalign", "-Xlinker", "--wrap=aligned_alloc", "-Xlinker", "--wrap=free",
        "-Xlinker", "--wrap=malloc_usable_size", "-Xlinker", "--wrap=_Znwm", "-Xlinker", "--wrap=_Znam",
        "-Xlinker", "--wrap=_ZdlPv", "-Xlinker", "--wrap=_ZdlPvm", "-Xlinker", "--wrap=_ZdaPv",
        // What FoundationEssentials, which swift-protobuf needs, is made of.
        "-l_FoundationCollections", "-l_FoundationCShims",
    ])
]

// Fuzz targets (see scripts/fuzz.sh) exist only where libFuzzer is linked.
let fuzzTargets: [Target] =
    Context.environment["TENON_FUZZ"] == nil
    ? []
    : [.target(name: "FuzzDriver", path: "Tests/Fuzz/Driver")]
        + [
            ("Importer", ["TenonIR", "TenonONNX"]), ("Text", ["TenonIR"]),
            ("Run", ["TenonIR", "TenonONNX", "TenonRewrite", "TenonRuntime", "TenonDNNL"]),
            ("Valid", ["TenonIR", "TenonONNX", "TenonRewrite", "TenonRuntime", "TenonDNNL"]),
        ].map { name, dependencies in
            .executableTarget(
                name: "Fuzz\(name)", dependencies: ["FuzzDriver"] + dependencies.map { .init(stringLiteral: $0) },
                path: "Tests/Fuzz/\(name)",
                swiftSettings: [.unsafeFlags(["-parse-as-library"])])
        }

let package = Package(
    name: "tenon",
    products: [
        .library(name: "tenon", type: .dynamic, targets: ["TenonC"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        // Without its traits, whose stream helpers need all of Foundation.
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
    ],
    targets: [
        .target(
            name: "TenonIR", dependencies: [.product(name: "OrderedCollections", package: "swift-collections")]),
        .target(name: "TenonRewrite", dependencies: ["TenonIR"]),
        .target(name: "CParallel", linkerSettings: [.linkedLibrary("gomp")]),
        .target(name: "CKernels"),
        .target(name: "CMemory"),
        .target(name: "CDNNL", cSettings: dnnlCFlags, linkerSettings: dnnlLinkFlags),
        .target(name: "TenonRuntime", dependencies: ["TenonIR", "CKernels", "CMemory", "CParallel"]),
        .target(
            name: "TenonONNX", dependencies: ["TenonIR", .product(name: "SwiftProtobuf", package: "swift-protobuf")],
            exclude: ["Proto/onnx.proto"]),
        .target(name: "TenonDNNL", dependencies: ["CDNNL", "CKernels", "TenonIR", "TenonRewrite", "TenonRuntime"]),
        .target(name: "TenonQuantize", dependencies: ["TenonIR", "TenonRewrite", "TenonRuntime"]),
        .testTarget(name: "TenonDNNLTests", dependencies: ["TenonDNNL", "CKernels"]),
        .testTarget(name: "TenonRewriteTests", dependencies: ["TenonRewrite"]),
        .testTarget(
            name: "TenonONNXTests",
            dependencies: ["TenonIR", "TenonONNX", .product(name: "SwiftProtobuf", package: "swift-protobuf")]),
        .systemLibrary(name: "CTenon", path: "include"),
        .target(
            name: "TenonC",
            dependencies: [
                "CKernels", "CMemory", "CParallel", "CTenon", "TenonIR", "TenonRewrite", "TenonRuntime", "TenonDNNL",
                "TenonONNX", "TenonQuantize",
            ],
            exclude: ["tenon.map"], linkerSettings: libraryFlags),
        .testTarget(name: "TenonIRTests", dependencies: ["TenonIR"]),
        .testTarget(name: "TenonRuntimeTests", dependencies: ["TenonRuntime", "CKernels"]),
    ] + fuzzTargets,
    cxxLanguageStandard: .cxx17
)
