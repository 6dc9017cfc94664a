// Cache pages: contents, sharing, eviction, preemption and windows.
#include "check.hpp"
#include "engine_fixture.hpp"
#include "runtime/kv_cache/sequence.hpp"

using namespace zp;
using namespace zp::test;

namespace {

CacheLayout layout(CacheType type = CacheType::kHalf, int d_head = 20) {
    return {type, std::vector<LayerCache>(2, LayerCache::pages(2, d_head))};
}

size_t page_bytes() { return layout().groups().front().page_bytes; }

std::vector<int32_t> ids(int n, int salt = 0) { return prompt_of(n, salt); }

// A sequence pool for the tiny model with room for n_pages.
struct Caches {
    explicit Caches(size_t n_pages, const CacheWindow& window = {})
        : pool(spec, layout(), {n_pages * page_bytes(), SIZE_MAX}, window) {}
    ModelSpec spec = tiny_spec();
    SequencePool pool;

    // Opens a sequence and fills its first n positions with keys of `value`.
    Sequence* read(const std::vector<int32_t>& tokens, int n, float value) {
        Sequence* s = pool.acquire(tokens);
        while (s->n_cached < n) {
            const int more = pool.reserve(*s, n - s->n_cached).value();
            const Slice slice = pool.slice(*s, 0, more);
            const std::vector<float> row(20, value);
            for (int p = s->n_positions(); p < s->n_positions() + more; ++p)
                write_key(slice.cache, 1, 1, p, row.data());
            pool.advance(*s, more);
        }
        return s;
    }
    float key(const Sequence& s, int position) {
        std::vector<float> row(20);
        read_key(pool.slice(s, 0, 1).cache, 1, 1, position, row.data());
        return row[7];
    }
};

EngineConfig limited(const TinyModel& model, int n_pages) {
    EngineConfig config = config_of(model.path);
    config.cache_limits.max_bytes =
        static_cast<size_t>(n_pages) * layout(EngineConfig{}.cache_type, 16).groups().front().page_bytes;
    return config;
}

}  // namespace

ZP_TEST(cache_reads_back_what_was_written) {
    const struct {
        CacheType type;
        float allowed;
    } cases[] = {{CacheType::kFloat, 0.0f},
                 {CacheType::kHalf, 0.01f},
                 {CacheType::kInt16, 0.004f},
                 {CacheType::kInt8, 0.12f}};
    for (const auto& [type, allowed] : cases) {
        constexpr size_t kWidth = 19;  // odd: not a whole number of pairs
        const CacheLayout l = layout(type, kWidth);
        std::vector<uint8_t> first(l.groups().front().page_bytes), second = first;
        const PageTable table{first.data(), second.data()};
        const CacheView cache{&l, &table};
        std::vector<float> key(kWidth), value(kWidth), out(kWidth);
        const auto fill = [&](int s) {
            for (size_t k = 0; k < kWidth; ++k) {
                key[k] = static_cast<float>(s - 130) * 0.37f + static_cast<float>(k);
                value[k] = -0.5f * key[k];
            }
        };
        for (int s = 120; s < 140; ++s) {
            fill(s);
            write_key(cache, 1, 1, s, key.data());
            write_value(cache, 1, 1, s, value.data());
        }
        for (int s = 120; s < 140; ++s) {
            fill(s);
            read_key(cache, 1, 1, s, out.data());
            for (size_t k = 0; k < kWidth; ++k) ZP_CHECK(std::fabs(out[k] - key[k]) <= allowed);
            read_value(cache, 1, 1, s, out.data());
            for (size_t k = 0; k < kWidth; ++k) ZP_CHECK(std::fabs(out[k] - value[k]) <= allowed);
        }
        key[3] = std::nanf("");
        write_key(cache, 0, 0, 5, key.data());
        read_key(cache, 0, 0, 5, out.data());
        ZP_CHECK(std::isnan(out[3]));
    }
}

ZP_TEST(cache_copy_clears_positions_of_other_texts) {
    for (const CacheType type : {CacheType::kHalf, CacheType::kInt16, CacheType::kInt8}) {
        const CacheLayout l = layout(type);
        PagePool pages(l, SIZE_MAX);
        const BlockRef full = std::move(pages.take_page(0).value()),
                       part = std::move(pages.take_page(0).value());
        const PageTable full_table{full->data()}, part_table{part->data()};
        const CacheView full_view{&l, &full_table}, part_view{&l, &part_table};
        const std::vector<float> row(20, 1.0f);
        for (int s = 0; s < kChunk; ++s) {
            write_key(full_view, 1, 1, s, row.data());
            write_value(full_view, 1, 1, s, row.data());
        }
        pages.copy(0, *full, 21, *part);
        std::vector<float> key(20), value(20);
        for (int s = 0; s < kChunk; ++s) {
            read_key(part_view, 1, 1, s, key.data());
            read_value(part_view, 1, 1, s, value.data());
            ZP_EQ(key[19], s < 21 ? 1.0f : 0.0f);
            ZP_EQ(value[19], s < 21 ? 1.0f : 0.0f);
        }
    }
}

ZP_TEST(cache_shares_a_prefix_and_copies_a_page_on_write) {
    Caches caches(100);
    std::vector<int32_t> tokens = ids(300);
    Sequence* first = caches.read(tokens, 300, 1.0f);
    ZP_EQ(caches.pool.used_bytes(), 3 * page_bytes());
    // A second sequence with the same first 200 tokens allocates nothing until it writes.
    std::vector<int32_t> other(tokens.begin(), tokens.begin() + 200);
    other.resize(230, 1);
    other[200] = tokens[200] + 1;
    Sequence* second = caches.pool.acquire(other);
    ZP_EQ(second->n_cached, 200);
    ZP_EQ(caches.pool.used_bytes(), 3 * page_bytes());
    ZP_EQ(caches.pool.reserve(*second, 30).value(), 30);
    ZP_EQ(caches.pool.used_bytes(), 4 * page_bytes());
    ZP_CHECK(second->pages[0][0] == first->pages[0][0] && second->pages[0][1] != first->pages[0][1]);
    const std::vector<float> row(20, 2.0f);
    write_key(caches.pool.slice(*second, 0, 1).cache, 1, 1, 200, row.data());
    ZP_EQ(caches.key(*second, 199), 1.0f);
    ZP_EQ(caches.key(*second, 200), 2.0f);
    ZP_EQ(caches.key(*first, 200), 1.0f);
    // A continuation of an idle text is appended to its page without a copy.
    caches.pool.release(first);
    tokens.push_back(3);
    Sequence* third = caches.pool.acquire(tokens);
    ZP_EQ(third->n_cached, 300);
    ZP_EQ(caches.pool.reserve(*third, 1).value(), 1);
    ZP_EQ(caches.pool.used_bytes(), 4 * page_bytes());
    caches.pool.release(second);
    caches.pool.release(third);
}

ZP_TEST(cache_deduplicates_pages_computed_twice) {
    Caches caches(100);
    const std::vector<int32_t> tokens = ids(200);
    Sequence* first = caches.pool.acquire(tokens);
    Sequence* second = caches.pool.acquire(tokens);
    for (Sequence* s : {first, second}) {
        ZP_EQ(caches.pool.reserve(*s, 130).value(), 130);
        caches.pool.advance(*s, 130);
    }
    ZP_CHECK(first->pages[0][0] == second->pages[0][0] && first->pages[0][1] != second->pages[0][1]);
    ZP_EQ(caches.pool.used_bytes(), 3 * page_bytes());
    // Pages computed under an intervention are never shared.
    Sequence* steered = caches.pool.acquire(
        ids(200, 5),
        std::make_shared<const Interventions>(std::move(Interventions::make({}, caches.spec).value())));
    ZP_EQ(caches.pool.reserve(*steered, 199).value(), 199);
    caches.pool.advance(*steered, 199);
    ZP_EQ(caches.pool.acquire(ids(200, 5))->n_cached, 0);
    caches.pool.release(steered);
    ZP_EQ(caches.pool.acquire(ids(200, 5))->n_cached, 0);
}

ZP_TEST(cache_evicts_the_least_recently_used_first) {
    Caches caches(4);
    caches.pool.release(caches.read(ids(100, 1), 100, 1.0f));
    caches.pool.release(caches.read(ids(100, 2), 100, 2.0f));
    caches.pool.release(caches.read(ids(100, 3), 100, 3.0f));
    caches.pool.release(caches.pool.acquire(ids(100, 1)));  // touched again
    Sequence* big = caches.read(ids(250, 4), 250, 4.0f);    // takes the free page and evicts text 2
    ZP_EQ(caches.pool.acquire(ids(100, 2))->n_cached, 0);
    ZP_EQ(caches.pool.acquire(ids(100, 1))->n_cached, 99);
    ZP_EQ(caches.pool.acquire(ids(100, 3))->n_cached, 99);
    // Every remaining page is in use.
    Sequence* late = caches.pool.acquire(ids(300, 9));
    const Result<int> refused = caches.pool.reserve(*late, 10);
    ZP_CHECK(!refused.ok() && refused.error().fault == Fault::kMemory);
    ZP_CHECK(refused.error().message.find("--cache-memory") != std::string::npos);
    caches.pool.release(big);
    ZP_EQ(caches.pool.reserve(*late, 290).value(), 256);  // two pages
}

ZP_TEST(engine_gives_the_same_answers_with_a_small_cache) {
    const TinyModel model(true);
    auto unlimited = open(model);
    std::vector<Answer> expected;
    for (int i = 0; i < 6; ++i)
        expected.push_back(answer(*unlimited, request_of(prompt_of(150 + 20 * i, i), 60)));
    auto engine = std::move(Engine::open(limited(model, 4)).value());
    std::vector<int64_t> request_ids;
    for (int i = 0; i < 6; ++i)
        request_ids.push_back(engine->submit(request_of(prompt_of(150 + 20 * i, i), 60)).value());
    auto answers = finish(*engine);
    for (size_t i = 0; i < 6; ++i) {
        ZP_CHECK(answers[request_ids[i]] == expected[i]);
        ZP_EQ(answers[request_ids[i]].tokens.size(), 60u);
    }
    ZP_CHECK(engine->used_cache_bytes() <= limited(model, 4).cache_limits.max_bytes);
}

ZP_TEST(engine_rejects_what_the_cache_cannot_hold) {
    const TinyModel model(true);
    auto engine = std::move(Engine::open(limited(model, 2)).value());
    const auto refused = engine->submit(request_of(prompt_of(300), 5));
    ZP_CHECK(!refused.ok() && refused.error().fault == Fault::kMemory);
    ZP_CHECK(refused.error().message.find("300 tokens") != std::string::npos);
    // A request that outgrows the cache ends with an error; the next one is answered.
    engine->submit(request_of(prompt_of(250), 0)).value();
    Status status;
    while (status.ok() && engine->has_work()) {
        const auto events = engine->step(kNever);
        if (!events.ok()) status = events.error();
    }
    ZP_CHECK(!status.ok() && status.error().fault == Fault::kMemory);
    ZP_CHECK(!engine->has_work());
    ZP_EQ(answer(*engine, request_of(prompt_of(50), 5)).tokens.size(), 5u);
}

ZP_TEST(window_drops_pages_after_the_sinks) {
    Caches caches(100, {512, 128});
    Sequence* s = caches.read(ids(1300), 1300, 1.0f);
    ZP_EQ(s->n_dropped, 896);  // the fewest whole pages that leave less than 512 of 1,300
    ZP_EQ(s->n_positions(), 404);
    ZP_EQ(s->pages[0].size(), 4u);
    ZP_EQ(caches.key(*s, 200), 1.0f);
    ZP_CHECK(caches.key(*s, 5) != 1.0f);  // the sink was rotated
    std::vector<float> row(20);
    const CacheLayout l = layout();
    const PageTable original{s->sinks[0][0]->data()};
    read_key({&l, &original}, 1, 1, 5, row.data());
    ZP_EQ(row[7], 1.0f);
    // No step crosses the position at which the next page is dropped.
    ZP_EQ(caches.pool.reserve(*s, 200).value(), 108);
    // Its own text can continue it; a shorter prefix that ends before the window cannot.
    caches.pool.release(s);
    ZP_EQ(caches.pool.acquire(ids(1200))->n_cached, 512);
    Sequence* again = caches.pool.acquire(ids(1400));
    ZP_EQ(again->n_cached, 1300);
    ZP_EQ(again->n_dropped, 896);
    caches.pool.truncate(*again, 1290);
    ZP_EQ(again->n_cached, 1290);
    caches.pool.truncate(*again, 1000);
    ZP_EQ(again->n_cached, 0);
}

ZP_TEST(window_is_rejected_when_it_does_not_fit_the_model) {
    ModelSpec spec = tiny_spec();
    ZP_EQ(fit({600, 4}, spec).value().n_positions, 512);
    ZP_EQ(fit({600, 4}, spec).value().n_sinks, 128);
    ZP_EQ(fit({300, 0}, spec).value().n_sinks, 0);
    for (const CacheWindow& bad : {CacheWindow{601, 4}, CacheWindow{300, 4}, CacheWindow{600, -1},
                                   CacheWindow{600, INT32_MAX}, CacheWindow{127, 0}})
        ZP_CHECK(!fit(bad, spec).ok());
    spec.n_positions = 600;
    ZP_CHECK(fit({600, 4}, spec).error().message.find("learned position embeddings") != std::string::npos);
}
