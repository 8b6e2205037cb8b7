/* The note step: LSTM, five heads, musical rules and nucleus sampling, for many pieces at once.
 *
 * One call makes up to `steps` notes of every piece that is not finished. Python owns all memory (see layout.py, which
 * mirrors the structs below); nothing here allocates, keeps state between calls or knows what a request is.
 *
 * A piece never depends on its company. Pieces are blocked only so that a weight that was loaded serves several of
 * them: each sum runs over its inputs in one order, in one accumulator, whichever pieces stand beside it. The file is
 * compiled with -ffp-contract=off, so that a multiplication and an addition are fused where `fused` says so and nowhere
 * else: the same operations in every instance of a template.
 *
 * Compiled with INT8=1, weights and hidden states are 8-bit integers: products and sums are then exact. With INT8=0
 * they are float32. Shapes: S pieces, H hidden, E embedding padded to 16, outputs padded to 16, K notes in the cache,
 * R rows of state: one for each piece and, with guidance, behind them one for each that is told neither mood nor controls.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* ---- vectors: what the processor holds in one register ------------------------------------------------------ */

#if defined(__AVX512F__) && defined(__AVX512BW__)
#define LANES 16
#define TILE_PIECES 6 /* 4 vectors x 6 pieces of accumulators, 4 weights, 1 input: 29 of 32 registers */
#elif defined(__AVX2__) && defined(__FMA__)
#define LANES 8
#define TILE_PIECES 2 /* 8 accumulators, 4 weights, 1 input: 13 of 16 registers */
#else
#define LANES 4
#define TILE_PIECES 6 /* NEON has 32 registers; a compiler for less spills, and is still right */
#endif
#define UNIT 16   /* every row of outputs is padded to a multiple of it */
#define BLOCK 64  /* outputs computed together: four gates of sixteen units */
#define TILE_VECTORS 4

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef float vf_anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t vi_anywhere __attribute__((vector_size(4 * LANES), aligned(1), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

INLINE vf load(const float *p) { return *(const vf_anywhere *)p; }
INLINE void store(float *p, vf v) { *(vf_anywhere *)p = v; }
INLINE vf all(float x) { return x - (vf){0}; }
INLINE vi all_i(int32_t x) { return x - (vi){0}; }
INLINE vf choose_f(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }
INLINE vf bounded(vf x, float low, float high) {
#if LANES == 16
    return (vf)_mm512_min_ps(_mm512_max_ps((__m512)x, _mm512_set1_ps(low)), _mm512_set1_ps(high));
#elif LANES == 8
    return (vf)_mm256_min_ps(_mm256_max_ps((__m256)x, _mm256_set1_ps(low)), _mm256_set1_ps(high));
#else
    x = choose_f(x < all(low), all(low), x);
    return choose_f(x > all(high), all(high), x);
#endif
}

/* a * b + c, rounded once where the processor can. */
INLINE vf fused(vf a, vf b, vf c) {
#if LANES == 16
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif LANES == 8
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

/* Sum of the lanes, always in the order of this tree. */
INLINE float sum(vf v) {
    float lanes[LANES];
    memcpy(lanes, &v, sizeof v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

/* e^-x for -87 <= x <= 87, to about 1e-6 of itself: x = n log 2 + r, and the polynomial of Cephes' expf in -r. */
INLINE vf decay(vf x) {
    const vf magic = all(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer, found in the low bits */
    const vf shifted = fused(x, all(-1.44269504088896341f), magic);
    const vf r = fused(shifted - magic, all(0.693147180559945f), x);
    vf p = all(-1.9875691500e-4f);
    p = fused(p, r, all(1.3981999507e-3f));
    p = fused(p, r, all(-8.3334519073e-3f));
    p = fused(p, r, all(4.1665795894e-2f));
    p = fused(p, r, all(-1.6666665459e-1f));
    p = fused(p, r, all(5.0000001201e-1f));
    p = fused(p, r, all(-1.0f));
    p = fused(p, r, all(1.0f));
    return (vf)((vi)p + ((vi)shifted << 23));
}

/* ---- numbers of the products: 8-bit integers or float32 ------------------------------------------------------ */

#if INT8
typedef vi sums;
#if LANES == 16 && defined(__AVX512VNNI__)
#define DEPTH 4 /* inputs taken in by one instruction */
#define OFFSET 128 /* the instruction multiplies unsigned inputs by signed weights */
typedef int8_t weight;
typedef uint8_t input;
INLINE vi dot(vi acc, vi x, vi w) { return (vi)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)x, (__m512i)w); }
#elif defined(__ARM_FEATURE_DOTPROD)
#define DEPTH 4
#define OFFSET 0
typedef int8_t weight;
typedef int8_t input;
INLINE vi dot(vi acc, vi x, vi w) { return (vi)vdotq_s32((int32x4_t)acc, (int8x16_t)x, (int8x16_t)w); }
#else
#define DEPTH 2 /* 8-bit values in 16-bit lanes: no sum of two products saturates */
#define OFFSET 0
typedef int16_t weight;
typedef int16_t input;
INLINE vi dot(vi acc, vi x, vi w) {
#if LANES == 16
    return acc + (vi)_mm512_madd_epi16((__m512i)x, (__m512i)w);
#elif LANES == 8
    return acc + (vi)_mm256_madd_epi16((__m256i)x, (__m256i)w);
#elif defined(__SSE2__)
    return acc + (vi)_mm_madd_epi16((__m128i)x, (__m128i)w);
#else
    return acc + (x << 16 >> 16) * (w << 16 >> 16) + (x >> 16) * (w >> 16);
#endif
}
#endif
typedef int8_t raw; /* a weight as Python gives it */
typedef int8_t asking; /* a hidden state */
#if OFFSET
typedef uint8_t key; /* one in the cache, with OFFSET */
#else
typedef int8_t key;
#endif
INLINE float alike(const asking *a, const key *b, int size, int32_t offset) { /* exact, however it is added up */
    int32_t total = -offset; /* OFFSET times the sum of a */
    int i = 0;
#if LANES == 16 && defined(__AVX512VNNI__)
    __m512i sums = _mm512_setzero_si512();
    for (; i + 64 <= size; i += 64)
        sums = _mm512_dpbusd_epi32(sums, _mm512_loadu_si512(b + i), _mm512_loadu_si512(a + i));
    total += _mm512_reduce_add_epi32(sums);
#endif
    for (; i < size; i++) total += a[i] * b[i];
    return (float)total / (127.0f * 127.0f);
}
INLINE sums load_weights(const weight *w) { return *(const vi_anywhere *)w; }
INLINE sums load_inputs(const input *x) {
    int32_t bits;
    memcpy(&bits, x, 4);
    return all_i(bits);
}
INLINE sums multiply(sums acc, sums x, sums w) { return dot(acc, x, w); }
INLINE sums start_of(const int32_t *start) { return *(const vi_anywhere *)start; }
INLINE vf as_float(sums acc, vf scale, vf add) { return fused(__builtin_convertvector(acc, vf), scale, add); }

typedef int16_t row; /* of the input table, in a unit of its own: sums of eight are exact */
#define ROW_LANES (2 * LANES)
typedef int16_t rows_sum __attribute__((vector_size(4 * LANES)));
typedef int16_t row_anywhere __attribute__((vector_size(4 * LANES), aligned(2), may_alias));
INLINE rows_sum load_row(const row *r) { return *(const row_anywhere *)r; }
INLINE void store_rows(rows_sum total, const float *fixed, float unit, float *to) {
    int16_t each[ROW_LANES];
    memcpy(each, &total, sizeof each);
    for (int half = 0; half < 2; half++) {
        vi wide;
        for (int i = 0; i < LANES; i++) wide[i] = each[half * LANES + i];
        store(to + half * LANES, fused(__builtin_convertvector(wide, vf), all(unit), load(fixed + half * LANES)));
    }
}

#define ONE 127.0f /* hidden states lie in (-1, 1): a fixed scale, one step is 1/127 */
INLINE void store_hidden(input *x, vf h) {
    vi rounded = (vi)fused(h, all(ONE), all(12582912.0f)) - 0x4B400000; /* the bits of 1.5 * 2^23 */
    rounded += OFFSET;
    for (int i = 0; i < LANES; i++) x[i] = (input)rounded[i];
}
#else
#define DEPTH 1
#define OFFSET 0
typedef float weight;
typedef float input;
typedef vf sums;
typedef float raw;
typedef float asking;
typedef float key;
INLINE float alike(const asking *a, const key *b, int size, int32_t offset) {
    (void)offset;
    vf total = (vf){0};
    for (int i = 0; i < size; i += LANES) total = fused(load(a + i), load(b + i), total);
    return sum(total);
}
INLINE sums load_weights(const weight *w) { return load(w); }
INLINE sums load_inputs(const input *x) { return all(*x); }
INLINE sums multiply(sums acc, sums x, sums w) { return fused(x, w, acc); }
INLINE sums start_of(const int32_t *start) { (void)start; return (sums){0}; }
INLINE vf as_float(sums acc, vf scale, vf add) { (void)scale; return acc + add; }

typedef float row;
#define ROW_LANES LANES
typedef vf rows_sum;
INLINE rows_sum load_row(const row *r) { return load(r); }
INLINE void store_rows(rows_sum total, const float *fixed, float unit, float *to) {
    (void)unit;
    store(to, total + load(fixed));
}

INLINE void store_hidden(input *x, vf h) { store(x, h); }
#endif

/* ---- what Python hands over ---------------------------------------------------------------------------------- */

#define ATTRIBUTES 5
enum { PART, DELTA, PITCH, DURATION, VELOCITY };
#define MOVING 8 /* rows of the input table that change with each note: five attributes, remaining, bar, polyphony */
#define LAYERS_MAX 8
#define PIECES_MAX 1024
#define VALUES_MAX 256 /* of one attribute, padded */
#define HIDDEN_MAX 4096
#define CACHE_NOTES 1024 /* K: the last notes of a piece that are kept (engine/note_cache.py) */
#define CACHE_MATCH_NOTES 4
#define CACHE_NATS 10.0f /* a kept note so far below the best one has no weight */
#define RING 512 /* steps of the ring of note ends; more than the longest duration and the longest delta */

struct matrix {
    int32_t outputs, inputs;
    const weight *weights; /* as `pack` wrote them */
    const float *scale;    /* [outputs] what one unit of a sum is worth; not read for float32 */
    const float *bias;     /* [outputs] */
    const int32_t *start;  /* [outputs] the sums' start, which takes OFFSET out again; not read for float32 */
};

struct model {
    int32_t layers, hidden, embedding, bar_steps, polyphony_max, logits;
    float row_unit;                 /* what 1 is worth in `rows`; not read for float32 */
    float cache_share, cache_stay, cache_sharpness, cache_match; /* engine/note_cache.py; a share of 0: no cache */
    float guidance;                 /* engine/guidance.py; 1: none */
    int32_t first_row[MOVING];      /* where each table begins in `rows` */
    int32_t sizes[ATTRIBUTES];      /* values of each attribute */
    int32_t first_logit[ATTRIBUTES];
    const row *rows;                /* [sum of sizes, 4H] tables times the first layer's input weights */
    const float *chosen[10];        /* [V_j, E] what attribute j tells attribute i; (i, j) row by row */
    const int32_t *delta_steps, *duration_steps;
    const uint8_t *remaining_bin;   /* by notes left */
    struct matrix layer[LAYERS_MAX]; /* inputs: the layer below (from the second on), then the layer itself */
    struct matrix query;            /* [5E, H] */
    struct matrix head[ATTRIBUTES]; /* [V_i, E] */
};

struct piece {
    int32_t length, note; /* notes asked for, notes written */
    int32_t stop;         /* set by another thread: no more notes */
    int32_t forced;       /* so many notes at the beginning are read from `tokens`, not drawn */
    int32_t run, run_limit; /* notes of the last pitch in a row; as many as there may be */
    int32_t onset, sounding;
    uint32_t seed, stream;
    float inverse_temperature, top_p;
    int32_t previous[ATTRIBUTES];
    float heard; /* the probability that the last note came out of the cache */
};

struct cached {
    int32_t note;  /* index into the piece's tokens */
    float weight;
};

struct memory {
    int32_t tokens_stride; /* notes a piece has room for */
    int32_t inputs_stride;
    float *cells;      /* [R, layers, H] */
    input *inputs;     /* [R, inputs_stride] of each layer in turn, then the last hidden state */
    float *fixed;      /* [R, 4H] the part of the first layer's input that stays: mood, mode, tempo, biases */
    float *queries;    /* [R, 5E] */
    input *spoken;     /* [R, E] input of a head */
    float *logits;     /* [R, logits] */
    uint16_t *ends;    /* [S, RING] notes that end at each step */
    uint8_t *tokens;   /* [S, tokens_stride, 5] */
    float *nats;       /* [S, tokens_stride, 5] written for forced notes, or NULL */
    key *keys;         /* [S, K, H] hidden states that predicted the last K notes, or NULL without a cache */
    struct cached *cached; /* [S, K] the notes that the one being written may be a repetition of */
};

/* What the cache says about the note that is being written. */
struct speaking {
    int32_t count;       /* of `memory.cached` */
    double share;        /* the probability that the cache is speaking: so near to 1 that a float has no rest left */
    float weight;        /* the sum of its notes' weights */
};

/* ---- products ------------------------------------------------------------------------------------------------ */

int32_t weight_bytes(void) { return sizeof(weight); }
int32_t input_bytes(void) { return sizeof(input); }
int32_t input_offset(void) { return OFFSET; }
int32_t key_bytes(void) { return sizeof(key); }

/* Lay a row-major matrix out as `product` reads it: [outputs / LANES][inputs / DEPTH][LANES][DEPTH] in groups of
 * TILE_VECTORS, where the vectors of a group alternate. Both sizes are multiples of 16. */
void pack(const raw *from, weight *to, int32_t outputs, int32_t inputs) {
    for (int first = 0; first < outputs; first += TILE_VECTORS * LANES) {
        int width = outputs - first < TILE_VECTORS * LANES ? outputs - first : TILE_VECTORS * LANES;
        for (int k = 0; k < inputs; k += DEPTH)
            for (int o = first; o < first + width; o++)
                for (int d = 0; d < DEPTH; d++) *to++ = (weight)from[(int64_t)o * inputs + k + d];
    }
}

/* Up to TILE_VECTORS vectors of outputs of up to TILE_PIECES pieces, all in registers; both are constants where it is
 * inlined. y: [pieces][BLOCK]. */
INLINE void tile(const int vectors, const int pieces, const weight *w, const int32_t *start, int inputs,
                 const input *const *x, sums *y, int y_vector) {
    sums acc[6][TILE_VECTORS];
    UNROLL for (int p = 0; p < pieces; p++)
        UNROLL for (int v = 0; v < vectors; v++) acc[p][v] = start_of(start + v * LANES);
    for (int k = 0; k < inputs; k += DEPTH) {
        sums weights[TILE_VECTORS];
        UNROLL for (int v = 0; v < vectors; v++) weights[v] = load_weights(w + v * LANES * DEPTH);
        UNROLL for (int p = 0; p < pieces; p++) {
            sums in = load_inputs(x[p] + k);
            UNROLL for (int v = 0; v < vectors; v++) acc[p][v] = multiply(acc[p][v], in, weights[v]);
        }
        w += vectors * LANES * DEPTH;
    }
    UNROLL for (int p = 0; p < pieces; p++)
        UNROLL for (int v = 0; v < vectors; v++) y[p * (BLOCK / LANES) + y_vector + v] = acc[p][v];
}

#define TILES(vectors)                                                                                          \
    static void tiles_##vectors(int pieces, const weight *w, const int32_t *start, int inputs,                   \
                                const input *const *x, sums *y, int y_vector) {                                  \
        switch (pieces) {                                                                                       \
        case 1: tile(vectors, 1, w, start, inputs, x, y, y_vector); break;                                       \
        case 2: tile(vectors, 2, w, start, inputs, x, y, y_vector); break;                                       \
        case 3: tile(vectors, 3, w, start, inputs, x, y, y_vector); break;                                       \
        case 4: tile(vectors, 4, w, start, inputs, x, y, y_vector); break;                                       \
        case 5: tile(vectors, 5, w, start, inputs, x, y, y_vector); break;                                       \
        default: tile(vectors, 6, w, start, inputs, x, y, y_vector);                                             \
        }                                                                                                       \
    }
TILES(1)
TILES(2)
TILES(3)
TILES(4)

/* Outputs first .. first + BLOCK (or the last) of a few pieces. Returns how many outputs. */
static int product(const struct matrix *m, int first, int pieces, const input *const *x, sums *y) {
    int width = m->outputs - first < BLOCK ? m->outputs - first : BLOCK;
    for (int v = 0; v < width / LANES; v += TILE_VECTORS) {
        const int32_t *start = m->start + first + v * LANES;
        const weight *w = m->weights + (int64_t)(first + v * LANES) * m->inputs;
        switch (width / LANES - v) {
        case 1: tiles_1(pieces, w, start, m->inputs, x, y, v); break;
        case 2: tiles_2(pieces, w, start, m->inputs, x, y, v); break;
        case 3: tiles_3(pieces, w, start, m->inputs, x, y, v); break;
        default: tiles_4(pieces, w, start, m->inputs, x, y, v);
        }
    }
    return width;
}

/* ---- the LSTM ------------------------------------------------------------------------------------------------ */

/* A block of the first layer's input: what stays, and the rows that the last note and the conditions pick. */
static void add_rows(const float *fixed, const row *const *rows, int first, float unit, float *to) {
    for (int i = 0; i < BLOCK; i += ROW_LANES) {
        rows_sum total = load_row(rows[0] + first + i);
        UNROLL for (int r = 1; r < MOVING; r++) total += load_row(rows[r] + first + i);
        store_rows(total, fixed + first + i, unit, to + i);
    }
}

/* Sixteen units of one layer of one piece. y, scale and add: [4 gates][16] in the order i, f, g, o. */
static void cell(const sums *y, const float *scale, const float *add, float *c, input *h) {
    for (int v = 0; v < UNIT / LANES; v++) {
        vf gate[4];
        UNROLL for (int g = 0; g < 4; g++) {
            const int at = g * UNIT + v * LANES;
            gate[g] = bounded(as_float(y[at / LANES], load(scale + at), load(add + at)), -14.0f, 14.0f);
        }
        /* c' = sigmoid(f) c + sigmoid(i) tanh(g) and h = sigmoid(o) tanh(c'), each over one denominator. Bounded, the
         * product of three is a float, and sigmoid(-14) is below 1e-6. */
        const vf i = decay(gate[0]) + 1.0f, f = decay(gate[1]) + 1.0f, g = decay(gate[2] + gate[2]);
        const vf o = decay(gate[3]) + 1.0f, ig = i * (g + 1.0f);
        const vf next = fused(load(c + v * LANES), ig, (1.0f - g) * f) / (f * ig);
        store(c + v * LANES, next);
        const vf t = decay(bounded(next + next, -28.0f, 28.0f));
        store_hidden(h + v * LANES, (1.0f - t) / ((t + 1.0f) * o));
    }
}

/* One step of `count` rows of state; pieces has `slots`, and the rows behind them belong to the same pieces again. */
static void lstm(const struct model *m, const struct memory *at, const struct piece *pieces, int slots,
                 const int *active, int count) {
    const int H = m->hidden;
    const row *rows[2 * PIECES_MAX][MOVING]; /* of the first layer's input */
    for (int a = 0; a < count; a++) {
        const struct piece *piece = &pieces[active[a] % slots];
        const int moving[MOVING] = {
            piece->previous[PART], piece->previous[DELTA], piece->previous[PITCH], piece->previous[DURATION],
            piece->previous[VELOCITY], m->remaining_bin[piece->length - piece->note], piece->onset % m->bar_steps,
            piece->sounding < m->polyphony_max ? piece->sounding : m->polyphony_max,
        };
        for (int r = 0; r < MOVING; r++) rows[a][r] = m->rows + (int64_t)(m->first_row[r] + moving[r]) * 4 * H;
    }
    int below = 0; /* where this layer's input begins in a piece's inputs: the layer below, then the layer itself */
    for (int n = 0; n < m->layers; n++) {
        const struct matrix *w = &m->layer[n];
        const int next = below + w->inputs; /* the next layer's input begins with this one's output */
        for (int first = 0; first < 4 * H; first += BLOCK)
            for (int a = 0; a < count; a += TILE_PIECES) {
                const int few = count - a < TILE_PIECES ? count - a : TILE_PIECES;
                const input *x[TILE_PIECES];
                sums y[TILE_PIECES * (BLOCK / LANES)];
                for (int p = 0; p < few; p++) x[p] = at->inputs + (int64_t)active[a + p] * at->inputs_stride + below;
                product(w, first, few, x, y);
                for (int p = 0; p < few; p++) {
                    const int64_t s = active[a + p];
                    float in[BLOCK];
                    if (n == 0) add_rows(at->fixed + s * 4 * H, rows[a + p], first, m->row_unit, in);
                    cell(y + p * (BLOCK / LANES), w->scale + first, n == 0 ? in : w->bias + first,
                         at->cells + (s * m->layers + n) * H + first / 4,
                         at->inputs + s * at->inputs_stride + next + first / 4);
                }
            }
        for (int a = 0; a < count; a++) { /* only now: every block has read the old state */
            input *x = at->inputs + (int64_t)active[a] * at->inputs_stride + next;
            memcpy(x - H, x, H * sizeof(input));
        }
        below = next;
    }
}

/* y = W x + b of every active row, as floats. */
static void linear(const struct matrix *w, const int *active, int count, const input *x, int x_stride, float *y,
                   int y_stride) {
    for (int first = 0; first < w->outputs; first += BLOCK)
        for (int a = 0; a < count; a += TILE_PIECES) {
            const int few = count - a < TILE_PIECES ? count - a : TILE_PIECES;
            const input *from[TILE_PIECES];
            sums sum_of[TILE_PIECES * (BLOCK / LANES)];
            for (int p = 0; p < few; p++) from[p] = x + (int64_t)active[a + p] * x_stride;
            const int width = product(w, first, few, from, sum_of);
            for (int p = 0; p < few; p++)
                for (int i = 0; i < width; i += LANES)
                    store(y + (int64_t)active[a + p] * y_stride + first + i,
                          as_float(sum_of[p * (BLOCK / LANES) + i / LANES], load(w->scale + first + i),
                                   load(w->bias + first + i)));
        }
}

/* ---- drawing a note ------------------------------------------------------------------------------------------ */

/* Word 0 of Philox4x32-10 (Salmon et al. 2011, section 3.2): random number (note, attribute, try) of one request. */
static uint32_t philox(uint32_t key0, uint32_t key1, uint32_t note, uint32_t attribute, uint32_t attempt) {
    uint32_t c[4] = {note, attribute, attempt, 0};
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
        const uint32_t mixed[4] = {(uint32_t)(b >> 32) ^ c[1] ^ key0, (uint32_t)b,
                                   (uint32_t)(a >> 32) ^ c[3] ^ key1, (uint32_t)a};
        memcpy(c, mixed, sizeof c);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return c[0];
}

/* What a score in ascending order never contains, and a pitch repeated as often as the training music does: the rules
 * of `forbid` in engine/sampler.py. Only then are logits changed. */
static void forbid(const struct model *m, float *logits, int attribute, const int32_t *note,
                   const struct piece *piece) {
    const int32_t *previous = piece->previous;
    if (piece->note == 0) {
        for (int i = 1; attribute == DELTA && i < m->sizes[DELTA]; i++) logits[i] = -INFINITY;
    } else if (attribute == DELTA) {
        const int top = previous[PITCH] == m->sizes[PITCH] - 1;
        if (note[PART] < previous[PART] || (note[PART] == previous[PART] && top)) logits[0] = -INFINITY;
    } else if (attribute == PITCH) {
        if (note[DELTA] == 0 && note[PART] == previous[PART])
            for (int i = 0; i <= previous[PITCH]; i++) logits[i] = -INFINITY;
        else if (piece->run >= piece->run_limit)
            logits[previous[PITCH]] = -INFINITY;
    }
}

/* e^(logits / temperature), the largest being 1 and those ruled out 0. Returns the largest logit. */
static float masses(const float *logits, int vectors, float inverse_temperature, vf *mass) {
    float most[LANES];
    vf top = load(logits);
    for (int v = 1; v < vectors; v++) {
        const vf x = load(logits + v * LANES);
        top = choose_f(x > top, x, top);
    }
    memcpy(most, &top, sizeof top);
    float highest = most[0];
    for (int i = 1; i < LANES; i++) highest = most[i] > highest ? most[i] : highest;
    for (int v = 0; v < vectors; v++) {
        const vf x = (load(logits + v * LANES) - highest) * inverse_temperature;
        mass[v] = choose_f(x > all(-80.0f), decay(bounded(-x, 0.0f, 80.0f)), (vf){0});
    }
    return highest;
}

/* An index from the nucleus (Holtzman et al. 2020), without sorting: draw from all, and take it if what is strictly
 * more likely weighs less than top_p, or nothing; else drop everything at or below it and draw again. Exact, since what
 * is dropped lies outside the nucleus. */
static int draw(const vf *mass, int vectors, const struct piece *piece, int attribute) {
    float part[VALUES_MAX / LANES], whole = 0.0f, pivot = 0.0f;
    for (uint32_t attempt = 0;; attempt++) {
        float left = 0.0f;
        for (int v = 0; v < vectors; v++)
            left += part[v] = sum(choose_f(mass[v] > all(pivot), mass[v], (vf){0}));
        if (attempt == 0) whole = left;
        const uint32_t bits = philox(piece->seed, piece->stream, piece->note, attribute, attempt);
        const float target = (float)(bits >> 8) * 0x1p-24f * left;
        float running = 0.0f;
        int chosen = 0, v = 0, last = 0; /* last: where rounding leads when the target is the very end */
        for (int i = 0; i < vectors; i++) last = part[i] > 0.0f ? i : last;
        for (; v < last && running + part[v] <= target; v++) running += part[v];
        float lane[LANES];
        memcpy(lane, &mass[v], sizeof lane);
        for (int i = 0; i < LANES; i++) {
            if (lane[i] <= pivot) continue;
            chosen = v * LANES + i;
            running += lane[i];
            if (running > target) break;
        }
        const float drawn = lane[chosen % LANES];
        vf heavier = (vf){0};
        for (int i = 0; i < vectors; i++) heavier += choose_f(mass[i] > all(drawn), mass[i], (vf){0});
        const float above = sum(heavier);
        if (above == 0.0f || above < piece->top_p * whole) return chosen;
        pivot = drawn;
    }
}

/* ---- the cache ----------------------------------------------------------------------------------------------- */

/* How many notes before the one that was written `age` notes ago equal the last notes, the velocity aside. */
static int matches(const uint8_t *tokens, int note, int age) {
    int count = 0;
    while (count < CACHE_MATCH_NOTES && note - age - count >= 1 && age + count < CACHE_NOTES &&
           !memcmp(tokens + (int64_t)(note - age - count - 1) * ATTRIBUTES,
                   tokens + (int64_t)(note - count - 1) * ATTRIBUTES, VELOCITY))
        count++;
    return count;
}

/* Compare the state of a piece with those kept, weigh their notes, and keep it. */
static struct speaking look(const struct model *m, const struct memory *at, const struct piece *piece, int64_t s) {
    const int H = m->hidden, kept = piece->note < CACHE_NOTES ? piece->note : CACHE_NOTES;
    const input *x = at->inputs + (s + 1) * at->inputs_stride - H;
    const uint8_t *tokens = at->tokens + s * at->tokens_stride * ATTRIBUTES;
    struct cached *cached = at->cached + s * CACHE_NOTES;
    struct speaking speaking = {0, 0.0f, 0.0f};
    key *keys = at->keys + s * CACHE_NOTES * H;
    asking now[HIDDEN_MAX];
    int32_t offset = 0;
    float likeness[CACHE_NOTES + LANES], highest = -INFINITY;
    for (int i = 0; i < H; i++) {
        now[i] = (asking)(x[i] - OFFSET);
        offset += OFFSET * (int32_t)now[i];
    }
    for (int k = kept - 1; k >= 0; k--) { /* k notes ago, and one; the oldest first: memory is fetched ahead upwards */
        const key *then = keys + (int64_t)((uint32_t)(piece->note - 1 - k) % CACHE_NOTES) * H;
        likeness[k] = m->cache_sharpness * alike(now, then, H, offset) +
                      m->cache_match * (float)matches(tokens, piece->note, k + 1);
        highest = likeness[k] > highest ? likeness[k] : highest;
    }
    for (int k = 0; k < kept; k += LANES) {
        float weight[LANES];
        const vf below = all(highest) - load(likeness + k);
        store(weight, decay(bounded(below, 0.0f, 80.0f)));
        for (int i = 0; i < LANES && k + i < kept; i++)
            if (highest - likeness[k + i] < CACHE_NATS) {
                cached[speaking.count++] = (struct cached){piece->note - 1 - k - i, weight[i]};
                speaking.weight += weight[i];
            }
    }
    if (speaking.count) speaking.share = m->cache_share + (m->cache_stay - m->cache_share) * piece->heard;
    key *keep = keys + (int64_t)(piece->note % CACHE_NOTES) * H;
    for (int i = 0; i < H; i++) keep[i] = (key)x[i]; /* of 16 bits, where two are multiplied at once */
    return speaking;
}

/* Turn the LSTM's logits of one attribute into those of the mixture, but for a constant. own: the LSTM's masses, their
 * sum and the largest logit. said: [V] what the cache gives to each value, of its whole weight. */
static void mix(const struct speaking *speaking, const float *said, const float *own, float whole, float highest,
                float *logits, int values) {
    const float odds = (float)(speaking->share / (1.0 - speaking->share) * whole / speaking->weight);
    for (int v = 0; v < values; v++)
        if (said[v] > 0.0f) logits[v] = highest + logf(own[v] + odds * said[v]);
}

/* A value has been chosen: what the cache says of the attributes that follow. own: the LSTM's probability of it. */
static void choose(struct speaking *speaking, struct cached *cached, const uint8_t *tokens, int attribute, int value,
                   float said, float own) {
    const double spoken = speaking->share * said / speaking->weight;
    const double share = said > 0.0f ? spoken / (spoken + (1.0 - speaking->share) * own) : 0.0;
    int count = 0;
    float weight = 0.0f;
    for (int k = 0; k < speaking->count; k++)
        if (tokens[cached[k].note * ATTRIBUTES + attribute] == value) {
            weight += cached[k].weight;
            cached[count++] = cached[k];
        }
    *speaking = (struct speaking){count, share < 1.0 - 1e-6 ? share : 1.0 - 1e-6, weight};
}

/* One attribute of every active piece: note[a] gets it, drawn or read. The first `count` of `listening` rows are the
 * pieces; any others are those that guidance sets them against, in the same order. */
static void attribute_of_all(const struct model *m, const struct memory *at, const struct piece *pieces,
                             const int *active, int count, int listening, int attribute,
                             int32_t (*note)[ATTRIBUTES], struct speaking *speaking) {
    const int E = m->embedding;
    const struct matrix *head = &m->head[attribute];
    const float *const *chosen = m->chosen + attribute * (attribute - 1) / 2;
    for (int a = 0; a < listening; a++) {
        const int64_t s = active[a];
        const float *query = at->queries + (s * ATTRIBUTES + attribute) * E;
        for (int i = 0; i < E; i += LANES) {
            vf x = load(query + i);
            for (int j = 0; j < attribute; j++) x += load(chosen[j] + note[a % count][j] * E + i);
            const vf e = decay(bounded(x + x, -28.0f, 28.0f));
            store_hidden(at->spoken + s * E + i, (1.0f - e) / (1.0f + e)); /* tanh */
        }
    }
    float *logits = at->logits + m->first_logit[attribute];
    linear(head, active, listening, at->spoken, E, logits, m->logits);
    for (int a = count; a < listening; a++) {
        float *told = logits + (int64_t)active[a - count] * m->logits;
        const float *untold = logits + (int64_t)active[a] * m->logits;
        for (int v = 0; v < m->sizes[attribute]; v++) told[v] = untold[v] + m->guidance * (told[v] - untold[v]);
    }
    for (int a = 0; a < count; a++) {
        const int64_t s = active[a];
        const struct piece *piece = &pieces[s];
        const int vectors = head->outputs / LANES;
        const int64_t row = (s * at->tokens_stride + piece->note) * ATTRIBUTES + attribute;
        const uint8_t *tokens = at->tokens + s * at->tokens_stride * ATTRIBUTES;
        const int cached = at->keys && attribute != VELOCITY && speaking[a].share > 0.0f;
        vf mass[VALUES_MAX / LANES];
        float own[VALUES_MAX], said[VALUES_MAX] = {0}, whole_own = 0.0f;
        if (cached) {
            const float highest = masses(logits + s * m->logits, vectors, 1.0f, mass);
            for (int v = 0; v < vectors; v++) whole_own += sum(mass[v]);
            memcpy(own, mass, vectors * sizeof(vf));
            for (int k = 0; k < speaking[a].count; k++) {
                const struct cached *kept = at->cached + s * CACHE_NOTES + k;
                said[tokens[kept->note * ATTRIBUTES + attribute]] += kept->weight;
            }
            mix(&speaking[a], said, own, whole_own, highest, logits + s * m->logits, m->sizes[attribute]);
        }
        if (piece->note < piece->forced) {
            const int target = note[a][attribute] = at->tokens[row];
            if (at->nats) {
                const float highest = masses(logits + s * m->logits, vectors, 1.0f, mass);
                vf whole = mass[0];
                for (int v = 1; v < vectors; v++) whole += mass[v];
                at->nats[row] = logf(sum(whole)) + highest - logits[s * m->logits + target];
            }
        } else {
            forbid(m, logits + s * m->logits, attribute, note[a], piece);
            masses(logits + s * m->logits, vectors, piece->inverse_temperature, mass);
            at->tokens[row] = note[a][attribute] = draw(mass, vectors, piece, attribute);
        }
        const int value = note[a][attribute];
        if (cached)
            choose(&speaking[a], at->cached + s * CACHE_NOTES, tokens, attribute, value, said[value],
                   own[value] / whole_own);
    }
}

/* Take a written note in: where the piece stands now. The same as data.tokens.Position. */
static void advance(const struct model *m, struct piece *piece, uint16_t *ends, const int32_t *note) {
    const int delta = m->delta_steps[note[DELTA]];
    for (int step = 1; step <= delta; step++) {
        uint16_t *ending = &ends[(piece->onset + step) % RING];
        piece->sounding -= *ending;
        *ending = 0;
    }
    piece->onset += delta;
    ends[(piece->onset + m->duration_steps[note[DURATION]]) % RING]++;
    piece->sounding++;
    piece->run = note[PITCH] == piece->previous[PITCH] ? piece->run + 1 : 1;
    memcpy(piece->previous, note, sizeof piece->previous);
    __atomic_store_n(&piece->note, piece->note + 1, __ATOMIC_RELEASE); /* progress is read by other threads */
}

/* Make one of some slots ready for a piece that begins; its fields in `piece` and `fixed` are the caller's to write. */
void begin(const struct model *m, const struct memory *at, int32_t slots, int32_t slot) {
    const int rows = m->guidance == 1.0f ? slots : 2 * slots;
    for (int64_t row = slot; row < rows; row += slots) {
        memset(at->cells + row * m->layers * m->hidden, 0, sizeof(float) * m->layers * m->hidden);
        input *x = at->inputs + row * at->inputs_stride;
        for (int i = 0; i < at->inputs_stride; i++) x[i] = OFFSET;
    }
    memset(at->ends + (int64_t)slot * RING, 0, sizeof(uint16_t) * RING);
}

/* Up to `steps` notes of each of the first `slots` pieces that is not finished or stopped. Returns how many notes. */
int64_t step(const struct model *m, const struct memory *at, struct piece *pieces, int32_t slots, int32_t steps) {
#if defined(__x86_64__)
    const unsigned control = _mm_getcsr();
    _mm_setcsr(control | 0x8040); /* fading activations count as zero: denormals cost a hundred cycles each */
#endif
    int64_t written = 0;
    for (int n = 0; n < steps; n++) {
        int active[2 * PIECES_MAX], count = 0;
        int32_t note[PIECES_MAX][ATTRIBUTES];
        for (int s = 0; s < slots; s++)
            if (pieces[s].note < pieces[s].length && !__atomic_load_n(&pieces[s].stop, __ATOMIC_RELAXED))
                active[count++] = s;
        if (count == 0) break;
        const int listening = m->guidance == 1.0f ? count : 2 * count;
        for (int a = count; a < listening; a++) active[a] = slots + active[a - count];
        lstm(m, at, pieces, slots, active, listening);
        linear(&m->query, active, listening, at->inputs + at->inputs_stride - m->hidden, at->inputs_stride, at->queries,
               m->query.outputs);
        struct speaking speaking[PIECES_MAX] = {0};
        for (int a = 0; at->keys && a < count; a++) speaking[a] = look(m, at, &pieces[active[a]], active[a]);
        for (int attribute = 0; attribute < ATTRIBUTES; attribute++)
            attribute_of_all(m, at, pieces, active, count, listening, attribute, note, speaking);
        for (int a = 0; a < count; a++) {
            pieces[active[a]].heard = (float)speaking[a].share;
            advance(m, &pieces[active[a]], at->ends + (int64_t)active[a] * RING, note[a]);
        }
        written += count;
    }
#if defined(__x86_64__)
    _mm_setcsr(control);
#endif
    return written;
}
