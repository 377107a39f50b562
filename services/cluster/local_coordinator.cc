#include "services/cluster/local_coordinator.h"

#include <rocksdb/cache.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <spdlog/spdlog.h>

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
constexpr char kLeasedPrefix[] = "l";
constexpr auto kWatchRetry = std::chrono::seconds(1);

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
  std::unique_ptr<rocksdb::DB> owned(db);
  VSWAP_RETURN_IF_ERROR(CheckFormat(*owned, directory));
  const auto revision = ReadRevision(*owned);
  VSWAP_RETURN_IF_ERROR(revision.status());
  std::unique_ptr<LocalCoordinator> coordinator(
      new LocalCoordinator(std::move(owned), *revision, executor));
  VSWAP_RETURN_IF_ERROR(coordinator->EndOldLeases());
  return coordinator;
}

Status LocalCoordinator::EndOldLeases() {
  const std::string from = kLeasedPrefix;
  Transaction end;
  const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator({}));
  for (it->Seek(from); it->Valid() && it->key().starts_with(from); it->Next()) {
    end.deletes.push_back(it->key().ToString().substr(from.size()));
  }
  VSWAP_RETURN_IF_ERROR(FromRocksdb(it->status(), "listing the keys of leases"));
  return DoCommit(end).status();
}

Status LocalCoordinator::CheckFormat(rocksdb::DB& db, const std::string& directory) {
  std::string found;
  const rocksdb::Status got = db.Get({}, kFormatKey, &found);
  if (got.IsNotFound()) {
    return FromRocksdb(db.Put(Synced(), kFormatKey, kFormat), "writing the format version");
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

void LocalCoordinator::GrantLease(Duration ttl, std::function<void(Status)>, Callback<Lease> done) {
  executor_.Dispatch([this, ttl, done = std::move(done)] {
    const Status valid = ValidateTtl(ttl);
    if (!valid.ok()) {
      return done(valid);
    }
    commit_mutex_.Lock();
    const LeaseId lease = leases_.Grant();
    commit_mutex_.Unlock();
    done(Lease{lease, ttl});
  });
}

void LocalCoordinator::RevokeLease(LeaseId lease, Callback<LeaseId> done) {
  executor_.Dispatch([this, lease, done = std::move(done)] { done(DoRevoke(lease)); });
}

std::unique_ptr<WatchHandle> LocalCoordinator::Watch(std::string prefix, uint64_t from_revision,
                                                     WatchHandler handler) {
  auto watcher = WatchHub::Make(std::move(prefix), from_revision, std::move(handler));
  executor_.Dispatch([this, watcher] { BeginWatch(watcher); });
  return WatchHub::HandleOf(std::move(watcher));
}

void LocalCoordinator::BeginWatch(const std::shared_ptr<WatchHub::Watcher>& watcher) {
  {
    MutexLock lock(commit_mutex_);
    const auto revision = ReadRevision(*db_);
    const bool resync = watches_.NeedsResync(*watcher);
    auto records =
        revision.ok() && resync ? DoList(WatchHub::PrefixOf(*watcher)) : std::vector<KeyValue>();
    if (!revision.ok() || !records.ok()) {
      spdlog::error("coordinator: beginning a watch: {}",
                    MessageOf(revision.ok() ? records.status() : revision.status()));
      return executor_.PostAfter(kWatchRetry, [this, watcher] { BeginWatch(watcher); });
    }
    watches_.Begin(watcher, *revision, *std::move(records));
  }
  watches_.Deliver();
}

StatusOr<uint64_t> LocalCoordinator::ReadRevision(rocksdb::DB& db) {
  std::string value;
  const rocksdb::Status got = db.Get({}, kRevisionKey, &value);
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
  commit_mutex_.Lock();
  auto reply = DoCommitLocked(transaction);
  commit_mutex_.Unlock();
  watches_.Deliver();
  return reply;
}

StatusOr<TransactionReply> LocalCoordinator::DoCommitLocked(const Transaction& transaction) {
  const auto revision = ReadRevision(*db_);
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
  std::vector<WatchEvent> events;
  batch.Put(kRevisionKey, EncodeRevision(next));
  for (const Transaction::Put& put : transaction.puts) {
    if (put.lease != 0 && !leases_.Holds(put.lease)) {
      return LeaseEnded(put);
    }
    batch.Put(kRecordPrefix + put.key, EncodeRevision(next) + put.value);
    if (put.lease != 0) {
      batch.Put(kLeasedPrefix + put.key, "");
    } else if (leases_.IsLeased(put.key)) {
      batch.Delete(kLeasedPrefix + put.key);
    }
    events.push_back({put.key, put.value, next});
  }
  for (const std::string& key : transaction.deletes) {
    const auto found = DoGet(key);
    VSWAP_RETURN_IF_ERROR(found.status());
    batch.Delete(kRecordPrefix + key);
    batch.Delete(kLeasedPrefix + key);
    if (found->has_value()) {
      events.push_back({key, std::nullopt, next});
    }
  }
  VSWAP_RETURN_IF_ERROR(FromRocksdb(db_->Write(Synced(), &batch), "committing"));
  for (const Transaction::Put& put : transaction.puts) {
    leases_.Attach(put.key, put.lease);
  }
  for (const std::string& key : transaction.deletes) {
    leases_.Detach(key);
  }
  watches_.Publish(std::move(events));
  return TransactionReply{true, next};
}

StatusOr<LeaseId> LocalCoordinator::DoRevoke(LeaseId lease) {
  commit_mutex_.Lock();
  const auto reply = DoCommitLocked({{}, {}, leases_.KeysOf(lease)});
  if (reply.ok()) {
    leases_.End(lease);
  }
  commit_mutex_.Unlock();
  watches_.Deliver();
  return reply.ok() ? StatusOr<LeaseId>(lease) : reply.status();
}

}  // namespace vswap
