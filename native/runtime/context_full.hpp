#pragma once

#include <cstddef>
#include <string>

#include "base/status.hpp"

namespace zp {

// The error of every text that is longer than the context. `subject` is the start of the sentence: "the
// prompt has" gives "the prompt has 700 tokens and the context holds 512; ...".
inline Error context_full(const std::string& subject, size_t n_tokens, int n_ctx) {
    return {Fault::kContextFull, subject + " " + std::to_string(n_tokens) + " tokens and the context holds " +
                                     std::to_string(n_ctx) +
                                     "; shorten it or load the model with a larger context"};
}

}  // namespace zp
