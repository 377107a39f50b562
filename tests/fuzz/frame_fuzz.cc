// Bytes of the stream: SplitFrame and the conversion of requests, against protobuf's own reading.

#include "services/common/frame.h"
#include "services/frontend/validate.h"
#include "services/frontend/wire.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/quiet_protobuf.h"

namespace vswap {
namespace {

using fuzz::AsText;

bool Within(ByteView part, ByteView whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void CheckStore(const v1::StoreRequest& head, ByteView pages) {
  const StatusOr<StoreCall> call = ToStoreCall(head, pages, nullptr);
  if (!call.ok()) {
    return;
  }
  FUZZ_CHECK(!call->pages.empty() && call->pages.size() <= kBatchPagesMax);
  size_t bytes = 0;
  for (const PageIn& page : call->pages) {
    FUZZ_CHECK(Within(page.bytes, pages));
    bytes += page.bytes.size();
  }
  FUZZ_CHECK(bytes == pages.size());
  if (ValidatePages(*call).ok()) {
    for (const PageIn& page : call->pages) {
      FUZZ_CHECK(page.bytes.size() <= kPageBytes);
    }
  }
}

template <typename Message>
bool Parse(ByteView bytes, Message* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// What protobuf says `pages` and the rest of the store are.
void CheckAgainstProtobuf(const Frame& frame, ByteView message) {
  v1::ExchangeRequest whole;
  if (!Parse(message, &whole)) {
    return;
  }
  FUZZ_CHECK(whole.id() == frame.id);
  FUZZ_CHECK(whole.op_case() == v1::ExchangeRequest::OP_NOT_SET ||
             static_cast<uint32_t>(whole.op_case()) == frame.field);
  if (!whole.has_store()) {
    return;
  }
  v1::StoreRequest head;
  FUZZ_CHECK(Parse(frame.head, &head));
  FUZZ_CHECK(head.pages().empty());
  FUZZ_CHECK(whole.store().pages() == AsText(frame.pages));
  whole.mutable_store()->clear_pages();
  FUZZ_CHECK(whole.store().SerializeAsString() == head.SerializeAsString());
}

}  // namespace
}  // namespace vswap

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t data_bytes) {
  using namespace vswap;
  const ByteView message = std::as_bytes(std::span(data, data_bytes));
  const StatusOr<Frame> frame = SplitFrame(message);
  if (!frame.ok()) {
    return 0;
  }
  FUZZ_CHECK(Within(frame->head, message) && Within(frame->pages, message));
  CheckAgainstProtobuf(*frame, message);
  if (v1::StoreRequest store; Parse(frame->head, &store)) {
    CheckStore(store, frame->pages);
  }
  const BatchLimits limits{.space_pages = 1 << 20, .shard_count = 3};
  if (v1::LoadRequest load; Parse(frame->head, &load)) {
    const LoadCall call = ToLoadCall(load);
    if (ValidateExtents(call.header, call.extents, limits).ok()) {
      uint64_t pages = 0;
      for (const Extent& extent : call.extents) {
        FUZZ_CHECK(extent.offset + extent.pages <= limits.space_pages);
        pages += extent.pages;
      }
      FUZZ_CHECK(pages > 0 && pages <= kBatchPagesMax);
    }
  }
  if (v1::FreeRequest free; Parse(frame->head, &free)) {
    FUZZ_CHECK(ToFreeCall(free).extents.size() == static_cast<size_t>(free.extents_size()));
  }
  // And back again.
  const std::string head =
      FrameHead(frame->id, frame->field, std::string(AsText(frame->head)), frame->pages.size()) +
      std::string(AsText(frame->pages));
  const StatusOr<Frame> again = SplitFrame(std::as_bytes(std::span(head)));
  FUZZ_CHECK(again.ok() && again->id == frame->id && again->field == frame->field);
  FUZZ_CHECK(AsText(again->head) == AsText(frame->head));
  FUZZ_CHECK(AsText(again->pages) == AsText(frame->pages));
  return 0;
}
