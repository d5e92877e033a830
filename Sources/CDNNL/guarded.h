// SPDX-License-Identifier: Apache-2.0
//
// The functions of oneDNN that may allocate, under the names by which this target calls them; see guard.cpp.
#ifndef TENON_CDNNL_GUARDED_H
#define TENON_CDNNL_GUARDED_H

#include <dnnl.h>

#define TDNNL_GUARDED_BOTH(X) \
    X(concat_primitive_desc_create) \
    X(engine_create) \
    X(memory_create) \
    X(memory_desc_permute_axes) \
    X(memory_desc_reshape) \
    X(post_ops_append_binary) \
    X(post_ops_append_dw) \
    X(post_ops_append_eltwise) \
    X(post_ops_append_prelu) \
    X(post_ops_append_sum) \
    X(post_ops_create) \
    X(primitive_attr_create) \
    X(primitive_attr_set_post_ops) \
    X(primitive_create) \
    X(primitive_desc_clone) \
    X(primitive_execute) \
    X(reorder_primitive_desc_create) \
    X(stream_create) \
    X(sum_primitive_desc_create)

#if DNNL_VERSION_MAJOR >= 3
#define TDNNL_GUARDED(X) \
    TDNNL_GUARDED_BOTH(X) \
    X(batch_normalization_forward_primitive_desc_create) \
    X(binary_primitive_desc_create) \
    X(convolution_forward_primitive_desc_create) \
    X(deconvolution_forward_primitive_desc_create) \
    X(eltwise_forward_primitive_desc_create) \
    X(inner_product_forward_primitive_desc_create) \
    X(layer_normalization_forward_primitive_desc_create) \
    X(lrn_forward_primitive_desc_create) \
    X(lstm_forward_primitive_desc_create) \
    X(matmul_primitive_desc_create) \
    X(memory_desc_clone) \
    X(memory_desc_create_submemory) \
    X(memory_desc_create_with_strides) \
    X(memory_desc_create_with_tag) \
    X(pooling_forward_primitive_desc_create) \
    X(prelu_forward_primitive_desc_create) \
    X(primitive_desc_next_impl) \
    X(reduction_primitive_desc_create) \
    X(resampling_forward_primitive_desc_create) \
    X(shuffle_forward_primitive_desc_create) \
    X(softmax_forward_primitive_desc_create)
#else
#define TDNNL_GUARDED(X) \
    TDNNL_GUARDED_BOTH(X) \
    X(batch_normalization_forward_desc_init) \
    X(binary_desc_init) \
    X(dilated_convolution_forward_desc_init) \
    X(dilated_deconvolution_forward_desc_init) \
    X(eltwise_forward_desc_init) \
    X(inner_product_forward_desc_init) \
    X(layer_normalization_forward_desc_init) \
    X(lrn_forward_desc_init) \
    X(lstm_forward_desc_init) \
    X(matmul_desc_init) \
    X(memory_desc_init_by_strides) \
    X(memory_desc_init_by_tag) \
    X(memory_desc_init_submemory) \
    X(pooling_forward_desc_init) \
    X(pooling_v2_forward_desc_init) \
    X(prelu_forward_desc_init) \
    X(primitive_attr_set_output_scales) \
    X(primitive_desc_iterator_create) \
    X(primitive_desc_iterator_fetch) \
    X(primitive_desc_iterator_next) \
    X(reduction_desc_init) \
    X(resampling_forward_desc_init) \
    X(shuffle_forward_desc_init) \
    X(softmax_v2_forward_desc_init)
#endif

#ifdef __cplusplus
#define TDNNL_DECLARE(name) extern "C" decltype(&dnnl_##name) const tdnnl_guarded_##name;
#else
#define TDNNL_DECLARE(name) extern __typeof__(&dnnl_##name) const tdnnl_guarded_##name;
#endif
TDNNL_GUARDED(TDNNL_DECLARE)
#undef TDNNL_DECLARE

#endif
