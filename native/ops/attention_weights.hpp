// Attention weights of single heads, for inspection. The fast path (ops/attention.hpp) keeps running sums and
// never materializes them.
#pragma once

#include <vector>

#include "ops/attention.hpp"

namespace zp {

// Returns the first n_positions keys of a key/value head as float: [n_positions, K]. They are 0 where a
// window has given up the page.
std::vector<float> keys_of(const CacheView& cache, int layer, int head, int n_positions);

// Computes the softmax weights of query `q` [K] (rotated and scaled) of head `head` of the token at
// `position` over `keys` [S, K]. Writes weights [position + 1], which are 0 before the window and sum to 1,
// or to less if the head has a sink.
void attention_weights(const float* keys, int d_head, const AttentionRule& rule, int head, int position,
                       const float* q, float* weights);

}  // namespace zp
