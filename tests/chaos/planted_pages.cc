#include "tests/chaos/planted_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include "tests/model/device_workload.h"

namespace vswap {
namespace {

enum class Plant { kNothing, kWrongPage, kLostPage, kZeros };

// A space in memory that answers at once, and that gets one page wrong once it is told to.
class PlantingSpace : public SpaceUnderTest {
 public:
  void Store(std::vector<ContentAt> pages, StoreDone done) override {
    for (const ContentAt& page : pages) {
      pages_[page.offset] = page.bytes;
    }
    done(std::vector<PageCode>(pages.size(), PageCode::kOk));
  }
  void Load(std::vector<Offset> offsets, LoadDone done) override {
    std::vector<LoadedPage> loaded;
    for (const Offset offset : offsets) {
      const auto page = pages_.find(offset);
      loaded.push_back({PageCode::kOk, page == pages_.end() ? ZeroPage() : page->second});
      if (plant != Plant::kNothing && loaded.back().bytes != ZeroPage()) {
        loaded.back() = Planted(offset);
      }
    }
    done(std::move(loaded));
  }
  void Free(Extent extent, FreeDone done) override {
    pages_.erase(pages_.lower_bound(extent.offset),
                 pages_.lower_bound(extent.offset + extent.pages));
    done(Status());
  }

  Plant plant = Plant::kNothing;

 private:
  LoadedPage Planted(Offset offset) {
    switch (std::exchange(plant, Plant::kNothing)) {
      case Plant::kWrongPage:
        return {PageCode::kOk, std::ranges::find_if(pages_, [&](const auto& page) {
                                 return page.first != offset && page.second != ZeroPage();
                               })->second};
      case Plant::kLostPage:
        return {PageCode::kDataLoss, {}};
      default:
        return {PageCode::kOk, ZeroPage()};
    }
  }

  std::map<Offset, PageBytes> pages_;
};

// What the oracle tells.
std::vector<std::string> ToldOf(Plant plant) {
  PlantingSpace space;
  DeviceWorkload workload(space, 1, {});
  for (int i = 0; i < 500; ++i) {
    workload.IssueOne();
  }
  space.plant = plant;
  workload.LoadAll();
  EXPECT_EQ(space.plant, Plant::kNothing) << "no page was planted";
  return workload.wrong_pages();
}

}  // namespace

void ExpectPlantedPagesTold() {
  EXPECT_TRUE(ToldOf(Plant::kNothing).empty());
  for (const auto& [plant, name] : {std::pair{Plant::kWrongPage, "another slot's page"},
                                    {Plant::kLostPage, "a lost page"},
                                    {Plant::kZeros, "zeros for a stored page"}}) {
    const std::vector<std::string> told = ToldOf(plant);
    ASSERT_EQ(told.size(), 1u) << name;
    std::printf("planted %s, and was told: %s\n", name,
                told.front().substr(0, told.front().find('\n')).c_str());
  }
}

}  // namespace vswap
