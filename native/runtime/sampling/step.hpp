// The native implementation of a sampling step. The numpy step of the same name in
// src/zeropoint/sampling/steps/ is its reference (tests/mirror/test_sampling.py compares them). One file per
// step; steps.def lists them.
#pragma once

#include <initializer_list>
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
    // Modifies row.logits_V in place.
    virtual void apply(Row& row) = 0;
    // A token was drawn from the row, which all steps have modified. Steps that remember override it.
    virtual void observe(Row& row, int32_t token);
};

using StepResult = Result<std::unique_ptr<Step>>;

// The value of the single field, which has the name of the step. kInvalid for any other set of fields.
Result<double> single_field(const StepFields& fields, const char* name);

// The values of the fields with these names, in this order. kInvalid for any other set of fields.
Result<std::vector<double>> named_fields(const StepFields& fields, const char* step,
                                         std::initializer_list<const char*> names);

// A field whose name is a number belongs to the token of that id.
struct TokenField {
    size_t token;
    double value;
};
struct SplitFields {
    StepFields named;
    std::vector<TokenField> tokens;
};
SplitFields split_fields(const StepFields& fields);

#define ZP_STEP(name) StepResult make_##name(const StepFields& fields);
#include "runtime/sampling/steps.def"
#undef ZP_STEP

}  // namespace zp
