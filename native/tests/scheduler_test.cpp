// The scheduler without a model: request states, the batch of each step, preemption and resumption.
#include "runtime/scheduler.hpp"

#include "check.hpp"
#include "hybrid_model.hpp"
#include "tiny_model.hpp"

using namespace zp;
using namespace zp::test;

namespace {

constexpr int kMaxBatchTokens = 64;

CacheLayout layout() { return {CacheType::kHalf, std::vector<LayerCache>(2, LayerCache::pages(2, 16))}; }

GenerateRequest request(int n_prompt, int salt) {
    std::vector<int32_t> prompt;
    for (int i = 0; i < n_prompt; ++i) prompt.push_back((3 * i + salt) % tiny_spec().n_vocab);
    return {std::move(prompt), std::move(Sampler::make({}, 1).value()), {}};
}

// A scheduler over a cache of n_pages, and the work that Engine does with its batches.
struct Server {
    explicit Server(size_t n_pages)
        : pool(spec, layout(), {n_pages * layout().groups().front().page_bytes, SIZE_MAX}, {}),
          scheduler(pool, kMaxBatchTokens) {}

    // Runs one step: every request with logits samples token 1. Returns the batch.
    Batch step() {
        Batch batch = scheduler.schedule();
        for (ActiveRequest* r : scheduler.scheduled()) {
            scheduler.commit(*r, 0);
            if (r->logits_row >= 0) r->sequence->tokens.push_back(1);
        }
        return batch;
    }
    RequestState state(int64_t id) const { return scheduler.find(id)->state; }
    std::vector<int> counts() const {
        return {scheduler.n_waiting(), scheduler.n_running(), scheduler.n_preempted()};
    }

    ModelSpec spec = tiny_spec();
    SequencePool pool;
    Scheduler scheduler;
};

// A scheduler that runs the hybrid model; each token that it samples is the output of the one before.
struct HybridServer {
    HybridServer(const std::vector<LayerCache>& layers, size_t n_bytes)
        : pool(spec, CacheLayout(CacheType::kFloat, layers), {n_bytes, SIZE_MAX}, {}),
          scheduler(pool, kMaxBatchTokens) {}

    // Runs one step, once interrupted and then completely.
    void step() {
        for (const Slice& slice : scheduler.schedule().slices) run_interrupted_pass(slice);
        const Batch batch = scheduler.schedule();
        std::vector<uint64_t> outputs;
        for (const Slice& slice : batch.slices)
            for (const uint64_t output : run_pass(slice, batch.tokens.data() + slice.first_row))
                outputs.push_back(output);
        for (ActiveRequest* r : scheduler.scheduled()) {
            scheduler.commit(*r, 0);
            if (r->logits_row < 0) continue;
            const int row = batch.output_rows[static_cast<size_t>(r->logits_row)];
            r->sequence->tokens.push_back(static_cast<int32_t>(outputs[static_cast<size_t>(row)] % 70));
        }
    }

    ModelSpec spec = hybrid_spec();
    SequencePool pool;
    Scheduler scheduler;
};

std::vector<int> slice_sizes(const Batch& batch) {
    std::vector<int> sizes;
    for (const Slice& slice : batch.slices) sizes.push_back(slice.n_tokens);
    return sizes;
}

using Ints = std::vector<int>;

}  // namespace

ZP_TEST(scheduler_starts_waiting_requests_in_order) {
    Server server(100);
    ZP_CHECK(server.scheduler.is_empty());
    const int64_t first = server.scheduler.submit(request(100, 0));
    const int64_t second = server.scheduler.submit(request(30, 1));
    ZP_CHECK(first == 1 && second == 2);
    ZP_CHECK(server.counts() == Ints({2, 0, 0}));
    // The first prompt fills a batch; its rest and the second prompt share the next one.
    const Batch chunk = server.step();
    ZP_CHECK(slice_sizes(chunk) == Ints({64}) && chunk.output_rows.empty());
    ZP_CHECK(server.counts() == Ints({1, 1, 0}));
    const Batch shared = server.step();
    ZP_CHECK(slice_sizes(shared) == Ints({36, 28}) && shared.output_rows == Ints({35}));
    ZP_CHECK(server.counts() == Ints({0, 2, 0}));
    ZP_EQ(server.scheduler.find(first)->n_read, 100);
    ZP_EQ(server.scheduler.find(second)->n_read, 28);
}

ZP_TEST(scheduler_runs_decoding_requests_before_prompts) {
    Server server(100);
    server.scheduler.submit(request(200, 0));
    const int64_t late = server.scheduler.submit(request(5, 1));
    for (int i = 0; i < 4; ++i) server.step();
    ZP_EQ(server.scheduler.find(late)->n_uncomputed(), 1);
    server.scheduler.submit(request(90, 2));
    // Both older requests decode one token; the new prompt gets the remaining rows.
    const Batch batch = server.step();
    ZP_CHECK(slice_sizes(batch) == Ints({1, 1, 62}));
    ZP_CHECK(batch.output_rows == Ints({0, 1}));
}

ZP_TEST(scheduler_preempts_the_youngest_and_resumes_it) {
    Server server(2);
    const int64_t old = server.scheduler.submit(request(100, 0));
    const int64_t young = server.scheduler.submit(request(20, 1));
    while (server.scheduler.find(old)->sequence->n_cached < kChunk) server.step();
    ZP_CHECK(server.state(young) == RequestState::kRunning);
    // The older request needs a second page, which only the younger one can give.
    server.step();
    ZP_CHECK(server.state(old) == RequestState::kRunning);
    ZP_CHECK(server.state(young) == RequestState::kPreempted);
    ZP_CHECK(server.counts() == Ints({0, 1, 1}));
    ZP_CHECK(!server.scheduler.find(young)->sequence->has_blocks());
    for (int i = 0; i < 5; ++i) server.step();
    ZP_CHECK(server.state(young) == RequestState::kPreempted);
    const size_t n_tokens = server.scheduler.find(young)->sequence->tokens.size();
    // Once the older request ends, the younger one recomputes its tokens.
    server.scheduler.remove(old);
    const Batch batch = server.step();
    ZP_CHECK(server.state(young) == RequestState::kRunning);
    ZP_EQ(batch.tokens.size(), std::min<size_t>(n_tokens, kMaxBatchTokens));
    ZP_EQ(server.scheduler.find(young)->n_read, 20);
}

ZP_TEST(scheduler_rejects_the_oldest_request_that_outgrows_the_cache) {
    Server server(1);
    const int64_t id = server.scheduler.submit(request(100, 0));
    const int64_t next = server.scheduler.submit(request(10, 1));
    while (server.scheduler.find(id)->sequence->n_cached < kChunk) server.step();
    ZP_CHECK(server.scheduler.schedule().tokens.empty());
    ZP_CHECK(server.scheduler.reject_oldest().fault == Fault::kMemory);
    ZP_CHECK(server.scheduler.find(id) == nullptr);
    ZP_EQ(server.step().tokens.size(), 10u);
    ZP_CHECK(server.state(next) == RequestState::kRunning);
    server.scheduler.remove(next);
    server.scheduler.remove(next);
    server.scheduler.remove(12345);
    ZP_CHECK(server.scheduler.is_empty());
}

ZP_TEST(scheduler_reuses_a_cached_prefix) {
    Server server(100);
    const int64_t first = server.scheduler.submit(request(50, 0));
    server.step();
    server.scheduler.remove(first);
    const int64_t again = server.scheduler.submit(request(50, 0));
    ZP_EQ(server.scheduler.find(again)->n_cached, 49);
    ZP_EQ(server.scheduler.find(again)->n_read, 49);
    ZP_CHECK(server.state(again) == RequestState::kWaiting);
    ZP_EQ(server.step().tokens.size(), 1u);
}

ZP_TEST(scheduler_gives_hybrid_texts_the_same_tokens_in_any_company) {
    for (const HybridLayout& layout : hybrid_layouts()) {
        const size_t enough = HybridServer(layout.layers, SIZE_MAX).pool.sequence_bytes(400);
        bool is_right = true;
        // In the smaller cache the texts preempt each other.
        for (const size_t n_bytes : {SIZE_MAX, enough + enough / 2}) {
            HybridServer server(layout.layers, n_bytes);
            std::map<int64_t, std::vector<int32_t>> expected;
            for (int i = 0; i < 5; ++i) {
                GenerateRequest r = request(90 + 60 * i, i % 2);
                std::vector<int32_t> tokens = r.prompt;
                for (int k = 0; k < 30; ++k)
                    tokens.push_back(static_cast<int32_t>(outputs_of(layout.layers, tokens).back() % 70));
                expected[server.scheduler.submit(std::move(r))] = tokens;
            }
            for (int i = 0; i < 2000 && !server.scheduler.is_empty(); ++i) {
                server.step();
                for (const auto& [id, tokens] : expected) {
                    const ActiveRequest* r = server.scheduler.find(id);
                    if (r == nullptr || r->sequence->tokens.size() < tokens.size()) continue;
                    is_right &= r->sequence->tokens == tokens;
                    server.scheduler.remove(id);
                }
            }
            is_right &= server.scheduler.is_empty();
        }
        ZP_EQ(is_right ? "" : layout.name, std::string());
    }
}
