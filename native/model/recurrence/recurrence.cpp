#include "model/recurrence/recurrence.hpp"

#include <cmath>

#include "base/text.hpp"

namespace zp {

#define ZP_RECURRENCE(NAME) extern const RecurrenceKind kRecurrence_##NAME;
#include "model/recurrence/kinds.def"
#undef ZP_RECURRENCE

namespace {

#define ZP_RECURRENCE(NAME) &kRecurrence_##NAME,
constexpr const RecurrenceKind* kKinds[] = {
#include "model/recurrence/kinds.def"
};
#undef ZP_RECURRENCE

}  // namespace

double RecurrenceFields::value(const char* name) {
    const auto found = values_.find(name);
    if (found != values_.end()) return found->second;
    if (status_.ok()) status_ = invalid(std::string(name) + " is missing");
    return 0;
}

int RecurrenceFields::integer(const char* name, int min_value, int max_value) {
    const double x = value(name);
    if (x >= min_value && x <= max_value && x == std::floor(x)) return static_cast<int>(x);
    if (status_.ok())
        status_ = invalid(std::string(name) + " must be an integer of " + std::to_string(min_value) + " to " +
                          std::to_string(max_value));
    return min_value;
}

float RecurrenceFields::number(const char* name) {
    const float x = static_cast<float>(value(name));
    if (!std::isfinite(x) && status_.ok()) status_ = invalid(std::string(name) + " must be a finite number");
    return x;
}

std::span<const RecurrenceKind* const> recurrence_kinds() { return kKinds; }

Result<std::shared_ptr<const Recurrence>> make_recurrence(std::string_view kind,
                                                          std::map<std::string, double> values) {
    for (const RecurrenceKind* known : kKinds) {
        if (kind != known->name) continue;
        RecurrenceFields fields(std::move(values));
        std::shared_ptr<const Recurrence> recurrence = known->make(fields);
        if (!fields.status().ok()) return fields.status().error();
        return recurrence;
    }
    return invalid("the native engine has no recurrence `" + printable(std::string(kind)) + "`");
}

}  // namespace zp
