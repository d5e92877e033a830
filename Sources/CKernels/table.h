// SPDX-License-Identifier: Apache-2.0
//
// The kernels of the instruction set that the including file is for.
static const kernel_table NAME(table) = {
    .panel = PANEL,
    .gemm_scratch = NAME(gemm_scratch),
    .gemm_pack = NAME(gemm_pack),
    .gemm_run = NAME(gemm_run),
    .products_scratch = NAME(products_scratch),
    .products_run = NAME(products_run),
    .steps_run = NAME(steps_run),
    .norm_run = NAME(norm_run),
    .softmax_run = NAME(softmax_run),
    .attention_scratch = NAME(attention_scratch),
    .attention_run = NAME(attention_run),
};
