#pragma once

#include <optional>
#include <string>

#include "client/request.h"

namespace vswap::client {

// What differs between two sendings of one request.
struct SendHeader {
  SpaceId space = 0;
  Token token = 0;
  Epoch epoch = 0;
  Sequence floor = 0;
};

// Fills encodings and checksums of a store. The request's sequence is set.
void PrepareStore(SpaceId space, Token token, Request* request);

// The ExchangeRequest up to its page bytes; `pages` are those bytes, borrowed from the request.
std::string MakeRequestHead(const SendHeader& header, const Request& request,
                            std::vector<ByteView>* pages);

// An ExchangeResponse. INVALID_ARGUMENT: not one.
StatusOr<Answer> ParseAnswer(ByteView message);
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
