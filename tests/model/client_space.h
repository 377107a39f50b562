#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "client/swap_client.h"
#include "tests/model/space_under_test.h"

namespace vswap {

// A space of a real service, called through libvswap. Thread-safe; outlives its calls.
class ClientSpace : public EntriesUnderTest {
 public:
  explicit ClientSpace(SwapClient& client) : client_(&client) {}

  void Store(std::vector<ContentAt> pages, StoreDone done) override;
  void Load(std::vector<Offset> offsets, LoadDone done) override;
  void Free(Extent extent, FreeDone done) override;
  void StoreWhole(std::vector<ContentAt> pages, StoreDone done) override;
  void LoadUnmixed(Extent folio, LoadDone done) override;
  void Backing(Extent extent, BackingDone done) override;
  void Allocate(uint32_t order, uint32_t count, AllocateDone done) override;
  void Duplicate(std::vector<Offset> offsets, CodesDone done) override;
  void FreeCounted(std::vector<Offset> offsets, CountDone done) override;

  // To be called while the service is dead. A store that was under way then is sent again: where it
  // is refused, the dead process may have done it all the same.
  void NoteDeath() { ++deaths_; }
  // While nothing is under way.
  void Use(SwapClient& client) { client_ = &client; }

 private:
  // What a store's answer says, given that the service may have died since.
  SwapClient::PagesDone Judged(std::shared_ptr<const PageBytes> bytes, StoreDone done);

  SwapClient* client_;
  std::atomic<uint64_t> deaths_{0};
};

}  // namespace vswap
