// Mamba-2 (Dao and Gu, 2024): z, x, B, C, dt = input(x); x, B, C = silu(conv(x, B, C));
// output(norm(scan(x, B, C, dt) * silu(z))).
#include "ops/recurrence/mamba2.hpp"

#include <cmath>
#include <vector>

#include "model/recurrence/recurrence.hpp"
#include "ops/recurrence/causal_convolution.hpp"

namespace zp {

namespace {

enum Buffer : size_t { kInput, kMixed, kScan, kNormed };

class Mamba2Layer final : public RecurrentLayer {
public:
    Mamba2Layer(TensorLoader& loader, const std::string& at, int d_model, const Mamba2& sizes, int d_kernel,
                float norm_eps)
        : scan_(sizes), norm_eps_(norm_eps) {
        const int n_channels = scan_.n_channels(), d_inner = scan_.d_inner();
        const uint64_t heads = static_cast<uint64_t>(scan_.n_heads);
        const uint64_t channels = static_cast<uint64_t>(n_channels);
        loader.linear(at + "input", d_inner + n_channels + scan_.n_heads, d_model, input_);
        convolution_.n_channels = n_channels;
        convolution_.d_kernel = d_kernel;
        loader.floats(at + "convolution.weight", {channels, static_cast<uint64_t>(d_kernel)},
                      convolution_.weight);
        if (loader.has(at + "convolution.bias"))
            loader.floats(at + "convolution.bias", {channels}, convolution_.bias);
        loader.floats(at + "step_bias", {heads}, scan_.step_bias);
        const float* logs = nullptr;
        loader.floats(at + "decay_log", {heads}, logs);
        if (logs != nullptr)
            for (int h = 0; h < scan_.n_heads; ++h) rates_.push_back(-std::exp(logs[h]));
        scan_.rate = rates_.data();
        loader.floats(at + "skip", {heads}, scan_.skip);
        loader.floats(at + "norm.weight", {static_cast<uint64_t>(d_inner)}, norm_);
        loader.linear(at + "output", d_model, d_inner, output_);
    }

    std::vector<const Linear*> readers() const override { return {&input_}; }
    const Linear& output() const override { return output_; }

    Rows run(RecurrencePass& pass) const override {
        float* const* const rows = pass.buffers;
        const size_t* const strides = pass.strides;
        const Product product = {&input_, rows[kInput], strides[kInput]};
        pass.project({&product, 1});
        pass.tap(Tap::kRecurrenceInput, rows[kInput], strides[kInput]);
        convolve(pass);
        pass.tap(Tap::kRecurrenceConvolution, rows[kMixed], strides[kMixed]);
        scan(pass);
        pass.tap(Tap::kRecurrenceScan, rows[kScan], strides[kScan]);
        normalize(pass);
        pass.tap(Tap::kRecurrenceInnerNorm, rows[kNormed], strides[kNormed]);
        return {rows[kNormed], strides[kNormed]};
    }

private:
    void convolve(RecurrencePass& pass) const {
        const size_t input_stride = pass.strides[kInput], stride = pass.strides[kMixed];
        const auto silu = pass.kernels.activate[static_cast<int>(Activation::kSilu)];
        pass.divide(scan_.n_channels(), 16, [&](int begin, int end) {
            for (const Slice& slice : pass.slices) {
                const size_t first = static_cast<size_t>(slice.first_row);
                float* const mixed = pass.buffers[kMixed] + first * stride;
                convolution_.run(pass.buffers[kInput] + first * input_stride + scan_.d_inner(), input_stride,
                                 slice.n_tokens, slice.cache.state(pass.layer),
                                 slice.cache.next_state(pass.layer), mixed, stride, begin, end);
                for (int t = 0; t < slice.n_tokens && begin < end; ++t) {
                    float* const row = mixed + static_cast<size_t>(t) * stride + begin;
                    silu(row, end - begin, row);
                }
            }
        });
    }

    void scan(RecurrencePass& pass) const {
        const size_t steps_at = static_cast<size_t>(scan_.d_inner() + scan_.n_channels());
        const size_t n_columns = convolution_.n_state_floats();
        pass.divide(scan_.n_heads, 1, [&](int begin, int end) {
            for (const Slice& slice : pass.slices) {
                const size_t first = static_cast<size_t>(slice.first_row);
                const auto at = [&](Buffer buffer) {
                    return pass.buffers[buffer] + first * pass.strides[buffer];
                };
                const Mamba2::Io io = {
                    at(kMixed), pass.strides[kMixed], at(kInput) + steps_at, pass.strides[kInput],
                    at(kScan),  pass.strides[kScan]};
                scan_.run(pass.kernels, io, slice.n_tokens, slice.cache.state(pass.layer) + n_columns,
                          slice.cache.next_state(pass.layer) + n_columns, begin, end);
            }
        });
    }

    void normalize(RecurrencePass& pass) const {
        const auto gate = pass.kernels.gate[static_cast<int>(Activation::kSilu)];
        const int width = scan_.d_inner() / scan_.n_groups;
        pass.divide(pass.n_tokens * scan_.n_groups, 1, [&](int begin, int end) {
            for (int i = begin; i < end; ++i) {
                const size_t row = static_cast<size_t>(i / scan_.n_groups);
                const size_t column = static_cast<size_t>(i % scan_.n_groups * width);
                const auto at = [&](Buffer buffer) {
                    return pass.buffers[buffer] + row * pass.strides[buffer] + column;
                };
                gate(at(kInput), at(kScan), width, at(kNormed));
                pass.kernels.rms_norm(at(kNormed), norm_ + column, norm_eps_, width, at(kNormed));
            }
        });
    }

    std::vector<float> rates_;  // [H]
    Mamba2 scan_;
    float norm_eps_;
    const float* norm_ = nullptr;  // [d_inner]
    Linear input_, output_;        // [z, x, B, C, dt; D] [D, d_inner]
    CausalConvolution convolution_;
};

class Mamba2Spec final : public Recurrence {
public:
    explicit Mamba2Spec(RecurrenceFields& fields) : d_kernel_(fields.integer("d_kernel", 2, 64)) {
        sizes_.n_heads = fields.integer("n_heads", 1, 65536);
        sizes_.d_head = fields.integer("d_head", 1, 4096);
        sizes_.d_state = fields.integer("d_state", 1, 4096);
        sizes_.n_groups = fields.integer("n_groups", 1, 65536);
        norm_eps_ = fields.number("norm_eps");
    }
    Status check(const std::string& at, int) const override {
        if (sizes_.n_heads % sizes_.n_groups != 0) return invalid(at + ".n_groups must divide n_heads");
        if (int64_t{sizes_.n_heads} * sizes_.d_head + int64_t{2} * sizes_.n_groups * sizes_.d_state > 1 << 24)
            return invalid(at + " is too wide");
        return {};
    }
    size_t n_state_floats(int) const override {
        return convolution().n_state_floats() + sizes_.n_state_floats();
    }
    std::vector<int> buffer_widths(int) const override {
        return {sizes_.d_inner() + sizes_.n_channels() + sizes_.n_heads, sizes_.n_channels(),
                sizes_.d_inner(), sizes_.d_inner()};
    }
    std::vector<std::pair<Tap, int>> taps(int d_model) const override {
        return {{Tap::kRecurrenceInput, buffer_widths(d_model)[kInput]},
                {Tap::kRecurrenceConvolution, sizes_.n_channels()},
                {Tap::kRecurrenceScan, sizes_.d_inner()},
                {Tap::kRecurrenceInnerNorm, sizes_.d_inner()}};
    }
    std::unique_ptr<RecurrentLayer> load(TensorLoader& loader, const std::string& at,
                                         int d_model) const override {
        return std::make_unique<Mamba2Layer>(loader, at, d_model, sizes_, d_kernel_, norm_eps_);
    }

private:
    CausalConvolution convolution() const { return {sizes_.n_channels(), d_kernel_}; }

    Mamba2 sizes_;
    int d_kernel_;
    float norm_eps_ = 0;
};

std::shared_ptr<const Recurrence> make(RecurrenceFields& fields) {
    return std::make_shared<Mamba2Spec>(fields);
}

}  // namespace

extern const RecurrenceKind kRecurrence_mamba2;
const RecurrenceKind kRecurrence_mamba2{"mamba2", make};

}  // namespace zp
