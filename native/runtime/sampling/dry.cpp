// DRY (Weidmann, 2024): subtracts multiplier * base^(n - allowed) from the logit of a token that followed the
// last n tokens where they occurred before, for the longest such n. Each field that is a token id is a
// sequence breaker, at which a match ends.
#include <algorithm>
#include <unordered_set>

#include "runtime/sampling/step.hpp"

namespace zp {
namespace {

constexpr double kMaxPenalty = 1e6;  // excludes a token in practice, and keeps the power from overflowing

// For each place of a text, how many of its tokens equal those at its start (Gusfield, 1997, section 1.4).
// The text is the history backwards, so these are lengths of repeated endings.
void common_prefixes(std::span<const int32_t> history, std::vector<uint32_t>& lengths) {
    const size_t n = history.size();
    const auto at = [&](size_t i) { return history[n - 1 - i]; };
    lengths.assign(n, 0);
    if (n > 0) lengths[0] = static_cast<uint32_t>(n);
    size_t begin = 0, end = 0;  // of the match that reaches furthest
    for (size_t i = 1; i < n; ++i) {
        size_t length = i < end ? std::min(end - i, static_cast<size_t>(lengths[i - begin])) : 0;
        while (i + length < n && at(length) == at(i + length)) ++length;
        lengths[i] = static_cast<uint32_t>(length);
        if (i + length > end) begin = i, end = i + length;
    }
}

class Dry final : public Step {
public:
    Dry(double multiplier, double base, size_t allowed, std::unordered_set<int32_t> breakers)
        : multiplier_(multiplier), base_(base), allowed_(allowed), breakers_(std::move(breakers)) {}

    void apply(Row& row) override {
        const std::span<const int32_t> history = row.history;
        const size_t n = history.size();
        size_t n_usable = 0;
        while (n_usable < n && !breakers_.contains(history[n - 1 - n_usable])) ++n_usable;
        if (n_usable < allowed_) return;
        common_prefixes(history, lengths_);
        std::vector<uint32_t>& longest_V = row.scratch.counts_V;  // all zero between uses
        if (longest_V.size() < row.logits_V.size()) longest_V.resize(row.logits_V.size());
        std::vector<size_t> found;
        for (size_t i = 1; i < n; ++i) {
            const size_t length = std::min(static_cast<size_t>(lengths_[i]), n_usable);
            const size_t following = static_cast<size_t>(history[n - i]);
            if (length < allowed_ || following >= row.logits_V.size()) continue;
            if (longest_V[following] == 0) found.push_back(following);
            longest_V[following] = std::max(longest_V[following], static_cast<uint32_t>(length));
        }
        for (const size_t token : found) {
            row.logits_V[token] -= static_cast<float>(penalty(longest_V[token]));
            longest_V[token] = 0;
        }
    }

private:
    double penalty(size_t length) const {
        double value = multiplier_;
        for (size_t n = allowed_; n < length && value < kMaxPenalty; ++n) value *= base_;
        return std::min(value, kMaxPenalty);
    }

    double multiplier_, base_;
    size_t allowed_;
    std::unordered_set<int32_t> breakers_;
    std::vector<uint32_t> lengths_;
};

}  // namespace

StepResult make_dry(const StepFields& fields) {
    const SplitFields split = split_fields(fields);
    const Result<std::vector<double>> values =
        named_fields(split.named, "dry", {"dry_multiplier", "dry_base", "dry_allowed_length"});
    if (!values.ok()) return values.error();
    const double multiplier = values.value()[0], base = values.value()[1], allowed = values.value()[2];
    if (multiplier < 0 || base < 1 || allowed < 1 || allowed > 2147483647.0)
        return invalid(
            "`dry_multiplier` must not be negative, `dry_base` and `dry_allowed_length` at least 1");
    std::unordered_set<int32_t> breakers;
    for (const TokenField& field : split.tokens) breakers.insert(static_cast<int32_t>(field.token));
    return StepResult(
        std::make_unique<Dry>(multiplier, base, static_cast<size_t>(allowed), std::move(breakers)));
}

}  // namespace zp
