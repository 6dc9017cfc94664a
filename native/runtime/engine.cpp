#include "runtime/engine.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "base/text.hpp"
#include "formats/half.hpp"
#include "ops/top_logits.hpp"
#include "runtime/context_full.hpp"

namespace zp {

namespace {

bool are_finite(std::span<const float> values) {
    bool has_nonfinite = false;
    for (const float x : values) has_nonfinite |= (float_to_bits(x) & 0x7f800000u) == 0x7f800000u;
    return !has_nonfinite;
}

// Sets the logits of tokens whose bit is not set to -infinity.
void exclude(std::span<float> logits_V, std::span<const uint32_t> mask) {
    for (size_t v = 0; v < logits_V.size(); ++v)
        if ((mask[v / 32] >> (v % 32) & 1u) == 0) logits_V[v] = -std::numeric_limits<float>::infinity();
}

}  // namespace

CacheLayout Engine::layout_of(const EngineConfig& config) {
    const CacheType type = config.is_exact ? CacheType::kFloat : config.cache_type;
    return {type, caches(config.spec)};
}

Result<std::unique_ptr<Engine>> Engine::open(EngineConfig config) {
    // First of all: everything below multiplies these sizes.
    if (Status status = check(config.spec); !status.ok())
        return invalid(printable(config.paths.front(), 4096) + ": " + status.error().message);
    const Result<CacheWindow> window = fit(config.window, config.spec);
    if (!window.ok()) return window.error();
    config.window = window.value();
    std::unique_ptr<Engine> engine(new Engine(std::move(config)));
    if (Status status = engine->load(); !status.ok()) return status.error();
    return engine;
}

Status Engine::load() {
    kernels_ = config_.isa.empty() ? &best_kernels() : kernels_for(config_.isa.c_str());
    if (kernels_ == nullptr)
        return Error{Fault::kNumeric, "this processor cannot run the instruction set " + config_.isa};
    pool_ = std::make_unique<ThreadPool>(config_.n_threads);
    auto weights =
        load_weights(config_.paths, config_.spec, config_.tensor_names, *pool_, config_.load_gate.get());
    if (!weights.ok()) return weights.error();
    weights_ = std::move(weights.value());
    auto forward = Forward::create(config_.spec, *weights_, *kernels_, *pool_, config_.is_exact);
    if (!forward.ok()) return forward.error();
    forward_ = std::move(forward.value());
    return {};
}

Status Engine::check_alive() const {
    if (pool_->is_alive()) return {};
    return invalid("the model was loaded before this process was forked; load it again in the child process");
}

Status Engine::check_ids(std::span<const int32_t> ids) const {
    for (const int32_t id : ids) {
        if (id < 0 || id >= config_.spec.n_vocab) {
            return invalid("token id " + std::to_string(id) + " is outside the vocabulary of " +
                           std::to_string(config_.spec.n_vocab) + " tokens");
        }
    }
    return {};
}

std::span<float> Engine::logits(int n_rows) {
    const size_t n_floats = static_cast<size_t>(n_rows) * padded(config_.spec.n_vocab);
    if (logits_.size() < n_floats) logits_.resize(n_floats);
    return {logits_.data(), n_floats};
}

Result<int64_t> Engine::submit(GenerateRequest request) {
    if (Status status = check_alive(); !status.ok()) return status.error();
    if (request.prompt.empty()) return invalid("the prompt is empty; give at least one token");
    if (Status status = check_ids(request.prompt); !status.ok()) return status.error();
    if (request.prompt.size() >= static_cast<size_t>(max_tokens()))
        return context_full("the prompt has", request.prompt.size(), max_tokens());
    if (request.n_top_logprobs < 0 || request.n_top_logprobs > config_.spec.n_vocab)
        return invalid("top_logprobs must be 0 to " + std::to_string(config_.spec.n_vocab) + "; got " +
                       std::to_string(request.n_top_logprobs));
    if (Status status = check_ids(request.logprob_ids); !status.ok()) return status.error();
    const int n_prompt = static_cast<int>(request.prompt.size());
    if (Status status = sequences_.check_fits(n_prompt); !status.ok()) return status.error();
    return scheduler_.submit(std::move(request));
}

void Engine::cancel(int64_t id) {
    const ActiveRequest* request = scheduler_.find(id);
    if (request == nullptr) return;
    pending_events_.push_back(event_of(*request));
    pending_events_.back().finish = Finish::kCancelled;
    scheduler_.remove(id);
}

StepEvent Engine::event_of(const ActiveRequest& r) {
    StepEvent event;
    event.request = r.id;
    event.n_prompt = r.n_prompt;
    event.n_cached = r.n_cached;
    event.n_read = r.n_read;
    return event;
}

int32_t Engine::sample(ActiveRequest& r, int row, StepEvent& event) {
    std::vector<int32_t>& tokens = r.sequence->tokens;
    const size_t n_vocab = static_cast<size_t>(config_.spec.n_vocab);
    float* logits = logits_.data() + static_cast<size_t>(r.logits_row + row) * padded(config_.spec.n_vocab);
    const float normalizer =
        r.request.wants_logprob ? kernels_->log_sum_exp(logits, config_.spec.n_vocab) : 0.0f;
    std::vector<float> raw_logits;  // masks and sampling modify the row
    if (r.request.wants_logprob) raw_logits.assign(logits, logits + n_vocab);
    if (!r.steering.masks.empty()) {
        const size_t n_words = mask_words(config_.spec.n_vocab);
        exclude({logits, n_vocab}, std::span(r.steering.masks).subspan(static_cast<size_t>(row) * n_words));
    }
    const int32_t token =
        r.request.sampler.sample({logits, n_vocab}, tokens, tokens.size(), static_cast<size_t>(r.n_prompt));
    if (token < 0) return token;
    if (r.request.stop_ids.contains(token)) {
        event.finish = Finish::kStop;
        return token;
    }
    event.token = token;
    if (r.request.wants_logprob) {
        event.logprob = raw_logits[static_cast<size_t>(token)] - normalizer;
        if (r.request.n_top_logprobs > 0)
            for (const int32_t id :
                 top_ids(raw_logits.data(), config_.spec.n_vocab, r.request.n_top_logprobs))
                event.top.push_back({id, raw_logits[static_cast<size_t>(id)] - normalizer});
        for (const int32_t id : r.request.logprob_ids)
            event.top.push_back({id, raw_logits[static_cast<size_t>(id)] - normalizer});
    }
    tokens.push_back(token);
    ++r.n_generated;
    const bool is_at_limit = r.request.max_tokens > 0 && r.n_generated >= r.request.max_tokens;
    if (is_at_limit || static_cast<int>(tokens.size()) >= max_tokens()) event.finish = Finish::kLength;
    return token;
}

bool Engine::finish_step(ActiveRequest& r, std::vector<StepEvent>& events) {
    if (r.logits_row < 0) {
        scheduler_.commit(r, 0);
        events.push_back(event_of(r));
        return true;
    }
    const size_t first = events.size();
    int n_accepted = 0;
    int32_t token = 0;
    for (int row = 0; row <= r.n_drafted; ++row) {
        StepEvent event = event_of(r);
        token = sample(r, row, event);
        if (token < 0) break;
        events.push_back(std::move(event));
        if (events.back().finish != Finish::kNone || row == r.n_drafted) break;
        if (token != r.steering.draft[static_cast<size_t>(row)]) break;
        ++n_accepted;
    }
    scheduler_.commit(r, n_accepted);
    r.steering = {};
    for (size_t i = first; i < events.size(); ++i) events[i].n_read = r.n_read;
    return token >= 0;
}

Status Engine::steer(int64_t id, Steering steering) {
    const ActiveRequest* r = scheduler_.find(id);
    if (r == nullptr) return {};
    if (Status status = check_ids(steering.draft); !status.ok()) return status;
    const size_t n_words = mask_words(config_.spec.n_vocab);
    if (!steering.masks.empty() && steering.masks.size() != (steering.draft.size() + 1) * n_words)
        return invalid("masks must have a row for each guess and one more, of " + std::to_string(n_words) +
                       " words");
    // The tokens of an answer that guesses can be: one less than what is left, since a pass also samples.
    int n_left = max_tokens() - static_cast<int>(r->sequence->tokens.size());
    if (r->request.max_tokens > 0) n_left = std::min(n_left, r->request.max_tokens - r->n_generated);
    const size_t n_useful = static_cast<size_t>(std::max(n_left - 1, 0));
    if (steering.draft.size() > n_useful) steering.draft.resize(n_useful);
    scheduler_.steer(id, std::move(steering));
    return {};
}

Result<std::vector<StepEvent>> Engine::step(const Interrupt& interrupt) {
    if (Status status = check_alive(); !status.ok()) return status.error();
    std::vector<StepEvent> events = std::exchange(pending_events_, {});
    if (scheduler_.is_empty()) return events;

    const Batch batch = scheduler_.schedule();
    if (batch.tokens.empty()) {
        pending_events_ = std::move(events);
        return scheduler_.reject_oldest();
    }
    const Status status = forward_->run(batch, logits(static_cast<int>(batch.output_rows.size())), interrupt);
    if (!status.ok()) {
        pending_events_ = std::move(events);
        // An interrupted pass can run again; one that produced NaN would produce it again.
        if (status.error().fault != Fault::kCancelled) scheduler_.remove_all();
        return status.error();
    }
    for (ActiveRequest* request : scheduler_.scheduled()) {
        if (!finish_step(*request, events)) {
            // The tokens sampled so far stand; the next step reports them.
            scheduler_.remove(request->id);
            pending_events_ = std::move(events);
            return Error{Fault::kNumeric, "the model's logits hold NaN or rule out every token"};
        }
        if (events.back().finish != Finish::kNone) scheduler_.remove(request->id);
    }
    return events;
}

Result<int> Engine::read_chunk(Sequence* sequence, int n, bool wants_logits, const Interrupt& interrupt) {
    const Result<int> n_writable = sequences_.reserve(*sequence, n);
    if (!n_writable.ok()) return n_writable;
    n = n_writable.value();
    Batch batch;
    const auto begin = sequence->tokens.begin() + sequence->n_cached;
    batch.tokens.assign(begin, begin + n);
    batch.slices.push_back(sequences_.slice(*sequence, 0, n));
    batch.interventions.push_back(sequence->interventions.get());
    for (int row = 0; wants_logits && row < n; ++row) batch.output_rows.push_back(row);
    const std::span<float> rows = logits(wants_logits ? n : 0);
    if (Status status = forward_->run(batch, rows, interrupt); !status.ok()) return status.error();
    if (!are_finite(rows))
        return Error{
            Fault::kNumeric,
            "the model's logits hold NaN or infinity; its file is damaged or its weights are broken"};
    sequences_.advance(*sequence, n);
    return n;
}

Status Engine::score(std::span<const int32_t> ids, std::span<float> out, const Interrupt& interrupt) {
    if (Status status = check_alive(); !status.ok()) return status;
    if (Status status = check_ids(ids); !status.ok()) return status;
    if (ids.empty()) return invalid("the text has 0 tokens; scoring needs at least 1");
    if (ids.size() - 1 > static_cast<size_t>(max_tokens()))
        return context_full("the text has", ids.size(), max_tokens());
    if (out.empty()) return {};
    Sequence* sequence = sequences_.acquire({});
    sequence->tokens.assign(ids.begin(), ids.end() - 1);
    Status status;
    const size_t stride = static_cast<size_t>(padded(config_.spec.n_vocab));
    for (int done = 0; status.ok() && done < static_cast<int>(out.size());) {
        const Result<int> n_read =
            read_chunk(sequence, std::min(kLogitRows, static_cast<int>(out.size()) - done), true, interrupt);
        if (!n_read.ok()) {
            status = n_read.error();
            break;
        }
        const int n = n_read.value();
        pool_->run([&](int thread) {
            const Range range = thread_range(n, thread, pool_->size());
            for (int r = range.begin; r < range.end; ++r) {
                const float* row = logits_.data() + static_cast<size_t>(r) * stride;
                const float normalizer = kernels_->log_sum_exp(row, config_.spec.n_vocab);
                out[static_cast<size_t>(done + r)] = row[ids[static_cast<size_t>(done + r) + 1]] - normalizer;
            }
        });
        done += n;
    }
    sequences_.release(sequence);
    return status;
}

Status Engine::trace(std::span<const int32_t> ids, TapRecorder& recorder,
                     std::shared_ptr<const Interventions> interventions, const Interrupt& interrupt) {
    if (Status status = check_alive(); !status.ok()) return status;
    if (Status status = check_ids(ids); !status.ok()) return status;
    if (ids.empty()) return invalid("the text has 0 tokens; tracing needs at least 1");
    // A window would drop positions that are still to be recorded.
    if (ids.size() > static_cast<size_t>(max_positions()))
        return context_full("the text has", ids.size(), max_positions());
    Sequence* sequence = sequences_.acquire({}, std::move(interventions));
    sequence->tokens.assign(ids.begin(), ids.end());
    // Rows of logits are wide, so passes that compute them for every token are short.
    const bool wants_logits = recorder.find(Tap::kLogits, -1) != nullptr;
    const int max_rows = wants_logits || recorder.has_lens() ? kLogitRows : Batch::kMaxTokens;
    forward_->set_tap_recorder(&recorder);
    Status status;
    while (status.ok() && sequence->n_cached < static_cast<int>(ids.size())) {
        const int first = sequence->n_cached, n_left = static_cast<int>(ids.size()) - first;
        const Result<int> n = read_chunk(sequence, std::min(max_rows, n_left), wants_logits, interrupt);
        if (!n.ok()) {
            status = n.error();
        } else if (wants_logits) {
            recorder.record(Tap::kLogits, -1, first, n.value(), logits_.data(),
                            static_cast<size_t>(padded(config_.spec.n_vocab)));
        }
    }
    forward_->set_tap_recorder(nullptr);
    sequences_.release(sequence);
    return status;
}

Result<Sequence*> Engine::open_sequence(std::shared_ptr<const Interventions> interventions) {
    if (Status status = check_alive(); !status.ok()) return status.error();
    return sequences_.acquire({}, std::move(interventions));
}

Status Engine::extend(Sequence* sequence, std::span<const int32_t> ids, std::span<float> out,
                      const Interrupt& interrupt) {
    if (Status status = check_alive(); !status.ok()) return status;
    if (Status status = check_ids(ids); !status.ok()) return status;
    const size_t before = sequence->tokens.size();
    if (before + ids.size() > static_cast<size_t>(max_tokens()))
        return context_full("the sequence would have", before + ids.size(), max_tokens());
    sequence->tokens.insert(sequence->tokens.end(), ids.begin(), ids.end());
    if (Status status = read_before(sequence, ids.empty() ? 0 : before, interrupt); !status.ok()) {
        sequences_.truncate(*sequence, static_cast<int>(before));
        return status;
    }
    const size_t n_vocab = static_cast<size_t>(config_.spec.n_vocab);
    for (size_t done = 0; done < ids.size();) {
        const size_t max_rows = std::min(static_cast<size_t>(kLogitRows), ids.size() - done);
        const Result<int> n_read = read_chunk(sequence, static_cast<int>(max_rows), true, interrupt);
        if (!n_read.ok()) {
            sequences_.truncate(*sequence, static_cast<int>(before));
            return n_read.error();
        }
        const size_t n = static_cast<size_t>(n_read.value());
        for (size_t r = 0; r < n; ++r) {
            std::memcpy(out.data() + (done + r) * n_vocab,
                        logits_.data() + r * static_cast<size_t>(padded(config_.spec.n_vocab)),
                        n_vocab * sizeof(float));
        }
        done += n;
    }
    return {};
}

Status Engine::read(Sequence* sequence, std::span<const int32_t> ids, const Interrupt& interrupt) {
    if (Status status = check_alive(); !status.ok()) return status;
    if (Status status = check_ids(ids); !status.ok()) return status;
    const size_t before = sequence->tokens.size();
    if (before + ids.size() > static_cast<size_t>(max_tokens()))
        return context_full("the sequence would have", before + ids.size(), max_tokens());
    sequence->tokens.insert(sequence->tokens.end(), ids.begin(), ids.end());
    Status status = read_before(sequence, sequence->tokens.size(), interrupt);
    if (!status.ok()) sequences_.truncate(*sequence, static_cast<int>(before));
    return status;
}

Status Engine::read_before(Sequence* sequence, size_t n_tokens, const Interrupt& interrupt) {
    while (sequence->n_cached < static_cast<int>(n_tokens)) {
        const int n_left = static_cast<int>(n_tokens) - sequence->n_cached;
        const Result<int> n = read_chunk(sequence, std::min(Batch::kMaxTokens, n_left), false, interrupt);
        if (!n.ok()) return n.error();
    }
    return {};
}

Status Engine::rollback(Sequence* sequence, int n) {
    if (n < 0 || n > static_cast<int>(sequence->tokens.size())) {
        return invalid("cannot roll back " + std::to_string(n) + " tokens; the sequence has " +
                       std::to_string(sequence->tokens.size()));
    }
    const int n_left = static_cast<int>(sequence->tokens.size()) - n;
    if (n_left < sequences_.min_tokens(*sequence)) {
        return invalid("cannot roll back " + std::to_string(n) +
                       " tokens; the window has dropped the keys and values before token " +
                       std::to_string(sequences_.min_tokens(*sequence)));
    }
    sequences_.truncate(*sequence, n_left);
    return {};
}

}  // namespace zp
