// SPDX-License-Identifier: Apache-2.0
//
// Weights of 3×3 convolutions brought into the Winograd domain, straight into the layout that oneDNN's kernels read. oneDNN's own
// reorder goes through a plain copy whose planes lie a power of two apart, and takes longer than all the rest of making an
// executable. Only version 2 shows what its layout is; elsewhere the answer is that there is nothing to do here.
#include "internal.h"

#if !TDNNL_V3

enum { RADIUS = 3, LANES = 16, CHANNELS = 16, TILE_MOST = 6 };

// Transformation matrices of F(2×2, 3×3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015) and of
// F(4×4, 3×3) with the interpolation points 0, ±5/8, ±3/2 and ∞, which its kernels undo.
static const float small_tiles[4][RADIUS] = {{1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, 1}};
static const float large_tiles[6][RADIUS] = {
    {1.13777777777778f, 0, 0},
    {-0.688403361344538f, -0.430252100840336f, -0.26890756302521f},
    {-0.688403361344538f, 0.430252100840336f, -0.26890756302521f},
    {0.119514472455649f, 0.179271708683473f, 0.26890756302521f},
    {0.119514472455649f, -0.179271708683473f, 0.26890756302521f},
    {0, 0, 1},
};

static const dnnl_wino_desc_t *layout_of(const tdnnl_md *md) {
    if (!md || md->desc.format_kind != dnnl_format_kind_wino || md->desc.data_type != dnnl_f32 || md->desc.ndims != 4)
        return NULL;
    const dnnl_wino_desc_t *wino = &md->desc.format_desc.wino_desc;
    const int is_large = wino->wino_format == dnnl_wino_wei_OBaaIBOIio;
    if (!is_large && wino->wino_format != dnnl_wino_wei_aaOio && wino->wino_format != dnnl_wino_wei_aaOBiOo) return NULL;
    if (wino->r != RADIUS || wino->alpha != (is_large ? 6 : 4)) return NULL;
    if (wino->oc_block != LANES || wino->ic_block != CHANNELS || wino->oc2_block < 1 || wino->ic2_block < 0) return NULL;
    if (wino->oc % LANES || wino->ic % CHANNELS || wino->oc < md->desc.dims[0] || wino->ic < md->desc.dims[1]) return NULL;
    if (wino->oc / LANES % wino->oc2_block) return NULL;
    if (is_large && (wino->ic2_block < 1 || wino->ic / CHANNELS % wino->ic2_block)) return NULL;
    size_t needed = sizeof(float) * (size_t)wino->alpha * (size_t)wino->alpha * (size_t)wino->oc * (size_t)wino->ic;
    return dnnl_memory_desc_get_size(&md->desc) >= needed ? wino : NULL;
}

int64_t tdnnl_winograd_pieces(const tdnnl_md *packed) {
    const dnnl_wino_desc_t *wino = layout_of(packed);
    return wino ? (int64_t)(wino->oc / LANES) * (wino->ic / CHANNELS) : 0;
}

// One input channel of a block of output channels: domain[u][v] = G · filter · Gᵀ for each lane.
static void transform(
    const float (*g)[RADIUS], int alpha, float filter[RADIUS][RADIUS][LANES], float *domain, size_t plane) {
    float rows[RADIUS][TILE_MOST][LANES];
    for (int y = 0; y < RADIUS; y++)
        for (int v = 0; v < alpha; v++)
            for (int lane = 0; lane < LANES; lane++)
                rows[y][v][lane] = filter[y][0][lane] * g[v][0] + filter[y][1][lane] * g[v][1] + filter[y][2][lane] * g[v][2];
    for (int u = 0; u < alpha; u++)
        for (int v = 0; v < alpha; v++) {
            float *into = domain + (size_t)(u * alpha + v) * plane;
            for (int lane = 0; lane < LANES; lane++)
                into[lane] = g[u][0] * rows[0][v][lane] + g[u][1] * rows[1][v][lane] + g[u][2] * rows[2][v][lane];
        }
}

void tdnnl_winograd_pack(const tdnnl_md *packed, const void *weights, float *into, int64_t begin, int64_t end) {
    const dnnl_wino_desc_t *wino = layout_of(packed);
    if (!wino) return;
    const int alpha = wino->alpha, is_large = wino->wino_format == dnnl_wino_wei_OBaaIBOIio;
    const float(*g)[RADIUS] = is_large ? large_tiles : small_tiles;
    const int64_t outputs = packed->desc.dims[0], inputs = packed->desc.dims[1];
    const int64_t input_blocks = wino->ic / CHANNELS, output_blocks = wino->oc / LANES;
    // Output channels in chunks of blocks, which aaOio ignores.
    const int64_t chunk = wino->wino_format == dnnl_wino_wei_aaOio ? 1 : wino->oc2_block;
    const int64_t chunks = output_blocks / chunk, input_chunk = is_large ? wino->ic2_block : 1;
    // A block of input channels is transformed aside: its planes lie close together there.
    float block[TILE_MOST * TILE_MOST][CHANNELS][LANES];
    for (int64_t piece = begin; piece < end; piece++) {
        const int64_t ob = piece / input_blocks, ib = piece % input_blocks;
        for (int64_t i = 0; i < CHANNELS; i++) {
            float filter[RADIUS][RADIUS][LANES];
            for (int64_t lane = 0; lane < LANES; lane++) {
                const int64_t o = ob * LANES + lane, c = ib * CHANNELS + i;
                float taps[RADIUS * RADIUS] = {0};
                if (o < outputs && c < inputs)
                    memcpy(taps, (const char *)weights + (o * inputs + c) * (int64_t)sizeof taps, sizeof taps);
                for (int k = 0; k < RADIUS * RADIUS; k++) filter[k / RADIUS][k % RADIUS][lane] = taps[k];
            }
            transform(g, alpha, filter, block[0][i], CHANNELS * LANES);
        }
        for (int64_t tile = 0; tile < alpha * alpha; tile++) {
            if (is_large) {
                // O B a a I B O I i o, the letters from far to near.
                const int64_t row = ((ob / chunk) * alpha * alpha + tile) * (input_blocks / input_chunk) + ib / input_chunk;
                float *to = into + ((row * chunk + ob % chunk) * input_chunk + ib % input_chunk) * CHANNELS * LANES;
                memcpy(to, block[tile], sizeof block[tile]);
            } else {
                // a a O (B) i (O) o.
                float *to = into + ((tile * chunks + ob / chunk) * input_blocks + ib) * chunk * CHANNELS * LANES;
                for (int64_t i = 0; i < CHANNELS; i++)
                    memcpy(to + (i * chunk + ob % chunk) * LANES, block[tile][i], sizeof block[tile][i]);
            }
        }
    }
}

#else

int64_t tdnnl_winograd_pieces(const tdnnl_md *packed) {
    (void)packed;
    return 0;
}

void tdnnl_winograd_pack(const tdnnl_md *packed, const void *weights, float *into, int64_t begin, int64_t end) {
    (void)packed, (void)weights, (void)into, (void)begin, (void)end;
}

#endif
