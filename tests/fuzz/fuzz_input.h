#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "services/common/page.h"

// A fuzz target is one function: it takes any bytes and aborts where something is wrong. libFuzzer
// calls it (preset fuzz), or replay_main.cc with the files of the corpus.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t data_bytes);

namespace vswap::fuzz {

[[noreturn]] inline void Fail(const char* file, int line, const char* what) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
  std::abort();
}
#define FUZZ_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::vswap::fuzz::Fail(__FILE__, __LINE__, #condition))

// Takes a target's input apart from the front. What is not there reads as zeros. Thread-confined.
class Input {
 public:
  Input(const uint8_t* data, size_t data_bytes)
      : rest_(std::as_bytes(std::span(data, data_bytes))) {}

  bool done() const { return rest_.empty(); }
  // A number, little endian.
  template <typename T>
  T Take() {
    T value{};
    const ByteView bytes = Bytes(sizeof(T));
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::byte*>(&value));
    return value;
  }
  // As many as there are, up to `count`.
  ByteView Bytes(size_t count) {
    const ByteView taken = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  // A piece with two bytes of length before it.
  ByteView Piece() { return Bytes(Take<uint16_t>()); }
  ByteView Rest() { return Bytes(rest_.size()); }

 private:
  ByteView rest_;
};

// The other way, for make_corpus.cc.
class Output {
 public:
  template <typename T>
  Output& Put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  Output& Bytes(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  Output& Piece(std::string_view bytes) {
    return Put(static_cast<uint16_t>(bytes.size())).Bytes(bytes);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

inline std::string_view AsText(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace vswap::fuzz
