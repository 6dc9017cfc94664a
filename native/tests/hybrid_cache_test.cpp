// The cache of models whose layers use different kinds: the outputs are the same however a text was read.
#include <cstring>
#include <map>
#include <random>

#include "check.hpp"
#include "hybrid_model.hpp"
#include "tiny_model.hpp"

using namespace zp;
using namespace zp::test;

namespace {

std::vector<int32_t> text(int n, int salt = 0) {
    std::vector<int32_t> tokens;
    for (int i = 0; i < n; ++i) tokens.push_back((7 * i + i * i % 11 + salt) % 70);
    return tokens;
}

// A pool, the model and the checks of every output.
struct Texts {
    explicit Texts(const std::vector<LayerCache>& layer_caches, size_t max_bytes = SIZE_MAX,
                   const CacheWindow& window = {})
        : layers(layer_caches),
          pool(spec, CacheLayout(CacheType::kFloat, layers), {max_bytes, SIZE_MAX}, window) {}

    // Computes up to n tokens in one pass and checks their outputs. Returns how many, 0 if memory is full.
    int pass(Sequence& s, int n) {
        const Result<int> reserved =
            pool.reserve(s, std::min(n, static_cast<int>(s.tokens.size()) - s.n_cached));
        if (!reserved.ok()) {
            ZP_CHECK(reserved.error().fault == Fault::kMemory);
            return 0;
        }
        const Slice slice = pool.slice(s, 0, reserved.value());
        if (interrupts) run_interrupted_pass(slice);
        const int first = s.n_cached;
        const std::vector<uint64_t> outputs = run_pass(slice, s.tokens.data() + first);
        n_computed += reserved.value();
        const std::vector<uint64_t>& all = expected(s.tokens);
        is_right &=
            std::equal(outputs.begin(), outputs.end(), all.begin() + static_cast<std::ptrdiff_t>(first));
        pool.advance(s, reserved.value());
        return reserved.value();
    }
    // Reads the rest of a sequence. Returns the number of tokens computed.
    int read(Sequence& s, int chunk = 256) {
        const int before = n_computed;
        while (s.n_cached < static_cast<int>(s.tokens.size()) && pass(s, chunk) > 0) {
        }
        return n_computed - before;
    }
    Sequence* open(const std::vector<int32_t>& tokens) { return pool.acquire(tokens); }
    void rollback(Sequence& s, int n) { pool.truncate(s, static_cast<int>(s.tokens.size()) - n); }
    static void append(Sequence& s, const std::vector<int32_t>& tokens) {
        s.tokens.insert(s.tokens.end(), tokens.begin(), tokens.end());
    }
    bool has(LayerCacheKind kind) const {
        return std::any_of(layers.begin(), layers.end(), [&](const LayerCache& l) { return l.kind == kind; });
    }
    const std::vector<uint64_t>& expected(const std::vector<int32_t>& tokens) {
        std::vector<uint64_t>& outputs = known[tokens];
        if (outputs.empty()) outputs = outputs_of(layers, tokens);
        return outputs;
    }

    std::vector<LayerCache> layers;
    ModelSpec spec = hybrid_spec();
    SequencePool pool;
    std::map<std::vector<int32_t>, std::vector<uint64_t>> known;
    bool interrupts = false;  // every pass is interrupted once before it runs
    bool is_right = true;     // no output was wrong so far
    int n_computed = 0;
};

// Runs a check for every layout and names the layout that fails.
template <class F>
void for_each_layout(const F& check) {
    for (const HybridLayout& layout : hybrid_layouts())
        ZP_EQ(check(layout.layers) ? "" : layout.name, std::string());
}

}  // namespace

ZP_TEST(hybrid_outputs_do_not_depend_on_chunks_or_interrupted_passes) {
    for_each_layout([](const std::vector<LayerCache>& layers) {
        bool is_right = true;
        for (const int chunk : {1, 37, 128, 256}) {
            Texts texts(layers);
            texts.interrupts = chunk == 37;
            Sequence* s = texts.open(text(1100));
            is_right &= texts.read(*s, chunk) == 1100 && texts.is_right;
        }
        return is_right;
    });
}

ZP_TEST(hybrid_window_layers_hold_no_more_than_their_window) {
    Texts texts({LayerCache::pages(1, 4), LayerCache::sliding(1, 4, 200), LayerCache::state(5)});
    const size_t page = texts.pool.layout().groups()[0].page_bytes, state = 16 * sizeof(float);
    Sequence* s = texts.open(text(3000));
    texts.read(*s);
    const size_t n_held = static_cast<size_t>(pages_of_window(200));
    ZP_EQ(texts.pool.sequence_bytes(3000), (24 + n_held) * page + 2 * state);
    const auto n_pages =
        std::count_if(s->pages[1].begin(), s->pages[1].end(), [](const BlockRef& p) { return p != nullptr; });
    ZP_EQ(static_cast<size_t>(n_pages), n_held);
    // What else is in use are checkpoints, which memory pressure evicts.
    ZP_CHECK(texts.pool.used_bytes() > texts.pool.sequence_bytes(3000));
    Texts limited(texts.layers, texts.pool.sequence_bytes(3000));
    s = limited.open(text(3000));
    ZP_EQ(limited.read(*s), 3000);
    ZP_EQ(limited.pool.used_bytes(), limited.pool.sequence_bytes(3000));
    ZP_CHECK(limited.is_right && texts.is_right);
}

ZP_TEST(hybrid_rollback_continues_with_the_same_outputs) {
    for_each_layout([](const std::vector<LayerCache>& layers) {
        Texts texts(layers);
        Sequence* s = texts.open(text(900));
        texts.read(*s);
        std::mt19937 random(5);
        for (int i = 0; i < 40; ++i) {
            const int n = std::min<int>(static_cast<int>(random() % (i % 4 == 0 ? 900 : 60)),
                                        static_cast<int>(s->tokens.size()) - 1);
            texts.rollback(*s, n);
            Texts::append(*s, text(static_cast<int>(random() % 90) + 1, i));
            texts.read(*s, i % 3 == 0 ? 256 : 19);
        }
        return texts.is_right;
    });
}

ZP_TEST(hybrid_rollback_recomputes_as_little_as_it_can) {
    for_each_layout([](const std::vector<LayerCache>& layers) {
        Texts texts(layers);
        Sequence* s = texts.open(text(950));
        texts.read(*s);
        const bool has_state = texts.has(LayerCacheKind::kState);
        // Within the slack only states are computed again, from the start of the last pass.
        Texts::append(*s, text(40, 1));
        texts.read(*s);
        texts.rollback(*s, 30);
        bool is_right = s->n_cached == (has_state ? 950 : 960) && texts.n_computed == 990;
        texts.read(*s);
        // Further back, from the last boundary of the text that was given.
        texts.rollback(*s, 50);
        is_right &= s->n_cached == (has_state ? 896 : 910);
        texts.read(*s);
        // Before that, the whole text again, unless all its pages are there.
        texts.rollback(*s, 500);
        const bool has_all = !has_state && !texts.has(LayerCacheKind::kWindow);
        is_right &= s->n_cached == (has_all ? 410 : 0);
        texts.read(*s);
        return is_right && texts.is_right;
    });
}

ZP_TEST(hybrid_texts_share_a_prefix) {
    for_each_layout([](const std::vector<LayerCache>& layers) {
        Texts texts(layers);
        const bool has_state = texts.has(LayerCacheKind::kState);
        Sequence* first = texts.open(text(1000));
        texts.read(*first);
        Texts::append(*first, text(50, 1));
        texts.read(*first, 1);
        texts.pool.release(first);
        // The next turn continues the text where it ended.
        std::vector<int32_t> longer = text(1000);
        const std::vector<int32_t> answer = text(50, 1), question = text(30, 2), other = text(40, 3);
        longer.insert(longer.end(), answer.begin(), answer.end());
        longer.insert(longer.end(), question.begin(), question.end());
        Sequence* next = texts.open(longer);
        bool is_right = next->n_cached == 1050;
        texts.read(*next);
        // Another answer to the first question.
        std::vector<int32_t> changed = text(1000);
        changed.insert(changed.end(), other.begin(), other.end());
        Sequence* again = texts.open(changed);
        is_right &= has_state ? again->n_cached == 896 : again->n_cached >= 1000;
        texts.read(*again);
        // The texts go on independently of each other.
        for (Sequence* s : {next, again}) {
            Texts::append(*s, text(200, 4));
            texts.read(*s);
        }
        return is_right && texts.is_right;
    });
}

// The next turn fills the page in which the last one ended; another next turn still starts there.
ZP_TEST(hybrid_checkpoints_within_a_page_survive_when_it_fills) {
    for_each_layout([](const std::vector<LayerCache>& layers) {
        Texts texts(layers);
        const auto turn = [&](std::vector<int32_t> tokens, int salt) {
            const std::vector<int32_t> more = text(100, salt);
            tokens.insert(tokens.end(), more.begin(), more.end());
            Sequence* s = texts.open(tokens);
            const int n_cached = s->n_cached;
            texts.read(*s);
            texts.pool.release(s);
            return n_cached;
        };
        turn({}, 0);
        const std::vector<int32_t> first = text(100);
        return turn(first, 3) == 100 && turn(first, 5) == 100 && turn(first, 6) == 100 && texts.is_right;
    });
}

ZP_TEST(hybrid_snapshots_restore_the_text_in_another_pool) {
    for_each_layout([](const std::vector<LayerCache>& layers) {
        Texts texts(layers), fresh(layers);
        for (const int n : {1, 128, 700, 1030}) {
            Sequence* s = texts.open(text(n, n));
            texts.read(*s);
            std::vector<BlockRef> blocks;
            for (const SnapshotBlock& part : texts.pool.snapshot_blocks(n, 0)) {
                const BlockRef from = texts.pool.snapshot(*s, part).value();
                const BlockRef to =
                    (part.is_state ? fresh.pool.take_state() : fresh.pool.take_page(part.group)).value();
                std::memcpy(to->data(), from->data(), part.n_bytes);
                blocks.push_back(to);
            }
            Sequence* restored = fresh.open({});
            restored->tokens = text(n, n);
            ZP_CHECK(fresh.pool.restore(*restored, 0, blocks).ok());
            blocks.clear();
            fresh.pool.release(restored);
            std::vector<int32_t> longer = text(n, n);
            longer.push_back(3);
            Sequence* next = fresh.open(longer);
            if (next->n_cached != n) return false;
            Texts::append(*next, text(300, 2));
            fresh.read(*next);
            fresh.pool.release(next);
            texts.pool.release(s);
        }
        return fresh.is_right && texts.is_right;
    });
}

ZP_TEST(hybrid_preempted_texts_resume) {
    for_each_layout([](const std::vector<LayerCache>& layers) {
        Texts texts(layers);
        Sequence* s = texts.open(text(700));
        texts.read(*s, 100);
        s->tokens.push_back(5);
        texts.pool.preempt(*s);
        bool is_right = !s->has_blocks() && s->n_cached == 0;
        texts.pool.resume(*s);
        is_right &= s->n_cached == 700;
        texts.read(*s);
        // Everything that it gave up may be gone when it resumes.
        Texts small(layers, texts.pool.sequence_bytes(700));
        s = small.open(text(500));
        small.read(*s);
        small.pool.preempt(*s);
        Sequence* big = small.open(text(700, 9));
        small.read(*big);
        small.pool.release(big);
        small.pool.resume(*s);
        small.read(*s);
        return is_right && texts.is_right && small.is_right;
    });
}

ZP_TEST(hybrid_evicted_checkpoints_cost_time_only) {
    const std::vector<LayerCache> layers = {LayerCache::pages(1, 4), LayerCache::state(9)};
    Texts texts(layers, 2000000);
    Sequence* s = texts.open(text(1500));
    texts.read(*s);
    const size_t one = texts.pool.sequence_bytes(1500);
    Texts tight(layers, one);
    s = tight.open(text(1500));
    ZP_EQ(tight.read(*s), 1500);
    // The checkpoints at 1,024 and 1,408 had to go.
    tight.rollback(*s, 20);
    ZP_CHECK(s->n_cached == 1408 || s->n_cached == 0);
    tight.read(*s);
    ZP_CHECK(tight.is_right);
    ZP_CHECK(tight.pool.used_bytes() <= one);
}

ZP_TEST(hybrid_reservation_that_fails_half_way_can_be_repeated) {
    for_each_layout([](const std::vector<LayerCache>& layers) {
        const SequencePool unlimited(hybrid_spec(), CacheLayout(CacheType::kFloat, layers), {}, {});
        bool is_right = true;
        // From too small for the second page of any group to enough for all of them.
        for (size_t extra = 0; extra <= unlimited.sequence_bytes(300); extra += 2048) {
            Texts texts(layers, unlimited.sequence_bytes(128) + extra);
            Sequence* s = texts.open(text(300));
            const int n = texts.read(*s);
            is_right &= n == 300 || n == 256 || n == 128;
            Sequence* late = texts.open(text(5, 1));
            texts.read(*late);
            texts.pool.release(s);
            is_right &= texts.read(*late) + late->n_cached >= 5 && late->n_cached == 5;
            is_right &= texts.is_right;
        }
        return is_right;
    });
}

ZP_TEST(hybrid_endless_window_depends_on_positions_only) {
    for_each_layout([](const std::vector<LayerCache>& layers) {
        const CacheWindow window{1408, 128};
        // Token by token, without interruptions or rollbacks.
        std::vector<uint64_t> expected;
        const std::vector<int32_t> tokens = text(2600);
        Texts plain(layers, SIZE_MAX, window), mixed(layers, SIZE_MAX, window);
        const auto outputs = [](Texts& texts, Sequence& s, int n) {
            const int reserved = texts.pool.reserve(s, n).value();
            const Slice slice = texts.pool.slice(s, 0, reserved);
            run_interrupted_pass(slice);
            std::vector<uint64_t> out = run_pass(slice, s.tokens.data() + s.n_cached);
            texts.pool.advance(s, reserved);
            return out;
        };
        Sequence* s = plain.open(tokens);
        while (s->n_cached < 2600)
            for (const uint64_t x : outputs(plain, *s, 1)) expected.push_back(x);
        bool is_right = s->n_dropped > 0;
        s = mixed.open(tokens);
        std::mt19937 random(3);
        std::vector<int> chunks;
        while (s->n_cached < 2600) {
            const int first = s->n_cached;
            const std::vector<uint64_t> out =
                outputs(mixed, *s, std::min(2600 - first, static_cast<int>(random() % 256) + 1));
            for (size_t t = 0; t < out.size(); ++t)
                is_right &= out[t] == expected[static_cast<size_t>(first) + t];
            if (random() % 4 > 0) continue;
            // Back by some tokens, and close and open it again.
            mixed.pool.truncate(*s, std::max(mixed.pool.min_tokens(*s), s->n_cached - 50));
            s->tokens = tokens;
            mixed.pool.release(s);
            s = mixed.open(tokens);
        }
        return is_right;
    });
}

ZP_TEST(hybrid_texts_survive_any_sequence_of_events) {
    for_each_layout([](const std::vector<LayerCache>& layers) {
        bool is_right = true;
        for (const unsigned seed : {1u, 2u, 3u}) {
            std::mt19937 random(seed);
            const SequencePool unlimited(hybrid_spec(), CacheLayout(CacheType::kFloat, layers), {}, {});
            Texts texts(layers, unlimited.sequence_bytes(700) * (seed + 1) / 2);
            texts.interrupts = true;
            std::vector<Sequence*> open;
            for (int i = 0; i < 150; ++i) {
                const auto pick = [&](size_t n) { return static_cast<size_t>(random()) % n; };
                if (open.empty() || (open.size() < 4 && pick(8) == 0)) {
                    // Few different beginnings, so that texts meet.
                    std::vector<int32_t> tokens =
                        text(static_cast<int>(pick(500)) + 1, static_cast<int>(pick(2)));
                    const std::vector<int32_t> end =
                        text(static_cast<int>(pick(30)) + 1, static_cast<int>(pick(9)));
                    tokens.insert(tokens.end(), end.begin(), end.end());
                    open.push_back(texts.open(tokens));
                }
                const size_t at = pick(open.size());
                Sequence* s = open[at];
                switch (pick(10)) {
                    case 0:
                        texts.rollback(*s, static_cast<int>(pick(s->tokens.size())));
                        break;
                    case 1:
                        texts.pool.preempt(*s);
                        texts.pool.resume(*s);
                        break;
                    case 2:
                        texts.pool.release(s);
                        open.erase(open.begin() + static_cast<std::ptrdiff_t>(at));
                        break;
                    case 3:
                        if (s->tokens.size() < 650) Texts::append(*s, text(static_cast<int>(pick(40)), i));
                        break;
                    default:
                        if (s->n_cached == static_cast<int>(s->tokens.size())) s->tokens.push_back(i % 70);
                        if (texts.pass(*s, static_cast<int>(pick(256)) + 1) == 0)
                            texts.pool.preempt(*open[pick(open.size())]);
                }
                is_right &= texts.pool.used_bytes() <= unlimited.sequence_bytes(700) * (seed + 1) / 2;
            }
            is_right &= texts.is_right;
        }
        return is_right;
    });
}
