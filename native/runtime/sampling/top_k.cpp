// Top-k (Fan, Lewis, Dauphin, 2018, section 5.4): keeps the k largest logits, ties by lowest id.
#include <algorithm>
#include <functional>

#include "runtime/sampling/step.hpp"

namespace zp {
namespace {

// Up to this k, a heap of the largest so far is faster than partitioning a copy of the row.
constexpr size_t kHeapLimit = 512;

// The k-th largest value, 0 < k < V.
float kth_largest(std::span<const float> logits_V, size_t k, std::vector<float>& values) {
    if (k > kHeapLimit) {
        values.assign(logits_V.begin(), logits_V.end());
        const auto kth = values.begin() + static_cast<std::ptrdiff_t>(k - 1);
        std::nth_element(values.begin(), kth, values.end(), std::greater<>());
        return *kth;
    }
    values.assign(logits_V.begin(), logits_V.begin() + static_cast<std::ptrdiff_t>(k));
    std::make_heap(values.begin(), values.end(), std::greater<>());  // min-heap: the smallest in front
    for (size_t v = k; v < logits_V.size(); ++v) {
        if (logits_V[v] <= values.front()) continue;
        std::pop_heap(values.begin(), values.end(), std::greater<>());
        values.back() = logits_V[v];
        std::push_heap(values.begin(), values.end(), std::greater<>());
    }
    return values.front();
}

class TopK final : public Step {
public:
    explicit TopK(size_t k) : k_(k) {}
    void apply(Row& row) override {
        if (k_ == 0 || k_ >= row.logits_V.size()) return;
        const float bound = kth_largest(row.logits_V, k_, row.scratch.values);
        size_t n_above = 0;
        for (float logit : row.logits_V) n_above += logit > bound;
        keep_top(row.logits_V, bound, k_ - n_above);
    }

private:
    size_t k_;
};

}  // namespace

StepResult make_top_k(const StepFields& fields) {
    Result<double> k = single_field(fields, "top_k");
    if (!k.ok()) return k.error();
    if (k.value() < 0 || k.value() > 2147483647.0) return invalid("`top_k` must be 0 to 2147483647");
    return StepResult(std::make_unique<TopK>(static_cast<size_t>(k.value())));
}

}  // namespace zp
