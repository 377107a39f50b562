#include "tests/support/memory_node.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "services/common/checksum.h"
#include "services/compressor/codec.h"

namespace vswap {
namespace {

constexpr uint32_t kInventoryNamesMax = 4096;

Status ValidateBatch(const std::set<PageName>& distinct, size_t count) {
  if (count == 0 || count > kBatchPagesMax) {
    return InvalidField("pages", std::to_string(count), "1.." + std::to_string(kBatchPagesMax));
  }
  return distinct.size() == count
             ? absl::OkStatus()
             : InvalidField("pages", "a batch with a name twice", "each name once");
}

Status ValidateNames(const std::vector<PageName>& names) {
  return ValidateBatch({names.begin(), names.end()}, names.size());
}

Status ValidatePages(const std::vector<PutPage>& pages) {
  std::set<PageName> distinct;
  for (const PutPage& page : pages) {
    distinct.insert(page.name);
  }
  return ValidateBatch(distinct, pages.size());
}

}  // namespace

template <typename T>
void MemoryNode::Answer(StatusOr<T> answer, Callback<T> done) {
  if (options_.executor == nullptr) {
    done(std::move(answer));
    return;
  }
  auto shared = std::make_shared<StatusOr<T>>(std::move(answer));
  options_.executor->Post([shared, done = std::move(done)] { done(std::move(*shared)); });
}

void MemoryNode::Put(std::vector<PutPage> pages, Lane, Callback<PutReply> done) {
  Answer<PutReply>(faults_.put.Apply<PutReply>([&] { return DoPut(pages); }), std::move(done));
}

void MemoryNode::Get(std::vector<PageName> names, Lane, Callback<GetReply> done) {
  Answer<GetReply>(faults_.get.Apply<GetReply>([&] { return DoGet(names); }), std::move(done));
}

void MemoryNode::Delete(std::vector<PageName> names, Callback<Incarnation> done) {
  Answer<Incarnation>(faults_.remove.Apply<Incarnation>([&] { return DoDelete(names); }),
                      std::move(done));
}

void MemoryNode::Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) {
  Answer<InventoryReply>(
      faults_.inventory.Apply<InventoryReply>([&] { return DoInventory(cursor, limit); }),
      std::move(done));
}

void MemoryNode::Verify(std::vector<PageName> names, Callback<VerifyReply> done) {
  Answer<VerifyReply>(faults_.verify.Apply<VerifyReply>([&] { return DoVerify(names); }),
                      std::move(done));
}

void MemoryNode::Statistics(Callback<NodeStatistics> done) {
  NodeStatistics statistics;
  {
    MutexLock lock(mutex_);
    statistics.incarnation = incarnation_;
    statistics.pages = records_.size();
    statistics.pages_capacity = options_.capacity_pages;
    for (const auto& [name, record] : records_) {
      statistics.payload_bytes += record.bytes.size();
    }
    statistics.corrupt_pages = corrupt_pages_;
    statistics.used_bytes = statistics.payload_bytes + records_.size() * sizeof(Record);
  }
  Answer<NodeStatistics>(statistics, std::move(done));
}

StatusOr<PutReply> MemoryNode::DoPut(const std::vector<PutPage>& pages) {
  VSWAP_RETURN_IF_ERROR(ValidatePages(pages));
  MutexLock lock(mutex_);
  PutReply reply{incarnation_, {}};
  for (const PutPage& page : pages) {
    reply.pages.push_back(Keep(page));
  }
  return reply;
}

PutOutcome MemoryNode::Keep(const PutPage& page) {
  Record record;
  const PageCode code = Prepare(page, record);
  if (code != PageCode::kOk) {
    return {code, 0};
  }
  const auto stored_bytes = static_cast<uint16_t>(record.bytes.size());
  const uint64_t room =
      options_.capacity_pages + (page.replaces_bytes > 0 ? options_.overlap_pages : 0);
  if (!records_.contains(page.name) && records_.size() >= room) {
    return {PageCode::kResourceExhausted, 0};
  }
  NoteChange(page.name);
  records_[page.name] = std::move(record);
  return {PageCode::kOk, stored_bytes};
}

PageCode MemoryNode::Prepare(const PutPage& page, Record& record) const {
  if (const PageCode code = VerifyPut(page); code != PageCode::kOk) {
    return code;
  }
  record = {page.stamp, page.page_checksum, page.record_checksum, page.encoding,
            std::vector<std::byte>(page.bytes.begin(), page.bytes.end())};
  if (page.as_is) {
    return PageCode::kOk;
  }
  if (page.encoding == Encoding::kRaw) {
    if (auto block = CompressPage(PageView(page.bytes.data(), kPageBytes))) {
      record.encoding = Encoding::kLz4;
      record.bytes = *std::move(block);
      record.record_checksum =
          RecordChecksum(page.name, page.stamp, page.page_checksum, record.encoding, record.bytes);
    }
  }
  const bool small = record.bytes.size() <= kCompressedBytesMax;
  return small || options_.mode == Mode::kPhysical ? PageCode::kOk : PageCode::kIncompressible;
}

StatusOr<GetReply> MemoryNode::DoGet(const std::vector<PageName>& names) {
  VSWAP_RETURN_IF_ERROR(ValidateNames(names));
  MutexLock lock(mutex_);
  GetReply reply{incarnation_, std::vector<GotPage>(names.size()), {}};
  for (size_t i = 0; i < names.size(); ++i) {
    GotPage& page = reply.pages[i];
    const auto it = records_.find(names[i]);
    if (it == records_.end()) {
      page.code = PageCode::kNotFound;
      continue;
    }
    const Record& record = it->second;
    if (RecordChecksum(names[i], record.stamp, record.page_checksum, record.encoding,
                       record.bytes) != record.record_checksum) {
      page.code = PageCode::kCorrupt;
      ++corrupt_pages_;
      continue;
    }
    page = {PageCode::kOk,
            record.encoding,
            static_cast<uint16_t>(record.bytes.size()),
            static_cast<uint32_t>(reply.payload.size()),
            record.page_checksum,
            record.record_checksum,
            record.stamp};
    reply.payload.insert(reply.payload.end(), record.bytes.begin(), record.bytes.end());
  }
  return reply;
}

StatusOr<Incarnation> MemoryNode::DoDelete(const std::vector<PageName>& names) {
  VSWAP_RETURN_IF_ERROR(ValidateNames(names));
  MutexLock lock(mutex_);
  for (const PageName& name : names) {
    NoteChange(name);
    records_.erase(name);
  }
  return incarnation_;
}

void MemoryNode::NoteChange(const PageName& name) {
  if (options_.undo_max == 0) {
    return;
  }
  const auto it = records_.find(name);
  before_.emplace_back(name, it == records_.end() ? std::nullopt : std::optional(it->second));
  if (before_.size() > options_.undo_max) {
    before_.pop_front();
  }
}

void MemoryNode::Undo(size_t changes) {
  MutexLock lock(mutex_);
  for (; changes > 0 && !before_.empty(); --changes) {
    auto& [name, record] = before_.back();
    if (record) {
      records_[name] = *std::move(record);
    } else {
      records_.erase(name);
    }
    before_.pop_back();
  }
}

// The cursor is the last name listed.
StatusOr<InventoryReply> MemoryNode::DoInventory(const std::string& cursor, uint32_t limit) {
  if (limit == 0 || limit > kInventoryNamesMax) {
    return InvalidField("limit", std::to_string(limit), "1.." + std::to_string(kInventoryNamesMax));
  }
  if (!cursor.empty() && cursor.size() != sizeof(PageName)) {
    return InvalidField("cursor", std::to_string(cursor.size()) + " bytes", "as answered");
  }
  PageName last;
  std::memcpy(&last, cursor.data(), cursor.size());
  MutexLock lock(mutex_);
  InventoryReply reply{incarnation_, {}, {}};
  auto it = cursor.empty() ? records_.begin() : records_.upper_bound(last);
  for (; it != records_.end() && reply.names.size() < limit; ++it) {
    reply.names.push_back(it->first);
  }
  if (it != records_.end()) {
    reply.next_cursor.assign(reinterpret_cast<const char*>(&reply.names.back()), sizeof(PageName));
  }
  return reply;
}

StatusOr<VerifyReply> MemoryNode::DoVerify(const std::vector<PageName>& names) {
  const StatusOr<GetReply> got = DoGet(names);
  VSWAP_RETURN_IF_ERROR(got.status());
  MutexLock lock(mutex_);
  verified_ += names.size();
  return ToVerified(*got);
}

void MemoryNode::SetIncarnation(Incarnation incarnation) {
  MutexLock lock(mutex_);
  incarnation_ = incarnation;
  before_.clear();
}

uint64_t MemoryNode::verified() {
  MutexLock lock(mutex_);
  return verified_;
}

std::vector<PageName> MemoryNode::Names() {
  MutexLock lock(mutex_);
  std::vector<PageName> names;
  for (const auto& [name, record] : records_) {
    names.push_back(name);
  }
  return names;
}

bool MemoryNode::Drop(const PageName& name) {
  MutexLock lock(mutex_);
  return records_.erase(name) > 0;
}

bool MemoryNode::FlipByte(const PageName& name, size_t index) {
  MutexLock lock(mutex_);
  const auto it = records_.find(name);
  if (it == records_.end() || index >= it->second.bytes.size()) {
    return false;
  }
  it->second.bytes[index] ^= std::byte{1};
  return true;
}

bool MemoryNode::PlantWrongPage(const PageName& name, PageView plain) {
  MutexLock lock(mutex_);
  const auto it = records_.find(name);
  if (it == records_.end()) {
    return false;
  }
  Record& record = it->second;
  record.encoding = Encoding::kRaw;
  record.bytes.assign(plain.begin(), plain.end());
  record.page_checksum = PageChecksum(name.space, name.offset, record.stamp, plain);
  record.record_checksum =
      RecordChecksum(name, record.stamp, record.page_checksum, record.encoding, record.bytes);
  return true;
}

}  // namespace vswap
