// Attention over chunks of positions: the same bits on every instruction set, and equal to the definition of
// softmax.
#include <cstring>
#include <map>

#include "kernel_inputs.hpp"
#include "ops/cache_view.hpp"

using namespace zp;
using namespace zp::test;

namespace {

const Kernels& scalar() { return *kernels_for("scalar"); }

// One key/value head and some query rows. Keys past the last position are NaN and must not be read.
struct Head {
    int d_head, d_value, n_rows, n_positions;
    std::vector<float> q, keys, values;  // [rows, K] [S/16, K, 16] [S, d_value]
    std::vector<uint16_t> half_keys, half_values;
    std::map<CacheType, std::vector<std::vector<uint8_t>>> pages;  // of the integer cache types
    std::vector<int> n_visible, n_hidden;
    float softcap = 0.0f;
    std::vector<const float*> rows;

    Head(int d_head_, int n_rows_, int n_positions_, Kind kind, unsigned seed)
        : d_head(d_head_), d_value((d_head_ + 15) / 16 * 16), n_rows(n_rows_), n_positions(n_positions_) {
        Random random(seed);
        q = random.numbers(static_cast<size_t>(n_rows * d_head), Kind::kUsual);
        const auto n_tiles = static_cast<size_t>((n_positions + 15) / 16);
        keys.assign(n_tiles * static_cast<size_t>(16 * d_head), std::numeric_limits<float>::quiet_NaN());
        for (int s = 0; s < n_positions; ++s)
            for (int k = 0; k < d_head; ++k) keys[key_at(s, k)] = random.number(kind);
        values = random.numbers(static_cast<size_t>(n_positions * d_value), Kind::kUsual);
        for (const float x : keys) half_keys.push_back(float_to_half(x));
        for (const float x : values) half_values.push_back(float_to_half(x));
        fill_pages();
        for (int r = 0; r < n_rows; ++r) {
            rows.push_back(q.data() + r * d_head);
            // The first rows see one position, all, up to the end of a chunk, and one position beyond it.
            const int usual[] = {1, n_positions, std::min(kChunk, n_positions),
                                 std::min(kChunk + 1, n_positions)};
            n_visible.push_back(r < 4 ? usual[r] : 1 + random.below(n_positions));
            n_hidden.push_back(0);
        }
    }

    size_t key_at(int s, int k) const { return static_cast<size_t>(s / 16 * 16 * d_head + 16 * k + s % 16); }
    CacheLayout layout(CacheType type) const { return {type, {LayerCache::pages(1, d_head)}}; }

    // Writes keys and values as the cache does; all other bytes form NaN.
    void fill_pages() {
        for (const CacheType type : {CacheType::kInt16, CacheType::kInt8}) {
            const CacheLayout layout = this->layout(type);
            const auto n_pages = static_cast<size_t>((n_positions + kChunk - 1) / kChunk);
            pages[type].assign(n_pages, std::vector<uint8_t>(layout.groups().front().page_bytes, 0xff));
            PageTable table;
            for (auto& page : pages[type]) table.push_back(page.data());
            const CacheView cache{&layout, &table};
            std::vector<float> key(static_cast<size_t>(d_head));
            for (int s = 0; s < n_positions; ++s) {
                for (int k = 0; k < d_head; ++k) key[static_cast<size_t>(k)] = keys[key_at(s, k)];
                write_key(cache, 0, 0, s, key.data());
                write_value(cache, 0, 0, s, values.data() + s * d_value);
            }
        }
    }
};

constexpr CacheType kTypes[] = {CacheType::kFloat, CacheType::kHalf, CacheType::kInt16, CacheType::kInt8};

struct Part {
    std::vector<float> peak, total, sum;

    // The results from `row` on.
    Partial at(int row, int d_value) {
        return {peak.data() + row, total.data() + row, sum.data() + static_cast<size_t>(row) * d_value};
    }
};

Part attend(const Kernels& k, const Head& h, CacheType type, int begin, int end) {
    const auto n = static_cast<size_t>(h.n_rows);
    Part out{std::vector<float>(n), std::vector<float>(n),
             std::vector<float>(n * static_cast<size_t>(h.d_value))};
    const size_t key = static_cast<size_t>(begin) * h.d_head, value = static_cast<size_t>(begin) * h.d_value;
    AttendChunk job = {
        h.rows.data(), {},        h.n_visible.data(),  h.n_hidden.data(),       h.softcap, h.n_rows,
        h.d_head,      h.d_value, h.keys.data() + key, h.values.data() + value, nullptr,   nullptr,
        begin,         end,       out.at(0, h.d_value)};
    if (type == CacheType::kFloat) k.attend_float(job);
    if (type == CacheType::kHalf) {
        job.keys = h.half_keys.data() + key;
        job.values = h.half_values.data() + value;
        k.attend_half(job);
    }
    if (const auto pages = h.pages.find(type); pages != h.pages.end()) {
        const CacheLayout layout = h.layout(type);
        const PageTable table{const_cast<uint8_t*>(pages->second[begin / kChunk].data())};
        const HeadPage page = CacheView{&layout, &table}.head_page(0, 0, 0);
        job.keys = page.keys;
        job.values = page.values;
        std::vector<int16_t> q(n * static_cast<size_t>((h.d_head + kIntColumns - 1) / kIntColumns) *
                               kIntColumns);
        std::vector<float> q_scales(n);
        job.q = nullptr;
        job.int_q = {q.data(), q_scales.data()};
        k.quantize_queries(h.rows.data(), h.n_rows, h.d_head, job.int_q);
        job.key_scales = page.key_scales;
        job.value_scales = page.value_scales;
        if (type == CacheType::kInt16) k.attend_int16(job);
        if (type == CacheType::kInt8) k.attend_int8(job);
    }
    // Padding of value rows is never read; ignore it.
    for (size_t r = 0; r < n; ++r)
        for (int c = h.d_head; c < h.d_value; ++c) out.sum[r * static_cast<size_t>(h.d_value) + c] = 0.0f;
    return out;
}

// Merges all chunks in order and normalizes: [rows, K].
std::vector<float> attend_all(const Kernels& k, const Head& h, CacheType type) {
    Part all = attend(k, h, type, 0, std::min(kChunk, h.n_positions));
    for (int begin = kChunk; begin < h.n_positions; begin += kChunk) {
        Part part = attend(k, h, type, begin, std::min(begin + kChunk, h.n_positions));
        const auto sees = [&](int r) { return r < h.n_rows && h.n_visible[static_cast<size_t>(r)] > begin; };
        for (int r = 0, n = 0; r < h.n_rows; r += n + 1) {
            for (n = 0; sees(r + n);) ++n;
            k.merge(n, all.at(r, h.d_value), part.at(r, h.d_value), h.d_value);
        }
    }
    std::vector<float> y(static_cast<size_t>(h.n_rows * h.d_head));
    for (int r = 0; r < h.n_rows; ++r)
        k.normalize(all.sum.data() + r * h.d_value, all.total[static_cast<size_t>(r)], h.d_head,
                    y.data() + r * h.d_head);
    return y;
}

// The definition in double precision: softmax(q k) v over the visible positions of the row.
std::vector<double> reference(const Head& h, int row) {
    const int n = h.n_visible[static_cast<size_t>(row)];
    std::vector<double> scores(static_cast<size_t>(n), 0.0), y(static_cast<size_t>(h.d_head), 0.0);
    for (int s = 0; s < n; ++s)
        for (int k = 0; k < h.d_head; ++k)
            scores[static_cast<size_t>(s)] +=
                static_cast<double>(h.q[static_cast<size_t>(row * h.d_head + k)]) * h.keys[h.key_at(s, k)];
    const double peak = *std::max_element(scores.begin(), scores.end());
    double total = 0;
    for (double& score : scores) total += score = std::exp(score - peak);
    for (int s = 0; s < n; ++s)
        for (int k = 0; k < h.d_head; ++k)
            y[static_cast<size_t>(k)] +=
                scores[static_cast<size_t>(s)] / total * h.values[static_cast<size_t>(s * h.d_value + k)];
    return y;
}

std::string name(const Kernels& k, const char* what, const Head& h) {
    return std::string(k.isa) + " " + what + ", " + std::to_string(h.n_rows) + " rows, head of " +
           std::to_string(h.d_head) + ", " + std::to_string(h.n_positions) + " positions";
}

}  // namespace

ZP_TEST(attention_chunks_are_bit_equal_on_every_instruction_set) {
    for (const Kernels* k : fast_kernels()) {
        for (const Kind kind : {Kind::kUsual, Kind::kWide, Kind::kZeros, Kind::kTiny}) {
            for (const int d_head : {1, 8, 16, 20, 64, 80, 131, 256}) {
                for (const int n_positions : {1, 15, 16, 17, 127, 128, 129, 300}) {
                    const Head h(d_head, 13, n_positions, kind, static_cast<unsigned>(n_positions));
                    for (const CacheType type : kTypes) {
                        for (int begin = 0; begin < n_positions; begin += kChunk) {
                            const int end = std::min(begin + kChunk, n_positions);
                            const Part want = attend(scalar(), h, type, begin, end);
                            const Part got = attend(*k, h, type, begin, end);
                            expect_same(want.peak, got.peak, name(*k, "peak", h));
                            expect_same(want.total, got.total, name(*k, "total", h));
                            expect_same(want.sum, got.sum, name(*k, "sum", h));
                        }
                        expect_same(attend_all(scalar(), h, type), attend_all(*k, h, type),
                                    name(*k, "all chunks", h));
                    }
                }
            }
        }
    }
}

ZP_TEST(attention_of_a_row_does_not_depend_on_the_batch) {
    const std::vector<const Kernels*> all = all_kernels();
    for (const Kernels* k : all) {
        for (const CacheType type : {CacheType::kHalf, CacheType::kInt16, CacheType::kInt8}) {
            Head together(64, 29, 301, Kind::kUsual, 5);  // more rows than fit one buffer of scores
            const auto want = attend_all(*k, together, type);
            for (int r = 0; r < 29; ++r) {
                Head alone(64, 29, 301, Kind::kUsual, 5);
                alone.rows = {alone.rows[static_cast<size_t>(r)]};
                alone.n_visible = {alone.n_visible[static_cast<size_t>(r)]};
                alone.n_rows = 1;
                alone.n_positions = alone.n_visible[0];
                const std::vector<float> part(want.begin() + 64 * r, want.begin() + 64 * (r + 1));
                expect_same(part, attend_all(*k, alone, type), name(*k, "alone", alone));
            }
        }
    }
}

ZP_TEST(attention_is_softmax_over_the_visible_positions) {
    for (const int d_head : {8, 20, 64}) {
        for (const int n_positions : {1, 40, 128, 129, 400}) {
            const Head h(d_head, 7, n_positions, Kind::kUsual, 11);
            const std::pair<CacheType, double> cases[] = {
                {CacheType::kFloat, 2e-6}, {CacheType::kInt16, 2e-3}, {CacheType::kInt8, 4e-2}};
            for (const auto& [type, allowed] : cases) {
                const auto y = attend_all(scalar(), h, type);
                for (int r = 0; r < h.n_rows; ++r) {
                    const auto want = reference(h, r);
                    for (int c = 0; c < d_head; ++c)
                        ZP_CHECK(std::fabs(y[static_cast<size_t>(r * d_head + c)] -
                                           want[static_cast<size_t>(c)]) < allowed);
                }
            }
        }
    }
}

ZP_TEST(attention_ignores_chunks_after_the_visible_positions) {
    // A chunk behind the last visible position of a row adds nothing to its total.
    Head h(16, 5, 200, Kind::kUsual, 2);
    h.n_visible = {1, 128, 129, 200, 64};
    const std::vector<const Kernels*> all = all_kernels();
    for (const Kernels* k : all) {
        for (const CacheType type : kTypes) {
            const Part part = attend(*k, h, type, 128, 200);
            for (const size_t hidden : {0, 1, 4}) ZP_EQ(part.total[hidden], 0.0f);
            for (const size_t seen : {2, 3}) ZP_CHECK(part.total[seen] >= 0.99f);
        }
    }
}

ZP_TEST(attention_of_a_zero_query_weighs_visible_positions_equally) {
    const std::vector<const Kernels*> all = all_kernels();
    for (const Kernels* k : all) {
        for (const float softcap : {0.0f, 30.0f}) {
            Head h(16, 3, 100, Kind::kUsual, 4);
            std::fill(h.q.begin(), h.q.end(), 0.0f);
            h.n_visible = {1, 80, 100};
            h.n_hidden = {0, 37, 96};
            h.softcap = softcap;
            for (const CacheType type : kTypes) {
                const std::vector<float> n_seen = {1.0f, 43.0f, 4.0f};
                expect_same(n_seen, attend(*k, h, type, 0, 100).total, name(*k, "zeros", h));
            }
        }
    }
}

ZP_TEST(attention_propagates_nan_and_infinity) {
    const std::vector<const Kernels*> all = all_kernels();
    for (const Kernels* k : all) {
        for (const CacheType type : kTypes) {
            for (const float bad :
                 {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
                Head h(16, 4, 40, Kind::kUsual, 3);
                h.n_visible = {40, 40, 40, 40};
                h.keys[h.key_at(20, 3)] = bad;
                h.half_keys[h.key_at(20, 3)] = float_to_half(bad);
                h.fill_pages();
                h.q[3] = 1.0f;
                ZP_CHECK(!std::isfinite(attend_all(*k, h, type)[0]));
                Head of_values(16, 4, 40, Kind::kUsual, 3);
                of_values.n_visible = {40, 40, 40, 40};
                of_values.values[20 * 16 + 3] = bad;
                of_values.half_values[20 * 16 + 3] = float_to_half(bad);
                of_values.fill_pages();
                ZP_CHECK(!std::isfinite(attend_all(*k, of_values, type)[3]));
                Head of_query(16, 4, 40, Kind::kUsual, 3);
                of_query.q[3] = std::numeric_limits<float>::quiet_NaN();
                ZP_CHECK(!std::isfinite(attend_all(*k, of_query, type)[0]));
            }
        }
    }
}
