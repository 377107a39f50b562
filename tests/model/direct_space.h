#pragma once

#include <map>
#include <memory>

#include "services/common/thread_pool.h"
#include "services/frontend/front_end.h"
#include "tests/model/space_under_test.h"
#include "tests/support/front_end_client.h"

namespace vswap {

// A space of a FrontEnd called directly, by a client that sees it die and come back. A request that
// is under way then is sent again, unless it is a store, or a device space's free, and a later one
// was sent to one of its slots: which of the two the new owner would put last is not known any
// more, so its outcome stays unknown. Now and then a request is sent twice. Thread-confined.
class DirectSpace : public EntriesUnderTest {
 public:
  DirectSpace(FrontEnd& front_end, const OpenReply& opened, ManualExecutor& executor, uint64_t seed)
      : front_end_(&front_end), client_(opened), executor_(executor), random_(seed) {}

  void Store(std::vector<ContentAt> pages, StoreDone done) override;
  void Load(std::vector<Offset> offsets, LoadDone done) override;
  void Free(Extent extent, FreeDone done) override;
  void StoreWhole(std::vector<ContentAt> pages, StoreDone done) override;
  void LoadUnmixed(Extent folio, LoadDone done) override;
  void Backing(Extent extent, BackingDone done) override;
  void Allocate(uint32_t order, uint32_t count, AllocateDone done) override;
  void Duplicate(std::vector<Offset> offsets, CodesDone done) override;
  void FreeCounted(std::vector<Offset> offsets, CountDone done) override;

  // Before the front-end dies: its answers are not heard any more.
  void Disconnect() { ++generation_; }
  void Reconnect(FrontEnd& front_end);

 private:
  enum class Kind {
    kRead,
    kChange,        // done again by a new owner
    kLoggedChange,  // whose answer a new owner knows
  };
  struct Request {
    RequestHeader header;
    std::vector<Extent> extents;
    Kind kind = Kind::kRead;
    bool repeated = false;  // an earlier owner may have done it
    std::function<void()> send;
    std::function<void(Status)> give_up;
  };
  using RequestPtr = std::shared_ptr<Request>;

  // Numbers a request.
  RequestPtr Add(const RequestHeader& header, std::vector<Extent> extents, Kind kind);
  void StorePages(std::vector<ContentAt> pages, bool whole, StoreDone done);
  void LoadPages(const std::vector<Offset>& offsets, bool unmixed, LoadDone done);
  // Sends a request whose answer goes to `done`, once or twice.
  void Change(const RequestPtr& request, std::function<void(MutationDone)> call,
              std::function<void(const MutationResult&)> done);
  void Send(const RequestPtr& request);
  void Repeat(const RequestPtr& request);
  // Whether this is the answer that the request waits for; then it is over.
  bool Take(const RequestPtr& request, uint64_t generation, const Status& status);
  std::vector<LoadedPage> Plain(const std::vector<Offset>& offsets, const LoadReply& reply) const;
  static std::vector<PageCode> Judge(const Request& request, std::vector<PageCode> codes);
  bool Overtaken(const Request& request) const;

  FrontEnd* front_end_;
  FrontEndClient client_;
  ManualExecutor& executor_;
  SeededRandom random_;
  uint64_t generation_ = 0;
  std::map<Sequence, std::shared_ptr<Request>> under_way_;
  std::map<Offset, Sequence> last_change_;  // sent, by slot
};

}  // namespace vswap
