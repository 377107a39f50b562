#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace vswap {

static_assert(std::endian::native == std::endian::little, "formats are little endian");

// Keys are big endian, so that RocksDB's byte order is the order of numbers; values are little
// endian.

template <typename T>
void PutBigEndian(T value, char* to) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    to[i] = static_cast<char>(value >> (8 * (sizeof(T) - 1 - i)));
  }
}

template <typename T>
T GetBigEndian(const char* from) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(value << 8) | static_cast<unsigned char>(from[i]);
  }
  return value;
}

template <typename T>
void PutLittleEndian(T value, char* to) {
  std::memcpy(to, &value, sizeof(value));
}

template <typename T>
T GetLittleEndian(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

}  // namespace vswap
