// What a server may answer to a client: parsed, checked against the request, and its pages decoded.

#include <algorithm>
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
  ForEachSlot(request, [&](Offset offset, uint64_t, size_t i) {
    FUZZ_CHECK(answer.lengths[i] <= rest.size());
    const LoadedPage page{answer.encodings[i],
                          answer.checksums[i],
                          {answer.stamp_tokens[i], answer.stamp_sequences[i]},
                          rest.first(answer.lengths[i])};
    rest = rest.subspan(answer.lengths[i]);
    std::array<std::byte, kPageBytes> plain;
    if (DecodePage(kSpace, offset, page, plain) && page.encoding != Encoding::kZero) {
      FUZZ_CHECK(PageChecksum(kSpace, offset, page.stamp, plain) == page.checksum);
    }
  });
  FUZZ_CHECK(rest.empty());
}

template <typename Ours, typename Theirs>
void CheckEqual(const Ours& ours, const Theirs& theirs) {
  FUZZ_CHECK(std::ranges::equal(
      ours, theirs, [](auto our, auto their) { return our == static_cast<decltype(our)>(their); }));
}

// Where the message is just as protobuf would write it, both read the same.
void CheckAgainstProtobuf(ByteView message, const Status& status, const Answer& answer) {
  v1::ExchangeResponse whole;
  if (!whole.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return;
  }
  whole.DiscardUnknownFields();
  if (whole.SerializeAsString() != fuzz::AsText(message)) {
    return;
  }
  const v1::LoadResponse& load = whole.load();
  const auto too_long = [](auto count) { return static_cast<size_t>(count) > kBatchPagesMax; };
  if (!(whole.has_load() || whole.has_store()) || too_long(whole.store().codes().size()) ||
      too_long(load.codes().size()) || too_long(load.encodings().size()) ||
      too_long(load.lengths_size()) || too_long(load.checksums_size()) ||
      too_long(load.stamp_tokens_size()) || too_long(load.stamp_sequences_size())) {
    return;
  }
  FUZZ_CHECK(status.ok());
  FUZZ_CHECK(answer.id == whole.id());
  if (whole.has_store()) {
    FUZZ_CHECK(answer.epoch == whole.store().shard_epoch());
    return CheckEqual(answer.codes, whole.store().codes());
  }
  FUZZ_CHECK(answer.epoch == load.shard_epoch());
  FUZZ_CHECK(fuzz::AsText(answer.pages) == load.pages());
  CheckEqual(answer.codes, load.codes());
  CheckEqual(answer.encodings, load.encodings());
  CheckEqual(answer.lengths, load.lengths());
  CheckEqual(answer.checksums, load.checksums());
  CheckEqual(answer.stamp_tokens, load.stamp_tokens());
  CheckEqual(answer.stamp_sequences, load.stamp_sequences());
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
  request.Add({{100, 1u + input.Take<uint8_t>()}, 0});
  const ByteView message = input.Rest();
  static Answer answer;  // as in a session, used again
  const Status status = ParseAnswer(message, answer);
  CheckAgainstProtobuf(message, status, answer);
  if (!status.ok() || !answer.status.ok() || !CheckAnswer(request, answer).ok()) {
    return 0;
  }
  FUZZ_CHECK(answer.kind == request.kind);
  if (request.kind == RequestKind::kLoad) {
    FUZZ_CHECK(answer.codes.size() == request.pages);
    CheckPages(request, answer);
  } else if (request.kind == RequestKind::kStore) {
    FUZZ_CHECK(answer.codes.size() == request.pages);
  } else if (request.kind == RequestKind::kExtents) {
    uint64_t covered = 0;
    for (const v1::BackingRun& run : answer.extents.runs()) {
      covered += run.pages();
      FUZZ_CHECK(covered <= request.pages);
    }
  }
  return 0;
}
