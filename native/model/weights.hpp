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
    Norm query_norm, key_norm;                   // [K]
    std::unique_ptr<RecurrentLayer> recurrence;  // instead of the attention
    Norm ffn_norm, ffn_output_norm;
    Linear gate, up, down;                                    // [F, D] [F, D] [D, F]
    Linear router;                                            // [E, D]
    std::vector<Linear> expert_gate, expert_up, expert_down;  // [E] of the shapes above
};

struct Weights {
    Matrix embedding;                  // [V, D]
    const float* positions = nullptr;  // [n_positions, D]
    std::vector<LayerWeights> layers;
    Norm final_norm;
    Linear head;         // [V, D]; shares the embedding matrix if tied
    size_t n_bytes = 0;  // of packed weights in memory

    std::vector<Buffer> buffers;  // own the memory of the pointers above
};

// Where one of our tensors is stored: a complete tensor of the file, or some of its rows.
struct StoredTensor {
    std::string name;
    int64_t first_row = 0;
    int64_t n_rows = 0;  // rows of the stored tensor; 0: our tensor is the complete stored tensor
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
