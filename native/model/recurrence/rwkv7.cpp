// RWKV-7 (Peng et al., 2025): each token is mixed with the one before it, in six proportions, for the
// projections of its receptance, key and value, and those through narrow layers of its decay, rate, gate and
// share of the first block's value.
#include "ops/recurrence/rwkv7.hpp"

#include "model/recurrence/recurrence.hpp"

namespace zp {

namespace {

enum Buffer : size_t { kShifted, kHeads, kNarrow, kOut };
enum Use : size_t { kR, kW, kK, kV, kA, kG, kUses };             // the rows of `shift`
enum Low : size_t { kDecay, kRate, kFirstValue, kGate, kLows };  // projections through narrow layers
constexpr Use kUseOf[kLows] = {kW, kA, kV, kG};
constexpr const char* kLowNames[kLows] = {"decay", "rate", "first_value", "gate"};
// Regions of the buffer of the heads; the first kLows are the results of the narrow layers.
enum Region : size_t { kReceptance = kLows, kKey, kValue, kRemoval, kScan, kNormed, kRegions };

size_t region_width(int n_columns) { return static_cast<size_t>(padded(n_columns)); }

class Rwkv7Layer final : public RecurrentLayer {
public:
    Rwkv7Layer(TensorLoader& loader, const std::string& at, const Rwkv7& sizes, const int (&ranks)[kLows])
        : heads_(sizes) {
        const int d_model = heads_.width();
        const std::vector<uint64_t> columns = {static_cast<uint64_t>(d_model)};
        loader.floats(at + "shift", {kUses, columns[0]}, shift_);
        loader.linear(at + "receptance", d_model, d_model, receptance_);
        loader.linear(at + "key", d_model, d_model, key_);
        loader.linear(at + "value", d_model, d_model, value_);
        const float** const biases[] = {&heads_.decay_bias, &heads_.rate_bias, &heads_.first_value_bias};
        for (size_t i = 0; i < kLows; ++i) {
            ranks_[i] = ranks[i];
            if (ranks[i] == 0) continue;
            loader.linear(at + kLowNames[i] + ".down", ranks[i], d_model, down_[i]);
            loader.linear(at + kLowNames[i] + ".up", d_model, ranks[i], up_[i]);
            if (i != kGate) loader.floats(at + kLowNames[i] + ".bias", columns, *biases[i]);
        }
        loader.floats(at + "removal_scale", columns, heads_.removal_scale);
        loader.floats(at + "replacement_scale", columns, heads_.replacement_scale);
        loader.floats(at + "bonus", columns, heads_.bonus);
        loader.floats(at + "norm.weight", columns, heads_.gain);
        loader.floats(at + "norm.bias", columns, heads_.norm_bias);
        loader.linear(at + "output", d_model, d_model, output_);
    }

    std::vector<const Linear*> readers() const override { return {}; }
    const Linear& output() const override { return output_; }

    Rows run(RecurrencePass& pass) const override {
        shift(pass);
        project(pass);
        narrow(pass);
        mix(pass);
        const Tap taps[] = {
            Tap::kRecurrenceDecay,      Tap::kRecurrenceRate,     Tap::kLogits,          Tap::kRecurrenceGate,
            Tap::kRecurrenceReceptance, Tap::kRecurrenceKey,      Tap::kRecurrenceValue, Tap::kLogits,
            Tap::kRecurrenceScan,       Tap::kRecurrenceInnerNorm};
        for (size_t region = 0; region < kRegions; ++region)
            if (taps[region] != Tap::kLogits)
                pass.tap(taps[region], at_region(pass, region), pass.strides[kHeads]);
        return {pass.buffers[kOut], pass.strides[kOut]};
    }

private:
    float* at_region(const RecurrencePass& pass, size_t region) const {
        return pass.buffers[kHeads] + region * region_width(heads_.width());
    }
    // The offset of a narrow layer's columns.
    size_t narrow_at(size_t low) const {
        size_t offset = 0;
        for (size_t i = 0; i < low; ++i) offset += region_width(ranks_[i]);
        return offset;
    }

    // x + shift * (previous - x) for the six uses.
    void shift(RecurrencePass& pass) const {
        const size_t width = static_cast<size_t>(heads_.width()), stride = pass.strides[kShifted];
        pass.divide(heads_.width(), 16, [&](int begin, int end) {
            for (const Slice& slice : pass.slices) {
                const float* previous = slice.cache.state(pass.layer);
                for (int t = 0; t < slice.n_tokens; ++t) {
                    const size_t row = static_cast<size_t>(slice.first_row + t);
                    const float* x = pass.x.floats + row * pass.x.float_stride;
                    for (size_t use = 0; use < kUses; ++use) {
                        const float* share = shift_ + use * width;
                        float* to =
                            pass.buffers[kShifted] + row * stride + use * region_width(heads_.width());
                        for (int c = begin; c < end; ++c) to[c] = x[c] + share[c] * (previous[c] - x[c]);
                    }
                    previous = x;
                }
                float* const last = slice.cache.next_state(pass.layer);
                for (int c = begin; c < end; ++c) last[c] = previous[c];
            }
        });
    }

    void project(RecurrencePass& pass) const {
        const auto rows = [&](Use use) {
            return pass.buffers[kShifted] + use * region_width(heads_.width());
        };
        const size_t stride = pass.strides[kShifted], heads = pass.strides[kHeads];
        std::vector<RecurrencePass::Projection> all = {
            {rows(kR), stride, {&receptance_, at_region(pass, kReceptance), heads}},
            {rows(kK), stride, {&key_, at_region(pass, kKey), heads}},
            {rows(kV), stride, {&value_, at_region(pass, kValue), heads}}};
        for (size_t i = 0; i < kLows; ++i)
            if (ranks_[i] > 0)
                all.push_back({rows(kUseOf[i]),
                               stride,
                               {&down_[i], pass.buffers[kNarrow] + narrow_at(i), pass.strides[kNarrow]}});
        pass.project_each(all);
    }

    void narrow(RecurrencePass& pass) const {
        const size_t stride = pass.strides[kNarrow];
        pass.divide(pass.n_tokens, 1, [&](int begin, int end) {
            for (int t = begin; t < end; ++t) {
                float* const row = pass.buffers[kNarrow] + static_cast<size_t>(t) * stride;
                pass.kernels.softcap_in_place(1.0f, ranks_[kDecay], row + narrow_at(kDecay));  // tanh
                float* const gate = row + narrow_at(kGate);
                pass.kernels.activate[static_cast<int>(Activation::kSigmoid)](gate, ranks_[kGate], gate);
            }
        });
        std::vector<RecurrencePass::Projection> all;
        for (size_t i = 0; i < kLows; ++i)
            if (ranks_[i] > 0)
                all.push_back({pass.buffers[kNarrow] + narrow_at(i),
                               stride,
                               {&up_[i], at_region(pass, i), pass.strides[kHeads]}});
        pass.project_each(all);
    }

    void mix(RecurrencePass& pass) const {
        const size_t width = static_cast<size_t>(heads_.width());
        pass.divide(heads_.n_heads, 1, [&](int begin, int end) {
            for (const Slice& slice : pass.slices) {
                const size_t first = static_cast<size_t>(slice.first_row);
                const auto at = [&](size_t region) {
                    return at_region(pass, region) + first * pass.strides[kHeads];
                };
                const Rwkv7::Io io = {at(kReceptance),
                                      at(kKey),
                                      at(kValue),
                                      at(kDecay),
                                      at(kRate),
                                      at(kFirstValue),
                                      at(kGate),
                                      at(kRemoval),
                                      at(kScan),
                                      at(kNormed),
                                      pass.strides[kHeads],
                                      pass.shared + first * pass.shared_stride,
                                      pass.shared_stride,
                                      pass.buffers[kOut] + first * pass.strides[kOut],
                                      pass.strides[kOut]};
                heads_.run(pass.kernels, io, slice.n_tokens, slice.cache.state(pass.layer) + width,
                           slice.cache.next_state(pass.layer) + width, begin, end);
            }
        });
    }

    Rwkv7 heads_;
    int ranks_[kLows] = {};
    const float* shift_ = nullptr;              // [6, D]
    Linear receptance_, key_, value_, output_;  // [D, D]
    Linear down_[kLows], up_[kLows];            // [rank, D] [D, rank]
};

class Rwkv7Spec final : public Recurrence {
public:
    explicit Rwkv7Spec(RecurrenceFields& fields)
        : d_head_(fields.integer("d_head", 1, 4096)),
          ranks_{fields.integer("decay_rank", 1, 65536), fields.integer("rate_rank", 1, 65536),
                 fields.integer("value_rank", 0, 65536), fields.integer("gate_rank", 1, 65536)},
          norm_eps_(fields.number("norm_eps")) {}
    Status check(const std::string& at, int d_model) const override {
        if (d_model % d_head_ != 0) return invalid(at + ".d_head must divide d_model");
        return {};
    }
    size_t n_state_floats(int d_model) const override {
        return static_cast<size_t>(d_model) + sizes(d_model).n_state_floats();
    }
    std::vector<int> buffer_widths(int d_model) const override {
        const int region = padded(d_model);
        int narrow = 0;
        for (const int rank : ranks_) narrow += padded(rank);
        return {static_cast<int>(kUses) * region, static_cast<int>(kRegions) * region, narrow, d_model};
    }
    int shared_width(int d_model) const override { return d_model; }
    std::vector<std::pair<Tap, int>> taps(int d_model) const override {
        return {{Tap::kRecurrenceReceptance, d_model}, {Tap::kRecurrenceKey, d_model},
                {Tap::kRecurrenceValue, d_model},      {Tap::kRecurrenceDecay, d_model},
                {Tap::kRecurrenceRate, d_model},       {Tap::kRecurrenceGate, d_model},
                {Tap::kRecurrenceScan, d_model},       {Tap::kRecurrenceInnerNorm, d_model}};
    }
    std::unique_ptr<RecurrentLayer> load(TensorLoader& loader, const std::string& at,
                                         int d_model) const override {
        return std::make_unique<Rwkv7Layer>(loader, at, sizes(d_model), ranks_);
    }

private:
    Rwkv7 sizes(int d_model) const {
        Rwkv7 heads;
        heads.n_heads = d_model / d_head_;
        heads.d_head = d_head_;
        heads.norm_eps = norm_eps_;
        return heads;
    }

    int d_head_;
    int ranks_[kLows];
    float norm_eps_;
};

std::shared_ptr<const Recurrence> make(RecurrenceFields& fields) {
    return std::make_shared<Rwkv7Spec>(fields);
}

}  // namespace

extern const RecurrenceKind kRecurrence_rwkv7;
const RecurrenceKind kRecurrence_rwkv7{"rwkv7", make};

}  // namespace zp
