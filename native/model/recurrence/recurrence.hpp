// Recurrences: what mixes the tokens of a block through a state of fixed size, instead of attention.
//
// To add a kind x (the Python class X of blueprint/parts/recurrence.py in snake case):
//   1. ops/recurrence/x.{hpp,cpp}: the operation on the tokens of one slice, one after another, so that the
//      division of a text into passes never changes a bit; threads divide heads or channels. It reads the
//      state of the slice and writes the next state, which never alias. ops/recurrence/causal_convolution.hpp
//      is there for the kinds that begin with one.
//   2. model/recurrence/x.cpp: a Recurrence (sizes, from the fields of X), a RecurrentLayer (weights and the
//      call) and `const RecurrenceKind kRecurrence_x`. short_convolution.cpp is the shortest example.
//   3. a line of model/recurrence/kinds.def.
//   4. taps that no other kind has: an enumerator and its name in model/taps.*.
//   5. a case of tests/mirror/test_native_parts.py, and a native test of the operation.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.hpp"
#include "model/taps.hpp"
#include "model/tensor_loader.hpp"
#include "ops/attention.hpp"
#include "ops/matmul.hpp"

namespace zp {

class Forward;

// What a recurrence sees of a forward pass. Every thread has its own.
class RecurrencePass {
public:
    const Kernels& kernels;
    ThreadPool& pool;
    const int thread;
    const std::vector<Slice>& slices;
    const int n_tokens;     // T, of all slices
    const int layer;        // for CacheView::state() and next_state()
    const Activations x;    // the normalized rows [T, D], in int8 too if a reader needs it
    float* const* buffers;  // [T, stride(i)] for each item of Recurrence::buffer_widths()
    const size_t* strides;
    float* shared;  // [T, shared_stride] what a layer leaves for later ones (Recurrence::shared_width)
    size_t shared_stride;

    // Multiplies x with several matrices; ends with a barrier.
    void project(std::span<const Product> products);
    // The same for one matrix and other rows, whose int8 form this computes.
    void project(const float* rows, size_t stride, const Product& product);
    // The product of one matrix with rows of its own.
    struct Projection {
        const float* rows;
        size_t stride;
        Product product;
    };
    // Several of them, with one barrier if there are few tokens.
    void project_each(std::span<const Projection> projections);
    // Calls work(begin, end) for this thread's share of n heads or channels; ends with a barrier. Give
    // `multiple` to divide at multiples of it only.
    template <class Work>
    void divide(int n, int multiple, const Work& work) {
        const Range range = thread_range((n + multiple - 1) / multiple, thread, pool.size());
        const int end = range.end * multiple;
        work(range.begin * multiple, end < n ? end : n);
        pool.barrier();
    }
    void tap(Tap tap, const float* rows, size_t stride);

private:
    friend class Forward;
    RecurrencePass(Forward& forward, int thread, const std::vector<Slice>& slices, int layer,
                   const Activations& x);
    Forward& forward_;
};

// One layer's weights.
class RecurrentLayer {
public:
    virtual ~RecurrentLayer() = default;
    // The matrices that read the normalized rows.
    virtual std::vector<const Linear*> readers() const = 0;
    // From the normalized rows to the input of output(): returns rows [T, output().matrix.cols] of one of the
    // buffers, after a barrier. Every thread calls it.
    struct Rows {
        const float* rows;
        size_t stride;
    };
    virtual Rows run(RecurrencePass& pass) const = 0;
    // The projection whose result is added to the residual stream: [D, any].
    virtual const Linear& output() const = 0;
};

// The sizes of one recurrence. d_model: D, the width of the residual stream.
class Recurrence {
public:
    virtual ~Recurrence() = default;
    // The first relation between sizes that does not hold, naming the field `at`.x.
    virtual Status check(const std::string& at, int d_model) const = 0;
    virtual size_t n_state_floats(int d_model) const = 0;
    // Columns of the float buffers [T, columns] that a pass needs.
    virtual std::vector<int> buffer_widths(int d_model) const = 0;
    // Columns of the rows that layers of this kind leave for later ones in the same pass; 0: none.
    virtual int shared_width(int) const { return 0; }
    // Its taps besides kRecurrenceOutput, with their widths.
    virtual std::vector<std::pair<Tap, int>> taps(int d_model) const = 0;
    // Asks for the tensors named `at`.x ("blocks.3.recurrence.input").
    virtual std::unique_ptr<RecurrentLayer> load(TensorLoader& loader, const std::string& at,
                                                 int d_model) const = 0;
};

// The numeric fields of a Python spec by name. Remembers the first field that is missing or out of range.
class RecurrenceFields {
public:
    explicit RecurrenceFields(std::map<std::string, double> values) : values_(std::move(values)) {}
    int integer(const char* name, int min_value, int max_value);
    bool flag(const char* name) { return integer(name, 0, 1) != 0; }
    float number(const char* name);  // finite
    const Status& status() const { return status_; }

private:
    double value(const char* name);
    std::map<std::string, double> values_;
    Status status_;
};

struct RecurrenceKind {
    const char* name;  // the Python class in snake case
    std::shared_ptr<const Recurrence> (*make)(RecurrenceFields& fields);
};

std::span<const RecurrenceKind* const> recurrence_kinds();
// kInvalid for an unknown kind, and for a field that is missing or out of range.
Result<std::shared_ptr<const Recurrence>> make_recurrence(std::string_view kind,
                                                          std::map<std::string, double> fields);

}  // namespace zp
