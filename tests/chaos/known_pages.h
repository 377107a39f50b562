#pragma once

#include <map>
#include <memory>
#include <string>

#include "client/swap_client.h"
#include "tests/support/page_bytes.h"

namespace vswap {

// A space whose slots are stored to one after the other, so that what each must hold is known.
// Thread-confined; GoogleTest's failures tell of calls that fail.
class KnownPages {
 public:
  // kText goes to the compressors, kNoise, which does not shrink, to the stores.
  enum class Kind { kText, kNoise, kZeros };
  struct Found {
    uint64_t right = 0;
    uint64_t lost = 0;
    uint64_t wrong = 0;
  };

  // What is stored in one call lies on one set: few, so that all sets have some.
  static constexpr uint32_t kTogether = 10;

  KnownPages(const std::string& frontends, const std::string& space);

  // Stores new pages, and says how many were not refused.
  uint64_t Store(Extent slots, Kind kind);
  void FreeAll();
  // Loads every page that was stored.
  std::map<Kind, Found> LoadAll();
  // How many of the slots have their page on disk.
  uint64_t CountOnDisk(Extent slots);
  // What the slot holds, where something was stored there.
  PageBytes PageOf(Offset offset) const;

 private:
  struct Stored {
    Kind kind = Kind::kText;
    uint64_t number = 0;
  };

  static PageBytes Make(const Stored& stored);

  std::unique_ptr<SwapClient> client_;
  std::map<Offset, Stored> stored_;
  uint64_t next_number_ = 1;
};

// A space, by default of a million slots, made if there is none. Null after a failure.
std::unique_ptr<SwapClient> OpenSpace(const std::string& frontends, const std::string& space,
                                      SpaceKind kind = SpaceKind::kDevice,
                                      uint64_t pages = 1 << 20);

}  // namespace vswap
