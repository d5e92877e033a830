// SPDX-License-Identifier: Apache-2.0
//
// Ensembles of decision trees. Eight walks at a time, of one tree over eight rows or of eight trees over one row, so that one
// walk's waiting for memory is filled by the others. All walks take as many steps as the deepest: a leaf's next node is itself.
#include "CKernels.h"

enum { WALKS = 8 };

#define DEFINE_WALKS(NAME, NODE, NUMBER) \
    /* The leaves that eight walks end in; HAS_NAN is a constant in each place that this is inlined to. */ \
    static inline __attribute__((always_inline)) void walk_##NAME( \
        const NODE *nodes, const uint8_t *nan_left, int32_t depth, const NUMBER *const *rows, int32_t *at, int has_nan) { \
        for (int32_t level = 0; level < depth; level++) \
            for (int k = 0; k < WALKS; k++) { \
                const NODE *node = nodes + at[k]; \
                const NUMBER value = rows[k][node->feature]; \
                int is_left = value <= node->threshold; \
                if (has_nan) is_left |= value != value && nan_left[at[k]]; \
                at[k] = node->left + (is_left ? 0 : node->step); \
            } \
    }

DEFINE_WALKS(f32, tkernel_tree_node_f32, float)
DEFINE_WALKS(f64, tkernel_tree_node_f64, double)

static inline void add(const tkernel_forest *forest, int32_t leaf, double *sums) {
    const int32_t begin = forest->offsets[leaf], end = forest->offsets[leaf + 1];
    for (int32_t i = begin; i < end; i++) {
        double *sum = sums + forest->targets[i];
        const double weight = forest->weights[i];
        switch (forest->aggregate) {
        case TKERNEL_TREES_SUM: *sum += weight; break;
        case TKERNEL_TREES_MIN: *sum = weight < *sum ? weight : *sum; break;
        default: *sum = weight > *sum ? weight : *sum; break;
        }
    }
}

#define DEFINE_RUN(NAME, NODE, NUMBER) \
    static inline __attribute__((always_inline)) void rows_##NAME( \
        const tkernel_forest *forest, int64_t begin, int64_t end, const NUMBER *source, double *sums, int has_nan) { \
        const NODE *nodes = forest->nodes; \
        const int32_t width = forest->target_count; \
        for (int32_t tree = 0; tree < forest->trees; tree++) { \
            const int32_t root = forest->roots[tree], depth = forest->depths[tree]; \
            for (int64_t row = begin; row < end; row += WALKS) { \
                const NUMBER *rows[WALKS]; \
                int32_t at[WALKS]; \
                for (int k = 0; k < WALKS; k++) { \
                    const int64_t own = row + k < end ? row + k : end - 1; \
                    rows[k] = source + own * forest->features; \
                    at[k] = root; \
                } \
                walk_##NAME(nodes, forest->nan_left, depth, rows, at, has_nan); \
                double *target = sums + (row - begin) * width; \
                const int count = end - row < WALKS ? (int)(end - row) : WALKS; \
                if (forest->values) \
                    for (int k = 0; k < count; k++) target[k] += forest->values[at[k]]; \
                else \
                    for (int k = 0; k < count; k++) add(forest, at[k], target + k * width); \
            } \
        } \
    } \
    static inline __attribute__((always_inline)) void trees_##NAME( \
        const tkernel_forest *forest, int32_t begin, int32_t end, const NUMBER *row, double *sums, int has_nan) { \
        const NODE *nodes = forest->nodes; \
        const NUMBER *rows[WALKS]; \
        for (int k = 0; k < WALKS; k++) rows[k] = row; \
        for (int32_t tree = begin; tree < end; tree += WALKS) { \
            const int count = end - tree < WALKS ? end - tree : WALKS; \
            int32_t at[WALKS], depth = 0; \
            for (int k = 0; k < WALKS; k++) { \
                const int32_t own = tree + (k < count ? k : 0); \
                at[k] = forest->roots[own]; \
                depth = forest->depths[own] > depth ? forest->depths[own] : depth; \
            } \
            walk_##NAME(nodes, forest->nan_left, depth, rows, at, has_nan); \
            if (forest->values) \
                for (int k = 0; k < count; k++) *sums += forest->values[at[k]]; \
            else \
                for (int k = 0; k < count; k++) add(forest, at[k], sums); \
        } \
    } \
    static int holds_nan_##NAME(const NUMBER *values, int64_t count) { \
        int found = 0; \
        for (int64_t i = 0; i < count; i++) found |= values[i] != values[i]; \
        return found; \
    } \
    static void run_rows_##NAME( \
        const tkernel_forest *forest, int64_t begin, int64_t end, const NUMBER *source, double *sums) { \
        if (holds_nan_##NAME(source + begin * forest->features, (end - begin) * forest->features)) \
            rows_##NAME(forest, begin, end, source, sums, 1); \
        else \
            rows_##NAME(forest, begin, end, source, sums, 0); \
    } \
    static void run_trees_##NAME( \
        const tkernel_forest *forest, int32_t begin, int32_t end, const NUMBER *row, double *sums) { \
        if (holds_nan_##NAME(row, forest->features)) \
            trees_##NAME(forest, begin, end, row, sums, 1); \
        else \
            trees_##NAME(forest, begin, end, row, sums, 0); \
    }

DEFINE_RUN(f32, tkernel_tree_node_f32, float)
DEFINE_RUN(f64, tkernel_tree_node_f64, double)

void tkernel_forest_run_rows(
    const tkernel_forest *forest, int64_t begin, int64_t end, const void *source, double *sums) {
    if (forest->is_double)
        run_rows_f64(forest, begin, end, source, sums);
    else
        run_rows_f32(forest, begin, end, source, sums);
}

void tkernel_forest_run_trees(
    const tkernel_forest *forest, int32_t begin, int32_t end, const void *row, double *sums) {
    if (forest->is_double)
        run_trees_f64(forest, begin, end, row, sums);
    else
        run_trees_f32(forest, begin, end, row, sums);
}
