import CTenon
import TenonIR

@implementation @_cdecl("tenon_operator_count")
public func tenon_operator_count() -> Int { Library.operatorNames.count }

@implementation @_cdecl("tenon_operator_name")
public func tenon_operator_name(_ index: Int) -> UnsafePointer<CChar>! {
    withFloats {
        Library.operatorNames.indices.contains(index) ? Library.operatorNames[index].pointer : nil
    }
}

@implementation @_cdecl("tenon_operator_describe")
public func tenon_operator_describe(
    _ name: UnsafePointer<CChar>!, _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>!
) -> tenon_status {
    withStatus {
        let result = try output(text, "text")
        result.pointee = try transferred(try Operators.require(try string(name, "name")).schema.text)
    }
}
