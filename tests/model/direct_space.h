#pragma once

#include <map>
#include <memory>

#include "services/common/thread_pool.h"
#include "services/frontend/front_end.h"
#include "tests/model/space_under_test.h"
#include "tests/support/front_end_client.h"

namespace vswap {

// A space of a FrontEnd called directly, by a client that sees it die and come back. A request that
// is under way then is sent again, unless a later one was sent to one of its slots: which of the
// two the new owner would put last is not known any more, so its outcome stays unknown. Now and
// then a request is sent twice. Thread-confined.
class DirectSpace : public SpaceUnderTest {
 public:
  DirectSpace(FrontEnd& front_end, const OpenReply& opened, ManualExecutor& executor, uint64_t seed)
      : front_end_(&front_end), client_(opened), executor_(executor), random_(seed) {}

  void Store(std::vector<ContentAt> pages, StoreDone done) override;
  void Load(std::vector<Offset> offsets, LoadDone done) override;
  void Free(Extent extent, FreeDone done) override;

  // Before the front-end dies: its answers are not heard any more.
  void Disconnect() { ++generation_; }
  void Reconnect(FrontEnd& front_end);

 private:
  struct Request {
    RequestHeader header;
    std::vector<Extent> extents;
    bool changes = false;
    bool repeated = false;  // an earlier owner may have done it
    std::function<void()> send;
    std::function<void(Status)> give_up;
  };

  // Numbers a request and sends it, once or twice.
  std::shared_ptr<Request> Add(Offset first, std::vector<Extent> extents, bool changes);
  void Send(const std::shared_ptr<Request>& request);
  void Repeat(const std::shared_ptr<Request>& request);
  // Whether this is the answer that the request waits for; then it is over.
  bool Take(const std::shared_ptr<Request>& request, uint64_t generation, const Status& status);
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
