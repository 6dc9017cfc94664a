// Mixture of experts (Jiang et al., "Mixtral of Experts", 2024, section 2.1): a router selects a few gated
// networks for each token, and their outputs are summed with the router's weights. Tokens are grouped by
// expert, so that each expert's weights are read once per batch.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/forward.hpp"

namespace zp {

namespace {

// Selects the n_active largest of `logits`, in descending order, ties by ascending index. Their weights are
// the softmax over all logits, scaled to sum to 1 if `is_renormalized`.
template <class Choice>
void choose(const float* logits, int n_experts, int n_active, bool is_renormalized, Choice* out) {
    float total = 0.0f;
    const float peak = *std::max_element(logits, logits + n_experts);
    for (int e = 0; e < n_experts; ++e) total += std::exp(logits[e] - peak);
    float selected = 0.0f;
    for (int a = 0; a < n_active; ++a) {
        int best = -1;
        for (int e = 0; e < n_experts; ++e) {
            const bool is_taken = std::any_of(out, out + a, [e](const Choice& c) { return c.expert == e; });
            if (!is_taken && (best < 0 || logits[e] > logits[best])) best = e;
        }
        out[a] = {best, std::exp(logits[best] - peak) / total};
        selected += out[a].weight;
    }
    for (int a = 0; is_renormalized && a < n_active; ++a) out[a].weight /= selected;
}

}  // namespace

void Forward::mixture_block(int thread, int layer) {
    const LayerSpec& spec = spec_.layer(layer);
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const Linear* const readers[] = {&w.router, &w.expert_gate[0], &w.expert_up[0], &w.shared_gate,
                                     &w.shared_up};
    const Activations x = stage_norm(thread, spec.norm, w.ffn_norm, layer, readers);
    route(thread, spec, w.router, x);
    for (size_t e = 0; e < routed_.size(); ++e)
        if (!routed_[e].empty()) run_expert(thread, spec.ffn, w, e, x);
    if (spec.ffn.d_shared == 0) return;
    FfnSpec shared = spec.ffn;
    shared.d_ff = spec.ffn.d_shared;
    ffn_hidden(thread, shared, {w.shared_gate, w.shared_up, w.shared_down}, x, n_tokens_);
    pool_.barrier();
    add_to_residual(thread, layer, w.shared_down, {gate_, ff_stride_, ff_blocks_, 1}, {});
}

void Forward::route(int thread, const LayerSpec& layer, const Linear& router, const Activations& x) {
    const FfnSpec& spec = layer.ffn;
    const size_t stride = static_cast<size_t>(padded(spec.n_experts));
    const size_t n_active = static_cast<size_t>(spec.n_active);
    if (thread == 0) {
        choices_.resize(static_cast<size_t>(n_tokens_) * n_active);
        multiply(kernels_, is_exact_, {&router, router_logits_, stride}, x, n_tokens_, 0,
                 router.matrix.n_groups());
        routed_.assign(static_cast<size_t>(spec.n_experts), {});
        for (int t = 0; t < n_tokens_; ++t) {
            Choice* chosen = choices_.data() + static_cast<size_t>(t) * n_active;
            choose(router_logits_ + t * stride, spec.n_experts, spec.n_active, spec.has_renormalized_experts,
                   chosen);
            for (size_t a = 0; a < n_active; ++a)
                routed_[static_cast<size_t>(chosen[a].expert)].push_back(
                    {t, chosen[a].weight * layer.residual_scale});
        }
    }
    pool_.barrier();
}

void Forward::run_expert(int thread, const FfnSpec& spec, const LayerWeights& w, size_t expert,
                         const Activations& x) {
    const std::vector<Routed>& rows = routed_[expert];
    const int n_rows = static_cast<int>(rows.size());
    const Linear& down = w.expert_down[expert];
    const bool has_blocks = uses_int8(w.expert_up[expert].matrix, is_exact_) ||
                            uses_int8(w.expert_gate[expert].matrix, is_exact_);
    const size_t n_blocks = static_cast<size_t>(spec_.d_model / kBlockCols * x.n_terms);
    const Range range = thread_range(n_rows, thread, pool_.size());
    for (int r = range.begin; r < range.end; ++r) {
        const size_t token = static_cast<size_t>(rows[static_cast<size_t>(r)].token);
        std::memcpy(expert_floats_ + r * model_stride_, x.floats + token * x.float_stride,
                    sizeof(float) * static_cast<size_t>(spec_.d_model));
        if (has_blocks)
            std::memcpy(expert_blocks_ + r * n_blocks, x.blocks + token * n_blocks,
                        sizeof(QuantBlock) * n_blocks);
    }
    pool_.barrier();
    ffn_hidden(thread, spec, {w.expert_gate[expert], w.expert_up[expert], down},
               {expert_floats_, model_stride_, expert_blocks_, x.n_terms}, n_rows);
    pool_.barrier();
    const Range groups = thread_range(down.matrix.n_groups(), thread, pool_.size());
    multiply(kernels_, is_exact_, {&down, projected_, model_stride_}, {gate_, ff_stride_, ff_blocks_, 1},
             n_rows, groups.begin, groups.end);
    const int begin = groups.begin * kGroupRows;
    const int n = std::min(groups.end * kGroupRows, spec_.d_model) - begin;
    for (int r = 0; r < n_rows && n > 0; ++r) {
        const Routed& row = rows[static_cast<size_t>(r)];
        kernels_.add_scaled(projected_ + r * model_stride_ + begin, row.weight, n,
                            x_ + static_cast<size_t>(row.token) * model_stride_ + begin);
    }
    pool_.barrier();
}

}  // namespace zp
