#include "tests/chaos/planted_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include "tests/chaos/complaints.h"
#include "tests/model/device_workload.h"

namespace vswap {
namespace {

enum class Plant {
  kNothing,
  kWrongPage,
  kOlderPage,
  kLostPage,
  kZeros,
  kUnavailable,
  kFailedLoad,
  kFailedStore,
  kRefusedPage,
};

bool IsOfStores(Plant plant) {
  return plant == Plant::kFailedStore || plant == Plant::kRefusedPage;
}

// A space in memory that answers at once, and that does one thing wrong once it is told to.
class PlantingSpace : public SpaceUnderTest {
 public:
  void Store(std::vector<ContentAt> pages, StoreDone done) override {
    if (Take(Plant::kFailedStore)) {
      return done(MakeError(StatusCode::kDeadlineExceeded, "planted"));
    }
    std::vector<PageCode> codes(pages.size(), PageCode::kOk);
    if (Take(Plant::kRefusedPage)) {
      codes.front() = PageCode::kResourceExhausted;
    }
    for (size_t i = 0; i < pages.size(); ++i) {
      if (codes[i] == PageCode::kOk) {
        PageBytes& page = pages_[pages[i].offset];
        older_[pages[i].offset] = std::exchange(page, pages[i].bytes);
      }
    }
    done(std::move(codes));
  }
  void Load(std::vector<Offset> offsets, LoadDone done) override {
    if (Take(Plant::kFailedLoad)) {
      return done(MakeError(StatusCode::kDeadlineExceeded, "planted"));
    }
    std::vector<LoadedPage> loaded;
    for (const Offset offset : offsets) {
      const auto page = pages_.find(offset);
      loaded.push_back({PageCode::kOk, page == pages_.end() ? ZeroPage() : page->second});
      if (plant != Plant::kNothing && !IsOfStores(plant) && loaded.back().bytes != ZeroPage() &&
          (plant != Plant::kOlderPage || HasOlder(offset))) {
        loaded.back() = Planted(offset);
      }
    }
    done(std::move(loaded));
  }
  void Free(Extent extent, FreeDone done) override {
    older_.erase(older_.lower_bound(extent.offset),
                 older_.lower_bound(extent.offset + extent.pages));
    pages_.erase(pages_.lower_bound(extent.offset),
                 pages_.lower_bound(extent.offset + extent.pages));
    done(Status());
  }

  Plant plant = Plant::kNothing;

 private:
  // Whether this is to be done now, for once.
  bool Take(Plant what) {
    if (plant != what) {
      return false;
    }
    plant = Plant::kNothing;
    return true;
  }
  // Another page than zeros and the one that is there.
  bool HasOlder(Offset offset) const {
    const auto older = older_.find(offset);
    return older != older_.end() && !older->second.empty() && older->second != ZeroPage() &&
           older->second != pages_.at(offset);
  }
  LoadedPage Planted(Offset offset) {
    switch (std::exchange(plant, Plant::kNothing)) {
      case Plant::kWrongPage:
        return {PageCode::kOk, std::ranges::find_if(pages_, [&](const auto& page) {
                                 return page.first != offset && page.second != ZeroPage();
                               })->second};
      case Plant::kOlderPage:
        return {PageCode::kOk, older_.at(offset)};
      case Plant::kLostPage:
        return {PageCode::kDataLoss, {}};
      case Plant::kUnavailable:
        return {PageCode::kUnavailable, {}};
      default:
        return {PageCode::kOk, ZeroPage()};
    }
  }

  std::map<Offset, PageBytes> pages_;
  std::map<Offset, PageBytes> older_;  // what was stored before these
};

// What there is to complain of.
std::vector<std::string> ToldOf(Plant plant) {
  PlantingSpace space;
  DeviceWorkload workload(space, 1, {});
  for (int i = 0; i < 500; ++i) {
    workload.IssueOne();
  }
  space.plant = plant;
  while (IsOfStores(space.plant)) {
    workload.IssueOne();
  }
  workload.LoadAll();
  EXPECT_EQ(space.plant, Plant::kNothing) << "nothing was planted";
  return ComplaintsOf(workload, false);
}

}  // namespace

void ExpectPlantedPagesTold() {
  EXPECT_TRUE(ToldOf(Plant::kNothing).empty());
  for (const auto& [plant, name] : {std::pair{Plant::kWrongPage, "another slot's page"},
                                    {Plant::kOlderPage, "a page that was overwritten"},
                                    {Plant::kLostPage, "a lost page"},
                                    {Plant::kZeros, "zeros for a stored page"},
                                    {Plant::kUnavailable, "a page that is not to be had"},
                                    {Plant::kFailedLoad, "a load that fails"},
                                    {Plant::kFailedStore, "a store that fails"},
                                    {Plant::kRefusedPage, "a page that is refused"}}) {
    const std::vector<std::string> told = ToldOf(plant);
    ASSERT_EQ(told.size(), 1u) << name;
    std::printf("planted %s, and was told: %s\n", name,
                told.front().substr(0, told.front().find('\n')).c_str());
  }
}

}  // namespace vswap
