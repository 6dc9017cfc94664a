#include "runtime/sampling/sampler.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "runtime/sampling/splitmix.hpp"

namespace zp {
namespace {

struct Factory {
    const char* name;
    StepResult (*make)(const StepFields& fields);
};

constexpr Factory kFactories[] = {
#define ZP_STEP(name) {#name, make_##name},
#include "runtime/sampling/steps.def"
#undef ZP_STEP
};

}  // namespace

Result<double> single_field(const StepFields& fields, const char* name) {
    if (fields.size() == 1 && fields[0].first == name && std::isfinite(fields[0].second)) {
        return fields[0].second;
    }
    return invalid(std::string("sampling step `") + name + "` takes one finite number named `" + name + "`");
}

Result<std::vector<double>> named_fields(const StepFields& fields, const char* step,
                                         std::initializer_list<const char*> names) {
    std::vector<double> values;
    for (const char* name : names) {
        for (const auto& [key, value] : fields) {
            if (key == name && std::isfinite(value)) values.push_back(value);
        }
    }
    if (values.size() == names.size() && fields.size() == names.size()) return values;
    std::string list;
    for (const char* name : names) list += std::string(list.empty() ? "`" : ", `") + name + "`";
    return invalid(std::string("sampling step `") + step + "` takes finite numbers named " + list);
}

SplitFields split_fields(const StepFields& fields) {
    SplitFields split;
    for (const auto& [name, value] : fields) {
        size_t token = 0;
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), token);
        const bool is_token = error == std::errc() && end == name.data() + name.size() && !name.empty();
        if (is_token && std::isfinite(value)) {
            split.tokens.push_back({token, value});
        } else {
            split.named.emplace_back(name, value);
        }
    }
    return split;
}

void Step::observe(Row&, int32_t) {}

Sampler::Sampler(std::vector<std::unique_ptr<Step>> steps, uint64_t seed)
    : steps_(std::move(steps)), seed_(seed), scratch_(std::make_unique<Scratch>()) {}

Result<Sampler> Sampler::make(const std::vector<SamplerStep>& steps, uint64_t seed) {
    std::vector<std::unique_ptr<Step>> native_steps;
    for (const SamplerStep& step : steps) {
        const auto* factory = std::find_if(std::begin(kFactories), std::end(kFactories),
                                           [&](const Factory& f) { return step.name == f.name; });
        if (factory == std::end(kFactories)) {
            return invalid("sampling step `" + step.name + "` has no native implementation");
        }
        StepResult result = factory->make(step.fields);
        if (!result.ok()) return result.error();
        native_steps.push_back(std::move(result.value()));
    }
    return Sampler(std::move(native_steps), seed);
}

std::vector<std::string> Sampler::step_names() {
    std::vector<std::string> names;
    for (const Factory& factory : kFactories) names.emplace_back(factory.name);
    return names;
}

Row Sampler::row_of(std::span<float> logits_V, std::span<const int32_t> history, size_t n_prompt) {
    return {logits_V, history, std::min(n_prompt, history.size()), *scratch_, seed_};
}

int32_t Sampler::sample(std::span<float> logits_V, std::span<const int32_t> history, uint64_t position,
                        size_t n_prompt) {
    if (!apply(logits_V, history, n_prompt)) return -1;
    const int32_t token = draw(logits_V, position);
    if (token < 0) return token;
    Row row = row_of(logits_V, history, n_prompt);
    for (const std::unique_ptr<Step>& step : steps_) step->observe(row, token);
    return token;
}

bool Sampler::apply(std::span<float> logits_V, std::span<const int32_t> history, size_t n_prompt) {
    float top = 0;
    if (!max_logit(logits_V, top) || !std::isfinite(top)) return false;
    Row row = row_of(logits_V, history, n_prompt);
    for (const std::unique_ptr<Step>& step : steps_) step->apply(row);
    return true;
}

// Inverse transform sampling: the first id whose cumulative weight exceeds u * total. Skips whole blocks of
// weights first, then scans within one block.
int32_t Sampler::draw(std::span<const float> logits_V, uint64_t position) {
    constexpr size_t kBlock = 64;
    float top = 0;
    if (!max_logit(logits_V, top) || !std::isfinite(top)) return -1;
    softmax_weights(logits_V, top, *scratch_);
    const std::span<const double> weights(scratch_->weights.data(), scratch_->n_candidates);
    const double target = uniform(seed_, position) * sum(weights);
    double below = 0;
    size_t i = 0;
    for (; i + kBlock <= weights.size(); i += kBlock) {
        const double block = sum(weights.subspan(i, kBlock));
        if (below + block > target) break;
        below += block;
    }
    for (; i < weights.size(); ++i) {
        below += weights[i];
        if (below > target) return scratch_->ids[i];
    }
    return scratch_->ids[scratch_->n_candidates - 1];  // reached only through rounding
}

}  // namespace zp
