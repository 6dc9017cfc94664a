// Gated DeltaNet, three of four blocks of Qwen 3.5: q, k, v = silu(conv(qkv(x)));
// output(norm(delta_rule(q, k, v)) * silu(gate(x))).
#include "ops/recurrence/gated_delta_net.hpp"

#include <cmath>
#include <vector>

#include "model/recurrence/recurrence.hpp"
#include "ops/recurrence/causal_convolution.hpp"

namespace zp {

namespace {

enum Buffer : size_t { kQkv, kMixed, kGate, kAlpha, kBeta, kGated };

class GatedDeltaNetLayer final : public RecurrentLayer {
public:
    GatedDeltaNetLayer(TensorLoader& loader, const std::string& at, int d_model, const GatedDeltaNet& sizes,
                       int d_kernel)
        : rule_(sizes) {
        const int n_channels = rule_.n_channels(), n_heads = rule_.n_value_heads;
        const uint64_t heads = static_cast<uint64_t>(n_heads);
        loader.linear(at + "qkv", n_channels, d_model, qkv_);
        loader.linear(at + "gate", rule_.d_values(), d_model, gate_);
        loader.linear(at + "alpha", n_heads, d_model, alpha_);
        loader.linear(at + "beta", n_heads, d_model, beta_);
        const float* logs = nullptr;
        loader.floats(at + "decay_log", {heads}, logs);
        if (logs != nullptr)
            for (int h = 0; h < n_heads; ++h) rates_.push_back(-std::exp(logs[h]));
        rule_.decay_rate = rates_.data();
        loader.floats(at + "alpha.bias", {heads}, rule_.alpha_bias);
        alpha_.bias = nullptr;  // added with the softplus
        convolution_.n_channels = n_channels;
        convolution_.d_kernel = d_kernel;
        loader.floats(at + "convolution.weight",
                      {static_cast<uint64_t>(n_channels), static_cast<uint64_t>(d_kernel)},
                      convolution_.weight);
        loader.floats(at + "norm.weight", {static_cast<uint64_t>(rule_.d_value)}, rule_.norm);
        loader.linear(at + "output", d_model, rule_.d_values(), output_);
    }

    std::vector<const Linear*> readers() const override { return {&qkv_, &gate_, &alpha_, &beta_}; }
    const Linear& output() const override { return output_; }

    Rows run(RecurrencePass& pass) const override {
        float* const* const rows = pass.buffers;
        const size_t* const strides = pass.strides;
        const Product products[] = {{&qkv_, rows[kQkv], strides[kQkv]},
                                    {&gate_, rows[kGate], strides[kGate]},
                                    {&alpha_, rows[kAlpha], strides[kAlpha]},
                                    {&beta_, rows[kBeta], strides[kBeta]}};
        pass.project(products);
        pass.tap(Tap::kRecurrenceQkv, rows[kQkv], strides[kQkv]);
        pass.tap(Tap::kRecurrenceGate, rows[kGate], strides[kGate]);
        convolve(pass);
        pass.tap(Tap::kRecurrenceConvolution, rows[kMixed], strides[kMixed]);
        // The projection is no longer needed: what the heads read takes its place.
        pass.divide(rule_.n_value_heads, 1, [&](int begin, int end) {
            for (const Slice& slice : pass.slices) {
                const size_t first = static_cast<size_t>(slice.first_row);
                const auto at = [&](Buffer buffer) { return rows[buffer] + first * strides[buffer]; };
                const GatedDeltaNet::Io io = {at(kMixed),    strides[kMixed], at(kGate),      strides[kGate],
                                              at(kAlpha),    at(kBeta),       strides[kBeta], at(kQkv),
                                              strides[kQkv], at(kGated),      strides[kGated]};
                rule_.run(pass.kernels, io, slice.n_tokens,
                          slice.cache.state(pass.layer) + convolution_.n_state_floats(),
                          slice.cache.next_state(pass.layer) + convolution_.n_state_floats(), begin, end);
            }
        });
        pass.tap(Tap::kRecurrenceAlpha, rows[kAlpha], strides[kAlpha]);
        pass.tap(Tap::kRecurrenceBeta, rows[kBeta], strides[kBeta]);
        pass.tap(Tap::kRecurrenceContext, rows[kQkv], strides[kQkv]);
        pass.tap(Tap::kRecurrenceGated, rows[kGated], strides[kGated]);
        return {rows[kGated], strides[kGated]};
    }

private:
    void convolve(RecurrencePass& pass) const {
        const size_t qkv_stride = pass.strides[kQkv], stride = pass.strides[kMixed];
        const auto silu = pass.kernels.activate[static_cast<int>(Activation::kSilu)];
        pass.divide(rule_.n_channels(), 16, [&](int begin, int end) {
            for (const Slice& slice : pass.slices) {
                const size_t first = static_cast<size_t>(slice.first_row);
                float* const mixed = pass.buffers[kMixed] + first * stride;
                convolution_.run(pass.buffers[kQkv] + first * qkv_stride, qkv_stride, slice.n_tokens,
                                 slice.cache.state(pass.layer), slice.cache.next_state(pass.layer), mixed,
                                 stride, begin, end);
                for (int t = 0; t < slice.n_tokens && begin < end; ++t) {
                    float* const row = mixed + static_cast<size_t>(t) * stride + begin;
                    silu(row, end - begin, row);
                }
            }
        });
    }

    std::vector<float> rates_;  // [H]
    GatedDeltaNet rule_;
    Linear qkv_, gate_, alpha_, beta_, output_;  // [C, D] [H*V, D] [H, D] [H, D] [D, H*V]
    CausalConvolution convolution_;
};

class GatedDeltaNetSpec final : public Recurrence {
public:
    explicit GatedDeltaNetSpec(RecurrenceFields& fields) : d_kernel_(fields.integer("d_kernel", 2, 64)) {
        sizes_.n_key_heads = fields.integer("n_key_heads", 1, 65536);
        sizes_.n_value_heads = fields.integer("n_value_heads", 1, 65536);
        sizes_.d_key = fields.integer("d_key", 1, 4096);
        sizes_.d_value = fields.integer("d_value", 1, 4096);
        sizes_.norm_eps = fields.number("norm_eps");
        sizes_.has_tiled_heads = fields.flag("has_tiled_heads");
    }
    Status check(const std::string& at, int) const override {
        if (sizes_.n_value_heads % sizes_.n_key_heads != 0)
            return invalid(at + ".n_value_heads must be a multiple of n_key_heads");
        if (int64_t{sizes_.n_value_heads} * (2 * sizes_.d_key + sizes_.d_value) > 1 << 24)
            return invalid(at + " is too wide");
        return {};
    }
    size_t n_state_floats(int) const override {
        return convolution().n_state_floats() + sizes_.n_state_floats();
    }
    std::vector<int> buffer_widths(int) const override {
        return {sizes_.n_channels(),  sizes_.n_channels(),  sizes_.d_values(),
                sizes_.n_value_heads, sizes_.n_value_heads, sizes_.d_values()};
    }
    std::vector<std::pair<Tap, int>> taps(int) const override {
        return {
            {Tap::kRecurrenceQkv, sizes_.n_channels()},    {Tap::kRecurrenceConvolution, sizes_.n_channels()},
            {Tap::kRecurrenceAlpha, sizes_.n_value_heads}, {Tap::kRecurrenceBeta, sizes_.n_value_heads},
            {Tap::kRecurrenceContext, sizes_.d_values()},  {Tap::kRecurrenceGate, sizes_.d_values()},
            {Tap::kRecurrenceGated, sizes_.d_values()}};
    }
    std::unique_ptr<RecurrentLayer> load(TensorLoader& loader, const std::string& at,
                                         int d_model) const override {
        return std::make_unique<GatedDeltaNetLayer>(loader, at, d_model, sizes_, d_kernel_);
    }

private:
    CausalConvolution convolution() const { return {sizes_.n_channels(), d_kernel_}; }

    GatedDeltaNet sizes_;
    int d_kernel_;
};

std::shared_ptr<const Recurrence> make(RecurrenceFields& fields) {
    return std::make_shared<GatedDeltaNetSpec>(fields);
}

}  // namespace

extern const RecurrenceKind kRecurrence_gated_delta_net;
const RecurrenceKind kRecurrence_gated_delta_net{"gated_delta_net", make};

}  // namespace zp
