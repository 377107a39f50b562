// Messages of node and table log: converted or refused; what is converted means the same again.

#include "services/cluster/node_wire.h"
#include "services/common/checksum.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/quiet_protobuf.h"

namespace vswap {
namespace {

constexpr PageName kAsked[] = {{1, 100, 7}, {1, 101, 8}, {2, 0, kVersionMax}};

template <typename Message>
bool Parse(ByteView bytes, Message* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

void CheckEncoding(Encoding encoding, const v1::PageRecord& record) {
  FUZZ_CHECK(encoding == Encoding::kUnset || static_cast<int>(encoding) == record.encoding());
}

void CheckPut(const v1::PutRequest& request) {
  const StatusOr<std::vector<PutPage>> pages = ToPutPages(request);
  if (!pages.ok()) {
    return;
  }
  FUZZ_CHECK(!pages->empty() && pages->size() <= kBatchPagesMax);
  size_t bytes = 0;
  for (const PutPage& page : *pages) {
    FUZZ_CHECK(page.name.offset < kSpacePagesMax && page.name.version <= kVersionMax);
    bytes += page.bytes.size();
  }
  FUZZ_CHECK(bytes == request.pages().size());
  FUZZ_CHECK(ToRequest(*pages).pages() == request.pages());
  for (size_t i = 0; i < pages->size(); ++i) {
    const int at = static_cast<int>(i);
    CheckEncoding((*pages)[i].encoding, request.pages_info(at).record());
  }
}

void CheckGet(const v1::GetResponse& response) {
  const std::vector<PageName> names(std::begin(kAsked), std::end(kAsked));
  const StatusOr<GetReply> reply = ToReply(response, names);
  if (!reply.ok()) {
    return;
  }
  FUZZ_CHECK(reply->pages.size() == names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const GotPage& page = reply->pages[i];
    if (page.code == PageCode::kOk) {
      FUZZ_CHECK(page.stored_bytes <= kPageBytes);
      FUZZ_CHECK(page.begin + page.stored_bytes <= reply->payload.size());
      CheckEncoding(page.encoding, response.records(static_cast<int>(i)));
      FUZZ_CHECK(RecordChecksum(names[i], page.stamp, page.page_checksum, page.encoding,
                                reply->BytesOf(page)) == page.record_checksum);
    }
  }
}

void CheckPutReply(const v1::PutResponse& response, size_t pages) {
  const StatusOr<PutReply> reply = ToReply(response, pages);
  if (reply.ok()) {
    FUZZ_CHECK(reply->pages.size() == pages);
    for (size_t i = 0; i < pages; ++i) {
      FUZZ_CHECK(reply->pages[i].stored_bytes == response.lengths(static_cast<int>(i)));
    }
  }
}

void CheckLog(ByteView bytes) {
  if (v1::WriteRequest message; Parse(bytes, &message)) {
    FUZZ_CHECK(ToRequest(ToLogWrite(message)).ByteSizeLong() <= message.ByteSizeLong());
  }
  if (v1::SealResponse message; Parse(bytes, &message)) {
    FUZZ_CHECK(ToResponse(ToLogEnd(message)).ByteSizeLong() <= message.ByteSizeLong());
  }
  if (v1::ReadResponse message; Parse(bytes, &message)) {
    FUZZ_CHECK(ToResponse(ToReply(message)).ByteSizeLong() <= message.ByteSizeLong());
  }
}

}  // namespace
}  // namespace vswap

// First byte: which message.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t data_bytes) {
  using namespace vswap;
  fuzz::Input input(data, data_bytes);
  const uint8_t kind = input.Take<uint8_t>();
  const ByteView bytes = input.Rest();
  if (v1::PutRequest put; kind == 0 && Parse(bytes, &put)) {
    CheckPut(put);
  }
  if (v1::GetResponse got; kind == 1 && Parse(bytes, &got)) {
    CheckGet(got);
  }
  if (v1::PutResponse put; kind == 2 && Parse(bytes, &put)) {
    CheckPutReply(put, put.codes().size());
  }
  if (v1::GetRequest get; kind == 3 && Parse(bytes, &get)) {
    const auto names = ToNames(get.names());
    FUZZ_CHECK(!names.ok() || names->size() == static_cast<size_t>(get.names_size()));
  }
  if (kind == 4) {
    CheckLog(bytes);
  }
  return 0;
}
