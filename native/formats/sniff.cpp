// Magic numbers from each format's specification; the most common wrong downloads come first.
#include "formats/sniff.hpp"

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

namespace zp {
namespace {

using namespace std::string_view_literals;

struct Kind {
    std::string_view start;
    const char* what;
};

constexpr Kind kKinds[] = {
    {"PK\x03\x04"sv,
     "it is a ZIP archive, perhaps a PyTorch checkpoint, whose pickles can run code; "
     "convert it to GGUF"},
    {"\x80\x02"sv, "it is a Python pickle, which can run code; convert it to GGUF"},
    {"\x80\x03"sv, "it is a Python pickle, which can run code; convert it to GGUF"},
    {"\x80\x04"sv, "it is a Python pickle, which can run code; convert it to GGUF"},
    {"\x80\x05"sv, "it is a Python pickle, which can run code; convert it to GGUF"},
    {"version https://git-lfs"sv, "it is a Git LFS pointer, not the file itself; run `git lfs pull`"},
    {"\x1f\x8b"sv, "it is gzip-compressed; unpack it first"},
    {"\x28\xb5\x2f\xfd"sv, "it is zstd-compressed; unpack it first"},
    {"\xfd"
     "7zXZ"sv,
     "it is xz-compressed; unpack it first"},
    {"BZh"sv, "it is bzip2-compressed; unpack it first"},
    {"7z\xbc\xaf"sv, "it is a 7z archive; unpack it first"},
    {"FUGG"sv, "it is a byte-swapped GGUF; convert it to little-endian"},
    {"lmgg"sv, "it is a GGML file, older than GGUF; convert it"},
    {"fmgg"sv, "it is a GGMF file, older than GGUF; convert it"},
    {"tjgg"sv, "it is a GGJT file, older than GGUF; convert it"},
};

}  // namespace

const char* sniff(std::span<const std::byte> head) {
    std::string_view text(reinterpret_cast<const char*>(head.data()), std::min<size_t>(head.size(), 512));
    for (const Kind& kind : kKinds)
        if (text.starts_with(kind.start)) return kind.what;
    if (text.size() > 8 && text[8] == '{') return "it is a safetensors file; convert it to GGUF";
    size_t start = text.find_first_not_of("\xef\xbb\xbf \t\r\n");
    if (start == std::string_view::npos) return "its first bytes are blank";
    std::string lower(text.substr(start, 9));
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (lower.starts_with("<!doctype") || lower.starts_with("<html") || lower.starts_with("<head"))
        return "it is an HTML page, not the file; the address may need a login";
    if (lower.starts_with("{")) return "it is JSON text";
    return "its first bytes are unknown";
}

}  // namespace zp
