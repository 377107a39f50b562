#pragma once

#include <rocksdb/db.h>

#include <atomic>
#include <memory>
#include <string>

#include "services/common/executor.h"
#include "services/common/ids.h"
#include "services/common/status.h"

namespace vswap {

struct StoreDbOptions {
  std::string directory;  // made if absent (one level)
  // Memory for RocksDB's blocks, indexes and filters; at least 1 MiB. Write buffers come on top,
  // see kWriteBufferBytesMax.
  uint64_t block_cache_bytes = uint64_t{64} << 20;
  // Bound of what flushes and compactions write.
  uint64_t background_bytes_per_second = uint64_t{64} << 20;
  // Sync the write-ahead log with each table-log write: nothing acknowledged is lost with the
  // machine either.
  bool sync_log = false;
  // Start empty where the rule about machine restarts (see StoreDb) holds, `replicated` or not.
  // Nothing once the directory was opened in this boot of the machine. Discards nothing else.
  bool discard_data = false;
  // Other stores may have replicas of the table logs. Where the rule about machine restarts holds,
  // the log counts as gone (another log_incarnation), and pages are kept.
  bool replicated = false;
  std::string boot_id_path = "/proc/sys/kernel/random/boot_id";
  rocksdb::Env* env = nullptr;  // null: the default one; tests pass faults in
};

// The one RocksDB of a store's data directory, with a column family for each kind of data. Formats:
// README.md.
//
// What a call has written is kept through kill -9 of the process (the write-ahead log is in the
// kernel's page cache), but without `sync_log` not through a loss of power. An unsynced log may
// then end early, and an old word or page would look current: therefore the directory records the
// machine's boot id and whether it was stopped cleanly. An unsynced directory that was open when
// the machine went down is refused by Open, unless it is `replicated`: then its table log begins
// anew, empty, under another incarnation. Pages alone cannot be wrong: a name is given to one page
// once, and has its checksum; but some may be missing.
//
// Bad at: more than one process (the second is refused), and at carrying on after RocksDB has found
// a damaged block in the background: it then refuses writes until the directory is opened again.
//
// Thread-safe but for Close. Users (RocksdbNode, RocksdbTableLog) borrow it and end before it.
// Destruction without Close leaves what kill -9 would leave.
class StoreDb {
 public:
  static constexpr uint64_t kWriteBufferBytesMax = uint64_t{64} << 20;

  // INVALID_ARGUMENT: bad options. PERMISSION_DENIED, RESOURCE_EXHAUSTED (disk full): the
  // directory. UNAVAILABLE: another process has it open. FAILED_PRECONDITION: another format
  // version, or the rule above. DATA_LOSS: damaged. A refused directory is left as it was.
  static StatusOr<std::unique_ptr<StoreDb>> Open(const StoreDbOptions& options, Random& random);
  ~StoreDb();
  StoreDb(const StoreDb&) = delete;
  StoreDb& operator=(const StoreDb&) = delete;

  // A clean stop: syncs everything and marks the directory so. No other call may be under way or
  // follow.
  Status Close();

  rocksdb::DB& db() { return *db_; }
  rocksdb::ColumnFamilyHandle* pages() { return pages_.get(); }
  rocksdb::ColumnFamilyHandle* names() { return names_.get(); }
  rocksdb::ColumnFamilyHandle* log() { return log_.get(); }
  // Random, made with the data, gone with the data.
  Incarnation incarnation() const { return incarnation_; }
  // The same of the table log; another one than the data's where the log was gone meanwhile.
  Incarnation log_incarnation() const { return log_incarnation_; }
  bool sync_log() const { return options_.sync_log; }
  // Files and write buffers of the pages and their names.
  uint64_t PageBytesInUse();
  // Background failures of RocksDB (flush, compaction, write-ahead log) since Open.
  uint64_t background_errors() const { return background_errors_->load(); }

 private:
  class ErrorCounter;
  struct HandleDeleter {
    rocksdb::DB* db;
    void operator()(rocksdb::ColumnFamilyHandle* handle) const {
      db->DestroyColumnFamilyHandle(handle);
    }
  };
  using Handle = std::unique_ptr<rocksdb::ColumnFamilyHandle, HandleDeleter>;

  explicit StoreDb(const StoreDbOptions& options) : options_(options) {}
  Status OpenRocksdb(bool torn);
  Status ReadIncarnations();  // those stay 0 that are not there yet
  Status MakeIncarnation(Random& random);
  Status BeginLogAnew(Random& random);
  Status WriteState(bool clean);

  StoreDbOptions options_;
  std::string boot_id_;
  Incarnation incarnation_ = 0;
  Incarnation log_incarnation_ = 0;
  std::shared_ptr<std::atomic<uint64_t>> background_errors_ =
      std::make_shared<std::atomic<uint64_t>>(0);
  std::unique_ptr<rocksdb::DB> db_;
  Handle meta_;
  Handle pages_;
  Handle names_;
  Handle log_;
};

// The status of a failed RocksDB call, `doing` says what was tried. Corruption is DATA_LOSS, a
// directory that another process has open UNAVAILABLE, the rest INTERNAL but for what an operator
// has to mend (PERMISSION_DENIED, RESOURCE_EXHAUSTED). A store whose disk fails is none that does
// not answer (IsSilence).
[[nodiscard]] Status FromRocksdb(const rocksdb::Status& status, std::string_view doing);
// A write that RocksDB did not accept: INTERNAL whatever the cause, its effect is unknown.
[[nodiscard]] Status FromFailedWrite(const rocksdb::Status& status, std::string_view doing);

}  // namespace vswap
