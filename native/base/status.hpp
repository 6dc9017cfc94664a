// Errors are values: nothing in the engine throws across a module wall or aborts the process.
// A Status carries one sentence fit for a person; bind/status.cpp turns it into the Python
// exception of the same kind.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace zp {

enum class Fault {
    kInvalid,      // the input (file, field, argument) is wrong: exit code 2
    kContextFull,  // the text is longer than the context
    kIo,           // the operating system refused: disk, permission, truncated while read
    kMemory,       // an allocation failed
    kCancelled,    // the caller asked to stop
    kNumeric,      // NaN or infinity where a number was needed
};

struct Error {
    Fault fault = Fault::kInvalid;
    std::string message;
};

// Success, or the reason why not.
class [[nodiscard]] Status {
public:
    Status() = default;
    Status(Error error) : error_(std::move(error)) {}
    bool ok() const { return !error_.has_value(); }
    const Error& error() const { return *error_; }

private:
    std::optional<Error> error_;
};

// A value, or the reason why there is none.
template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::move(value)) {}
    Result(Error error) : state_(std::move(error)) {}
    bool ok() const { return std::holds_alternative<T>(state_); }
    T& value() { return std::get<T>(state_); }
    const T& value() const { return std::get<T>(state_); }
    const Error& error() const { return std::get<Error>(state_); }

private:
    std::variant<T, Error> state_;
};

inline Error invalid(std::string message) { return {Fault::kInvalid, std::move(message)}; }
inline Error io_error(std::string message) { return {Fault::kIo, std::move(message)}; }
inline Error out_of_memory(std::string message) { return {Fault::kMemory, std::move(message)}; }

}  // namespace zp
