#include "runtime/engine.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/text.hpp"
#include "formats/half.hpp"

namespace zp {

namespace {

bool are_finite(std::span<const float> values) {
    bool is_bad = false;
    for (const float x : values) is_bad |= (float_to_bits(x) & 0x7f800000u) == 0x7f800000u;
    return !is_bad;
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::open(EngineConfig config) {
    std::unique_ptr<Engine> engine(new Engine(std::move(config)));
    if (Status status = engine->load(); !status.ok()) return status.error();
    return engine;
}

Status Engine::load() {
    if (Status status = check(config_.spec); !status.ok())
        return invalid(printable(config_.paths.front(), 4096) + ": " + status.error().message);
    kernels_ = config_.isa.empty() ? &best_kernels() : kernels_for(config_.isa.c_str());
    if (kernels_ == nullptr)
        return Error{Fault::kNumeric, "this processor cannot run the instruction set " + config_.isa};
    pool_ = std::make_unique<ThreadPool>(config_.n_threads);
    auto weights = load_weights(config_.paths, config_.spec, config_.tensor_names, *pool_);
    if (!weights.ok()) return weights.error();
    weights_ = std::move(weights.value());
    auto forward = Forward::create(config_.spec, *weights_, *kernels_, *pool_, config_.is_exact);
    if (!forward.ok()) return forward.error();
    forward_ = std::move(forward.value());
    return {};
}

Status Engine::check_alive() const {
    if (pool_->is_alive()) return {};
    return invalid("the model was loaded before this process was forked; load it again in the child");
}

Status Engine::check_ids(std::span<const int32_t> ids) const {
    for (const int32_t id : ids) {
        if (id < 0 || id >= config_.spec.n_vocab) {
            return invalid("token id " + std::to_string(id) + " is outside the vocabulary of " +
                           std::to_string(config_.spec.n_vocab));
        }
    }
    return {};
}

std::span<float> Engine::logits(int n_rows) {
    const size_t wanted = static_cast<size_t>(n_rows) * padded(config_.spec.n_vocab);
    if (logits_.size() < wanted) logits_.resize(wanted);
    return {logits_.data(), wanted};
}

Result<Sequence*> Engine::acquire(std::span<const int32_t> ids, std::shared_ptr<const Edits> edits) {
    const bool is_changed = edits != nullptr;
    Result<Sequence*> sequence = sequences_.acquire(is_changed ? std::span<const int32_t>() : ids);
    if (!sequence.ok() || !is_changed) return sequence;
    sequence.value()->tokens.assign(ids.begin(), ids.end());
    sequence.value()->edits = std::move(edits);
    return sequence;
}

void Engine::release(Sequence* sequence) {
    if (sequence->edits != nullptr) sequence->n_cached = 0;
    sequence->edits.reset();
    sequences_.release(sequence);
}

Result<int64_t> Engine::submit(GenerateRequest request) {
    if (Status status = check_alive(); !status.ok()) return status.error();
    if (request.prompt.empty()) return invalid("the prompt is empty; give at least one token");
    if (Status status = check_ids(request.prompt); !status.ok()) return status.error();
    if (request.prompt.size() >= static_cast<size_t>(config_.spec.n_ctx)) {
        return invalid("the prompt has " + std::to_string(request.prompt.size()) +
                       " tokens; the context holds " + std::to_string(config_.spec.n_ctx));
    }
    Result<Sequence*> sequence = acquire(request.prompt, request.edits);
    if (!sequence.ok()) return sequence.error();
    const int n_prompt = static_cast<int>(request.prompt.size());
    const int n_reused = sequence.value()->n_cached;
    const int64_t id = next_request_++;
    running_.emplace(id, Running{std::move(request), sequence.value(), n_prompt, n_reused});
    return id;
}

void Engine::cancel(int64_t request) {
    const auto found = running_.find(request);
    if (found == running_.end()) return;
    untold_.push_back(event_of(request, found->second));
    untold_.back().finish = Finish::kCancelled;
    release(found->second.sequence);
    running_.erase(found);
}

StepEvent Engine::event_of(int64_t id, const Running& r) const {
    StepEvent event;
    event.request = id;
    event.n_prompt = r.n_prompt;
    event.n_cached = r.n_reused;
    event.n_read = std::min(r.sequence->n_cached, r.n_prompt);
    return event;
}

Batch Engine::plan_step() {
    Batch batch;
    const auto add = [&](Running& r, int n) {
        const int first = static_cast<int>(batch.tokens.size());
        const auto begin = r.sequence->tokens.begin() + r.sequence->n_cached;
        batch.tokens.insert(batch.tokens.end(), begin, begin + n);
        batch.slices.push_back({r.sequence->cache, first, n, r.sequence->n_cached});
        batch.edits.push_back(r.sequence->edits.get());
        r.n_planned = n;
        if (r.sequence->n_cached + n == static_cast<int>(r.sequence->tokens.size())) {
            r.logits_row = static_cast<int>(batch.output_rows.size());
            batch.output_rows.push_back(first + n - 1);
        }
    };
    const auto pending = [](const Running& r) {
        return static_cast<int>(r.sequence->tokens.size()) - r.sequence->n_cached;
    };
    // Answers under way come first, so that a long prompt delays nobody by more than one chunk.
    for (const bool is_decoding : {true, false}) {
        for (auto& [id, r] : running_) {
            const int room = Forward::kMostTokens - static_cast<int>(batch.tokens.size());
            if (room > 0 && (pending(r) == 1) == is_decoding) add(r, std::min(pending(r), room));
        }
    }
    return batch;
}

StepEvent Engine::finish_step(int64_t id, Running& r) {
    Sequence& s = *r.sequence;
    s.n_cached += r.n_planned;
    StepEvent event = event_of(id, r);
    if (r.logits_row < 0) return event;
    const size_t n_vocab = static_cast<size_t>(config_.spec.n_vocab);
    float* row = logits_.data() + static_cast<size_t>(r.logits_row) * padded(config_.spec.n_vocab);
    const float normalizer =
        r.request.wants_logprob ? kernels_->log_sum_exp(row, config_.spec.n_vocab) : 0.0f;
    std::vector<float> unchanged;
    if (r.request.wants_logprob) unchanged.assign(row, row + n_vocab);
    const int32_t token =
        r.request.sampler.sample({row, n_vocab}, s.tokens, s.tokens.size(), static_cast<size_t>(r.n_prompt));
    if (token < 0 || r.request.stop_ids.contains(token)) {
        event.finish = Finish::kStop;
        if (token < 0) event.token = -1;  // no candidate: step() turns this into an error
        return event;
    }
    event.token = token;
    if (r.request.wants_logprob) event.logprob = unchanged[static_cast<size_t>(token)] - normalizer;
    s.tokens.push_back(token);
    ++r.n_generated;
    const bool is_spent = r.request.max_tokens > 0 && r.n_generated >= r.request.max_tokens;
    if (is_spent || static_cast<int>(s.tokens.size()) >= config_.spec.n_ctx) event.finish = Finish::kLength;
    return event;
}

Result<std::vector<StepEvent>> Engine::step(const Interrupt& interrupt) {
    if (Status status = check_alive(); !status.ok()) return status.error();
    std::vector<StepEvent> events = std::exchange(untold_, {});
    const auto end = [&](std::map<int64_t, Running>::iterator at) {
        release(at->second.sequence);
        return running_.erase(at);
    };
    for (auto& [id, r] : running_) {
        r.n_planned = 0;
        r.logits_row = -1;
    }
    if (running_.empty()) return events;

    const Batch batch = plan_step();
    const Status status = forward_->run(batch, logits(static_cast<int>(batch.output_rows.size())), interrupt);
    if (!status.ok()) {
        untold_ = std::move(events);
        // A pass that was interrupted can be run again; one that gave no numbers would give none again.
        if (status.error().fault != Fault::kCancelled)
            for (auto at = running_.begin(); at != running_.end();) at = end(at);
        return status.error();
    }
    for (auto at = running_.begin(); at != running_.end();) {
        if (at->second.n_planned == 0) {
            ++at;
            continue;
        }
        events.push_back(finish_step(at->first, at->second));
        const bool has_failed = events.back().token == -1;
        at = events.back().finish == Finish::kNone ? std::next(at) : end(at);
        if (has_failed) {
            // What the others were given stands, and is told next time.
            events.pop_back();
            untold_ = std::move(events);
            return Error{Fault::kNumeric, "the model's logits hold NaN or rule out every token"};
        }
    }
    return events;
}

Batch Engine::next_chunk(const Sequence& sequence, int n, bool wants_logits) {
    Batch batch;
    const auto begin = sequence.tokens.begin() + sequence.n_cached;
    batch.tokens.assign(begin, begin + n);
    batch.slices.push_back({sequence.cache, 0, n, sequence.n_cached});
    batch.edits.push_back(sequence.edits.get());
    for (int row = 0; wants_logits && row < n; ++row) batch.output_rows.push_back(row);
    return batch;
}

Status Engine::read_chunk(Sequence* sequence, int n, const Interrupt& interrupt) {
    const std::span<float> rows = logits(n);
    if (Status status = forward_->run(next_chunk(*sequence, n, true), rows, interrupt); !status.ok())
        return status;
    if (!are_finite(rows))
        return Error{
            Fault::kNumeric,
            "the model's logits hold NaN or infinity; its file is damaged or its weights are broken"};
    sequence->n_cached += n;
    return {};
}

Status Engine::score(std::span<const int32_t> ids, std::span<float> out, const Interrupt& interrupt) {
    if (Status status = check_alive(); !status.ok()) return status;
    if (Status status = check_ids(ids); !status.ok()) return status;
    if (ids.empty() || ids.size() - 1 > static_cast<size_t>(config_.spec.n_ctx)) {
        return invalid("the text has " + std::to_string(ids.size()) + " tokens; scoring takes 1 to " +
                       std::to_string(config_.spec.n_ctx + 1));
    }
    if (out.empty()) return {};
    Result<Sequence*> acquired = sequences_.acquire({});
    if (!acquired.ok()) return acquired.error();
    Sequence* sequence = acquired.value();
    sequence->tokens.assign(ids.begin(), ids.end() - 1);
    Status status;
    const size_t stride = static_cast<size_t>(padded(config_.spec.n_vocab));
    for (int done = 0; status.ok() && done < static_cast<int>(out.size());) {
        const int n = std::min(kLogitRows, static_cast<int>(out.size()) - done);
        status = read_chunk(sequence, n, interrupt);
        if (!status.ok()) break;
        pool_->run([&](int thread) {
            const Share share = share_of(n, thread, pool_->size());
            for (int r = share.begin; r < share.end; ++r) {
                const float* row = logits_.data() + static_cast<size_t>(r) * stride;
                const float normalizer = kernels_->log_sum_exp(row, config_.spec.n_vocab);
                out[static_cast<size_t>(done + r)] = row[ids[static_cast<size_t>(done + r) + 1]] - normalizer;
            }
        });
        done += n;
    }
    release(sequence);
    return status;
}

Status Engine::trace(std::span<const int32_t> ids, Probe& probe, std::shared_ptr<const Edits> edits,
                     const Interrupt& interrupt) {
    if (Status status = check_alive(); !status.ok()) return status;
    if (Status status = check_ids(ids); !status.ok()) return status;
    if (ids.empty() || ids.size() > static_cast<size_t>(config_.spec.n_ctx)) {
        return invalid("the text has " + std::to_string(ids.size()) + " tokens; tracing takes 1 to " +
                       std::to_string(config_.spec.n_ctx));
    }
    Result<Sequence*> acquired = acquire({}, std::move(edits));
    if (!acquired.ok()) return acquired.error();
    Sequence* sequence = acquired.value();
    sequence->tokens.assign(ids.begin(), ids.end());
    // Rows of logits are wide: a text is read in small pieces where any are wanted.
    const bool wants_logits = probe.at(Point::kLogits, -1) != nullptr;
    const int most = wants_logits || probe.wants_lens() ? kLogitRows : Forward::kMostTokens;
    forward_->set_probe(&probe);
    Status status;
    while (status.ok() && sequence->n_cached < static_cast<int>(ids.size())) {
        const int first = sequence->n_cached;
        const int n = std::min(most, static_cast<int>(ids.size()) - first);
        if (wants_logits) {
            status = read_chunk(sequence, n, interrupt);
            if (status.ok())
                probe.take(Point::kLogits, -1, first, n, logits_.data(),
                           static_cast<size_t>(padded(config_.spec.n_vocab)));
        } else {
            status = forward_->run(next_chunk(*sequence, n, false), {}, interrupt);
            if (status.ok()) sequence->n_cached += n;
        }
    }
    forward_->set_probe(nullptr);
    release(sequence);
    return status;
}

Result<Sequence*> Engine::open_sequence(std::shared_ptr<const Edits> edits) {
    if (Status status = check_alive(); !status.ok()) return status.error();
    return acquire({}, std::move(edits));
}

Status Engine::extend(Sequence* sequence, std::span<const int32_t> ids, std::span<float> out,
                      const Interrupt& interrupt) {
    if (Status status = check_alive(); !status.ok()) return status;
    if (Status status = check_ids(ids); !status.ok()) return status;
    const size_t before = sequence->tokens.size();
    if (before + ids.size() > static_cast<size_t>(config_.spec.n_ctx)) {
        return invalid("the sequence would have " + std::to_string(before + ids.size()) +
                       " tokens; the context holds " + std::to_string(config_.spec.n_ctx));
    }
    sequence->tokens.insert(sequence->tokens.end(), ids.begin(), ids.end());
    const size_t n_vocab = static_cast<size_t>(config_.spec.n_vocab);
    for (size_t done = 0; done < ids.size();) {
        const size_t n = std::min(static_cast<size_t>(kLogitRows), ids.size() - done);
        if (Status status = read_chunk(sequence, static_cast<int>(n), interrupt); !status.ok()) {
            sequence->tokens.resize(before);
            sequence->n_cached = static_cast<int>(before);
            return status;
        }
        for (size_t r = 0; r < n; ++r) {
            std::memcpy(out.data() + (done + r) * n_vocab,
                        logits_.data() + r * static_cast<size_t>(padded(config_.spec.n_vocab)),
                        n_vocab * sizeof(float));
        }
        done += n;
    }
    return {};
}

Status Engine::rollback(Sequence* sequence, int n) {
    if (n < 0 || n > static_cast<int>(sequence->tokens.size())) {
        return invalid("cannot forget " + std::to_string(n) + " tokens; the sequence has " +
                       std::to_string(sequence->tokens.size()));
    }
    sequence->tokens.resize(sequence->tokens.size() - static_cast<size_t>(n));
    sequence->n_cached = static_cast<int>(sequence->tokens.size());
    return {};
}

}  // namespace zp
