#pragma once

#include <atomic>

#include "client/swap_client.h"
#include "tests/model/space_under_test.h"

namespace vswap {

// A space of a real service, called through libvswap. Thread-safe; outlives its calls.
class ClientSpace : public SpaceUnderTest {
 public:
  explicit ClientSpace(SwapClient& client) : client_(&client) {}

  void Store(std::vector<ContentAt> pages, StoreDone done) override;
  void Load(std::vector<Offset> offsets, LoadDone done) override;
  void Free(Extent extent, FreeDone done) override;

  // To be called while the service is dead. A store that was under way then is sent again: where it
  // is refused, the dead process may have done it all the same.
  void NoteDeath() { ++deaths_; }
  // While nothing is under way.
  void Use(SwapClient& client) { client_ = &client; }

 private:
  SwapClient* client_;
  std::atomic<uint64_t> deaths_{0};
};

}  // namespace vswap
