// The weights of a decoder, packed for the kernels, in memory of our own: once loaded, the file may go.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/memory.hpp"
#include "base/threads.hpp"
#include "model/spec.hpp"
#include "ops/matrix.hpp"

namespace zp {

struct LayerWeights {
    const float* attention_norm = nullptr;  // [D]
    Matrix query, key, value, output;       // [H*K, D] [N*K, D] [N*K, D] [D, H*K]
    const float* ffn_norm = nullptr;        // [D]
    Matrix gate, up, down;                  // [F, D] [F, D] [D, F]
};

struct Weights {
    Matrix embedding;  // [V, D]
    std::vector<LayerWeights> layers;
    const float* final_norm = nullptr;  // [D]
    Matrix head;                        // [V, D]; the embedding where the head is tied
    size_t n_bytes = 0;                 // of packed weights in memory

    std::vector<Buffer> buffers;  // what the pointers above point into
};

// Reads every tensor of `spec` from GGUF files (the shards of one model). `names` maps our tensor names
// ("blocks.3.attention.query.weight") to the files'. Refuses missing tensors, wrong shapes and files that
// change while they are read.
Result<std::unique_ptr<Weights>> load_weights(const std::vector<std::string>& paths, const ModelSpec& spec,
                                              const std::unordered_map<std::string, std::string>& names,
                                              ThreadPool& pool);

}  // namespace zp
