#include "tests/model/device_workload.h"

#include <algorithm>
#include <set>

namespace vswap {

bool DeviceWorkload::IssueOne() {
  std::vector<Offset> offsets;
  uint64_t dice = 0;
  Extent extent;
  {
    MutexLock lock(mutex_);
    if (under_way_ >= options_.under_way_max) {
      return false;
    }
    ++counts_.issued;
    dice = random_.Below(100);
    offsets = PickSlots();
    extent = {offsets[0], static_cast<uint32_t>(1 + random_.Below(options_.region_slots))};
  }
  if (dice < 45) {
    Store(offsets);
  } else if (dice < 90) {
    Load(std::move(offsets));
  } else if (dice < 99) {
    Free({offsets[0], 1 + extent.pages % 8});
  } else {
    Free(extent);
  }
  return true;
}

std::vector<Offset> DeviceWorkload::PickSlots() {
  const Offset region = options_.regions[random_.Below(options_.regions.size())];
  const uint64_t count = 1 + random_.Below(options_.batch_pages_max);
  const bool neighbours = random_.Below(3) != 0;
  std::set<Offset> offsets;
  Offset next = random_.Below(options_.region_slots);
  for (uint64_t i = 0; i < count; ++i) {
    offsets.insert(region + next);
    next = neighbours ? (next + 1) % options_.region_slots : random_.Below(options_.region_slots);
  }
  return {offsets.begin(), offsets.end()};
}

void DeviceWorkload::Store(const std::vector<Offset>& offsets) {
  std::vector<ContentAt> pages;
  std::vector<History::WriteId> writes;
  {
    MutexLock lock(mutex_);
    ++under_way_;
    for (const Offset offset : offsets) {
      const uint64_t dice = random_.Below(10);
      const History::Content content = dice < 2 ? 0 : history_.NewContent();
      pages.push_back({offset, History::MakeContent(id_, offset, content, dice < 8)});
      writes.push_back(history_.BeginWrite(offset, content));
    }
  }
  space_.Store(
      std::move(pages), [this, offsets, writes](const StatusOr<std::vector<PageCode>>& codes) {
        MutexLock lock(mutex_);
        --under_way_;
        counts_.unknown += codes.ok() ? 0 : 1;
        for (size_t i = 0; i < offsets.size(); ++i) {
          const PageCode code = codes.ok() ? codes->at(i) : PageCode::kUnset;
          const bool stored = code == PageCode::kOk;
          const History::Outcome refused =
              code == PageCode::kUnset ? History::Outcome::kMaybe : History::Outcome::kNot;
          history_.EndWrite(offsets[i], writes[i], stored ? History::Outcome::kApplied : refused);
          counts_.stored_pages += stored;
          counts_.refused_pages += codes.ok() && !stored;
        }
      });
}

void DeviceWorkload::Free(Extent extent) {
  std::vector<History::WriteId> writes;
  {
    MutexLock lock(mutex_);
    ++under_way_;
    for (uint32_t i = 0; i < extent.pages; ++i) {
      writes.push_back(history_.BeginWrite(extent.offset + i, 0));
    }
  }
  space_.Free(extent, [this, extent, writes](const Status& status) {
    MutexLock lock(mutex_);
    --under_way_;
    counts_.unknown += status.ok() ? 0 : 1;
    for (uint32_t i = 0; i < extent.pages; ++i) {
      history_.EndWrite(extent.offset + i, writes[i],
                        status.ok() ? History::Outcome::kApplied : History::Outcome::kMaybe);
    }
  });
}

void DeviceWorkload::Load(std::vector<Offset> offsets) {
  History::LoadId load = 0;
  {
    MutexLock lock(mutex_);
    ++under_way_;
    load = history_.BeginLoad();
  }
  space_.Load(offsets, [this, offsets, load](const StatusOr<std::vector<LoadedPage>>& pages) {
    MutexLock lock(mutex_);
    --under_way_;
    counts_.unknown += pages.ok() ? 0 : 1;
    for (size_t i = 0; pages.ok() && i < offsets.size(); ++i) {
      const LoadedPage& page = pages->at(i);
      if (page.code == PageCode::kOk) {
        ++counts_.loaded_pages;
        history_.CheckPage(load, offsets[i], page.bytes);
      } else {
        ++(page.code == PageCode::kUnavailable ? counts_.unavailable_pages : counts_.lost_pages);
      }
    }
    history_.EndLoad(load);
  });
}

void DeviceWorkload::LoadAll() {
  std::vector<Offset> all;
  {
    MutexLock lock(mutex_);
    all = history_.SlotsWritten();
  }
  for (size_t begin = 0; begin < all.size();) {
    std::vector<Offset> batch = BatchOf(all, begin);
    begin += batch.size();
    Load(std::move(batch));
  }
}

bool DeviceWorkload::FreeAll() {
  for (const Offset region : options_.regions) {
    Free({region, 2 * options_.region_slots});
  }
  return false;
}

std::vector<std::string> DeviceWorkload::wrong_pages() {
  MutexLock lock(mutex_);
  std::vector<std::string> wrong = history_.wrong_pages();
  if (counts_.lost_pages > 0 && !options_.loss_allowed) {
    wrong.push_back("space " + std::to_string(id_) + ": " + std::to_string(counts_.lost_pages) +
                    " pages were answered as lost");
  }
  return wrong;
}

}  // namespace vswap
