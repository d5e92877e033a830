// SPDX-License-Identifier: Apache-2.0
//
// Algorithms and post-ops in the words of either version.
#include "internal.h"

dnnl_alg_kind_t tdnnl_native_algorithm(int32_t algorithm) {
    switch (algorithm) {
    case TDNNL_CONVOLUTION_DIRECT: return dnnl_convolution_direct;
    case TDNNL_CONVOLUTION_WINOGRAD: return dnnl_convolution_winograd;
    case TDNNL_CONVOLUTION_AUTO: return dnnl_convolution_auto;
    case TDNNL_POOLING_MAX: return dnnl_pooling_max;
    case TDNNL_POOLING_AVG_INCLUDE_PADDING: return dnnl_pooling_avg_include_padding;
    case TDNNL_POOLING_AVG_EXCLUDE_PADDING: return dnnl_pooling_avg_exclude_padding;
    case TDNNL_LRN_ACROSS_CHANNELS: return dnnl_lrn_across_channels;
    case TDNNL_LRN_WITHIN_CHANNEL: return dnnl_lrn_within_channel;
    case TDNNL_RESAMPLING_NEAREST: return dnnl_resampling_nearest;
    case TDNNL_RESAMPLING_LINEAR: return dnnl_resampling_linear;
    case TDNNL_BINARY_ADD: return dnnl_binary_add;
    case TDNNL_BINARY_SUB: return dnnl_binary_sub;
    case TDNNL_BINARY_MUL: return dnnl_binary_mul;
    case TDNNL_BINARY_DIV: return dnnl_binary_div;
    case TDNNL_BINARY_MAX: return dnnl_binary_max;
    case TDNNL_BINARY_MIN: return dnnl_binary_min;
    case TDNNL_BINARY_GE: return dnnl_binary_ge;
    case TDNNL_BINARY_GT: return dnnl_binary_gt;
    case TDNNL_BINARY_LE: return dnnl_binary_le;
    case TDNNL_BINARY_LT: return dnnl_binary_lt;
    case TDNNL_BINARY_EQ: return dnnl_binary_eq;
    case TDNNL_BINARY_NE: return dnnl_binary_ne;
    case TDNNL_REDUCTION_MAX: return dnnl_reduction_max;
    case TDNNL_REDUCTION_MIN: return dnnl_reduction_min;
    case TDNNL_REDUCTION_SUM: return dnnl_reduction_sum;
    case TDNNL_REDUCTION_MUL: return dnnl_reduction_mul;
    case TDNNL_REDUCTION_MEAN: return dnnl_reduction_mean;
    case TDNNL_REDUCTION_NORM_LP_MAX: return dnnl_reduction_norm_lp_max;
    case TDNNL_REDUCTION_NORM_LP_SUM: return dnnl_reduction_norm_lp_sum;
    case TDNNL_REDUCTION_NORM_LP_POWER_P_MAX: return dnnl_reduction_norm_lp_power_p_max;
    case TDNNL_REDUCTION_NORM_LP_POWER_P_SUM: return dnnl_reduction_norm_lp_power_p_sum;
    default: return dnnl_alg_kind_undef;
    }
}

static int one(tdnnl_step *steps, dnnl_alg_kind_t algorithm, float alpha, float beta) {
    steps[0] = (tdnnl_step){algorithm, alpha, beta, 1.0f};
    return 1;
}

/* Adding -0 keeps the sign of a zero, adding 0 does not. */
static int linear(tdnnl_step *steps, float alpha, float beta) {
    return one(steps, dnnl_eltwise_linear, alpha, beta == 0.0f ? -0.0f : beta);
}

static int soft_relu(tdnnl_step *steps, float alpha) {
    if (alpha == 0.0f) alpha = 1.0f;
#if TDNNL_V3
    return one(steps, dnnl_eltwise_soft_relu, alpha, 0);
#else
    // Version 2 has log(1 + exp x) and, as its own algorithm, the case alpha = -1.
    if (alpha == 1.0f) return one(steps, dnnl_eltwise_soft_relu, 0, 0);
    if (alpha == -1.0f) return one(steps, dnnl_eltwise_logsigmoid, 0, 0);
    one(steps, dnnl_eltwise_linear, alpha, 0);
    one(steps + 1, dnnl_eltwise_soft_relu, 0, 0);
    steps[1].scale = 1.0f / alpha;
    return 2;
#endif
}

static int expand(int32_t algorithm, float alpha, float beta, tdnnl_step *steps) {
    switch (algorithm) {
    case TDNNL_ELTWISE_RELU: return one(steps, dnnl_eltwise_relu, alpha, 0);
    case TDNNL_ELTWISE_TANH: return one(steps, dnnl_eltwise_tanh, 0, 0);
    case TDNNL_ELTWISE_ELU: return one(steps, dnnl_eltwise_elu, alpha, 0);
    case TDNNL_ELTWISE_SQUARE: return one(steps, dnnl_eltwise_square, 0, 0);
    case TDNNL_ELTWISE_ABS: return one(steps, dnnl_eltwise_abs, 0, 0);
    case TDNNL_ELTWISE_SQRT: return one(steps, dnnl_eltwise_sqrt, 0, 0);
    case TDNNL_ELTWISE_LINEAR: return linear(steps, alpha, beta);
    case TDNNL_ELTWISE_SOFT_RELU: return soft_relu(steps, alpha);
    case TDNNL_ELTWISE_LOGISTIC: return one(steps, dnnl_eltwise_logistic, 0, 0);
    case TDNNL_ELTWISE_EXP: return one(steps, dnnl_eltwise_exp, 0, 0);
    case TDNNL_ELTWISE_GELU_TANH: return one(steps, dnnl_eltwise_gelu_tanh, 0, 0);
    case TDNNL_ELTWISE_GELU_ERF: return one(steps, dnnl_eltwise_gelu_erf, 0, 0);
    case TDNNL_ELTWISE_SWISH: return one(steps, dnnl_eltwise_swish, alpha, 0);
    case TDNNL_ELTWISE_LOG: return one(steps, dnnl_eltwise_log, 0, 0);
    case TDNNL_ELTWISE_CLIP: return one(steps, dnnl_eltwise_clip, alpha, beta);
    case TDNNL_ELTWISE_POW: return one(steps, dnnl_eltwise_pow, alpha, beta);
    case TDNNL_ELTWISE_ROUND: return one(steps, dnnl_eltwise_round, 0, 0);
    case TDNNL_ELTWISE_LOGSIGMOID: return soft_relu(steps, -1.0f);
    case TDNNL_ELTWISE_MISH: return one(steps, dnnl_eltwise_mish, 0, 0);
#if TDNNL_V3
    case TDNNL_ELTWISE_HARDSIGMOID: return one(steps, dnnl_eltwise_hardsigmoid, alpha, beta);
    case TDNNL_ELTWISE_HARDSWISH: return one(steps, dnnl_eltwise_hardswish, alpha, beta);
#else
    case TDNNL_ELTWISE_HARDSIGMOID:
        one(steps, dnnl_eltwise_linear, alpha, beta);
        return 1 + one(steps + 1, dnnl_eltwise_clip, 0.0f, 1.0f);
    case TDNNL_ELTWISE_HARDSWISH:
        if (alpha < 0.16666f || alpha > 0.16667f || beta != 0.5f) return 0;
        return one(steps, dnnl_eltwise_hardswish, 0, 0);
#endif
    default: return 0;
    }
}

int tdnnl_expand_eltwise(int32_t algorithm, float alpha, float beta, float scale, tdnnl_step steps[TDNNL_MAX_STEPS]) {
    int count = expand(algorithm, alpha, beta, steps);
    if (count == 0) return 0;
    if (scale == 0.0f) scale = 1.0f;
#if TDNNL_V3
    if (scale != 1.0f) count += linear(steps + count, scale, 0);
#else
    steps[count - 1].scale *= scale;
#endif
    return count;
}

#if !TDNNL_V3
// The kernels of version 2.6 keep one element-wise generator per algorithm: of two steps with the same algorithm, the
// second runs with the parameters of the first. Such a list is refused.
static int is_in_conflict(const_dnnl_post_ops_t list, const tdnnl_step *step) {
    for (int i = 0, n = dnnl_post_ops_len(list); i < n; i++) {
        float scale, alpha, beta;
        dnnl_alg_kind_t algorithm;
        if (dnnl_post_ops_get_kind(list, i) != dnnl_eltwise) continue;
        if (dnnl_post_ops_get_params_eltwise(list, i, &scale, &algorithm, &alpha, &beta) != dnnl_success) return 1;
        if (algorithm != step->algorithm) continue;
        if (scale != step->scale || alpha != step->alpha || beta != step->beta) return 1;
    }
    return 0;
}
#endif

static int append_steps(dnnl_post_ops_t list, const tdnnl_step *steps, int count) {
    for (int i = 0; i < count; i++) {
#if !TDNNL_V3
        if (is_in_conflict(list, &steps[i])) return TDNNL_UNIMPLEMENTED;
#endif
#if TDNNL_V3
        int status = tdnnl_guarded_post_ops_append_eltwise(list, steps[i].algorithm, steps[i].alpha, steps[i].beta);
#else
        int status =
            tdnnl_guarded_post_ops_append_eltwise(list, steps[i].scale, steps[i].algorithm, steps[i].alpha, steps[i].beta);
#endif
        if (status != TDNNL_OK) return status;
    }
    return TDNNL_OK;
}

static int append_post_op(dnnl_post_ops_t list, const tdnnl_post_op *op) {
    float scale = op->scale == 0.0f ? 1.0f : op->scale;
    switch (op->kind) {
    case TDNNL_POST_OP_SUM:
#if TDNNL_V3
        return tdnnl_guarded_post_ops_append_sum(list, scale, 0, dnnl_data_type_undef);
#else
        return tdnnl_guarded_post_ops_append_sum(list, scale);
#endif
    case TDNNL_POST_OP_ELTWISE: {
        tdnnl_step steps[TDNNL_MAX_STEPS];
        int count = tdnnl_expand_eltwise(op->algorithm, op->alpha, op->beta, scale, steps);
        return count == 0 ? TDNNL_UNIMPLEMENTED : append_steps(list, steps, count);
    }
    case TDNNL_POST_OP_BINARY:
        if (!op->src1 || op->algorithm < TDNNL_BINARY_ADD || op->algorithm > TDNNL_BINARY_NE)
            return TDNNL_INVALID_ARGUMENTS;
        return tdnnl_guarded_post_ops_append_binary(list, tdnnl_native_algorithm(op->algorithm), tdnnl_native(op->src1));
    case TDNNL_POST_OP_PRELU: return tdnnl_guarded_post_ops_append_prelu(list, op->mask);
    case TDNNL_POST_OP_DEPTHWISE: {
        dnnl_data_type_t bias = op->has_bias ? dnnl_f32 : dnnl_data_type_undef;
#if TDNNL_V3
        return tdnnl_guarded_post_ops_append_dw(list, dnnl_f32, bias, dnnl_f32, op->kernel, op->stride, op->padding);
#else
        return tdnnl_guarded_post_ops_append_dw(
            list, dnnl_f32, bias, dnnl_f32, op->kernel, op->stride, op->padding, 0, 0, NULL);
#endif
    }
    default: return TDNNL_INVALID_ARGUMENTS;
    }
}

static int fill_post_ops(
    tdnnl_pd *pd, dnnl_primitive_attr_t native, const tdnnl_attributes *attributes, const tdnnl_step *prefix,
    int prefix_count) {
    dnnl_post_ops_t list = NULL;
    int status = tdnnl_guarded_post_ops_create(&list);
    if (status != TDNNL_OK) return status;
    status = append_steps(list, prefix, prefix_count);
#if TDNNL_V3
    if (status == TDNNL_OK && attributes && attributes->output_scale_count == 1) {
        tdnnl_step scale = {dnnl_eltwise_linear, attributes->output_scales[0], 0, 1.0f};
        status = append_steps(list, &scale, 1);
    }
#endif
    int count = attributes ? attributes->post_op_count : 0;
    for (int i = 0; status == TDNNL_OK && i < count; i++) {
        pd->post_op_position[i] = (int16_t)dnnl_post_ops_len(list);
        pd->post_op_kind[i] = (int8_t)attributes->post_ops[i].kind;
        status = append_post_op(list, &attributes->post_ops[i]);
    }
    pd->post_op_count = count;
    if (status == TDNNL_OK) status = tdnnl_guarded_primitive_attr_set_post_ops(native, list);
    dnnl_post_ops_destroy(list);
    return status;
}

static int fill(
    tdnnl_pd *pd, dnnl_primitive_attr_t native, const tdnnl_attributes *attributes, const tdnnl_step *prefix,
    int prefix_count) {
    int status = dnnl_primitive_attr_set_scratchpad_mode(native, dnnl_scratchpad_mode_user);
    if (status != TDNNL_OK) return status;
    if (attributes && attributes->allow_bf16) {
        status = dnnl_primitive_attr_set_fpmath_mode(native, dnnl_fpmath_mode_bf16);
        if (status != TDNNL_OK) return status;
    }
    if (attributes && attributes->output_scale_count > 0) {
        if (!attributes->output_scales) return TDNNL_INVALID_ARGUMENTS;
#if TDNNL_V3
        // Scales per channel are arguments of the run in version 3; a binary multiplication says the same.
        if (attributes->output_scale_count > 1) return TDNNL_UNIMPLEMENTED;
#else
        status = tdnnl_guarded_primitive_attr_set_output_scales(
            native, attributes->output_scale_count, attributes->output_scale_mask, attributes->output_scales);
        if (status != TDNNL_OK) return status;
#endif
    }
    return fill_post_ops(pd, native, attributes, prefix, prefix_count);
}

int tdnnl_pd_begin(
    tdnnl_pd **pd, dnnl_primitive_attr_t *native, const tdnnl_attributes *attributes, const tdnnl_step *prefix,
    int prefix_count) {
    *pd = NULL;
    *native = NULL;
    if (attributes) {
        if (attributes->post_op_count < 0 || attributes->post_op_count > TDNNL_MAX_POST_OPS)
            return TDNNL_INVALID_ARGUMENTS;
        if (attributes->post_op_count > 0 && !attributes->post_ops) return TDNNL_INVALID_ARGUMENTS;
    }
    tdnnl_pd *made = calloc(1, sizeof *made);
    if (!made) return TDNNL_OUT_OF_MEMORY;
    int status = tdnnl_guarded_primitive_attr_create(native);
    if (status == TDNNL_OK) status = fill(made, *native, attributes, prefix, prefix_count);
    if (status != TDNNL_OK) {
        tdnnl_pd *none = NULL;
        return tdnnl_pd_end(&none, made, *native, status);
    }
    *pd = made;
    return TDNNL_OK;
}

int tdnnl_pd_end(tdnnl_pd **out, tdnnl_pd *pd, dnnl_primitive_attr_t native, int status) {
    if (native) dnnl_primitive_attr_destroy(native);
    if (status == TDNNL_OK) {
        *out = pd;
    } else {
        *out = NULL;
        tdnnl_pd_destroy(pd);
    }
    return status;
}
