// Malformed GGUF files: one case per possible error, with the words that its message must contain.
#include "formats/gguf.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "check.hpp"
#include "gguf_builder.hpp"

using namespace zp;
using namespace zp::test;

namespace {

std::span<const std::byte> view(const std::string& bytes) {
    return {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()};
}

// Parses a copy of exactly that size, so that sanitizers detect reads past its end.
Result<GgufHeader> parse(const std::string& bytes, uint64_t* needed = nullptr, uint64_t file_bytes = 0) {
    std::vector<std::byte> copy(view(bytes).begin(), view(bytes).end());
    return parse_gguf({copy.data(), copy.size()}, file_bytes ? file_bytes : copy.size(), needed);
}

std::string error_of(const std::string& bytes) {
    auto result = parse(bytes);
    return result.ok() ? "accepted" : result.error().message;
}

// Checks that the error message is one line and contains all these words.
void expect_rejected(const std::string& bytes, std::initializer_list<const char*> words, int line) {
    std::string message = error_of(bytes);
    bool ok = message.find('\n') == std::string::npos && message.size() < 600;
    for (const char* word : words) ok = ok && message.find(word) != std::string::npos;
    if (!ok) fail(__FILE__, line, "the message was: " + message);
}
#define REJECTED(bytes, ...) expect_rejected(bytes, {__VA_ARGS__}, __LINE__)

FileBytes with_entry(const std::string& entry) { return FileBytes().add_entry(entry); }

FileBytes with_tensor(const TensorBytes& tensor, uint64_t data_bytes = 256) {
    FileBytes file;
    file.data_bytes = data_bytes;
    return file.add_tensor(tensor);
}

// A file with one entry of every kind.
FileBytes sound_file() {
    FileBytes file;
    file.data_bytes = 256 + 64;
    file.add_entry(kv("general.architecture", 8, str("llama")));
    file.add_entry(kv("a.u8", 0, raw<uint8_t>(200))).add_entry(kv("a.i8", 1, raw<int8_t>(-100)));
    file.add_entry(kv("a.u16", 2, raw<uint16_t>(60000))).add_entry(kv("a.i16", 3, raw<int16_t>(-30000)));
    file.add_entry(kv("a.u32", 4, raw<uint32_t>(4000000000u))).add_entry(kv("a.i32", 5, raw<int32_t>(-5)));
    file.add_entry(kv("a.f32", 6, raw<float>(1.5f))).add_entry(kv("a.bool", 7, raw<uint8_t>(1)));
    file.add_entry(kv("a.u64", 10, raw<uint64_t>(~0ull))).add_entry(kv("a.i64", 11, raw<int64_t>(INT64_MIN)));
    file.add_entry(kv("a.f64", 12, raw<double>(-0.25)));
    file.add_entry(kv("list.text", 9, array(8, 2, str("Ä") + str(""))));
    file.add_entry(kv("list.i32", 9, array(5, 2, raw<int32_t>(1) + raw<int32_t>(-1))));
    file.add_tensor({}).add_tensor({"v", raw<uint64_t>(32), 1, 8, 256});
    return file;
}

}  // namespace

ZP_TEST(gguf_reads_a_valid_file) {
    for (uint32_t version : {2u, 3u}) {
        FileBytes file = sound_file();
        file.version = version;
        auto result = parse(file.bytes());
        ZP_CHECK(result.ok());
        if (!result.ok()) continue;
        const GgufHeader& h = result.value();
        ZP_EQ(h.version, version);
        ZP_EQ(h.metadata.size(), size_t{14});
        ZP_EQ(std::get<std::string>(h.metadata[0].value), "llama");
        ZP_EQ(std::get<int64_t>(h.metadata[2].value), -100);
        ZP_EQ(std::get<double>(h.metadata[7].value), 1.5);
        ZP_EQ(std::get<bool>(h.metadata[8].value), true);
        ZP_EQ(std::get<uint64_t>(h.metadata[9].value), ~0ull);
        ZP_EQ(std::get<int64_t>(h.metadata[10].value), INT64_MIN);
        ZP_EQ(type_name(h.metadata[5].type), std::string("UINT32"));
        ZP_EQ(h.tensors.size(), size_t{2});
        ZP_CHECK(h.tensors[0].shape == std::vector<uint64_t>{2, 32});
        ZP_EQ(h.tensors[0].offset, h.data_offset);
        ZP_EQ(h.tensors[0].n_bytes, 256u);
        ZP_CHECK(h.tensors[1].format == Format::kQ8_0);
        ZP_EQ(h.tensors[1].n_bytes, 34u);
    }
}

ZP_TEST(gguf_array_items_are_in_order) {
    auto result = parse(sound_file().bytes());
    ZP_CHECK(result.ok());
    std::string texts;
    for_each_item(std::get<GgufArray>(result.value().metadata[12].value),
                  [&](const GgufValue& item) { texts += std::get<std::string>(item) + "|"; });
    ZP_EQ(texts, "Ä||");
    int64_t sum = 0;
    for_each_item(std::get<GgufArray>(result.value().metadata[13].value),
                  [&](const GgufValue& item) { sum = sum * 10 + std::get<int64_t>(item); });
    ZP_EQ(sum, 9);
}

ZP_TEST(gguf_rejects_every_truncation) {
    std::string whole = sound_file().bytes();
    size_t needed = whole.size() - 30;  // the last tensor has 34 of 64 bytes
    for (size_t n = 0; n < needed; ++n)
        if (error_of(whole.substr(0, n)) == "accepted")
            fail(__FILE__, __LINE__, "cut at " + std::to_string(n));
    ZP_EQ(error_of(whole.substr(0, needed)), "accepted");
    REJECTED("", "empty");
    REJECTED("GGUF", "cut off", "byte 4");
}

ZP_TEST(gguf_requests_more_bytes_of_a_longer_file) {
    std::string whole = sound_file().bytes();
    uint64_t have = 0, rounds = 0;
    for (; have < whole.size(); ++rounds) {
        uint64_t needed = 0;
        auto result = parse(whole.substr(0, have), &needed, whole.size());
        if (result.ok()) break;
        ZP_CHECK(needed > have && needed <= whole.size());
        if (needed <= have) return;
        have = needed;
    }
    ZP_CHECK(rounds > 10 && have < whole.size() - 256);
}

ZP_TEST(gguf_names_other_file_types) {
    REJECTED(std::string("PK\x03\x04xxxx"), "not a GGUF", "ZIP", "pickle");
    REJECTED(std::string("\x80\x02}q\0", 5), "pickle", "run code");
    REJECTED("<!DOCTYPE html><html>", "HTML page");
    REJECTED("\n <HTML>", "HTML page");
    REJECTED("version https://git-lfs.example/spec/v1\noid sha256:0", "Git LFS pointer");
    REJECTED(std::string("\x1f\x8b\x08\0", 4), "gzip");
    REJECTED(raw<uint64_t>(2) + "{}", "safetensors");
    REJECTED("FUGG", "byte-swapped");
    REJECTED("{\"a\": 1}", "JSON");
    REJECTED("    ", "blank");
    REJECTED("hello", "unknown");
}

ZP_TEST(gguf_rejects_other_versions) {
    for (uint32_t version : {0u, 1u, 4u, ~0u}) {
        FileBytes file = sound_file();
        file.version = version;
        REJECTED(file.bytes(), "version is ", "must be 2 or 3");
    }
    FileBytes file = sound_file();
    file.version = 0x03000000;
    REJECTED(file.bytes(), "big-endian", "convert");
}

ZP_TEST(gguf_rejects_counts_beyond_the_file) {
    for (uint64_t n :
         {uint64_t{100}, uint64_t{1} << 31, uint64_t{1} << 32, uint64_t{1} << 63, ~uint64_t{0}}) {
        FileBytes file = sound_file();
        file.n_tensors = n;
        REJECTED(file.bytes(), "tensor count is ", "can hold at most");
        file = sound_file();
        file.n_entries = n;
        REJECTED(file.bytes(), "metadata count is ", "can hold at most");
        REJECTED(with_entry(kv("k", 9, array(0, n + 100, ""))).bytes(), "`k` has ", "items");
        REJECTED(with_entry(kv("k", 9, array(12, n, "xx"))).bytes(), "`k` has ", "items", "at most");
        REJECTED(with_entry(kv("k", 9, array(8, n, "xx"))).bytes(), "`k` has ", "items", "at most");
        REJECTED(with_entry(kv("k", 8, raw(n) + "x")).bytes(), "`k`: the text has ", "left");
        REJECTED(with_entry(raw(n) + "key").bytes(), "metadata number 0: the key has ", "left");
    }
    std::string many(size_t{2} << 20, '\0');
    REJECTED(with_entry(kv("k", 9, array(7, many.size(), many))).bytes(), "2097152 items", "at most 1048576");
    FileBytes file;
    file.n_tensors = (1u << 17) + 1;
    file.data_bytes = file.n_tensors * 40;
    REJECTED(file.bytes(), "tensor count is 131073", "at most 131072");
}

ZP_TEST(gguf_rejects_bad_keys) {
    std::string one = raw<uint8_t>(1);
    REJECTED(with_entry(kv("", 0, one)).bytes(), "key is empty");
    REJECTED(with_entry(kv(std::string("a\0b", 3), 0, one)).bytes(), "`a\\u{0}b`", "NUL");
    REJECTED(with_entry(kv("a\xff", 0, one)).bytes(), "`a\\xff`", "not valid UTF-8");
    REJECTED(with_entry(kv("\xed\xa0\x80", 0, one)).bytes(), "not valid UTF-8");
    REJECTED(with_entry(kv("\xc0\x80", 0, one)).bytes(), "not valid UTF-8");
    REJECTED(with_entry(kv(std::string(65536, 'k'), 0, one)).bytes(), "key has 65536 bytes", "at most 65535");
    REJECTED(with_entry(kv("k", 0, one)).add_entry(kv("k", 0, one)).bytes(), "metadata key `k` occurs twice");
    REJECTED(with_entry(kv("k", 13, one)).bytes(), "`k` has the unknown value type 13");
    REJECTED(with_entry(kv("k", 7, raw<uint8_t>(2))).bytes(), "bool 2", "must be 0 or 1");
    REJECTED(with_entry(kv("k", 8, str("\xff"))).bytes(), "`k`: the text", "not valid UTF-8");
}

ZP_TEST(gguf_rejects_bad_arrays) {
    REJECTED(with_entry(kv("k", 9, array(9, 1, array(9, 1, "")))).bytes(), "array of arrays");
    REJECTED(with_entry(kv("k", 9, array(13, 1, "x"))).bytes(), "unknown item type 13");
    REJECTED(with_entry(kv("k", 9, array(8, 1, str("\xff")))).bytes(), "`k`: an item", "not valid UTF-8");
    REJECTED(with_entry(kv("k", 9, array(7, 2, "\x01\x02"))).bytes(), "bool 2");
    REJECTED(with_entry(kv("k", 9, array(7, uint64_t{1} << 40, "\x01"))).bytes(), "1099511627776 items");
}

ZP_TEST(gguf_rejects_bad_alignment) {
    for (uint32_t n : {0u, 1u, 3u, 4u, 48u, 1u << 31})
        REJECTED(with_entry(kv("general.alignment", 4, raw(n))).bytes(), "general.alignment` is ",
                 "power of two from 8");
    REJECTED(with_entry(kv("general.alignment", 5, raw<int32_t>(32))).bytes(), "of type INT32",
             "must be UINT32");
    REJECTED(with_entry(kv("general.alignment", 8, str("32"))).bytes(), "of type STRING", "must be UINT32");
    FileBytes file = with_entry(kv("general.alignment", 4, raw<uint32_t>(1u << 20)));
    file.add_tensor({}).data_bytes = 256;
    REJECTED(file.bytes(), "`w` lies outside the file");
    file.alignment = 1u << 20;
    ZP_EQ(error_of(file.bytes()), "accepted");
}

ZP_TEST(gguf_rejects_bad_shapes) {
    for (uint32_t n : {0u, 5u, ~0u}) {
        TensorBytes t;
        t.n_dims = n;
        REJECTED(with_tensor(t).bytes(), "`w` has ", "dimensions", "1 to 4");
    }
    const auto dims = [](uint64_t a, uint64_t b) {
        TensorBytes t;
        t.dims = raw(a) + raw(b);
        return t;
    };
    REJECTED(with_tensor(dims(0, 2)).bytes(), "dimension 0 is 0");
    REJECTED(with_tensor(dims(32, 0)).bytes(), "dimension 1 is 0");
    REJECTED(with_tensor(dims(~0ull, 1)).bytes(), "dimension 0 is 18446744073709551615", "more weights");
    REJECTED(with_tensor(dims(1ull << 32, 1ull << 32)).bytes(), "dimension 1 is 4294967296", "more weights");
    REJECTED(with_tensor(dims(32, (1ull << 42) + 1)).bytes(), "needs more bytes than the ", "whole file");
    REJECTED(with_tensor(dims(1ull << 62, 1)).bytes(), "more bytes");
    TensorBytes q = dims(48, 2);
    q.type = 2;
    REJECTED(with_tensor(q).bytes(), "rows of 48 weights", "Q4_0", "multiple of 32");
}

ZP_TEST(gguf_rejects_bad_types) {
    TensorBytes t;
    for (uint32_t id : {4u, 9u, 31u, 43u, ~0u}) {
        t.type = id;
        REJECTED(with_tensor(t).bytes(), "type id ", std::to_string(id).c_str(), "F32 (0)", "Q4_1 (3)");
    }
    t.type = 9;
    REJECTED(with_tensor(t).bytes(), "9 (Q8_1)");
    t.type = 99;
    REJECTED(with_tensor(t).bytes(), "99 (not in the specification)");
}

ZP_TEST(gguf_rejects_ranges_outside_the_file) {
    for (uint64_t offset : {uint64_t{64}, uint64_t{1} << 32, uint64_t{1} << 63, ~uint64_t{31}}) {
        TensorBytes t;
        t.offset = offset;
        REJECTED(with_tensor(t).bytes(), "`w` lies outside the file", "fetch it again");
    }
    TensorBytes t;
    t.offset = 16;
    REJECTED(with_tensor(t).bytes(), "offset 16", "multiple of 32");
    t.offset = 0;
    REJECTED(with_tensor(t, 255).bytes(), "`w` lies outside the file");
    ZP_EQ(error_of(with_tensor(t, 256).bytes()), "accepted");
}

ZP_TEST(gguf_rejects_overlaps_and_duplicates) {
    TensorBytes second;
    REJECTED(with_tensor({}, 512).add_tensor(second).bytes(), "tensor name `w` occurs twice");
    second.name = "v";
    second.offset = 224;
    REJECTED(with_tensor({}, 512).add_tensor(second).bytes(), "`v` overlaps tensor `w`");
    second.offset = 256;
    ZP_EQ(error_of(with_tensor({}, 512).add_tensor(second).bytes()), "accepted");
}

ZP_TEST(gguf_escapes_names_in_messages) {
    TensorBytes t;
    t.name = "\x1b[31m\a\xe2\x80\xae" + std::string(100, 'n');
    t.n_dims = 9;
    std::string message = error_of(with_tensor(t).bytes());
    ZP_CHECK(message.find('\x1b') == std::string::npos && message.find('\a') == std::string::npos);
    ZP_CHECK(message.find("\\u{1b}[31m\\u{7}\\u{202e}nnn") != std::string::npos);
    ZP_CHECK(message.find(std::string(60, 'n')) == std::string::npos);
    t.name = std::string(256, 'n');
    REJECTED(with_tensor(t).bytes(), "name has 256 bytes", "at most 255");
}
