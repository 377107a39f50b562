#include "services/cluster/local_coordinator.h"

#include <rocksdb/cache.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <cstring>
#include <filesystem>

#include "services/cluster/rocksdb_logger.h"
#include "services/cluster/transaction.h"

namespace vswap {
namespace {

constexpr char kFormat[] = "1";
constexpr char kFormatKey[] = "format";
constexpr char kRevisionKey[] = "revision";
constexpr char kRecordPrefix[] = "k";

Status FromRocksdb(const rocksdb::Status& status, std::string_view doing) {
  if (status.ok()) {
    return absl::OkStatus();
  }
  const std::string message = std::string(doing) + ": " + status.ToString();
  // RocksDB passes errno on in the text only.
  if (message.find("Permission denied") != std::string::npos) {
    return MakeError(StatusCode::kPermissionDenied, message);
  }
  return MakeError(status.IsCorruption() ? StatusCode::kDataLoss : StatusCode::kUnavailable,
                   message);
}

std::string EncodeRevision(uint64_t revision) {
  return std::string(reinterpret_cast<const char*>(&revision), sizeof(revision));
}

StatusOr<uint64_t> DecodeRevision(const rocksdb::Slice& value) {
  uint64_t revision = 0;
  if (value.size() < sizeof(revision)) {
    return MakeError(StatusCode::kDataLoss, "a record of the coordinator is damaged");
  }
  std::memcpy(&revision, value.data(), sizeof(revision));
  return revision;
}

StatusOr<KeyValue> DecodeRecord(std::string key, const rocksdb::Slice& value) {
  const auto revision = DecodeRevision(value);
  VSWAP_RETURN_IF_ERROR(revision.status());
  return KeyValue{std::move(key),
                  std::string(value.data() + sizeof(uint64_t), value.size() - sizeof(uint64_t)),
                  *revision};
}

rocksdb::Options SmallOptions() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kNoCompression;
  options.write_buffer_size = 1 << 20;
  options.max_total_wal_size = 4 << 20;
  options.max_open_files = 32;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  options.info_log = MakeRocksdbLogger("coordinator");
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(1 << 20);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

rocksdb::WriteOptions Synced() {
  rocksdb::WriteOptions options;
  options.sync = true;
  return options;
}

}  // namespace

StatusOr<std::unique_ptr<LocalCoordinator>> LocalCoordinator::Open(const std::string& directory,
                                                                   Executor& executor) {
  std::error_code error;
  std::filesystem::create_directory(directory, error);
  if (!error) {
    std::filesystem::create_directory(directory + "/coordinator", error);
  }
  if (error) {
    return MakeError(error == std::errc::permission_denied ? StatusCode::kPermissionDenied
                                                           : StatusCode::kFailedPrecondition,
                     "making " + directory + ": " + error.message());
  }
  rocksdb::DB* db = nullptr;
  const rocksdb::Status opened = rocksdb::DB::Open(SmallOptions(), directory + "/coordinator", &db);
  VSWAP_RETURN_IF_ERROR(FromRocksdb(opened, "opening " + directory + "/coordinator"));
  std::unique_ptr<LocalCoordinator> coordinator(
      new LocalCoordinator(std::unique_ptr<rocksdb::DB>(db), executor));
  VSWAP_RETURN_IF_ERROR(coordinator->CheckFormat(directory));
  return coordinator;
}

Status LocalCoordinator::CheckFormat(const std::string& directory) {
  std::string found;
  const rocksdb::Status got = db_->Get({}, kFormatKey, &found);
  if (got.IsNotFound()) {
    return FromRocksdb(db_->Put(Synced(), kFormatKey, kFormat), "writing the format version");
  }
  VSWAP_RETURN_IF_ERROR(FromRocksdb(got, "reading the format version"));
  if (found != kFormat) {
    return MakeError(
        StatusCode::kFailedPrecondition,
        "format version of " + directory + "/coordinator is " + found + ", allowed: " + kFormat);
  }
  return absl::OkStatus();
}

void LocalCoordinator::Get(std::string key, Callback<std::optional<KeyValue>> done) {
  executor_.Dispatch([this, key = std::move(key), done = std::move(done)] { done(DoGet(key)); });
}

void LocalCoordinator::List(std::string prefix, Callback<std::vector<KeyValue>> done) {
  executor_.Dispatch(
      [this, prefix = std::move(prefix), done = std::move(done)] { done(DoList(prefix)); });
}

void LocalCoordinator::Commit(Transaction transaction, Callback<TransactionReply> done) {
  executor_.Dispatch([this, transaction = std::move(transaction), done = std::move(done)] {
    done(DoCommit(transaction));
  });
}

StatusOr<uint64_t> LocalCoordinator::ReadRevision() {
  std::string value;
  const rocksdb::Status got = db_->Get({}, kRevisionKey, &value);
  if (got.IsNotFound()) {
    return 0;
  }
  VSWAP_RETURN_IF_ERROR(FromRocksdb(got, "reading the revision"));
  return DecodeRevision(value);
}

StatusOr<std::optional<KeyValue>> LocalCoordinator::DoGet(const std::string& key) {
  std::string value;
  const rocksdb::Status got = db_->Get({}, kRecordPrefix + key, &value);
  if (got.IsNotFound()) {
    return std::optional<KeyValue>();
  }
  VSWAP_RETURN_IF_ERROR(FromRocksdb(got, "reading " + key));
  auto record = DecodeRecord(key, value);
  VSWAP_RETURN_IF_ERROR(record.status());
  return std::optional<KeyValue>(*std::move(record));
}

StatusOr<std::vector<KeyValue>> LocalCoordinator::DoList(const std::string& prefix) {
  const std::string from = kRecordPrefix + prefix;
  std::vector<KeyValue> records;
  const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator({}));
  for (it->Seek(from); it->Valid() && it->key().starts_with(from); it->Next()) {
    auto record = DecodeRecord(it->key().ToString().substr(1), it->value());
    VSWAP_RETURN_IF_ERROR(record.status());
    records.push_back(*std::move(record));
  }
  VSWAP_RETURN_IF_ERROR(FromRocksdb(it->status(), "listing " + prefix));
  return records;
}

StatusOr<TransactionReply> LocalCoordinator::DoCommit(const Transaction& transaction) {
  VSWAP_RETURN_IF_ERROR(ValidateTransaction(transaction));
  MutexLock lock(commit_mutex_);
  const auto revision = ReadRevision();
  VSWAP_RETURN_IF_ERROR(revision.status());
  for (const Transaction::Compare& compare : transaction.compares) {
    const auto found = DoGet(compare.key);
    VSWAP_RETURN_IF_ERROR(found.status());
    if ((found->has_value() ? (*found)->revision : 0) != compare.revision) {
      return TransactionReply{false, *revision};
    }
  }
  if (transaction.puts.empty() && transaction.deletes.empty()) {
    return TransactionReply{true, *revision};
  }
  const uint64_t next = *revision + 1;
  rocksdb::WriteBatch batch;
  batch.Put(kRevisionKey, EncodeRevision(next));
  for (const Transaction::Put& put : transaction.puts) {
    batch.Put(kRecordPrefix + put.key, EncodeRevision(next) + put.value);
  }
  for (const std::string& key : transaction.deletes) {
    batch.Delete(kRecordPrefix + key);
  }
  VSWAP_RETURN_IF_ERROR(FromRocksdb(db_->Write(Synced(), &batch), "committing"));
  return TransactionReply{true, next};
}

}  // namespace vswap
