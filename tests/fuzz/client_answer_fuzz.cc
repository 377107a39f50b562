// What a server may answer to a client: parsed, checked against the request, and its pages decoded.

#include <array>

#include "client/messages.h"
#include "services/common/checksum.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/quiet_protobuf.h"

namespace vswap::client {
namespace {

constexpr SpaceId kSpace = 3;

void CheckPages(const Request& request, const Answer& answer) {
  ByteView rest = answer.pages;
  const uint32_t pages = request.extents.front().pages;
  for (uint32_t i = 0; i < pages; ++i) {
    const int at = static_cast<int>(i);
    const uint32_t length = answer.load.lengths(at);
    FUZZ_CHECK(length <= rest.size());
    const LoadedPage page{static_cast<Encoding>(answer.load.encodings()[i]),
                          answer.load.checksums(at),
                          {answer.load.stamp_tokens(at), answer.load.stamp_sequences(at)},
                          rest.first(length)};
    rest = rest.subspan(length);
    std::array<std::byte, kPageBytes> plain;
    const Offset offset = request.extents.front().offset + i;
    if (DecodePage(kSpace, offset, page, plain) && page.encoding != Encoding::kZero) {
      FUZZ_CHECK(PageChecksum(kSpace, offset, page.stamp, plain) == page.checksum);
    }
  }
  FUZZ_CHECK(rest.empty());
}

}  // namespace
}  // namespace vswap::client

// The first two bytes: kind and pages of the request that is answered.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t data_bytes) {
  using namespace vswap;
  using namespace vswap::client;
  fuzz::Input input(data, data_bytes);
  Request request;
  request.kind = static_cast<RequestKind>(2 + input.Take<uint8_t>() % 5);
  request.extents = {{100, 1u + input.Take<uint8_t>()}};
  const ByteView message = input.Rest();
  const StatusOr<Answer> answer = ParseAnswer(message);
  if (!answer.ok() || !answer->status.ok() || !CheckAnswer(request, *answer).ok()) {
    return 0;
  }
  FUZZ_CHECK(answer->kind == request.kind);
  const uint32_t pages = request.extents.front().pages;
  if (request.kind == RequestKind::kLoad) {
    FUZZ_CHECK(answer->load.codes().size() == pages);
    CheckPages(request, *answer);
  } else if (request.kind == RequestKind::kStore) {
    FUZZ_CHECK(answer->store.codes().size() == pages);
  } else if (request.kind == RequestKind::kExtents) {
    uint64_t covered = 0;
    for (const v1::BackingRun& run : answer->extents.runs()) {
      covered += run.pages();
      FUZZ_CHECK(covered <= pages);
    }
  }
  return 0;
}
