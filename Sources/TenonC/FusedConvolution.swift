import CTenon
import TenonDNNL

@implementation @_cdecl("tenon_dnnl_fused_conv2d_bias_relu")
public func tenon_dnnl_fused_conv2d_bias_relu(
    _ src: UnsafePointer<Float>!, _ weights: UnsafePointer<Float>!, _ bias: UnsafePointer<Float>!,
    _ dst: UnsafeMutablePointer<Float>!, _ batch: Int64, _ in_channels: Int64, _ height: Int64, _ width: Int64,
    _ out_channels: Int64, _ groups: Int64, _ pad_top: Int64, _ pad_left: Int64, _ pad_bottom: Int64,
    _ pad_right: Int64, _ kernel_h: Int64, _ kernel_w: Int64, _ stride_h: Int64, _ stride_w: Int64,
    _ dilation_h: Int64, _ dilation_w: Int64
) -> tenon_status {
    withStatus {
        let geometry = FusedConv2d.Geometry(
            batch: batch, inChannels: in_channels, height: height, width: width, outChannels: out_channels,
            groups: groups, pads: [pad_top, pad_left, pad_bottom, pad_right], kernel: [kernel_h, kernel_w],
            strides: [stride_h, stride_w], dilations: [dilation_h, dilation_w])
        try FusedConv2d.run(source: src, weights: weights, bias: bias, destination: dst, geometry: geometry)
    }
}
