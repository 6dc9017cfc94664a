// Conversions between numpy arrays and C++ containers.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace zp {

using Ids = nanobind::ndarray<const int32_t, nanobind::numpy, nanobind::ndim<1>, nanobind::c_contig,
                              nanobind::device::cpu>;

inline std::span<const int32_t> span_of(const Ids& ids) { return {ids.data(), ids.size()}; }

// A numpy array that owns `values`.
template <class T>
nanobind::ndarray<T, nanobind::numpy> owned(std::unique_ptr<std::vector<T>> values,
                                            std::vector<size_t> shape) {
    std::vector<T>* data = values.get();
    nanobind::capsule owner(values.release(),
                            [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nanobind::ndarray<T, nanobind::numpy>(data->data(), shape.size(), shape.data(), owner);
}
template <class T>
nanobind::ndarray<T, nanobind::numpy> owned(std::vector<T> values, std::vector<size_t> shape) {
    return owned(std::make_unique<std::vector<T>>(std::move(values)), std::move(shape));
}

}  // namespace zp
