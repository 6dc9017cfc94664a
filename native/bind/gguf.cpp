// The GGUF reader for Python. The header stays packed in native memory and values become Python objects on
// access, so that a file full of metadata takes no more memory than its size.
#include "formats/gguf.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <new>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/file.hpp"
#include "base/text.hpp"
#include "bind/gil.hpp"
#include "bind/status.hpp"

namespace nb = nanobind;

namespace zp {
namespace {

nb::object list_of(const GgufArray& array);

nb::object to_python(const GgufValue& value) {
    if (auto* array = std::get_if<GgufArray>(&value)) return list_of(*array);
    if (auto* text = std::get_if<std::string>(&value)) return nb::str(text->data(), text->size());
    if (auto* number = std::get_if<uint64_t>(&value)) return nb::int_(*number);
    if (auto* number = std::get_if<int64_t>(&value)) return nb::int_(*number);
    if (auto* number = std::get_if<double>(&value)) return nb::float_(*number);
    return nb::bool_(std::get<bool>(value));
}

// Preallocates the list and decodes strings straight from the file: a vocabulary has 100,000 of them, and
// start-up waits for it.
nb::object list_of(const GgufArray& array) {
    nb::object items = nb::steal(PyList_New(static_cast<Py_ssize_t>(array.count)));
    if (!items.is_valid()) throw nb::python_error();
    Py_ssize_t at = 0;
    const auto put = [&](nb::object item) { PyList_SET_ITEM(items.ptr(), at++, item.release().ptr()); };
    if (array.type == GgufType::kString)
        for_each_text(array, [&](std::string_view text) { put(nb::str(text.data(), text.size())); });
    else
        for_each_item(array, [&](const GgufValue& item) { put(to_python(item)); });
    return items;
}

// Strings of two words as pairs (first, second), with "" for a missing second. Most words of BPE merges occur
// in several merges: sharing one str object per word takes a third of the memory and time.
nb::object pairs_of(const GgufArray& array) {
    std::unordered_map<std::string_view, nb::str> words;
    words.reserve(array.count);
    const auto word = [&](std::string_view text) {
        const auto found = words.find(text);
        if (found != words.end()) return found->second;
        return words.emplace(text, nb::str(text.data(), text.size())).first->second;
    };
    nb::object items = nb::steal(PyList_New(static_cast<Py_ssize_t>(array.count)));
    if (!items.is_valid()) throw nb::python_error();
    Py_ssize_t at = 0;
    for_each_text(array, [&](std::string_view text) {
        const size_t end = std::min(text.find(' '), text.size());
        const std::string_view second = text.substr(std::min(end + 1, text.size()));
        PyList_SET_ITEM(items.ptr(), at++,
                        nb::make_tuple(word(text.substr(0, end)), word(second)).release().ptr());
    });
    return items;
}

std::string declared_type(const GgufEntry& entry) {
    auto* array = std::get_if<GgufArray>(&entry.value);
    return array ? std::string("ARRAY of ") + type_name(array->type) : type_name(entry.type);
}

nb::list keys(const GgufHeader& header) {
    nb::list out;
    for (const GgufEntry& entry : header.metadata) out.append(nb::str(entry.key.data(), entry.key.size()));
    return out;
}

nb::list tensors(const GgufHeader& header) {
    nb::list out;
    for (const GgufTensor& t : header.tensors) {
        nb::list shape;
        for (uint64_t dim : t.shape) shape.append(dim);
        out.append(nb::make_tuple(t.name, info(t.format).name, nb::tuple(shape), t.offset, t.n_bytes));
    }
    return out;
}

// Reads the mapped file once, sequentially, without the GIL.
Result<GgufHeader> read_file(const std::string& path) {
    GilRelease unlocked;
    try {
        Result<MappedFile> file = MappedFile::open(path);
        if (!file.ok()) return file.error();
        Result<GgufHeader> header = parse_gguf(file.value().bytes(), file.value().bytes().size());
        if (Status intact = file.value().intact(); !intact.ok()) return intact.error();
        if (header.ok()) return header;
        return Error{header.error().fault, printable(path, 4096) + ": " + header.error().message};
    } catch (const std::bad_alloc&) {
        return out_of_memory("not enough memory to read the header of " + printable(path, 4096));
    }
}

GgufHeader open(nb::bytes path) {
    Result<GgufHeader> header = read_file(std::string(path.c_str(), path.size()));
    if (!header.ok()) raise(header.error());
    return std::move(header.value());
}

// The header, or the number of leading bytes to try next.
nb::object parse(nb::bytes head, uint64_t file_bytes) {
    uint64_t n_needed_bytes = 0;
    Result<GgufHeader> header =
        parse_gguf({static_cast<const std::byte*>(head.data()), head.size()}, file_bytes, &n_needed_bytes);
    if (header.ok()) return nb::cast(std::move(header.value()));
    if (n_needed_bytes > 0) return nb::int_(n_needed_bytes);
    raise(header.error());
}

nb::list formats() {
    nb::list out;
    for (const FormatInfo& f : kFormats)
        out.append(nb::make_tuple(f.name, f.gguf_id, f.block_weights, f.block_bytes));
    return out;
}

}  // namespace

void bind_gguf(nb::module_& m) {
    nb::class_<GgufHeader>(m, "GgufHeader", "A validated GGUF header; weights/gguf/reader.py wraps it.")
        .def_ro("version", &GgufHeader::version)
        .def_ro("file_bytes", &GgufHeader::file_bytes)
        .def_ro("data_offset", &GgufHeader::data_offset)
        .def("keys", &keys, nb::sig("def keys(self) -> list[str]"),
             "The metadata keys, in the order of the file.")
        .def("tensors", &tensors,
             nb::sig("def tensors(self) -> list[tuple[str, str, tuple[int, ...], int, int]]"),
             "(name, format, shape in torch order, offset, n_bytes) of every tensor.")
        .def(
            "value",
            [](const GgufHeader& header, size_t i) {
                if (i >= header.metadata.size()) throw nb::index_error();
                return to_python(header.metadata[i].value);
            },
            nb::arg("index"), nb::sig("def value(self, index: int) -> typing.Any"),
            "The value of key number `index`: int, float, bool, str, or a list of these.")
        .def(
            "pairs",
            [](const GgufHeader& header, size_t i) {
                if (i >= header.metadata.size()) throw nb::index_error();
                auto* array = std::get_if<GgufArray>(&header.metadata[i].value);
                return array && array->type == GgufType::kString ? pairs_of(*array) : nb::none();
            },
            nb::arg("index"), nb::sig("def pairs(self, index: int) -> list[tuple[str, str]] | None"),
            "The strings of key number `index`, each split at its first space; None if it is no list of "
            "strings.")
        .def(
            "type",
            [](const GgufHeader& header, size_t i) {
                if (i >= header.metadata.size()) throw nb::index_error();
                return declared_type(header.metadata[i]);
            },
            nb::arg("index"),
            "The declared type of key number `index`, by its name in the GGUF specification.");
    m.def("gguf_open", &open, nb::arg("path"),
          "Reads the header of the GGUF file at `path` (os.fsencode of it).");
    m.def("gguf_parse", &parse, nb::arg("head"), nb::arg("file_bytes"),
          nb::sig("def gguf_parse(head: bytes, file_bytes: int) -> GgufHeader | int"),
          "Reads a header from the first bytes of a file. If `head` is too short, returns the number of "
          "bytes to "
          "try next.");
    m.def(
        "printable", [](nb::bytes text) { return printable({text.c_str(), text.size()}, 4096); },
        nb::arg("text"),
        "Untrusted bytes as text for a message, with invalid and control characters escaped.");
    m.def("formats", &formats, nb::sig("def formats() -> list[tuple[str, int, int, int]]"),
          "(name, GGUF id, weights per block, bytes per block) of every weight format.");
}

}  // namespace zp
