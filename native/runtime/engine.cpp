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

PageLayout Engine::layout_of(const EngineConfig& config) {
    const CacheType type = config.is_exact ? CacheType::kFloat : config.cache_type;
    return {type, config.spec.n_layers, config.spec.n_kv_heads, config.spec.d_head};
}

Result<std::unique_ptr<Engine>> Engine::open(EngineConfig config) {
    // Before anything is counted in these sizes.
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

Result<int64_t> Engine::submit(GenerateRequest request) {
    if (Status status = check_alive(); !status.ok()) return status.error();
    if (request.prompt.empty()) return invalid("the prompt is empty; give at least one token");
    if (Status status = check_ids(request.prompt); !status.ok()) return status.error();
    if (request.prompt.size() >= static_cast<size_t>(most_tokens())) {
        return invalid("the prompt has " + std::to_string(request.prompt.size()) +
                       " tokens; the context holds " + std::to_string(most_tokens()));
    }
    const int n_prompt = static_cast<int>(request.prompt.size());
    if (Status status = sequences_.check_fits(n_prompt); !status.ok()) return status.error();
    Sequence* sequence = sequences_.acquire(request.prompt, request.edits);
    const int n_reused = sequence->n_cached;
    const int64_t id = next_request_++;
    running_.emplace(id, Running{std::move(request), sequence, n_prompt, n_reused, n_reused});
    return id;
}

void Engine::cancel(int64_t request) {
    const auto found = running_.find(request);
    if (found == running_.end()) return;
    untold_.push_back(event_of(request, found->second));
    untold_.back().finish = Finish::kCancelled;
    sequences_.release(found->second.sequence);
    running_.erase(found);
}

StepEvent Engine::event_of(int64_t id, const Running& r) const {
    StepEvent event;
    event.request = id;
    event.n_prompt = r.n_prompt;
    event.n_cached = r.n_reused;
    event.n_read = r.n_read;
    return event;
}

StepEvent Engine::finish_step(int64_t id, Running& r) {
    Sequence& s = *r.sequence;
    sequences_.advance(s, r.n_planned);
    r.n_read = std::max(r.n_read, std::min(s.n_cached, r.n_prompt));
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
    if (is_spent || static_cast<int>(s.tokens.size()) >= most_tokens()) event.finish = Finish::kLength;
    return event;
}

Result<std::vector<StepEvent>> Engine::step(const Interrupt& interrupt) {
    if (Status status = check_alive(); !status.ok()) return status.error();
    std::vector<StepEvent> events = std::exchange(untold_, {});
    const auto end = [&](std::map<int64_t, Running>::iterator at) {
        sequences_.release(at->second.sequence);
        return running_.erase(at);
    };
    for (auto& [id, r] : running_) {
        r.n_planned = 0;
        r.logits_row = -1;
    }
    if (running_.empty()) return events;

    const Batch batch = plan_step();
    if (batch.tokens.empty()) {
        untold_ = std::move(events);
        return refuse_oldest();
    }
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

Result<int> Engine::read_chunk(Sequence* sequence, int n, bool wants_logits, const Interrupt& interrupt) {
    const Result<int> n_writable = sequences_.reserve(*sequence, n);
    if (!n_writable.ok()) return n_writable;
    n = n_writable.value();
    Batch batch;
    const auto begin = sequence->tokens.begin() + sequence->n_cached;
    batch.tokens.assign(begin, begin + n);
    batch.slices.push_back(sequences_.slice(*sequence, 0, n));
    batch.edits.push_back(sequence->edits.get());
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
    if (ids.empty() || ids.size() - 1 > static_cast<size_t>(most_tokens())) {
        return invalid("the text has " + std::to_string(ids.size()) + " tokens; scoring takes 1 to " +
                       std::to_string(static_cast<int64_t>(most_tokens()) + 1));
    }
    if (out.empty()) return {};
    Sequence* sequence = sequences_.acquire({});
    sequence->tokens.assign(ids.begin(), ids.end() - 1);
    Status status;
    const size_t stride = static_cast<size_t>(padded(config_.spec.n_vocab));
    for (int done = 0; status.ok() && done < static_cast<int>(out.size());) {
        const Result<int> read =
            read_chunk(sequence, std::min(kLogitRows, static_cast<int>(out.size()) - done), true, interrupt);
        if (!read.ok()) {
            status = read.error();
            break;
        }
        const int n = read.value();
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

Status Engine::trace(std::span<const int32_t> ids, Probe& probe, std::shared_ptr<const Edits> edits,
                     const Interrupt& interrupt) {
    if (Status status = check_alive(); !status.ok()) return status;
    if (Status status = check_ids(ids); !status.ok()) return status;
    // What a window has left behind cannot be shown.
    const size_t most_seen =
        static_cast<size_t>(config_.window.is_on() ? config_.window.n_positions : config_.spec.n_ctx);
    if (ids.empty() || ids.size() > most_seen) {
        return invalid("the text has " + std::to_string(ids.size()) + " tokens; tracing takes 1 to " +
                       std::to_string(most_seen));
    }
    Sequence* sequence = sequences_.acquire({}, std::move(edits));
    sequence->tokens.assign(ids.begin(), ids.end());
    // Rows of logits are wide: a text is read in small pieces where any are wanted.
    const bool wants_logits = probe.at(Point::kLogits, -1) != nullptr;
    const int most = wants_logits || probe.wants_lens() ? kLogitRows : Forward::kMaxTokens;
    forward_->set_probe(&probe);
    Status status;
    while (status.ok() && sequence->n_cached < static_cast<int>(ids.size())) {
        const int first = sequence->n_cached, n_left = static_cast<int>(ids.size()) - first;
        const Result<int> n = read_chunk(sequence, std::min(most, n_left), wants_logits, interrupt);
        if (!n.ok()) {
            status = n.error();
        } else if (wants_logits) {
            probe.take(Point::kLogits, -1, first, n.value(), logits_.data(),
                       static_cast<size_t>(padded(config_.spec.n_vocab)));
        }
    }
    forward_->set_probe(nullptr);
    sequences_.release(sequence);
    return status;
}

Result<Sequence*> Engine::open_sequence(std::shared_ptr<const Edits> edits) {
    if (Status status = check_alive(); !status.ok()) return status.error();
    return sequences_.acquire({}, std::move(edits));
}

Status Engine::extend(Sequence* sequence, std::span<const int32_t> ids, std::span<float> out,
                      const Interrupt& interrupt) {
    if (Status status = check_alive(); !status.ok()) return status;
    if (Status status = check_ids(ids); !status.ok()) return status;
    const size_t before = sequence->tokens.size();
    if (before + ids.size() > static_cast<size_t>(most_tokens())) {
        return invalid("the sequence would have " + std::to_string(before + ids.size()) +
                       " tokens; the context holds " + std::to_string(most_tokens()));
    }
    sequence->tokens.insert(sequence->tokens.end(), ids.begin(), ids.end());
    const size_t n_vocab = static_cast<size_t>(config_.spec.n_vocab);
    for (size_t done = 0; done < ids.size();) {
        const size_t most = std::min(static_cast<size_t>(kLogitRows), ids.size() - done);
        const Result<int> read = read_chunk(sequence, static_cast<int>(most), true, interrupt);
        if (!read.ok()) {
            sequences_.truncate(*sequence, static_cast<int>(before));
            return read.error();
        }
        const size_t n = static_cast<size_t>(read.value());
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
    const int n_left = static_cast<int>(sequence->tokens.size()) - n;
    if (n_left < sequences_.n_least(*sequence)) {
        return invalid("cannot forget " + std::to_string(n) +
                       " tokens; the window has left behind those before " +
                       std::to_string(sequences_.n_least(*sequence)));
    }
    sequences_.truncate(*sequence, n_left);
    return {};
}

}  // namespace zp
