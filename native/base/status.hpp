// Errors are values: the engine throws no exceptions across its interfaces and never aborts the process.
// A Status carries a one-sentence message for users; bind/status.cpp converts it to the corresponding Python
// exception.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace zp {

enum class Fault {
    kInvalid,      // wrong input (file, field, argument): exit code 2
    kContextFull,  // the text is longer than the context
    kIo,           // operating system error: disk, permission, file truncated while being read
    kMemory,       // an allocation failed
    kCancelled,    // cancelled by the caller
    kNumeric,      // NaN or infinity in place of a finite number
};

struct Error {
    Fault fault = Fault::kInvalid;
    std::string message;
};

// Success or an error.
class [[nodiscard]] Status {
public:
    Status() = default;
    Status(Error error) : error_(std::move(error)) {}
    bool ok() const { return !error_.has_value(); }
    const Error& error() const { return *error_; }

private:
    std::optional<Error> error_;
};

// A value or an error.
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
