#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vswap {

inline constexpr size_t kPageBytes = 4096;
inline constexpr uint64_t kSpacePagesMax = uint64_t{1} << 41;  // 8 PiB
// Of one message: a folio of the largest order, so that it can be stored as a whole.
inline constexpr uint32_t kOrderMax = 9;
inline constexpr size_t kBatchPagesMax = size_t{1} << kOrderMax;
inline constexpr size_t kMessageBytesMax = kBatchPagesMax * kPageBytes + 256 * 1024;

// Bytes borrowed for the duration of a call.
using ByteView = std::span<const std::byte>;
using PageView = std::span<const std::byte, kPageBytes>;
using MutablePageView = std::span<std::byte, kPageBytes>;

// What became of one page; the numbers of vswap.v1.PageCode. 0 is never an answer.
enum class PageCode : uint8_t {
  kUnset = 0,
  kOk = 1,
  kNotFound = 2,
  kDataLoss = 3,
  kResourceExhausted = 4,
  kIncompressible = 5,
  kInvalid = 6,
  kCorrupt = 7,
  kUnavailable = 8,
  kFailedPrecondition = 9,
};

// How a page's bytes are written; the numbers of vswap.v1.Encoding.
enum class Encoding : uint8_t { kUnset = 0, kRaw = 1, kZero = 2, kLz4 = 3 };

// How the slots of a space become entries; the numbers of vswap.v1.SpaceKind.
enum class SpaceKind : uint8_t { kUnset = 0, kDevice = 1, kAllocated = 2 };

// A class of traffic; the numbers of vswap.v1.Lane.
enum class Lane : uint8_t { kUnset = 0, kDemand = 1, kPageOut = 2, kPrefetch = 3, kBackground = 4 };

// Static strings, for logs and metrics.
const char* Name(PageCode code);

// Whether the page holds only zeros. Touches at most one page; returns at the first other byte.
bool IsZeroPage(PageView page);

}  // namespace vswap
