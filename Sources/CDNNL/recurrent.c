// SPDX-License-Identifier: Apache-2.0
//
// LSTM and GRU.
#include "internal.h"

static int native_direction(int32_t direction, dnnl_rnn_direction_t *native) {
    switch (direction) {
    case TDNNL_LEFT_TO_RIGHT: *native = dnnl_unidirectional_left2right; return 1;
    case TDNNL_RIGHT_TO_LEFT: *native = dnnl_unidirectional_right2left; return 1;
    case TDNNL_BIDIRECTIONAL_CONCAT: *native = dnnl_bidirectional_concat; return 1;
    case TDNNL_BIDIRECTIONAL_SUM: *native = dnnl_bidirectional_sum; return 1;
    default: return 0;
    }
}

int tdnnl_lstm_create(
    tdnnl_pd **out, tdnnl_engine *engine, int32_t direction, const tdnnl_md *src_layer, const tdnnl_md *src_iter,
    const tdnnl_md *src_iter_c, const tdnnl_md *weights_layer, const tdnnl_md *weights_iter, const tdnnl_md *bias,
    const tdnnl_md *dst_layer, const tdnnl_md *dst_iter, const tdnnl_md *dst_iter_c,
    const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    dnnl_rnn_direction_t way;
    if (!engine || !src_layer || !weights_layer || !weights_iter || !dst_layer || !native_direction(direction, &way))
        return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
#if TDNNL_V3
    status = tdnnl_guarded_lstm_forward_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), dnnl_forward_inference, way, tdnnl_native(src_layer),
        tdnnl_native(src_iter), tdnnl_native(src_iter_c), tdnnl_native(weights_layer), tdnnl_native(weights_iter),
        NULL, NULL, tdnnl_native(bias), tdnnl_native(dst_layer), tdnnl_native(dst_iter), tdnnl_native(dst_iter_c), 0,
        native);
#else
    dnnl_rnn_desc_t operation;
    status = tdnnl_guarded_lstm_forward_desc_init(
        &operation, dnnl_forward_inference, way, tdnnl_native(src_layer), tdnnl_native(src_iter),
        tdnnl_native(src_iter_c), tdnnl_native(weights_layer), tdnnl_native(weights_iter), tdnnl_native(bias),
        tdnnl_native(dst_layer), tdnnl_native(dst_iter), tdnnl_native(dst_iter_c), 0);
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}

int tdnnl_gru_create(
    tdnnl_pd **out, tdnnl_engine *engine, int32_t linear_before_reset, int32_t direction, const tdnnl_md *src_layer,
    const tdnnl_md *src_iter, const tdnnl_md *weights_layer, const tdnnl_md *weights_iter, const tdnnl_md *bias,
    const tdnnl_md *dst_layer, const tdnnl_md *dst_iter, const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    dnnl_rnn_direction_t way;
    if (!engine || !src_layer || !weights_layer || !weights_iter || !dst_layer || !native_direction(direction, &way))
        return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
#if TDNNL_V3
    status = (linear_before_reset ? dnnl_lbr_gru_forward_primitive_desc_create
                                  : dnnl_gru_forward_primitive_desc_create)(
        &pd->pd, tdnnl_native_engine(engine), dnnl_forward_inference, way, tdnnl_native(src_layer),
        tdnnl_native(src_iter), tdnnl_native(weights_layer), tdnnl_native(weights_iter), tdnnl_native(bias),
        tdnnl_native(dst_layer), tdnnl_native(dst_iter), 0, native);
#else
    dnnl_rnn_desc_t operation;
    status = (linear_before_reset ? dnnl_lbr_gru_forward_desc_init : dnnl_gru_forward_desc_init)(
        &operation, dnnl_forward_inference, way, tdnnl_native(src_layer), tdnnl_native(src_iter),
        tdnnl_native(weights_layer), tdnnl_native(weights_iter), tdnnl_native(bias), tdnnl_native(dst_layer),
        tdnnl_native(dst_iter), 0);
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}
