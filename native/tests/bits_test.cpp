// A recorded fingerprint of a model's logits: every processor family, compiler and instruction set must
// reproduce it.
#include <cstring>

#include "base/cpu.hpp"
#include "check.hpp"
#include "kernels/kernels.hpp"
#include "runtime/engine.hpp"
#include "tiny_model.hpp"

using namespace zp;
using namespace zp::test;

namespace {

// Weights and angles from exact arithmetic, so that they do not depend on a math library.
void draw_exactly(const std::string& name, std::vector<float>& weights, std::mt19937& random) {
    const bool is_norm = name.find("norm") != std::string::npos;
    for (float& w : weights) {
        const float uniform = static_cast<float>(random() >> 8) * (1.0f / 8388608.0f) - 1.0f;
        w = is_norm ? 1.0f + 0.25f * uniform : 0.25f * uniform;
    }
}

ModelSpec exact_spec() {
    ModelSpec spec = tiny_spec();
    std::vector<float>& frequencies = spec.rotations[0].frequencies;
    for (size_t i = 0; i < frequencies.size(); ++i) frequencies[i] = 1.0f / static_cast<float>(1 << i);
    return spec;
}

// 64-bit FNV-1a (Fowler, Noll and Vo).
uint64_t fingerprint(const std::vector<float>& values) {
    uint64_t hash = 14695981039346656037u;
    for (const float value : values) {
        uint8_t bytes[sizeof value];
        std::memcpy(bytes, &value, sizeof value);
        for (const uint8_t byte : bytes) hash = (hash ^ byte) * 1099511628211u;
    }
    return hash;
}

uint64_t logits_of(const std::string& path, const char* isa, bool is_exact) {
    auto engine = std::move(Engine::open({{path}, exact_spec(), {}, 2, isa, is_exact}).value());
    std::vector<int32_t> ids;
    for (int i = 0; i < 150; ++i) ids.push_back(i * 37 % tiny_spec().n_vocab);
    std::vector<float> logits(ids.size() * static_cast<size_t>(tiny_spec().n_vocab));
    ZP_CHECK(engine->extend(engine->open_sequence().value(), ids, logits, [] { return false; }).ok());
    return fingerprint(logits);
}

}  // namespace

// If the arithmetic changes on purpose, update these numbers.
ZP_TEST(engine_logits_match_the_recorded_bits) {
    std::mt19937 random(23);
    const TinyModel model(true, [&](const std::string& name, std::vector<float>& weights) {
        draw_exactly(name, weights, random);
    });
    for (const char* isa : kInstructionSets) {
        if (kernels_for(isa) == nullptr) continue;
        ZP_EQ(logits_of(model.path, isa, false), 6505623268376105369u);
        ZP_EQ(logits_of(model.path, isa, true), 7960718135399495883u);
    }
}

// Older AArch64 processors lack the int8 dot products, but all have NEON.
ZP_TEST(engine_finds_the_instruction_sets_of_the_processor) {
#if defined(ZP_ARM64)
    ZP_CHECK(kernels_for("neon") != nullptr);
    ZP_EQ(kernels_for("neon_dotprod") != nullptr, cpu().has_dotprod);
    ZP_EQ(std::string(best_kernels().isa), cpu().has_dotprod ? "neon_dotprod" : "neon");
#elif defined(ZP_X86)
    ZP_CHECK(kernels_for("neon") == nullptr);
    ZP_EQ(kernels_for("avx2") != nullptr, cpu().has_avx2);
    ZP_EQ(kernels_for("avx512") != nullptr, cpu().has_avx512_vnni);
#endif
    ZP_CHECK(kernels_for("scalar") != nullptr);
    ZP_CHECK(kernels_for("sse9") == nullptr);
}
