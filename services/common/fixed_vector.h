#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <span>
#include <type_traits>

namespace vswap {

// A vector of at most kMax elements that lie within it. What is not in use is not initialised.
template <typename T, size_t kMax>
class FixedVector {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr size_t capacity() { return kMax; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  bool full() const { return size_ == kMax; }

  T& operator[](size_t i) { return items_[i]; }
  const T& operator[](size_t i) const { return items_[i]; }
  T& back() { return items_[size_ - 1]; }
  const T& front() const { return items_[0]; }
  T* begin() { return items_.data(); }
  T* end() { return items_.data() + size_; }
  const T* begin() const { return items_.data(); }
  const T* end() const { return items_.data() + size_; }
  std::span<const T> view() const { return {items_.data(), size_}; }

  // There is room for it.
  void push_back(const T& item) {
    assert(size_ < kMax);
    items_[size_++] = item;
  }
  void pop_back() { --size_; }
  // Keeps the order of the others.
  void erase(size_t at) {
    for (size_t i = at + 1; i < size_; ++i) {
      items_[i - 1] = items_[i];
    }
    --size_;
  }
  void clear() { size_ = 0; }

 private:
  size_t size_ = 0;
  std::array<T, kMax> items_;
};

}  // namespace vswap
