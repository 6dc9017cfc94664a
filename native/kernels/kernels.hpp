// The engine's arithmetic: one table of function pointers per instruction set.
// Every set returns the same bits for the same call (kernels/scalar is the reference), so results do not
// depend on the machine. Shapes: M tokens, D columns, K head dimension, S positions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matmul.hpp"
#include "kernels/packed.hpp"
#include "kernels/recurrence.hpp"

namespace zp {

enum class Activation : uint8_t { kRelu, kGelu, kGeluTanh, kSilu, kSigmoid, kSoftplus };
inline constexpr int kActivations = 6;

inline constexpr int kChunk = 128;    // key positions per partial softmax, and per cache page
inline constexpr int kPairTile = 32;  // key positions per tile of an integer cache

// Largest magnitude of a value quantized to int16: the sum of 128 products of two such values fits 32 bits.
inline constexpr int kMaxInt16Level = 4095;

// Columns of a query whose products with integer keys are summed in int32.
inline constexpr int kIntColumns = 128;
static_assert(static_cast<int64_t>(kIntColumns) * kMaxInt16Level * kMaxInt16Level <= INT32_MAX);

// Queries quantized to int16 with one scale per row, for attention over an integer cache.
struct IntQueries {
    int16_t* values;  // [K/128 rounded up, rows, 128]
    float* scales;    // [rows] q is about scale * value
};

// Softmax-weighted sums of values over some positions, not yet divided by the total.
struct Partial {
    float* peak;   // [rows] largest score
    float* total;  // [rows] sum of exp(score - peak)
    float* sum;    // [rows, d_value] sum of exp(score - peak) * value
};

// Attention over one chunk of positions, for several query rows that read the same key/value head.
struct AttendChunk {
    const float* const* q;  // [rows] pointers to [K], already scaled by 1/sqrt(K)
    IntQueries int_q;       // replaces q if keys and values are integers
    const int* n_visible;   // [rows] row r attends to positions [n_hidden[r], n_visible[r])
    const int* n_hidden;    // [rows] leading positions outside the row's sliding window
    float softcap;          // scores become cap * tanh(score / cap); 0 disables it
    int n_rows;
    int d_head;   // K
    int d_value;  // K rounded up to 16: row length of values and output
    // This chunk's keys and values. Half or float: keys [kChunk/16, K, 16], values [kChunk, d_value].
    // Integers are stored in pairs, as multiply-add instructions read them: keys [kChunk/32, (K + 1)/2, 32,
    // 2], values [kChunk/2, d_value, 2].
    const void* keys;
    const void* values;
    const float* key_scales;    // [kChunk] scale of each position's key; null unless keys are integers
    const float* value_scales;  // [kChunk]
    int begin, end;             // positions of this chunk, at most kChunk of them
    Partial out;
};

// The gated delta rule of one head over consecutive tokens (ops/recurrence/gated_delta_net.hpp):
//   S = decay_t S;  u_t = share_t (v_t - S^T k_t);  S = S + k_t u_t^T;  out_t = S^T q_t
struct DeltaRule {
    const float* q;      // [T, K]
    const float* k;      // [T, K]
    const float* dots;   // [T] q_t . k_t
    const float* decay;  // [T]
    const float* share;  // [T]
    const float* v;      // [T, v_stride]
    size_t v_stride;
    float* out;  // [T, out_stride]; may alias v
    size_t out_stride;
    int n_tokens, d_key, d_value;  // T, K, V
    const float* state;            // S [K, V] before the first token
    float* next_state;             // S after the last one; may be the same memory
};

struct Kernels {
    const char* isa;
    // y = x / sqrt(mean(x^2) + eps) * gain over D. Returns false if x contains NaN or infinity.
    bool (*rms_norm)(const float* x, const float* gain, float eps, int n, float* y);
    // Quantizes blocks of 32 columns: x * 127 / max|x|, rounded to nearest even. D must be a multiple of 32.
    void (*quantize)(const float* x, int n, QuantBlock* out);
    // The same with two terms per block, [D / 32, 2]: for outlier blocks (large scales relative to the row's)
    // the second term quantizes the residual of the first, 15 bits in total; for the others it is zero.
    void (*quantize_with_residual)(const float* x, int n, QuantBlock* out);
    // y = (x - mean) / sqrt(variance + eps) * gain + bias; bias may be null. Returns false as rms_norm does.
    bool (*layer_norm)(const float* x, const float* gain, const float* bias, float eps, int n, float* y);
    // y = activation(x), and y = activation(gate) * up; indexed by Activation; y may alias x or gate.
    void (*activate[kActivations])(const float* x, int n, float* y);
    void (*gate[kActivations])(const float* gate, const float* up, int n, float* y);
    void (*softcap_in_place)(float cap, int n, float* x);                  // x = cap * tanh(x / cap)
    void (*exp)(const float* x, int n, float* y);                          // y = e^x; y may alias x
    void (*scale)(float factor, int n, float* x);                          // x *= factor
    void (*add_scaled)(const float* x, float factor, int n, float* y);     // y += x * factor
    void (*add)(const float* x, int n, float* y);                          // y += x
    void (*add_product)(const float* a, const float* b, int n, float* y);  // y += a * b
    float (*dot)(const float* a, const float* b, int n);
    void (*delta_rule)(const DeltaRule&);
    void (*state_scan)(const StateScan&);
    void (*time_mix)(const TimeMix&);
    // Integer dot products; indexed by Format, null for float formats.
    void (*matmul_int8[kFormatCount])(const MatmulInt8&);
    // Float dot products, one fused multiply-add per weight; indexed by Format.
    void (*matmul_float[kFormatCount])(const MatmulFloat&);
    void (*attend_half)(const AttendChunk&);
    void (*attend_float)(const AttendChunk&);
    // Queries and softmax weights are quantized to int16; the sums of their products are exact.
    void (*attend_int16)(const AttendChunk&);
    void (*attend_int8)(const AttendChunk&);
    void (*quantize_queries)(const float* const* q, int n_rows, int d_head, const IntQueries& out);
    float (*log_sum_exp)(const float* x, int n);  // natural log of sum(exp(x))
    // Merges the partial softmax results of a chunk into the running ones; call it in order of position.
    void (*merge)(int n_rows, const Partial& all, const Partial& part, int d_value);
    // y = sum / total over d_value.
    void (*normalize)(const float* sum, float total, int n, float* y);
};

// All instruction sets with a table, fastest first, the reference last. Every AArch64 processor has "neon";
// "neon_dotprod" also requires the int8 dot-product instructions (SDOT).
inline constexpr const char* kInstructionSets[] = {"avx512", "avx2", "neon_dotprod", "neon", "scalar"};

// The table of an instruction set, or null if this build or this machine lacks it.
const Kernels* kernels_for(const char* isa);
// The fastest table this machine can run.
const Kernels& best_kernels();

}  // namespace zp
