#include "services/store/rocksdb_node.h"

#include <rocksdb/write_batch.h>

#include <algorithm>
#include <unordered_set>

#include "services/common/checksum.h"
#include "services/compressor/codec.h"
#include "services/store/record_format.h"

namespace vswap {
namespace {

constexpr uint32_t kInventoryNamesMax = 4096;

Status ValidateBatch(const std::vector<PageName>& names) {
  if (names.empty() || names.size() > kBatchPagesMax) {
    return InvalidField("pages", std::to_string(names.size()),
                        "1.." + std::to_string(kBatchPagesMax));
  }
  const std::unordered_set<PageName, PageNameHash> distinct(names.begin(), names.end());
  if (distinct.size() != names.size()) {
    return InvalidField("pages", "a batch with a name twice", "each name once");
  }
  return absl::OkStatus();
}

std::vector<PageName> NamesOf(const std::vector<PutPage>& pages) {
  std::vector<PageName> names;
  names.reserve(pages.size());
  for (const PutPage& page : pages) {
    names.push_back(page.name);
  }
  return names;
}

std::vector<PageKey> KeysOf(const std::vector<PageName>& names) {
  std::vector<PageKey> keys;
  keys.reserve(names.size());
  for (const PageName& name : names) {
    keys.push_back(EncodePageKey(name));
  }
  return keys;
}

// The values of some keys, as RocksDB answers a batch.
struct FoundValues {
  std::vector<rocksdb::PinnableSlice> values;
  std::vector<rocksdb::Status> statuses;
};

FoundValues GetMany(rocksdb::DB& db, rocksdb::ColumnFamilyHandle* family,
                    const std::vector<PageKey>& keys, const rocksdb::ReadOptions& options = {}) {
  std::vector<rocksdb::Slice> slices;
  slices.reserve(keys.size());
  for (const PageKey& key : keys) {
    slices.push_back(AsSlice(key));
  }
  FoundValues found{std::vector<rocksdb::PinnableSlice>(keys.size()),
                    std::vector<rocksdb::Status>(keys.size())};
  db.MultiGet(options, family, keys.size(), slices.data(), found.values.data(),
              found.statuses.data());
  return found;
}

}  // namespace

// One page of a put as it will lie on disk.
struct RocksdbNode::Prepared {
  PageCode code = PageCode::kUnset;  // kOk: to be written
  Encoding encoding = Encoding::kUnset;
  uint32_t record_checksum = 0;
  std::vector<std::byte> compressed;  // where it was compressed here
  ByteView bytes;                     // the caller's, or `compressed`: move only
  Prepared() = default;
  Prepared(Prepared&&) = default;
  Prepared& operator=(Prepared&&) = default;
};

StatusOr<std::unique_ptr<RocksdbNode>> RocksdbNode::Open(StoreDb& store, Executor& executor,
                                                         const RocksdbNodeOptions& options) {
  std::unique_ptr<RocksdbNode> node(new RocksdbNode(store, executor, options));
  VSWAP_RETURN_IF_ERROR(node->CountHeld());
  return node;
}

Status RocksdbNode::CountHeld() {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  options.readahead_size = 1 << 20;
  uint64_t pages = 0;
  uint64_t bytes = 0;
  const std::unique_ptr<rocksdb::Iterator> it(store_.db().NewIterator(options, store_.names()));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    const auto length = DecodeLength(AsView(it->value()));
    if (!length.has_value() || !DecodePageKey(AsView(it->key())).has_value()) {
      return MakeError(StatusCode::kDataLoss, "a record of column family names is damaged");
    }
    ++pages;
    bytes += *length;
  }
  room_.Count(pages, bytes);
  return FromRocksdb(it->status(), "counting the pages held");
}

void RocksdbNode::Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) {
  std::vector<PageName> names = NamesOf(pages);
  if (const Status valid = ValidateBatch(names); !valid.ok()) {
    done(valid);
    return;
  }
  exclusive_.Run(std::move(names), [this, pages = std::move(pages), lane, done = std::move(done)] {
    return [reply = DoPut(pages, lane), done] { done(reply); };
  });
}

void RocksdbNode::Get(std::vector<PageName> names, Lane, Callback<GetReply> done) {
  if (const Status valid = ValidateBatch(names); !valid.ok()) {
    done(valid);
    return;
  }
  executor_.Dispatch(
      [this, names = std::move(names), done = std::move(done)] { done(DoGet(names, {})); });
}

void RocksdbNode::Delete(std::vector<PageName> names, Callback<Incarnation> done) {
  if (const Status valid = ValidateBatch(names); !valid.ok()) {
    done(valid);
    return;
  }
  std::vector<PageName> claimed = names;
  exclusive_.Run(std::move(claimed), [this, names = std::move(names), done = std::move(done)] {
    return [reply = DoDelete(names), done] { done(reply); };
  });
}

void RocksdbNode::Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) {
  executor_.Dispatch([this, cursor = std::move(cursor), limit, done = std::move(done)] {
    done(DoInventory(cursor, limit));
  });
}

void RocksdbNode::Verify(std::vector<PageName> names, Callback<VerifyReply> done) {
  if (const Status valid = ValidateBatch(names); !valid.ok()) {
    done(valid);
    return;
  }
  executor_.Dispatch(
      [this, names = std::move(names), done = std::move(done)] { done(DoVerify(names)); });
}

void RocksdbNode::Statistics(Callback<NodeStatistics> done) {
  executor_.Dispatch([this, done = std::move(done)] {
    done(NodeStatistics{.incarnation = store_.incarnation(),
                        .pages = room_.pages(),
                        .pages_capacity = room_.capacity(),
                        .payload_bytes = room_.bytes(),
                        .used_bytes = store_.PageBytesInUse(),
                        .corrupt_pages = corrupt_pages(),
                        .background_errors = store_.background_errors()});
  });
}

StatusOr<RocksdbNode::HeldLengths> RocksdbNode::ReadHeldLengths(
    const std::vector<PageName>& names) {
  const FoundValues found = GetMany(store_.db(), store_.names(), KeysOf(names));
  HeldLengths lengths(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    if (found.statuses[i].IsNotFound()) {
      continue;
    }
    VSWAP_RETURN_IF_ERROR(FromRocksdb(found.statuses[i], "looking up a page's name"));
    lengths[i] = DecodeLength(AsView(found.values[i]));
    if (!lengths[i].has_value()) {
      return MakeError(StatusCode::kDataLoss, "a record of column family names is damaged");
    }
  }
  return lengths;
}

RocksdbNode::Prepared RocksdbNode::Prepare(const PutPage& page) {
  Prepared prepared;
  prepared.code = VerifyPut(page);
  prepared.encoding = page.encoding;
  prepared.record_checksum = page.record_checksum;
  prepared.bytes = page.bytes;
  if (prepared.code != PageCode::kOk || page.as_is || page.encoding != Encoding::kRaw) {
    return prepared;
  }
  if (auto compressed = CompressPage(PageView(page.bytes.data(), kPageBytes))) {
    prepared.compressed = *std::move(compressed);
    prepared.encoding = Encoding::kLz4;
    prepared.bytes = prepared.compressed;
    prepared.record_checksum = RecordChecksum(page.name, page.stamp, page.page_checksum,
                                              prepared.encoding, prepared.bytes);
  }
  return prepared;
}

StatusOr<PutReply> RocksdbNode::DoPut(const std::vector<PutPage>& pages, Lane lane) {
  std::vector<Prepared> prepared(pages.size());
  for (size_t i = 0; i < pages.size(); ++i) {
    prepared[i] = Prepare(pages[i]);
  }
  const auto held = ReadHeldLengths(NamesOf(pages));
  VSWAP_RETURN_IF_ERROR(held.status());
  uint64_t reserved = 0;
  for (size_t i = 0; i < pages.size(); ++i) {
    if (prepared[i].code == PageCode::kOk && !(*held)[i].has_value()) {
      const bool fits = room_.Reserve(pages[i].replaces_bytes > 0);
      prepared[i].code = fits ? PageCode::kOk : PageCode::kResourceExhausted;
      reserved += fits ? 1 : 0;
    }
  }
  if (const Status written = WritePrepared(pages, prepared, lane); !written.ok()) {
    room_.GiveBack(reserved, 0);
    return written;
  }
  PutReply reply{store_.incarnation(), {}};
  for (size_t i = 0; i < pages.size(); ++i) {
    PutOutcome outcome{prepared[i].code, 0};
    if (outcome.code == PageCode::kOk) {
      outcome.stored_bytes = static_cast<uint16_t>(prepared[i].bytes.size());
      room_.Fill(outcome.stored_bytes, (*held)[i].value_or(0));
    }
    reply.pages.push_back(outcome);
  }
  return reply;
}

Status RocksdbNode::WritePrepared(const std::vector<PutPage>& pages,
                                  const std::vector<Prepared>& prepared, Lane lane) {
  rocksdb::WriteBatch batch;
  for (size_t i = 0; i < pages.size(); ++i) {
    if (prepared[i].code != PageCode::kOk) {
      continue;
    }
    const auto stored_bytes = static_cast<uint16_t>(prepared[i].bytes.size());
    const PageKey key = EncodePageKey(pages[i].name);
    const RecordHeadBytes head =
        EncodeRecordHead({prepared[i].encoding, stored_bytes, pages[i].stamp,
                          pages[i].page_checksum, prepared[i].record_checksum});
    const rocksdb::Slice key_slice = AsSlice(key);
    const rocksdb::Slice parts[] = {
        AsSlice(head),
        {reinterpret_cast<const char*>(prepared[i].bytes.data()), prepared[i].bytes.size()}};
    batch.Put(store_.pages(), rocksdb::SliceParts(&key_slice, 1), rocksdb::SliceParts(parts, 2));
    batch.Put(store_.names(), key_slice, AsSlice(EncodeLength(stored_bytes)));
  }
  if (batch.Count() == 0) {
    return absl::OkStatus();
  }
  rocksdb::WriteOptions options;
  options.low_pri = lane == Lane::kBackground;
  return FromFailedWrite(store_.db().Write(options, &batch), "writing pages");
}

StatusOr<GetReply> RocksdbNode::DoGet(const std::vector<PageName>& names,
                                      const rocksdb::ReadOptions& options) {
  const FoundValues found = GetMany(store_.db(), store_.pages(), KeysOf(names), options);
  GetReply reply{store_.incarnation(), {}, {}};
  reply.pages.reserve(names.size());
  size_t bytes = 0;
  for (const rocksdb::PinnableSlice& value : found.values) {
    bytes += value.size();
  }
  reply.payload.reserve(bytes);
  for (size_t i = 0; i < names.size(); ++i) {
    const rocksdb::Status& status = found.statuses[i];
    StatusOr<GotPage> page = GotPage{};
    if (status.ok()) {
      page = Accept(names[i], found.values[i], reply.payload);
    } else if (status.IsNotFound() || status.IsCorruption()) {
      page = GetAgain(names[i], reply.payload);
    } else {
      page = FromRocksdb(status, "reading a page");
    }
    VSWAP_RETURN_IF_ERROR(page.status());
    corrupt_pages_ += page->code == PageCode::kCorrupt ? 1 : 0;
    reply.pages.push_back(*page);
  }
  return reply;
}

GotPage RocksdbNode::Accept(const PageName& name, const rocksdb::Slice& value,
                            std::vector<std::byte>& payload) {
  GotPage page;
  page.code = PageCode::kCorrupt;
  const auto head = DecodeRecordHead(AsView(value));
  if (!head.has_value()) {
    return page;
  }
  const ByteView bytes = RecordBytes(AsView(value));
  if (RecordChecksum(name, head->stamp, head->page_checksum, head->encoding, bytes) !=
      head->record_checksum) {
    return page;
  }
  page = {PageCode::kOk,       head->encoding,
          head->stored_bytes,  static_cast<uint32_t>(payload.size()),
          head->page_checksum, head->record_checksum,
          head->stamp};
  payload.insert(payload.end(), bytes.begin(), bytes.end());
  return page;
}

// A page that the first look did not find. A damaged block of RocksDB fails for every page in it:
// read without RocksDB's checksum, ours says which ones are sound. And a page that is absent but
// named was lost, not deleted.
StatusOr<GotPage> RocksdbNode::GetAgain(const PageName& name, std::vector<std::byte>& payload) {
  rocksdb::DB& db = store_.db();
  rocksdb::ManagedSnapshot snapshot(&db);
  rocksdb::ReadOptions options;
  options.snapshot = snapshot.snapshot();
  const PageKey key = EncodePageKey(name);
  rocksdb::PinnableSlice length;
  const rocksdb::Status named = db.Get(options, store_.names(), AsSlice(key), &length);
  GotPage page;
  if (named.IsNotFound()) {
    page.code = PageCode::kNotFound;
    return page;
  }
  VSWAP_RETURN_IF_ERROR(FromRocksdb(named, "looking up a page's name"));
  options.verify_checksums = false;
  options.fill_cache = false;
  rocksdb::PinnableSlice value;
  const rocksdb::Status got = db.Get(options, store_.pages(), AsSlice(key), &value);
  if (got.ok()) {
    return Accept(name, value, payload);
  }
  if (!got.IsNotFound() && !got.IsCorruption()) {
    return FromRocksdb(got, "reading a page");
  }
  page.code = PageCode::kCorrupt;
  return page;
}

StatusOr<Incarnation> RocksdbNode::DoDelete(const std::vector<PageName>& names) {
  const auto held = ReadHeldLengths(names);
  VSWAP_RETURN_IF_ERROR(held.status());
  rocksdb::WriteBatch batch;
  uint64_t pages = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    if (!(*held)[i].has_value()) {
      continue;
    }
    const PageKey key = EncodePageKey(names[i]);
    batch.Delete(store_.pages(), AsSlice(key));
    batch.Delete(store_.names(), AsSlice(key));
    ++pages;
    bytes += *(*held)[i];
  }
  if (pages > 0) {
    VSWAP_RETURN_IF_ERROR(FromFailedWrite(store_.db().Write({}, &batch), "deleting pages"));
    room_.GiveBack(pages, bytes);
  }
  return store_.incarnation();
}

StatusOr<InventoryReply> RocksdbNode::DoInventory(const std::string& cursor, uint32_t limit) {
  if (limit == 0 || limit > kInventoryNamesMax) {
    return InvalidField("limit", std::to_string(limit), "1.." + std::to_string(kInventoryNamesMax));
  }
  if (!cursor.empty() && cursor.size() != kPageKeyBytes) {
    return InvalidField("cursor", std::to_string(cursor.size()) + " bytes", "as answered");
  }
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  InventoryReply reply{store_.incarnation(), {}, {}};
  const std::unique_ptr<rocksdb::Iterator> it(store_.db().NewIterator(options, store_.names()));
  it->Seek(cursor);
  if (!cursor.empty() && it->Valid() && it->key() == cursor) {
    it->Next();
  }
  for (; it->Valid(); it->Next()) {
    if (reply.names.size() == limit) {
      const PageKey last = EncodePageKey(reply.names.back());
      reply.next_cursor.assign(last.data(), last.size());
      break;
    }
    const auto name = DecodePageKey(AsView(it->key()));
    if (!name.has_value()) {
      return MakeError(StatusCode::kDataLoss, "a key of column family names is damaged");
    }
    reply.names.push_back(*name);
  }
  VSWAP_RETURN_IF_ERROR(FromRocksdb(it->status(), "listing pages"));
  return reply;
}

StatusOr<VerifyReply> RocksdbNode::DoVerify(const std::vector<PageName>& names) {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  const StatusOr<GetReply> got = DoGet(names, options);
  VSWAP_RETURN_IF_ERROR(got.status());
  return ToVerified(*got);
}

}  // namespace vswap
