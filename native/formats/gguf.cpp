// Parses in one pass. Every number is read, compared with the bytes that are left, and only then used in
// arithmetic, through base/checked.hpp. Duplicates are found by sorting rather than hashing: a crafted file
// could collide in any hash function.
#include "formats/gguf.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>

#include "base/checked.hpp"
#include "base/text.hpp"
#include "formats/sniff.hpp"

namespace zp {

namespace {

constexpr uint64_t kMinEntryBytes = 8 + 1 + 4 + 1;           // key length, key, type, value
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;  // name, n_dims, one dim, type, offset
// Names of tensor types, for messages about unsupported ones.
const char* foreign_type(uint32_t id) {
    constexpr const char* kNames[] = {
        nullptr,    nullptr,    nullptr,   nullptr, "Q4_2",       "Q4_3",       "Q5_0",       "Q5_1",
        "Q8_0",     "Q8_1",     "Q2_K",    "Q3_K",  "Q4_K",       "Q5_K",       "Q6_K",       "Q8_K",
        "IQ2_XXS",  "IQ2_XS",   "IQ3_XXS", "IQ1_S", "IQ4_NL",     "IQ3_S",      "IQ2_S",      "IQ4_XS",
        "I8",       "I16",      "I32",     "I64",   "F64",        "IQ1_M",      "BF16",       "Q4_0_4_4",
        "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",   "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4"};
    return id < std::size(kNames) && kNames[id] ? kNames[id] : "not in the specification";
}

std::string supported_formats() {
    std::string list;
    for (const FormatInfo& f : kFormats)
        list += (list.empty() ? "" : ", ") + std::string(f.name) + " (" + std::to_string(f.gguf_id) + ")";
    return list;
}

std::string quoted(std::string_view name) { return "`" + printable(name) + "`"; }

template <class... Parts>
std::string join(const Parts&... parts) {
    std::string out;
    const auto add = [&out](const auto& part) {
        if constexpr (std::is_integral_v<std::decay_t<decltype(part)>>)
            out += std::to_string(part);
        else
            out += part;
    };
    (add(parts), ...);
    return out;
}

class Parser {
public:
    Parser(std::span<const std::byte> head, uint64_t file_bytes) : head_(head), file_bytes_(file_bytes) {}

    // Returns false after `fail`, as each step does; the first failure ends parsing.
    bool parse();

    GgufHeader header_;
    std::string failure_;
    uint64_t needed_bytes_ = 0;

private:
    template <class... Parts>
    bool fail(const Parts&... parts) {
        failure_ = join(parts...);
        return false;
    }
    uint64_t bytes_left() const { return file_bytes_ - at_; }
    std::string location() const;

    bool take(uint64_t n_bytes, const std::byte*& data);
    template <class Number>
    bool number(Number& out);
    bool text(std::string_view& out, uint64_t limit, const char* what);
    bool name(std::string_view& out, uint64_t limit, const char* what);

    bool preamble();
    bool version();
    bool counts();
    bool entry();
    bool value(GgufEntry& entry);
    bool array(GgufArray& array);
    bool array_of_strings(GgufArray& array);
    bool array_of_numbers(GgufArray& array);
    bool bools(const std::byte* data, uint64_t n);
    bool alignment();
    bool tensor();
    bool shape(GgufTensor& tensor);
    bool format(GgufTensor& tensor);
    bool resolve_offsets();
    bool check_distinct(std::vector<std::string_view> names, const char* what);
    bool check_overlaps();

    std::span<const std::byte> head_;
    uint64_t file_bytes_;
    uint64_t at_ = 0;
    uint64_t n_entries_ = 0, n_tensors_ = 0;
    uint64_t alignment_ = 32;  // the specification's default
    // The current item, for messages: "metadata" or "tensor", its index, and its name once known.
    const char* part_ = "the header";
    uint64_t index_ = 0;
    std::string_view name_;
};

std::string Parser::location() const {
    if (name_.data()) return join(part_, " ", quoted(name_));
    return at_ < 24 ? std::string(part_) : join(part_, " number ", index_);
}

bool Parser::take(uint64_t n_bytes, const std::byte*& data) {
    if (n_bytes > bytes_left())
        return fail(location(), " is cut off: the file ends at byte ", file_bytes_, "; fetch it again");
    if (n_bytes > head_.size() - at_) {
        needed_bytes_ = at_ + n_bytes;
        return fail("the header continues after its first ", head_.size(), " bytes; read more of the file");
    }
    data = head_.data() + at_;
    at_ += n_bytes;
    return true;
}

template <class Number>
bool Parser::number(Number& out) {
    const std::byte* data = nullptr;
    if (!take(sizeof out, data)) return false;
    std::memcpy(&out, data, sizeof out);
    return true;
}

// A length followed by that many bytes of UTF-8.
bool Parser::text(std::string_view& out, uint64_t limit, const char* what) {
    uint64_t n = 0;
    const std::byte* data = nullptr;
    if (!number(n)) return false;
    if (n > bytes_left())
        return fail(location(), ": ", what, " has ", n, " bytes, but the file has only ", bytes_left(),
                    " left; fetch it again");
    if (n > limit) return fail(location(), ": ", what, " has ", n, " bytes; it may have at most ", limit);
    if (!take(n, data)) return false;
    out = {reinterpret_cast<const char*>(data), n};
    if (!is_utf8(out)) return fail(location(), ": ", what, " ", quoted(out), " is not valid UTF-8");
    return true;
}

bool Parser::name(std::string_view& out, uint64_t limit, const char* what) {
    if (!text(out, limit, what)) return false;
    if (out.empty()) return fail(location(), ": ", what, " is empty; it must have at least one character");
    if (out.find('\0') != std::string_view::npos)
        return fail(location(), ": ", what, " ", quoted(out), " contains a NUL character");
    name_ = out;
    return true;
}

bool Parser::parse() {
    if (!preamble() || !version() || !counts()) return false;
    std::vector<std::string_view> names;
    part_ = "metadata";
    for (index_ = 0; index_ < n_entries_; ++index_) {
        name_ = {};
        if (!entry()) return false;
        names.push_back(name_);
    }
    if (!check_distinct(std::move(names), "metadata key") || !alignment()) return false;
    names = {};
    part_ = "tensor";
    for (index_ = 0; index_ < n_tensors_; ++index_) {
        name_ = {};
        if (!tensor()) return false;
        names.push_back(name_);
    }
    return check_distinct(std::move(names), "tensor name") && resolve_offsets() && check_overlaps();
}

bool Parser::preamble() {
    if (file_bytes_ == 0) return fail("it is empty; fetch it again");
    constexpr std::string_view kMagic = "GGUF";
    std::string_view start(reinterpret_cast<const char*>(head_.data()), std::min<size_t>(head_.size(), 4));
    if (start != kMagic.substr(0, start.size())) return fail("it is not a GGUF file: ", sniff(head_));
    const std::byte* magic = nullptr;
    return take(4, magic);
}

bool Parser::version() {
    uint32_t version = 0;
    if (!number(version)) return false;
    if (version == 2 || version == 3) {
        header_.version = version;
        header_.file_bytes = file_bytes_;
        return true;
    }
    if (uint32_t swapped = __builtin_bswap32(version); swapped >= 1 && swapped <= 3)
        return fail("it is a big-endian GGUF (version ", swapped, "); convert it to little-endian");
    return fail("its GGUF version is ", version, "; it must be 2 or 3");
}

bool Parser::counts() {
    if (!number(n_tensors_) || !number(n_entries_)) return false;
    struct Count {
        const char* field;
        uint64_t n, smallest, limit;
    };
    for (const Count& c : {Count{"tensor count", n_tensors_, kMinTensorBytes, kMaxTensors},
                           Count{"metadata count", n_entries_, kMinEntryBytes, kMaxEntries}}) {
        if (c.n > bytes_left() / c.smallest)
            return fail("the ", c.field, " is ", c.n, ", but the ", bytes_left(),
                        " bytes left can hold at most ", bytes_left() / c.smallest, "; fetch it again");
        if (c.n > c.limit) return fail("the ", c.field, " is ", c.n, "; it may be at most ", c.limit);
    }
    return true;
}

bool Parser::entry() {
    std::string_view key;
    uint32_t type = 0;
    if (!name(key, kMaxKeyBytes, "the key") || !number(type)) return false;
    if (type >= kNumGgufTypes)
        return fail(location(), " has the unknown value type ", type, "; types are 0 to 12");
    GgufEntry entry{std::string(key), static_cast<GgufType>(type), {}};
    if (!value(entry)) return false;
    header_.metadata.push_back(std::move(entry));
    return true;
}

bool Parser::value(GgufEntry& entry) {
    if (entry.type == GgufType::kArray) return array(entry.value.emplace<GgufArray>());
    if (entry.type == GgufType::kString) {
        std::string_view content;
        if (!text(content, kMaxStringBytes, "the text")) return false;
        entry.value = std::string(content);
        return true;
    }
    const std::byte* data = nullptr;
    if (!take(size_of(entry.type), data)) return false;
    if (entry.type == GgufType::kBool && !bools(data, 1)) return false;
    entry.value = read_scalar(entry.type, data);
    return true;
}

bool Parser::array(GgufArray& array) {
    uint32_t type = 0;
    if (!number(type) || !number(array.count)) return false;
    if (type == static_cast<uint32_t>(GgufType::kArray))
        return fail(location(), " is an array of arrays, which is not supported");
    if (type >= kNumGgufTypes)
        return fail(location(), " is an array of the unknown item type ", type, "; types are 0 to 12");
    array.type = static_cast<GgufType>(type);
    uint64_t smallest = array.type == GgufType::kString ? 8 : size_of(array.type);
    if (array.count > bytes_left() / smallest)
        return fail(location(), " has ", array.count, " items, but the ", bytes_left(),
                    " bytes left can hold at most ", bytes_left() / smallest);
    if (array.count > kMaxArrayItems)
        return fail(location(), " has ", array.count, " items; it may have at most ", kMaxArrayItems);
    return array.type == GgufType::kString ? array_of_strings(array) : array_of_numbers(array);
}

bool Parser::array_of_strings(GgufArray& array) {
    uint64_t start = at_;
    for (uint64_t i = 0; i < array.count; ++i) {
        std::string_view item;
        if (!text(item, kMaxStringBytes, "an item")) return false;
        if (at_ - start > kMaxArrayBytes)
            return fail(location(), " has more than ", kMaxArrayBytes, " bytes, the limit for an array");
    }
    auto bytes = head_.subspan(start, at_ - start);
    array.packed.assign(bytes.begin(), bytes.end());
    return true;
}

bool Parser::array_of_numbers(GgufArray& array) {
    uint64_t n_bytes = 0;
    const std::byte* data = nullptr;
    if (!checked_mul(array.count, size_of(array.type), n_bytes)) return fail(location(), " is too large");
    if (!take(n_bytes, data)) return false;
    if (array.type == GgufType::kBool && !bools(data, array.count)) return false;
    array.packed.assign(data, data + n_bytes);
    return true;
}

bool Parser::bools(const std::byte* data, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i)
        if (data[i] > std::byte{1})
            return fail(location(), " has the bool ", std::to_integer<int>(data[i]), "; it must be 0 or 1");
    return true;
}

bool Parser::alignment() {
    for (const GgufEntry& entry : header_.metadata) {
        if (entry.key != "general.alignment") continue;
        if (entry.type != GgufType::kU32)
            return fail("metadata `general.alignment` is of type ", type_name(entry.type),
                        "; it must be UINT32");
        alignment_ = std::get<uint64_t>(entry.value);
        if (!std::has_single_bit(alignment_) || alignment_ < 8 || alignment_ > kMaxAlignment)
            return fail("metadata `general.alignment` is ", alignment_,
                        "; it must be a power of two from 8 to ", kMaxAlignment);
    }
    return true;
}

bool Parser::tensor() {
    std::string_view key;
    if (!name(key, kMaxNameBytes, "the name")) return false;
    GgufTensor tensor;
    tensor.name = key;
    if (!shape(tensor) || !format(tensor) || !number(tensor.offset)) return false;
    if (tensor.offset % alignment_ != 0)
        return fail(location(), " has the offset ", tensor.offset, "; it must be a multiple of ", alignment_);
    header_.tensors.push_back(std::move(tensor));
    return true;
}

bool Parser::shape(GgufTensor& tensor) {
    uint32_t n_dims = 0;
    if (!number(n_dims)) return false;
    if (n_dims == 0 || n_dims > kMaxDims)
        return fail(location(), " has ", n_dims, " dimensions; it must have 1 to ", kMaxDims);
    uint64_t n_weights = 1;
    for (uint32_t i = 0; i < n_dims; ++i) {
        uint64_t dim = 0;
        if (!number(dim)) return false;
        if (dim == 0) return fail(location(), ": dimension ", i, " is 0; it must be at least 1");
        if (!checked_mul(n_weights, dim, n_weights) || n_weights > INT64_MAX)
            return fail(location(), ": dimension ", i, " is ", dim, ", more weights than any file can hold");
        tensor.shape.insert(tensor.shape.begin(), dim);  // the file has the contiguous axis first
    }
    return true;
}

bool Parser::format(GgufTensor& tensor) {
    uint32_t id = 0;
    if (!number(id)) return false;
    std::optional<Format> known = format_from_gguf(id);
    if (!known)
        return fail(location(), " has the type id ", id, " (", foreign_type(id), "); supported are ",
                    supported_formats());
    tensor.format = *known;
    const FormatInfo& f = info(*known);
    if (tensor.shape.back() % f.block_weights != 0)
        return fail(location(), " has rows of ", tensor.shape.back(), " weights; for ", f.name,
                    " it must be a multiple of ", f.block_weights);
    uint64_t n_blocks = tensor.shape.back() / f.block_weights;
    for (size_t i = 0; i + 1 < tensor.shape.size(); ++i)
        if (!checked_mul(n_blocks, tensor.shape[i], n_blocks)) return fail(location(), " is too large");
    if (!checked_mul(n_blocks, f.block_bytes, tensor.n_bytes) || tensor.n_bytes > file_bytes_)
        return fail(location(), " needs more bytes than the ", file_bytes_,
                    " of the whole file; fetch it again");
    return true;
}

// Makes offsets absolute and checks that every range is inside the file.
bool Parser::resolve_offsets() {
    if (!checked_align(at_, alignment_, header_.data_offset)) return fail("its tensor data is out of range");
    for (GgufTensor& tensor : header_.tensors) {
        name_ = tensor.name;
        uint64_t end = 0;
        if (!checked_add(tensor.offset, header_.data_offset, tensor.offset) ||
            !checked_add(tensor.offset, tensor.n_bytes, end) || end > file_bytes_)
            return fail(location(), " lies outside the file, which ends at byte ", file_bytes_,
                        "; fetch it again");
    }
    return true;
}

bool Parser::check_distinct(std::vector<std::string_view> names, const char* what) {
    std::sort(names.begin(), names.end());
    auto duplicate = std::adjacent_find(names.begin(), names.end());
    if (duplicate == names.end()) return true;
    return fail("the ", what, " ", quoted(*duplicate), " occurs twice; each may occur once");
}

bool Parser::check_overlaps() {
    std::vector<const GgufTensor*> order;
    for (const GgufTensor& tensor : header_.tensors) order.push_back(&tensor);
    std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->offset < b->offset; });
    for (size_t i = 1; i < order.size(); ++i)
        if (order[i - 1]->offset + order[i - 1]->n_bytes > order[i]->offset)
            return fail("tensor ", quoted(order[i]->name), " overlaps tensor ", quoted(order[i - 1]->name));
    return true;
}

}  // namespace

Result<GgufHeader> parse_gguf(std::span<const std::byte> head, uint64_t file_bytes, uint64_t* needed_bytes) {
    if (head.size() > file_bytes) head = head.first(file_bytes);
    Parser parser(head, file_bytes);
    if (parser.parse()) return std::move(parser.header_);
    if (needed_bytes) *needed_bytes = parser.needed_bytes_;
    return invalid(std::move(parser.failure_));
}

}  // namespace zp
