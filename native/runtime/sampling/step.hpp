// A sampling step in native form: the twin of one numpy step in src/zeropoint/sampling/steps/,
// which is its oracle (tests/mirror/test_sampling.py). One file a step; steps.def lists them.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.hpp"
#include "runtime/sampling/row.hpp"

namespace zp {

using StepFields = std::vector<std::pair<std::string, double>>;

class Step {
public:
    virtual ~Step() = default;
    // Changes row.logits_V in place.
    virtual void apply(Row& row) const = 0;
};

using StepResult = Result<std::unique_ptr<Step>>;

// The value of the only field, which has the step's own name; an error for any other set of fields.
Result<double> only_field(const StepFields& fields, const char* name);

#define ZP_STEP(name) StepResult make_##name(const StepFields& fields);
#include "runtime/sampling/steps.def"
#undef ZP_STEP

}  // namespace zp
