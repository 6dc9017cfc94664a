// The arithmetic of the engine as one table of functions, filled once per instruction set.
// Every set gives the same bits for the same call (kernels/scalar is the oracle), so an answer does not
// depend on the machine. Shapes: M tokens, D columns, K width of one head, S positions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed.hpp"

namespace zp {

// One product y = x W^T of M activation rows with a run of packed groups.
struct MatmulInt8 {
    const uint8_t* weights;  // packed groups, see packed.hpp
    size_t group_bytes;      // distance between groups
    int n_groups;            // 16 output rows each
    int n_blocks;            // columns / 32
    const QuantBlock* x;     // [M, n_blocks, n_terms]
    int n_terms;             // 1, or 2 where activations are rounded finely: the second part is the rest
    int n_tokens;            // M
    float* y;                // [M, y_stride], 16 * n_groups columns are written
    size_t y_stride;
};

struct MatmulFloat {
    const uint8_t* weights;
    size_t group_bytes;
    int n_groups;
    int n_cols;
    const float* x;  // [M, x_stride]
    size_t x_stride;
    int n_tokens;
    float* y;  // [M, y_stride]
    size_t y_stride;
};

enum class Activation : uint8_t { kRelu, kGelu, kGeluTanh, kSilu };
inline constexpr int kActivations = 4;

inline constexpr int kChunk = 128;    // key positions whose softmax is one partial result
inline constexpr int kPairTile = 32;  // key positions that lie together where two columns do

// Steps from zero to the largest number of a row of int16: products of 128 such pairs add up within 32 bits.
inline constexpr int kMaxInt16Level = 4095;

// Columns of a query whose products with keys of whole numbers are summed as integers.
inline constexpr int kIntColumns = 128;
static_assert(static_cast<int64_t>(kIntColumns) * kMaxInt16Level * kMaxInt16Level <= INT32_MAX);

// Queries as whole numbers of steps of their own, as a cache of whole numbers wants them.
struct IntQueries {
    int16_t* steps;  // [K/128 rounded up, rows, 128]
    float* units;    // [rows] what a row's numbers are multiplied with
};

// Softmax-weighted sums of values over some positions, before division by the total.
struct Partial {
    float* peak;   // [rows] largest score
    float* total;  // [rows] sum of exp(score - peak)
    float* sum;    // [rows, d_value] sum of exp(score - peak) * value
};

// One chunk of attention for several query rows that read the same key/value head.
struct AttendChunk {
    const float* const* q;  // [rows] pointers to [K], already scaled by 1/sqrt(K)
    IntQueries int_q;       // read in place of q where keys and values are whole numbers
    const int* n_visible;   // [rows] positions each row may see: those before this one ...
    const int* n_hidden;    // [rows] ... but not so many of the first (they lie outside its window)
    float softcap;          // scores become cap * tanh(score / cap); 0 for none
    int n_rows;
    int d_head;   // K
    int d_value;  // K rounded up to 16: row length of values and output
    // Keys [kChunk/16, K, 16] of this chunk and values [kChunk, d_value]: half or float. Of the others, what
    // one product takes lies together: keys [kChunk/32, (K + 1)/2, 32, 2], values [kChunk/2, d_value, 2].
    const void* keys;
    const void* values;
    const float* key_scales;    // [kChunk] what a whole number is multiplied with; null for the others
    const float* value_scales;  // [kChunk]
    int begin, end;             // positions of this chunk, at most kChunk of them
    Partial out;
};

struct Kernels {
    const char* isa;
    // y = x / sqrt(mean(x^2) + eps) * gain over D. False where x holds a NaN or an infinity.
    bool (*rms_norm)(const float* x, const float* gain, float eps, int n, float* y);
    // D must divide by 32. Round to nearest even of x * 127 / max|x| a block.
    void (*quantize)(const float* x, int n, QuantBlock* out);
    // The same in two parts, [D / 32, 2]: where a block's steps are large beside the others', the second part
    // is what rounding left over, so that both together have 15 bits; elsewhere it is zero.
    void (*quantize_with_residual)(const float* x, int n, QuantBlock* out);
    // y = (x - mean) / sqrt(variance + eps) * gain + bias; bias may be null. False as above.
    bool (*layer_norm)(const float* x, const float* gain, const float* bias, float eps, int n, float* y);
    // y = activation(x), and y = activation(gate) * up; indexed by Activation; y may be x or gate.
    void (*activate[kActivations])(const float* x, int n, float* y);
    void (*gate[kActivations])(const float* gate, const float* up, int n, float* y);
    void (*softcap_in_place)(float cap, int n, float* x);               // x = cap * tanh(x / cap)
    void (*scale)(float factor, int n, float* x);                       // x *= factor
    void (*add_scaled)(const float* x, float factor, int n, float* y);  // y += x * factor
    void (*add)(const float* x, int n, float* y);                       // y += x
    // Dot products by integers; indexed by Format, null for formats that stay in float.
    void (*matmul_int8[kFormatCount])(const MatmulInt8&);
    // Dot products in float, one fused multiply-add a weight; indexed by Format.
    void (*matmul_float[kFormatCount])(const MatmulFloat&);
    void (*attend_half)(const AttendChunk&);
    void (*attend_float)(const AttendChunk&);
    // Queries of whole numbers, and weights are rounded to such too; sums of their products are exact.
    void (*attend_int16)(const AttendChunk&);
    void (*attend_int8)(const AttendChunk&);
    void (*quantize_queries)(const float* const* q, int n_rows, int d_head, const IntQueries& out);
    float (*log_sum_exp)(const float* x, int n);  // natural log of sum(exp(x))
    // Adds the partial results of rows to the running ones, in the order of the positions.
    void (*merge)(int n_rows, const Partial& all, const Partial& part, int d_value);
    // y = sum / total over d_value.
    void (*normalize)(const float* sum, float total, int n, float* y);
};

// Every instruction set that there is a table for, fastest first, and the oracle last. "neon" is what each
// AArch64 processor has, "neon_dotprod" wants its dot products of bytes as well.
inline constexpr const char* kInstructionSets[] = {"avx512", "avx2", "neon_dotprod", "neon", "scalar"};

// The table of one of them, or null if this build or this machine cannot run it.
const Kernels* kernels_for(const char* isa);
// The fastest that this machine runs.
const Kernels& best_kernels();

}  // namespace zp
