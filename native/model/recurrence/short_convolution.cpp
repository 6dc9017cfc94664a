// The gated short convolution of LFM2 (Liquid AI, 2025): B, C, x = input(x); output(C * conv(B * x)).
#include "model/recurrence/recurrence.hpp"
#include "ops/recurrence/causal_convolution.hpp"

namespace zp {

namespace {

enum Buffer : size_t { kInput, kConvolved, kMixed };  // [T, 3 D] [T, D] [T, D]

class ShortConvolutionLayer final : public RecurrentLayer {
public:
    ShortConvolutionLayer(TensorLoader& loader, const std::string& at, int d_model, int d_kernel)
        : d_model_(d_model) {
        const uint64_t width = static_cast<uint64_t>(d_model);
        loader.linear(at + "input", 3 * d_model, d_model, input_);
        convolution_.n_channels = d_model;
        convolution_.d_kernel = d_kernel;
        loader.floats(at + "convolution.weight", {width, static_cast<uint64_t>(d_kernel)},
                      convolution_.weight);
        if (loader.has(at + "convolution.bias"))
            loader.floats(at + "convolution.bias", {width}, convolution_.bias);
        loader.linear(at + "output", d_model, d_model, output_);
    }

    std::vector<const Linear*> readers() const override { return {&input_}; }
    const Linear& output() const override { return output_; }

    Rows run(RecurrencePass& pass) const override {
        float* const input = pass.buffers[kInput];
        float* const convolved = pass.buffers[kConvolved];
        float* const mixed = pass.buffers[kMixed];
        const size_t input_stride = pass.strides[kInput], stride = pass.strides[kMixed];
        const Product product = {&input_, input, input_stride};
        pass.project({&product, 1});
        pass.tap(Tap::kRecurrenceInput, input, input_stride);
        pass.divide(d_model_, 16, [&](int begin, int end) {
            for (const Slice& slice : pass.slices) {
                const size_t first = static_cast<size_t>(slice.first_row);
                float* const rows = input + first * input_stride;
                float* const values = rows + 2 * d_model_;  // becomes B * x
                for (int t = 0; t < slice.n_tokens; ++t) {
                    const float* gate = rows + t * input_stride;
                    float* value = values + t * input_stride;
                    for (int c = begin; c < end; ++c) value[c] *= gate[c];
                }
                convolution_.run(values, input_stride, slice.n_tokens, slice.cache.state(pass.layer),
                                 slice.cache.next_state(pass.layer), convolved + first * stride, stride,
                                 begin, end);
                for (int t = 0; t < slice.n_tokens; ++t) {
                    const float* output_gate = rows + t * input_stride + d_model_;
                    const float* from = convolved + (first + t) * stride;
                    float* to = mixed + (first + t) * stride;
                    for (int c = begin; c < end; ++c) to[c] = output_gate[c] * from[c];
                }
            }
        });
        pass.tap(Tap::kRecurrenceConvolution, convolved, stride);
        return {mixed, stride};
    }

private:
    int d_model_;
    Linear input_, output_;  // [3 D, D] [D, D]
    CausalConvolution convolution_;
};

class ShortConvolution final : public Recurrence {
public:
    explicit ShortConvolution(RecurrenceFields& fields) : d_kernel_(fields.integer("d_kernel", 2, 64)) {}
    Status check(const std::string&, int) const override { return {}; }
    size_t n_state_floats(int d_model) const override {
        return static_cast<size_t>(d_kernel_ - 1) * static_cast<size_t>(d_model);
    }
    std::vector<int> buffer_widths(int d_model) const override { return {3 * d_model, d_model, d_model}; }
    std::vector<std::pair<Tap, int>> taps(int d_model) const override {
        return {{Tap::kRecurrenceInput, 3 * d_model}, {Tap::kRecurrenceConvolution, d_model}};
    }
    std::unique_ptr<RecurrentLayer> load(TensorLoader& loader, const std::string& at,
                                         int d_model) const override {
        return std::make_unique<ShortConvolutionLayer>(loader, at, d_model, d_kernel_);
    }

private:
    int d_kernel_;
};

std::shared_ptr<const Recurrence> make(RecurrenceFields& fields) {
    return std::make_shared<ShortConvolution>(fields);
}

}  // namespace

extern const RecurrenceKind kRecurrence_short_convolution;
const RecurrenceKind kRecurrence_short_convolution{"short_convolution", make};

}  // namespace zp
