#include "services/cluster/node_wire.h"

#include <algorithm>
#include <span>

#include "services/common/checksum.h"

namespace vswap {
namespace {

Status CheckName(const PageName& name) {
  if (name.offset >= kSpacePagesMax) {
    return InvalidField("offset", std::to_string(name.offset), "0..2^41 - 1");
  }
  if (name.version == 0 || name.version > kVersionMax) {
    return InvalidField("version", std::to_string(name.version), "1..2^48 - 1");
  }
  return Status();
}

Status CheckNames(const std::vector<PageName>& names) {
  if (names.empty() || names.size() > kBatchPagesMax) {
    return InvalidField("pages", std::to_string(names.size()), "1..512");
  }
  for (const PageName& name : names) {
    VSWAP_RETURN_IF_ERROR(CheckName(name));
  }
  std::vector<PageName> sorted = names;
  std::ranges::sort(sorted);
  if (std::ranges::adjacent_find(sorted) != sorted.end()) {
    return InvalidField("pages", "a batch with a name twice", "each name once");
  }
  return Status();
}

Status BadAnswer(std::string_view what) {
  return MakeError(StatusCode::kInternal, "node: the answer does not fit: " + std::string(what));
}

void FillRecord(const PageName& name, const GotPage& page, v1::PageRecord* out) {
  FillName(name, out->mutable_name());
  out->set_stamp_token(page.stamp.token);
  out->set_stamp_sequence(page.stamp.sequence);
  out->set_page_checksum(page.page_checksum);
  out->set_record_checksum(page.record_checksum);
  out->set_encoding(static_cast<v1::Encoding>(page.encoding));
  out->set_length(page.stored_bytes);
}

// A number that is none of ours is kUnset, which nobody takes; cut to a byte it could be another's.
Encoding ToEncoding(v1::Encoding encoding) {
  return v1::Encoding_IsValid(encoding) ? static_cast<Encoding>(encoding) : Encoding::kUnset;
}

GotPage Failed(PageCode code) {
  GotPage page;
  page.code = code;
  return page;
}

// One page of an answer, whose bytes begin at `begin` of the reply's payload.
GotPage ToGotPage(const v1::PageRecord& record, const PageName& asked, size_t begin,
                  ByteView bytes) {
  GotPage page;
  page.code = PageCode::kOk;
  page.encoding = ToEncoding(record.encoding());
  page.stored_bytes = static_cast<uint16_t>(bytes.size());
  page.begin = static_cast<uint32_t>(begin);
  page.page_checksum = record.page_checksum();
  page.record_checksum = record.record_checksum();
  page.stamp = {record.stamp_token(), record.stamp_sequence()};
  if (RecordChecksum(asked, page.stamp, page.page_checksum, page.encoding, bytes) !=
      page.record_checksum) {
    return Failed(PageCode::kCorrupt);
  }
  return page;
}

}  // namespace

void FillName(const PageName& name, v1::PageName* out) {
  out->set_space(name.space);
  out->set_offset(name.offset);
  out->set_version(name.version);
}

PageName ToName(const v1::PageName& name) { return {name.space(), name.offset(), name.version()}; }

StatusOr<std::vector<PageName>> ToNames(
    const google::protobuf::RepeatedPtrField<v1::PageName>& names) {
  std::vector<PageName> result;
  for (const v1::PageName& name : names) {
    result.push_back(ToName(name));
  }
  VSWAP_RETURN_IF_ERROR(CheckNames(result));
  return result;
}

v1::PutRequest ToRequest(const std::vector<PutPage>& pages) {
  v1::PutRequest request;
  for (const PutPage& page : pages) {
    v1::PutPage* out = request.add_pages_info();
    v1::PageRecord* record = out->mutable_record();
    FillName(page.name, record->mutable_name());
    record->set_stamp_token(page.stamp.token);
    record->set_stamp_sequence(page.stamp.sequence);
    record->set_page_checksum(page.page_checksum);
    record->set_record_checksum(page.record_checksum);
    record->set_encoding(static_cast<v1::Encoding>(page.encoding));
    record->set_length(static_cast<uint32_t>(page.bytes.size()));
    out->set_replaces_bytes(page.replaces_bytes);
    out->set_as_is(page.as_is);
    request.mutable_pages()->append(reinterpret_cast<const char*>(page.bytes.data()),
                                    page.bytes.size());
  }
  return request;
}

StatusOr<std::vector<PutPage>> ToPutPages(const v1::PutRequest& request) {
  std::vector<PutPage> pages;
  std::vector<PageName> names;
  ByteView rest = std::as_bytes(std::span(request.pages()));
  for (const v1::PutPage& page : request.pages_info()) {
    const v1::PageRecord& record = page.record();
    if (record.length() > rest.size()) {
      return InvalidField("length", std::to_string(record.length()), "together as long as pages");
    }
    if (page.replaces_bytes() > kPageBytes) {
      return InvalidField("replaces_bytes", std::to_string(page.replaces_bytes()), "0..4096");
    }
    names.push_back(ToName(record.name()));
    pages.push_back({.name = names.back(),
                     .stamp = {record.stamp_token(), record.stamp_sequence()},
                     .page_checksum = record.page_checksum(),
                     .record_checksum = record.record_checksum(),
                     .encoding = ToEncoding(record.encoding()),
                     .as_is = page.as_is(),
                     .replaces_bytes = page.replaces_bytes(),
                     .bytes = rest.first(record.length())});
    rest = rest.subspan(record.length());
  }
  VSWAP_RETURN_IF_ERROR(CheckNames(names));
  if (!rest.empty()) {
    return InvalidField("pages", std::to_string(rest.size()) + " bytes more than the lengths",
                        "the sum of the lengths");
  }
  return pages;
}

v1::PutResponse ToResponse(const PutReply& reply) {
  v1::PutResponse response;
  response.set_incarnation(reply.incarnation);
  for (const PutOutcome& page : reply.pages) {
    response.mutable_codes()->push_back(static_cast<char>(page.code));
    response.add_lengths(page.stored_bytes);
  }
  return response;
}

StatusOr<PutReply> ToReply(const v1::PutResponse& response, size_t pages) {
  if (response.codes().size() != pages || static_cast<size_t>(response.lengths_size()) != pages) {
    return BadAnswer("codes or lengths");
  }
  PutReply reply{response.incarnation(), {}};
  for (size_t i = 0; i < pages; ++i) {
    const auto code = static_cast<PageCode>(response.codes()[i]);
    const uint32_t length = response.lengths(static_cast<int>(i));
    if (length > kPageBytes || (code == PageCode::kOk && length == 0)) {
      return BadAnswer("length");
    }
    reply.pages.push_back({code, static_cast<uint16_t>(length)});
  }
  return reply;
}

v1::GetResponse ToResponse(const std::vector<PageName>& names, const GetReply& reply) {
  v1::GetResponse response;
  response.set_incarnation(reply.incarnation);
  for (size_t i = 0; i < reply.pages.size(); ++i) {
    const GotPage& page = reply.pages[i];
    response.mutable_codes()->push_back(static_cast<char>(page.code));
    v1::PageRecord* record = response.add_records();
    if (page.code == PageCode::kOk) {
      FillRecord(names[i], page, record);
      const ByteView bytes = reply.BytesOf(page);
      response.mutable_pages()->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
  }
  return response;
}

StatusOr<GetReply> ToReply(const v1::GetResponse& response, const std::vector<PageName>& names) {
  if (response.codes().size() != names.size() ||
      static_cast<size_t>(response.records_size()) != names.size()) {
    return BadAnswer("codes or records");
  }
  GetReply reply;
  reply.incarnation = response.incarnation();
  const ByteView bytes = std::as_bytes(std::span(response.pages()));
  reply.payload.assign(bytes.begin(), bytes.end());
  size_t begin = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto code = static_cast<PageCode>(response.codes()[i]);
    const v1::PageRecord& record = response.records(static_cast<int>(i));
    if (code != PageCode::kOk) {
      reply.pages.push_back(Failed(code));
      continue;
    }
    if (record.length() > kPageBytes || record.length() > bytes.size() - begin) {
      return BadAnswer("length");
    }
    reply.pages.push_back(
        ToGotPage(record, names[i], begin, bytes.subspan(begin, record.length())));
    begin += record.length();
  }
  return reply;
}

v1::InventoryResponse ToResponse(const InventoryReply& reply) {
  v1::InventoryResponse response;
  response.set_incarnation(reply.incarnation);
  response.set_next_cursor(reply.next_cursor);
  for (const PageName& name : reply.names) {
    FillName(name, response.add_names());
  }
  return response;
}

InventoryReply ToReply(const v1::InventoryResponse& response) {
  InventoryReply reply{response.incarnation(), {}, response.next_cursor()};
  for (const v1::PageName& name : response.names()) {
    reply.names.push_back(ToName(name));
  }
  return reply;
}

v1::VerifyResponse ToResponse(const VerifyReply& reply) {
  v1::VerifyResponse response;
  response.set_incarnation(reply.incarnation);
  for (const PageCode code : reply.codes) {
    response.mutable_codes()->push_back(static_cast<char>(code));
  }
  return response;
}

StatusOr<VerifyReply> ToReply(const v1::VerifyResponse& response, size_t pages) {
  if (response.codes().size() != pages) {
    return BadAnswer("codes");
  }
  VerifyReply reply{response.incarnation(), {}};
  for (const char code : response.codes()) {
    reply.codes.push_back(static_cast<PageCode>(code));
  }
  return reply;
}

namespace {

void Fill(const RequestRecord& record, v1::RequestRecord* out) {
  out->set_space(record.name.space);
  out->set_token(record.name.token);
  out->set_sequence(record.name.sequence);
  out->set_result(record.result);
}

RequestRecord ToRecord(const v1::RequestRecord& record) {
  return {{record.space(), record.token(), record.sequence()}, record.result()};
}

}  // namespace

v1::WriteRequest ToRequest(const LogWrite& write) {
  v1::WriteRequest request;
  request.set_shard(write.shard);
  request.set_epoch(write.epoch);
  request.set_sequence(write.sequence);
  request.set_versions_reserved(write.versions_reserved);
  request.set_begins(write.begins);
  for (const SlotRecord& slot : write.slots) {
    v1::SlotRecord* out = request.add_slots();
    out->set_space(slot.space);
    out->set_offset(slot.offset);
    out->set_word(slot.word);
    out->set_companion(slot.companion);
  }
  for (const SlotName& slot : write.purges) {
    v1::SlotName* out = request.add_purges();
    out->set_space(slot.space);
    out->set_offset(slot.offset);
  }
  for (const TokenRecord& token : write.tokens) {
    v1::TokenRecord* out = request.add_tokens();
    out->set_space(token.space);
    out->set_token(token.token);
  }
  for (const RequestRecord& record : write.requests) {
    Fill(record, request.add_requests());
  }
  for (const RequestName& name : write.forgotten) {
    v1::RequestName* out = request.add_forgotten();
    out->set_space(name.space);
    out->set_token(name.token);
    out->set_sequence(name.sequence);
  }
  return request;
}

LogWrite ToLogWrite(const v1::WriteRequest& request) {
  LogWrite write;
  write.shard = request.shard();
  write.epoch = request.epoch();
  write.sequence = request.sequence();
  write.versions_reserved = request.versions_reserved();
  write.begins = request.begins();
  for (const v1::SlotRecord& slot : request.slots()) {
    write.slots.push_back({slot.space(), slot.offset(), slot.word(), slot.companion()});
  }
  for (const v1::SlotName& slot : request.purges()) {
    write.purges.push_back({slot.space(), slot.offset()});
  }
  for (const v1::TokenRecord& token : request.tokens()) {
    write.tokens.push_back({token.space(), token.token()});
  }
  for (const v1::RequestRecord& record : request.requests()) {
    write.requests.push_back(ToRecord(record));
  }
  for (const v1::RequestName& name : request.forgotten()) {
    write.forgotten.push_back({name.space(), name.token(), name.sequence()});
  }
  return write;
}

v1::SealResponse ToResponse(const LogEnd& end) {
  v1::SealResponse response;
  response.set_last_sequence(end.last_sequence);
  response.set_versions_reserved(end.versions_reserved);
  response.set_incarnation(end.incarnation);
  for (const TokenRecord& token : end.tokens) {
    v1::TokenRecord* out = response.add_tokens();
    out->set_space(token.space);
    out->set_token(token.token);
  }
  return response;
}

LogEnd ToLogEnd(const v1::SealResponse& response) {
  LogEnd end{response.last_sequence(), response.versions_reserved(), {}, response.incarnation()};
  for (const v1::TokenRecord& token : response.tokens()) {
    end.tokens.push_back({token.space(), token.token()});
  }
  return end;
}

v1::ReadResponse ToResponse(const LogReadReply& reply) {
  v1::ReadResponse response;
  response.set_next_cursor(reply.next_cursor);
  for (const SlotRecord& slot : reply.slots) {
    v1::SlotRecord* out = response.add_slots();
    out->set_space(slot.space);
    out->set_offset(slot.offset);
    out->set_word(slot.word);
    out->set_companion(slot.companion);
  }
  for (const RequestRecord& record : reply.requests) {
    Fill(record, response.add_requests());
  }
  return response;
}

LogReadReply ToReply(const v1::ReadResponse& response) {
  LogReadReply reply;
  reply.next_cursor = response.next_cursor();
  for (const v1::SlotRecord& slot : response.slots()) {
    reply.slots.push_back({slot.space(), slot.offset(), slot.word(), slot.companion()});
  }
  for (const v1::RequestRecord& record : response.requests()) {
    reply.requests.push_back(ToRecord(record));
  }
  return reply;
}

}  // namespace vswap
