#pragma once

#include <span>

#include "client/request.h"

namespace vswap::client {

// What differs between two sendings of one request.
struct SendHeader {
  SpaceId space = 0;
  Token token = 0;
  Epoch epoch = 0;
  Sequence floor = 0;
};

// The most bytes that an ExchangeRequest has before its page bytes.
inline constexpr size_t kRequestHeadBytesMax = 16384;

// Fills encodings and checksums of a store. The request's sequence is set.
void PrepareStore(SpaceId space, Token token, Request& request);

// The bytes of the pages that go with the request.
size_t WirePageBytes(const Request& request);
// An ExchangeRequest within `room`, which has kRequestHeadBytesMax bytes more than WirePageBytes:
// the page bytes, copied, end it at its end. The result is the part that was written.
std::span<std::byte> WriteRequest(const SendHeader& header, const Request& request,
                                  std::span<std::byte> room);

// An ExchangeResponse into `answer`, which borrows from it. INVALID_ARGUMENT: not one.
Status ParseAnswer(ByteView message, Answer& answer);
// That the answer has what the request asked for, page by page.
Status CheckAnswer(const Request& request, const Answer& answer);

// The bytes of one loaded page, as they came.
struct LoadedPage {
  Encoding encoding = Encoding::kUnset;
  uint32_t checksum = 0;
  Stamp stamp;
  ByteView bytes;
};
// Decodes into `plain` and then checks the checksum: false if the page is not what was stored, and
// `plain` is undefined.
bool DecodePage(SpaceId space, Offset offset, const LoadedPage& page, MutablePageView plain);

}  // namespace vswap::client
