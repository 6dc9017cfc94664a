// libFuzzer target for the GGUF parser: parses arbitrary bytes as a complete file and as the head of a longer
// one. It also verifies the parser's guarantees for accepted headers, which finds missing checks even if
// nothing crashes. Seeds: seeds.py. Run: fuzz_gguf -runs=1000000 CORPUS.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "formats/gguf.hpp"

namespace {

void require(bool holds, const char* guarantee) {
    if (holds) return;
    std::fprintf(stderr, "violated guarantee: %s\n", guarantee);
    std::abort();
}

void check_tensors(const zp::GgufHeader& header, uint64_t file_bytes) {
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    std::set<std::string> names;
    for (const zp::GgufTensor& t : header.tensors) {
        require(names.insert(t.name).second, "tensor names are distinct");
        require(!t.shape.empty() && t.shape.size() <= zp::kMaxDims, "1 to 4 dimensions");
        unsigned __int128 n = 1;
        for (uint64_t dim : t.shape) n *= dim;
        const zp::FormatInfo& f = zp::info(t.format);
        require(n > 0 && t.shape.back() % f.block_weights == 0, "rows are complete blocks");
        require(n / f.block_weights * f.block_bytes == t.n_bytes, "bytes follow from the shape");
        require(t.offset >= header.data_offset && t.n_bytes <= file_bytes, "data follows the header");
        require(t.offset <= file_bytes - t.n_bytes, "data is inside the file");
        ranges.emplace_back(t.offset, t.offset + t.n_bytes);
    }
    std::sort(ranges.begin(), ranges.end());
    for (size_t i = 1; i < ranges.size(); ++i)
        require(ranges[i - 1].second <= ranges[i].first, "tensors do not overlap");
}

void check_metadata(const zp::GgufHeader& header) {
    std::set<std::string> keys;
    for (const zp::GgufEntry& entry : header.metadata) {
        require(!entry.key.empty() && keys.insert(entry.key).second, "keys are distinct and not empty");
        auto* array = std::get_if<zp::GgufArray>(&entry.value);
        require((entry.type == zp::GgufType::kArray) == (array != nullptr), "arrays are declared as such");
        uint64_t n_items = 0, n_bytes = 0;
        if (array) {
            zp::for_each_item(*array, [&](const zp::GgufValue& item) {
                auto* text = std::get_if<std::string>(&item);
                n_bytes += text ? 8 + text->size() : zp::size_of(array->type);
                ++n_items;
            });
            require(n_items == array->count && n_bytes == array->packed.size(),
                    "arrays have the declared size");
        }
    }
}

void parse(std::span<const std::byte> head, uint64_t file_bytes) {
    uint64_t needed_bytes = 0;
    auto result = zp::parse_gguf(head, file_bytes, &needed_bytes);
    if (result.ok()) {
        require(needed_bytes == 0, "an accepted header requests no more bytes");
        check_tensors(result.value(), file_bytes);
        check_metadata(result.value());
        return;
    }
    const std::string& message = result.error().message;
    require(!message.empty() && message.size() < 1000, "an error message is one sentence");
    for (char c : message) require(static_cast<unsigned char>(c) >= 0x20, "an error message is one line");
    require(needed_bytes == 0 || (needed_bytes > head.size() && needed_bytes <= file_bytes),
            "the parser requests more bytes only if the file has them");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
    parse(bytes, size);
    parse(bytes, size + (uint64_t{1} << 20));
    return 0;
}
