#include "services/store/store_db.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/rate_limiter.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/table_properties_collectors.h>
#include <spdlog/spdlog.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "services/cluster/rocksdb_logger.h"
#include "services/store/directory_state.h"

namespace vswap {
namespace {

namespace fs = std::filesystem;

constexpr char kIncarnationKey[] = "incarnation";
constexpr char kLogIncarnationKey[] = "log_incarnation";  // absent: the log is as old as the data
// Its keys begin with a shard's number.
constexpr char kBehindLogKeys[] = "\xff\xff\xff\xff";
constexpr char kPagesFamily[] = "pages";
constexpr char kNamesFamily[] = "names";
constexpr char kLogFamily[] = "log";
// Of a slot's key in the log: shard, kind, space (log_format.h).
constexpr size_t kSlotPrefixBytes = 13;

std::string RocksdbDirectory(const std::string& directory) { return directory + "/rocksdb"; }

// Empty where the kernel does not tell.
std::string ReadBootId(const std::string& path) {
  std::ifstream file(path);
  std::string id;
  file >> id;
  return id;
}

Status MakeDirectory(const std::string& directory) {
  std::error_code error;
  fs::create_directory(directory, error);
  if (!error) {
    return absl::OkStatus();
  }
  const StatusCode code = error == std::errc::permission_denied ? StatusCode::kPermissionDenied
                                                                : StatusCode::kFailedPrecondition;
  return MakeError(code, "making data directory " + directory + ": " + error.message());
}

// Removes the data, unless another process has it open.
Status DiscardData(const std::string& directory, rocksdb::Env* env) {
  const std::string path = RocksdbDirectory(directory);
  rocksdb::FileLock* lock = nullptr;
  const rocksdb::Status locked = env->LockFile(path + "/LOCK", &lock);
  if (!locked.ok()) {
    return FromRocksdb(locked, "discarding the data of " + directory);
  }
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    if (entry.path().filename() != "LOCK") {
      fs::remove_all(entry.path(), error);
    }
    if (error) {
      break;
    }
  }
  env->UnlockFile(lock);
  if (error) {
    return MakeError(StatusCode::kUnavailable,
                     "discarding the data of " + directory + ": " + error.message());
  }
  return absl::OkStatus();
}

Status CheckFormat(const std::string& directory, uint64_t found) {
  if (found == kFormatFirst || found == kFormatOwnLog) {
    return absl::OkStatus();
  }
  return MakeError(StatusCode::kFailedPrecondition,
                   "format version of data directory " + directory + " is " +
                       std::to_string(found) + ", allowed: " + std::to_string(kFormatFirst) + ", " +
                       std::to_string(kFormatOwnLog) + "; nothing was changed");
}

// Whether writes may be missing that were acknowledged: see the class comment.
bool MayHaveLostWrites(const DirectoryState& state, const std::string& boot_id) {
  const bool same_boot = !boot_id.empty() && state.boot_id == boot_id;
  return !same_boot && !state.clean && !state.sync_log;
}

Status LostWritesError(const std::string& directory) {
  return MakeError(StatusCode::kFailedPrecondition,
                   "data directory " + directory +
                       " was in use without sync_log when this machine went down: its last writes, "
                       "of pages and of the table log, "
                       "may be missing, and older pages would look current. Nothing was changed. "
                       "Set discard_data to start empty");
}

rocksdb::BlockBasedTableOptions TableOptions(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.format_version = 5;
  return table;
}

rocksdb::ColumnFamilyOptions FamilyOptions(const std::shared_ptr<rocksdb::Cache>& cache,
                                           uint64_t write_buffer_bytes) {
  rocksdb::ColumnFamilyOptions family;
  family.compression = rocksdb::kNoCompression;
  family.write_buffer_size = write_buffer_bytes;
  family.max_write_buffer_number = 3;
  family.target_file_size_base = write_buffer_bytes;
  family.max_bytes_for_level_base = 4 * write_buffer_bytes;
  family.level_compaction_dynamic_level_bytes = true;
  // Records live short and die by a delete: files rich in deletes are compacted at once, idle ones
  // in a day.
  family.table_properties_collector_factories.push_back(
      rocksdb::NewCompactOnDeletionCollectorFactory(4096, 2048, 0.3));
  family.periodic_compaction_seconds = 24 * 60 * 60;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(TableOptions(cache)));
  return family;
}

// `torn`: the machine went down, so what was not synced may be there in part.
rocksdb::DBOptions DatabaseOptions(const StoreDbOptions& options, bool torn) {
  rocksdb::DBOptions database;
  if (options.env != nullptr) {
    database.env = options.env;
  }
  database.create_if_missing = true;
  database.create_missing_column_families = true;
  // A torn tail is what kill -9 leaves, of a write that was not acknowledged; damage before it is
  // an error, never silence.
  database.wal_recovery_mode = torn ? rocksdb::WALRecoveryMode::kPointInTimeRecovery
                                    : rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  database.db_write_buffer_size = StoreDb::kWriteBufferBytesMax;
  database.max_total_wal_size = 2 * StoreDb::kWriteBufferBytesMax;
  database.max_open_files = 512;
  database.max_background_jobs = 2;
  database.bytes_per_sync = 1 << 20;
  database.rate_limiter.reset(
      rocksdb::NewGenericRateLimiter(static_cast<int64_t>(options.background_bytes_per_second)));
  database.info_log = MakeRocksdbLogger("store");
  database.stats_dump_period_sec = 0;
  database.stats_persist_period_sec = 0;
  return database;
}

Status Validate(const StoreDbOptions& options) {
  if (options.directory.empty()) {
    return InvalidField("directory", "empty", "a path");
  }
  if (options.block_cache_bytes < (uint64_t{1} << 20)) {
    return InvalidField("block_cache_bytes", std::to_string(options.block_cache_bytes),
                        "at least 1048576");
  }
  if (options.background_bytes_per_second < (uint64_t{1} << 20) ||
      options.background_bytes_per_second > (uint64_t{1} << 40)) {
    return InvalidField("background_bytes_per_second",
                        std::to_string(options.background_bytes_per_second),
                        "1048576..1099511627776");
  }
  return absl::OkStatus();
}

Incarnation NewIncarnation(Random& random) {
  Incarnation made = 0;
  while (made == 0) {
    made = random.Next64();
  }
  return made;
}

rocksdb::Slice AsSlice(const Incarnation& incarnation) {
  return {reinterpret_cast<const char*>(&incarnation), sizeof(incarnation)};
}

rocksdb::WriteOptions Synced() {
  rocksdb::WriteOptions options;
  options.sync = true;
  return options;
}

}  // namespace

class StoreDb::ErrorCounter : public rocksdb::EventListener {
 public:
  explicit ErrorCounter(std::shared_ptr<std::atomic<uint64_t>> count) : count_(std::move(count)) {}
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status*) override {
    count_->fetch_add(1);
  }

 private:
  const std::shared_ptr<std::atomic<uint64_t>> count_;
};

Status FromRocksdb(const rocksdb::Status& status, std::string_view doing) {
  if (status.ok()) {
    return absl::OkStatus();
  }
  const std::string message = std::string(doing) + ": " + status.ToString();
  // RocksDB passes errno on in the text only.
  if (message.find("Permission denied") != std::string::npos ||
      message.find("Read-only file system") != std::string::npos) {
    return MakeError(StatusCode::kPermissionDenied, message);
  }
  if (status.IsNoSpace()) {
    return MakeError(StatusCode::kResourceExhausted, message);
  }
  if (status.IsCorruption()) {
    return MakeError(StatusCode::kDataLoss, message);
  }
  if (message.find("While lock file") != std::string::npos ||
      message.find("lock hold by current process") != std::string::npos) {
    return MakeError(StatusCode::kUnavailable,
                     "the data directory is in use by another process: " + message);
  }
  return MakeError(StatusCode::kInternal, message);
}

Status FromFailedWrite(const rocksdb::Status& status, std::string_view doing) {
  return status.ok()
             ? absl::OkStatus()
             : MakeError(StatusCode::kInternal, std::string(doing) + ": " + status.ToString());
}

StatusOr<std::unique_ptr<StoreDb>> StoreDb::Open(const StoreDbOptions& options, Random& random) {
  VSWAP_RETURN_IF_ERROR(Validate(options));
  VSWAP_RETURN_IF_ERROR(MakeDirectory(options.directory));
  const auto state = ReadDirectoryState(options.directory);
  VSWAP_RETURN_IF_ERROR(state.status());
  std::unique_ptr<StoreDb> store(new StoreDb(options));
  store->boot_id_ = ReadBootId(options.boot_id_path);
  const bool known = state->has_value();
  bool torn = false;
  if (known) {
    VSWAP_RETURN_IF_ERROR(CheckFormat(options.directory, (*state)->format));
    torn = MayHaveLostWrites(**state, store->boot_id_);
  }
  if (torn && options.discard_data) {
    VSWAP_RETURN_IF_ERROR(DiscardData(
        options.directory, options.env != nullptr ? options.env : rocksdb::Env::Default()));
    torn = false;
  }
  if (torn && !options.replicated) {
    return LostWritesError(options.directory);
  }
  // RocksDB's lock comes before any change of the file, which belongs to whoever holds it.
  VSWAP_RETURN_IF_ERROR(store->OpenRocksdb(torn));
  VSWAP_RETURN_IF_ERROR(store->ReadIncarnations());
  if (!known && store->incarnation_ != 0) {
    return MakeError(StatusCode::kDataLoss,
                     options.directory + " holds data but no " + kStateFileName +
                         ": it is not known whether its last writes are there");
  }
  if (torn) {  // before the file says that the directory was opened since
    spdlog::warn("{}: the table log may have lost its last writes and counts as gone",
                 options.directory);
    VSWAP_RETURN_IF_ERROR(store->BeginLogAnew(random));
  }
  VSWAP_RETURN_IF_ERROR(store->WriteState(/*clean=*/false));
  if (store->incarnation_ == 0) {
    VSWAP_RETURN_IF_ERROR(store->MakeIncarnation(random));
  }
  if (store->log_incarnation_ == 0) {
    store->log_incarnation_ = store->incarnation_;
  }
  return store;
}

StoreDb::~StoreDb() = default;

Status StoreDb::OpenRocksdb(bool torn) {
  // Pages are read by exact name and nearly always found, so that the last level goes without
  // filters; absence is asked of `names`, whose records are small.
  const auto cache = rocksdb::NewLRUCache(options_.block_cache_bytes);
  rocksdb::ColumnFamilyOptions pages = FamilyOptions(cache, uint64_t{16} << 20);
  pages.optimize_filters_for_hits = true;
  // Every record has a checksum of its own, which covers its name and which every reader checks.
  // One of RocksDB's over the block would find nothing more, but a compaction that meets a damaged
  // block fails for good, and with it every write of the store: one flipped byte of one page would
  // end all.
  rocksdb::BlockBasedTableOptions unchecked = TableOptions(cache);
  unchecked.checksum = rocksdb::kNoChecksum;
  pages.table_factory.reset(rocksdb::NewBlockBasedTableFactory(unchecked));
  std::vector<rocksdb::ColumnFamilyDescriptor> families = {
      {rocksdb::kDefaultColumnFamilyName, FamilyOptions(cache, uint64_t{1} << 20)},
      {kPagesFamily, pages},
      {kNamesFamily, FamilyOptions(cache, uint64_t{4} << 20)},
      {kLogFamily, FamilyOptions(cache, uint64_t{4} << 20)}};
  // A batch's slots lie side by side: each is put behind the one before it, without a search.
  families[3].options.memtable_insert_with_hint_prefix_extractor.reset(
      rocksdb::NewFixedPrefixTransform(kSlotPrefixBytes));
  rocksdb::DBOptions database = DatabaseOptions(options_, torn);
  database.listeners.push_back(std::make_shared<ErrorCounter>(background_errors_));
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  VSWAP_RETURN_IF_ERROR(MakeDirectory(RocksdbDirectory(options_.directory)));
  const rocksdb::Status opened =
      rocksdb::DB::Open(database, RocksdbDirectory(options_.directory), families, &handles, &db);
  if (!opened.ok()) {
    return FromRocksdb(opened, "opening data directory " + options_.directory);
  }
  db_.reset(db);
  meta_ = Handle(handles[0], {db});
  pages_ = Handle(handles[1], {db});
  names_ = Handle(handles[2], {db});
  log_ = Handle(handles[3], {db});
  return absl::OkStatus();
}

Status StoreDb::ReadIncarnations() {
  for (const auto& [key, incarnation] :
       {std::pair(kIncarnationKey, &incarnation_), {kLogIncarnationKey, &log_incarnation_}}) {
    std::string value;
    const rocksdb::Status got = db_->Get({}, meta_.get(), key, &value);
    if (got.IsNotFound()) {
      continue;
    }
    VSWAP_RETURN_IF_ERROR(
        FromRocksdb(got, std::string("reading the ") + key + " of " + options_.directory));
    if (value.size() != sizeof(*incarnation)) {
      return MakeError(StatusCode::kDataLoss, std::string("the ") + key +
                                                  " record of data directory " +
                                                  options_.directory + " is damaged");
    }
    std::memcpy(incarnation, value.data(), sizeof(*incarnation));
  }
  return absl::OkStatus();
}

Status StoreDb::MakeIncarnation(Random& random) {
  incarnation_ = NewIncarnation(random);
  return FromRocksdb(db_->Put(Synced(), meta_.get(), kIncarnationKey, AsSlice(incarnation_)),
                     "writing the incarnation of " + options_.directory);
}

// Nothing of it may stay: with the seal of a later owner lost it would take an earlier one's
// writes.
Status StoreDb::BeginLogAnew(Random& random) {
  log_incarnation_ = NewIncarnation(random);
  rocksdb::WriteBatch batch;
  rocksdb::Status made = batch.DeleteRange(log_.get(), "", kBehindLogKeys);
  if (made.ok()) {
    made = batch.Put(meta_.get(), kLogIncarnationKey, AsSlice(log_incarnation_));
  }
  if (made.ok()) {
    made = db_->Write(Synced(), &batch);
  }
  return FromRocksdb(made, "beginning the table log of " + options_.directory + " anew");
}

Status StoreDb::Close() {
  rocksdb::CancelAllBackgroundWork(db_.get(), /*wait=*/true);
  VSWAP_RETURN_IF_ERROR(FromRocksdb(db_->SyncWAL(), "syncing " + options_.directory));
  log_.reset();
  names_.reset();
  pages_.reset();
  meta_.reset();
  VSWAP_RETURN_IF_ERROR(FromRocksdb(db_->Close(), "closing " + options_.directory));
  db_.reset();
  return WriteState(/*clean=*/true);
}

Status StoreDb::WriteState(bool clean) {
  const bool own_log = log_incarnation_ != 0 && log_incarnation_ != incarnation_;
  return WriteDirectoryState(options_.directory, {own_log ? kFormatOwnLog : kFormatFirst, boot_id_,
                                                  options_.sync_log, clean});
}

uint64_t StoreDb::PageBytesInUse() {
  uint64_t total = 0;
  for (rocksdb::ColumnFamilyHandle* family : {pages_.get(), names_.get()}) {
    uint64_t bytes = 0;
    if (db_->GetIntProperty(family, rocksdb::DB::Properties::kTotalSstFilesSize, &bytes)) {
      total += bytes;
    }
    if (db_->GetIntProperty(family, rocksdb::DB::Properties::kSizeAllMemTables, &bytes)) {
      total += bytes;
    }
  }
  return total;
}

}  // namespace vswap
