// What a query makes of the keys it sees: the softmax that attention never writes down (ops/attention.hpp
// keeps running sums instead). For looking at single heads; the fast path does not come here.
#pragma once

#include <vector>

#include "ops/attention.hpp"

namespace zp {

// The first n_positions keys of key/value head `head`, as float: [n_positions, K].
std::vector<float> keys_of(const CacheView& cache, int layer, int head, int n_positions);

// Weights of the query `q` [K], rotated and scaled, of the token at `position`, over `keys` [S, K]: into
// weights [position + 1], 0 before the window. They sum to 1.
void attention_weights(const float* keys, int d_head, const AttentionRule& rule, int position, const float* q,
                       float* weights);

}  // namespace zp
