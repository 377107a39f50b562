#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/cluster/node.h"
#include "services/common/executor.h"
#include "services/common/mutex.h"
#include "tests/support/call_faults.h"

namespace vswap {

// A node in a map, for tests. Thread-safe. Calls take effect at once; the answer comes within the
// call, or, with an executor, as a task posted to it. Its room is counted in pages.
class MemoryNode : public Node {
 public:
  enum class Mode {
    kCompressed,  // raw pages are compressed or answered as incompressible, as a compressor does
    kPhysical,    // raw pages that do not shrink are kept raw, as a store does
  };
  struct Options {
    Mode mode = Mode::kPhysical;
    uint64_t capacity_pages = 1 << 20;
    uint64_t overlap_pages = 64;  // on top, for pages that replace another
    Incarnation incarnation = 1;
    Executor* executor = nullptr;
    size_t undo_max = 0;  // changes that can be taken back
  };
  // For each kind of call.
  struct Faults {
    CallFaults put;
    CallFaults get;
    CallFaults remove;
    CallFaults inventory;
    CallFaults verify;
  };

  explicit MemoryNode(const Options& options)
      : options_(options), incarnation_(options.incarnation) {}

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override;
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override;
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override;
  void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) override;
  void Verify(std::vector<PageName> names, Callback<VerifyReply> done) override;
  void Statistics(Callback<NodeStatistics> done) override;

  Faults& faults() { return faults_; }
  // Answers as this incarnation from now on; the records stay.
  void SetIncarnation(Incarnation incarnation);
  // Records that it was asked to verify.
  uint64_t verified();
  // All names held, in order, without a fault.
  std::vector<PageName> Names();
  // What can happen to a record; false where it is not held.
  bool Drop(const PageName& name);
  // Takes back the last puts and deletes, up to so many, as where a machine goes down before its
  // disk has them: what was put is gone, and what was deleted is back.
  void Undo(size_t changes);
  bool FlipByte(const PageName& name, size_t index);
  // Puts other content in place of the record's, with checksums that match: a wrong page that only
  // somebody who knows the right one can tell.
  bool PlantWrongPage(const PageName& name, PageView plain);

 private:
  struct Record {
    Stamp stamp;
    uint32_t page_checksum = 0;
    uint32_t record_checksum = 0;
    Encoding encoding = Encoding::kUnset;
    std::vector<std::byte> bytes;
  };

  template <typename T>
  void Answer(StatusOr<T> answer, Callback<T> done);
  StatusOr<PutReply> DoPut(const std::vector<PutPage>& pages);
  PutOutcome Keep(const PutPage& page) REQUIRES(mutex_);
  // The record is about to change.
  void NoteChange(const PageName& name) REQUIRES(mutex_);
  // kOk: `record` is what is to be kept of the page.
  PageCode Prepare(const PutPage& page, Record& record) const;
  StatusOr<GetReply> DoGet(const std::vector<PageName>& names);
  StatusOr<Incarnation> DoDelete(const std::vector<PageName>& names);
  StatusOr<InventoryReply> DoInventory(const std::string& cursor, uint32_t limit);
  StatusOr<VerifyReply> DoVerify(const std::vector<PageName>& names);

  const Options options_;
  Faults faults_;
  Mutex mutex_;
  Incarnation incarnation_ GUARDED_BY(mutex_);
  std::map<PageName, Record> records_ GUARDED_BY(mutex_);
  // Before the last changes, oldest first.
  std::deque<std::pair<PageName, std::optional<Record>>> before_ GUARDED_BY(mutex_);
  uint64_t corrupt_pages_ GUARDED_BY(mutex_) = 0;
  uint64_t verified_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vswap
