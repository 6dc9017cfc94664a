// The weights of a decoder, packed for the kernels, in memory of our own: the file is not needed after
// loading.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/load_gate.hpp"
#include "base/memory.hpp"
#include "base/threads.hpp"
#include "model/recurrence/recurrence.hpp"
#include "model/spec.hpp"
#include "model/weight_io.hpp"
#include "ops/matrix.hpp"

namespace zp {

// Gain and bias of a norm, [D] unless noted; null if absent.
struct Norm {
    const float* gain = nullptr;
    const float* bias = nullptr;
};

struct LayerWeights {
    Norm mixer_norm, mixer_output_norm;          // of the attention or the recurrence
    Linear query, key, value, output;            // [H*K, D] [N*K, D] [N*K, D] [D, H*K]
    Linear context_gate;                         // [H*K, D]
    Norm query_norm, key_norm;                   // [K], or joint ones [H*K] and [N*K]
    const float* sink = nullptr;                 // [H]
    std::unique_ptr<RecurrentLayer> recurrence;  // instead of the attention
    Norm ffn_norm, ffn_output_norm;
    const float* ffn_shift = nullptr;                         // [D]
    Linear gate, up, down;                                    // [F, D] [F, D] [D, F]
    Linear router;                                            // [E, D]
    std::vector<Linear> expert_gate, expert_up, expert_down;  // [E] of the shapes above
    Linear shared_gate, shared_up, shared_down;               // of the network that every token uses
    Linear per_layer_gate, per_layer_projection;              // [P, D] [D, P]
    Norm per_layer_norm;
    const float* output_scale = nullptr;  // [1]
};

struct Weights {
    Matrix embedding;                  // [V, D]
    const float* positions = nullptr;  // [n_positions, D]
    Norm embedding_norm;
    Matrix per_layer_embedding;   // [V, L*P]
    Linear per_layer_projection;  // [L*P, D]
    Norm per_layer_norm;          // [P]
    std::vector<LayerWeights> layers;
    Norm final_norm;
    Linear head;         // [V, D]; shares the embedding matrix if tied
    size_t n_bytes = 0;  // of packed weights in memory

    std::vector<Buffer> buffers;  // own the memory of the pointers above
};

// How the values of a stored tensor become ours; only for tensors that are read as float.
enum class TensorChange : uint8_t {
    kNone,
    kReshaped,       // the same number of values in the same order
    kLogOfNegative,  // log(-x), of any shape with as many values
};

// Where one of our tensors is stored: a complete tensor of the file, or some of its rows.
struct StoredTensor {
    std::string name;
    std::vector<RowRun> runs;  // our rows are these rows of the stored tensor; empty: all of them
    int64_t n_rows = 0;        // rows of the stored tensor, if there are runs
    TensorChange change = TensorChange::kNone;
};
using TensorMap = std::unordered_map<std::string, StoredTensor>;

// Reads every tensor of `spec` from GGUF files (the shards of one model). `names` maps our tensor names
// ("blocks.3.attention.query.weight") to those of the files; biases are optional. kInvalid for a missing
// tensor or a wrong shape, kIo for a file that changes meanwhile. load_gate: opened once a tokenizer has been
// built from the same header; the last weights, as much memory as that construction needs, wait for it. Null:
// none.
Result<std::unique_ptr<Weights>> load_weights(const std::vector<std::string>& paths, const ModelSpec& spec,
                                              const TensorMap& names, ThreadPool& pool,
                                              const LoadGate* load_gate);

}  // namespace zp
