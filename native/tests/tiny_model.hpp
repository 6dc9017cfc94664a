// Writes a Llama of a few kilobytes with seeded random weights as a GGUF file, for tests of the engine.
#pragma once

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "formats/half.hpp"
#include "gguf_builder.hpp"
#include "model/spec.hpp"

namespace zp::test {

// Modifies the weights of a tensor before they are written.
using WeightPatch = std::function<void(const std::string& name, std::vector<float>& weights)>;

inline ModelSpec tiny_spec() {
    ModelSpec s;
    s.d_model = 64;
    s.n_ctx = 600;
    s.n_vocab = 70;  // not a multiple of the 16 rows of a group
    s.final_norm = {NormKind::kRms, 1e-5f};
    s.rotations.resize(1);
    for (int i = 0; i < 8; ++i)
        s.rotations[0].frequencies.push_back(std::pow(10000.0f, -static_cast<float>(i) / 8));
    LayerSpec layer;
    layer.norm = s.final_norm;
    layer.attention.n_heads = 4;
    layer.attention.n_kv_heads = 2;
    layer.attention.d_head = 16;
    layer.attention.scale = 0.25f;  // 1 / sqrt(d_head)
    layer.attention.rotation = 0;
    layer.ffn.kind = FfnKind::kGated;
    layer.ffn.d_ff = 96;
    s.layers.assign(2, layer);
    return s;
}

class TinyModel {
public:
    // Matrices as Q8_0 or F32, norms as F32. Uses our tensor names, so that no TensorMap is needed.
    explicit TinyModel(bool is_quantized, const WeightPatch& patch = {})
        : is_quantized_(is_quantized), patch_(patch) {
        const ModelSpec s = tiny_spec();
        matrix("embedding.weight", s.n_vocab, s.d_model);
        for (int i = 0; i < s.n_layers(); ++i) {
            const int q = s.layer(i).attention.n_query(), kv = s.layer(i).attention.n_kv();
            const int d_ff = s.layer(i).ffn.d_ff;
            const std::string at = "blocks." + std::to_string(i) + ".";
            vector(at + "attention_norm.weight", s.d_model);
            matrix(at + "attention.query.weight", q, s.d_model);
            matrix(at + "attention.key.weight", kv, s.d_model);
            matrix(at + "attention.value.weight", kv, s.d_model);
            matrix(at + "attention.output.weight", s.d_model, q);
            vector(at + "ffn_norm.weight", s.d_model);
            matrix(at + "ffn.gate.weight", d_ff, s.d_model);
            matrix(at + "ffn.up.weight", d_ff, s.d_model);
            matrix(at + "ffn.down.weight", s.d_model, d_ff);
        }
        vector("final_norm.weight", s.d_model);
        matrix("head.weight", s.n_vocab, s.d_model);
        write();
    }
    TinyModel(const TinyModel&) = delete;
    ~TinyModel() { unlink(path.c_str()); }

    std::string path;

private:
    std::vector<float> weights(const std::string& name, int rows, int cols) {
        std::vector<float> w(static_cast<size_t>(rows * cols));
        std::normal_distribution<float> normal(0.0f, 1.0f / std::sqrt(static_cast<float>(cols)));
        for (float& x : w) x = rows == 1 ? 1.0f : normal(random_);
        if (patch_) patch_(name, w);
        return w;
    }
    void vector(const std::string& name, int n) {
        add(name, raw<uint64_t>(n), 1, 0, plain(weights(name, 1, n)));
    }
    void matrix(const std::string& name, int rows, int cols) {
        const std::vector<float> w = weights(name, rows, cols);
        const std::string dims = raw<uint64_t>(cols) + raw<uint64_t>(rows);
        add(name, dims, 2, is_quantized_ ? 8 : 0, is_quantized_ ? packed(w) : plain(w));
    }
    void add(const std::string& name, const std::string& dims, uint32_t n_dims, uint32_t type,
             std::string bytes) {
        TensorBytes t;
        t.name = name;
        t.dims = dims;
        t.n_dims = n_dims;
        t.type = type;
        t.offset = data_.size();
        file_.add_tensor(t);
        bytes.resize((bytes.size() + 31) / 32 * 32);
        data_ += bytes;
    }
    static std::string plain(const std::vector<float>& w) {
        return {reinterpret_cast<const char*>(w.data()), w.size() * sizeof(float)};
    }
    static std::string packed(const std::vector<float>& w) {
        std::string out;
        for (size_t b = 0; b < w.size(); b += 32) {
            float peak = 0;
            for (size_t i = 0; i < 32; ++i)
                peak = std::isfinite(w[b + i]) ? std::max(peak, std::fabs(w[b + i])) : w[b + i];
            const float scale = half_to_float(float_to_half(peak / 127.0f));
            out += raw(float_to_half(peak / 127.0f));
            for (size_t i = 0; i < 32; ++i)
                out += raw(static_cast<int8_t>(scale > 0 ? std::nearbyint(std::fmin(w[b + i] / scale, 127.0f))
                                                         : 1.0f));
        }
        return out;
    }
    void write() {
        char name[] = "/tmp/zp_tiny_XXXXXX";
        const int fd = mkstemp(name);
        path = name;
        const std::string bytes = file_.bytes() + data_;
        FILE* out = fdopen(fd, "wb");
        std::fwrite(bytes.data(), 1, bytes.size(), out);
        std::fclose(out);
    }

    bool is_quantized_;
    WeightPatch patch_;
    std::mt19937 random_{17};
    FileBytes file_;
    std::string data_;
};

}  // namespace zp::test
