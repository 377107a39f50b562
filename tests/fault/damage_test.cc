#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "services/compressor/arena_format.h"
#include "services/compressor/codec.h"
#include "tests/support/seed.h"
#include "tests/support/service.h"
#include "tests/support/tcp_proxy.h"

// One byte flipped in memory, on disk and on the wire of a real vswapd: exactly that page is lost.
namespace vswap {
namespace {

using testing::HasSubstr;

constexpr size_t kNoise = kPageBytes;  // does not compress: kept on disk, as it came
constexpr size_t kText = 1024;         // compresses: kept in the arena

std::string AsString(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Flips one bit in the middle of the only place in the file that holds these bytes, or in none.
bool FlipIn(const std::filesystem::path& path, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  const size_t at = all.find(bytes);
  if (at == std::string::npos) {
    return false;
  }
  file.clear();
  file.seekp(static_cast<std::streamoff>(at + bytes.size() / 2));
  file.put(static_cast<char>(all[at + bytes.size() / 2] ^ 16));
  return true;
}

void FlipAt(const std::filesystem::path& path, uint64_t at, int bit = 2) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(byte ^ (1 << bit)));
  EXPECT_TRUE(file.good());
}

// A space in which slot i holds PageOf(i), in a process that may be stopped and damaged.
class Damage : public testing::Test {
 protected:
  explicit Damage(std::vector<std::string> flags = {"--memory-max", "64MiB", "--block-cache",
                                                    "1MiB"})
      : service_(std::move(flags)), client_(service_.Open("space", kPages)) {}

  static constexpr uint64_t kPages = 8192;

  PageBytes PageOf(Offset offset) const {
    return NoisyPage(seed_ ^ (versions_[offset] << 32) ^ offset, noise_);
  }
  void Fill(Offset first, uint64_t pages) {
    constexpr uint64_t kBatch = 128;
    for (Offset at = first; at < first + pages; at += kBatch) {
      PageBytes bytes;
      for (Offset i = at; i < std::min(at + kBatch, first + pages); ++i) {
        ++versions_[i];
        stored_.insert(i);
        const PageBytes page = PageOf(i);
        bytes.insert(bytes.end(), page.begin(), page.end());
      }
      ASSERT_TRUE(client_->Store(at, bytes).AllOk()) << "from slot " << at;
    }
  }
  PagesResult StorePage(SwapClient& client, Offset offset) {
    ++versions_[offset];
    stored_.insert(offset);
    return client.Store(offset, PageOf(offset));
  }
  // Every slot that was stored, some at a time.
  void ForEachBatch(const std::function<void(const std::vector<Offset>&)>& visit) const {
    std::vector<Offset> offsets;
    for (const Offset offset : stored_) {
      offsets.push_back(offset);
      if (offsets.size() == kBatchPagesMax || offset == *stored_.rbegin()) {
        visit(offsets);
        offsets.clear();
      }
    }
  }
  static PagesResult LoadPages(SwapClient& client, const std::vector<Offset>& offsets,
                               PageBytes* bytes) {
    std::vector<PageRange> ranges;
    for (const Offset offset : offsets) {
      ranges.push_back({offset, 1});
    }
    bytes->resize(offsets.size() * kPageBytes);
    return client.Load(ranges, *bytes);
  }
  bool IsPageOf(Offset offset, const PageBytes& bytes, size_t index) const {
    const PageBytes page = PageOf(offset);
    return std::equal(page.begin(), page.end(),
                      bytes.begin() + static_cast<ptrdiff_t>(index * kPageBytes));
  }
  // That of all slots that were stored exactly these are lost, and all others right.
  void ExpectLost(const std::set<Offset>& lost) {
    ForEachBatch([&](const std::vector<Offset>& offsets) {
      PageBytes bytes;
      const PagesResult result = LoadPages(*client_, offsets, &bytes);
      ASSERT_TRUE(result.status.ok()) << result.status;
      for (size_t i = 0; i < offsets.size(); ++i) {
        const bool gone = lost.contains(offsets[i]);
        ASSERT_EQ(result.codes[i], gone ? PageCode::kDataLoss : PageCode::kOk)
            << "slot " << offsets[i];
        ASSERT_TRUE(gone || IsPageOf(offsets[i], bytes, i)) << "slot " << offsets[i];
      }
    });
    EXPECT_TRUE(PollUntil([&] { return LostPages() == lost.size(); })) << LostPages();
  }
  uint64_t LostPages() const {
    const auto status = service_.process().GetStatus();
    return status.ok() && status->reconciled() ? status->spaces(0).lost_pages() : ~uint64_t{0};
  }
  // That the next store makes the slot good.
  void ExpectMends(Offset offset) {
    EXPECT_TRUE(StorePage(*client_, offset).AllOk());
    ExpectLost({});
  }
  void FreeAllAndExpectEmpty() {
    EXPECT_TRUE(client_->Free(0, kPages).ok());
    service_.ExpectEmpty();
  }

  const uint64_t seed_ = TestSeed();
  size_t noise_ = kText;
  std::vector<uint64_t> versions_ = std::vector<uint64_t>(kPages);
  std::set<Offset> stored_;
  mutable Service service_;
  std::unique_ptr<SwapClient> client_;
};

// The arena's file of a dead process.
class ArenaDamage : public Damage {
 protected:
  // Calls visit(header, place in the file) for each page held.
  void ForEachHeader(
      const std::function<void(const arena::RecordHeader&, std::streamoff)>& visit) const {
    std::ifstream file(service_.process().arena(), std::ios::binary);
    const uint64_t slots = stored_.size() * 2 + 1024;  // headers are made from the lowest on
    for (uint64_t slot = 0; slot < slots; ++slot) {
      const auto at =
          static_cast<std::streamoff>(arena::kHeadersBegin + slot * arena::kHeaderBytes);
      arena::RecordHeader header;
      file.seekg(at);
      file.read(reinterpret_cast<char*>(&header), sizeof(header));
      if (file.good() && header.state == static_cast<uint32_t>(arena::HeaderState::kHeld)) {
        visit(header, at);
      }
    }
  }
  // Kills the process, flips the byte that `where` names of the slot's record, and starts again.
  void FlipOf(
      Offset offset,
      const std::function<std::streamoff(const arena::RecordHeader&, std::streamoff)>& where) {
    service_.process().Kill();
    std::streamoff at = -1;
    ForEachHeader([&](const arena::RecordHeader& header, std::streamoff header_at) {
      at = header.offset == offset ? where(header, header_at) : at;
    });
    ASSERT_GE(at, 0);
    FlipAt(service_.process().arena(), static_cast<uint64_t>(at));
    service_.Restart();
  }
};

TEST_F(ArenaDamage, AByteOfAPageLosesExactlyThatPage) {
  Fill(0, 2000);
  SeededRandom random(seed_);
  const Offset victim = random.Below(2000);
  FlipOf(victim, [&](const arena::RecordHeader& header, std::streamoff) {
    const uint64_t byte = random.Below(header.stored_bytes);
    return static_cast<std::streamoff>(arena::kBlocksBegin +
                                       uint64_t{header.blocks[byte / arena::kBlockBytes]} *
                                           arena::kBlockBytes +
                                       byte % arena::kBlockBytes);
  });
  ExpectLost({victim});
  service_.Restart();
  ExpectLost({victim});
  ExpectMends(victim);
  FreeAllAndExpectEmpty();
}

// Under a process that goes on, in a page that nobody loads.
TEST_F(ArenaDamage, AByteOfAPageIsFoundByLooking) {
  service_.process().SetFlags({"--memory-max", "64MiB", "--compare-seconds", "1"});
  service_.Restart();
  Fill(0, 500);
  SeededRandom random(seed_);
  const Offset victim = random.Below(500);
  ForEachHeader([&](const arena::RecordHeader& header, std::streamoff) {
    if (header.offset == victim) {
      FlipAt(service_.process().arena(),
             arena::kBlocksBegin + uint64_t{header.blocks[0]} * arena::kBlockBytes + 7);
    }
  });
  EXPECT_TRUE(PollUntil([&] { return LostPages() == 1; })) << LostPages();
  ExpectLost({victim});
  ExpectMends(victim);
}

TEST_F(ArenaDamage, AByteOfAHeaderLosesExactlyThatPage) {
  Fill(0, 500);
  SeededRandom random(seed_);
  const Offset victim = random.Below(500);
  FlipOf(victim, [&](const arena::RecordHeader&, std::streamoff at) {
    return at + static_cast<std::streamoff>(random.Below(arena::kHeaderBytes));
  });
  ExpectLost({victim});
  ExpectMends(victim);
  FreeAllAndExpectEmpty();
}

// Found without that anybody asks for the page, and gone with the next free.
TEST_F(ArenaDamage, ALostPageMayBeFreed) {
  Fill(0, 100);
  FlipOf(42, [](const arena::RecordHeader&, std::streamoff at) { return at + 8; });
  EXPECT_TRUE(PollUntil([&] { return LostPages() == 1; }));
  ASSERT_TRUE(client_->Free(42, 1).ok());
  EXPECT_EQ(LostPages(), 0u);
  PageBytes bytes(kPageBytes, std::byte{1});
  EXPECT_TRUE(client_->Load(42, bytes).AllOk());
  EXPECT_EQ(bytes, ZeroPage());
  FreeAllAndExpectEmpty();
}

// RocksDB's files of a dead process.
class DiskDamage : public Damage {
 protected:
  DiskDamage() { noise_ = kNoise; }

  // Flips a byte of the slot's page in the files with this ending; how many had it.
  int FlipOf(Offset offset, const std::string& ending) const {
    const std::string bytes = AsString(PageOf(offset)).substr(1000, 64);
    int flips = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(service_.data_dir() + "/store/rocksdb")) {
      if (entry.path().extension() == ending) {
        flips += FlipIn(entry.path(), bytes);
      }
    }
    return flips;
  }
  void ExpectNoneWrong(SwapClient& client, const std::string& what) const {
    ForEachBatch([&](const std::vector<Offset>& offsets) {
      PageBytes bytes;
      const PagesResult result = LoadPages(client, offsets, &bytes);
      for (size_t i = 0; result.status.ok() && i < offsets.size(); ++i) {
        EXPECT_TRUE(result.codes[i] == PageCode::kDataLoss ||
                    result.codes[i] == PageCode::kUnavailable ||
                    (result.codes[i] == PageCode::kOk && IsPageOf(offsets[i], bytes, i)))
            << what << ", slot " << offsets[i] << ": " << Name(result.codes[i]);
      }
    });
  }
  std::filesystem::path LargestFile() const {
    std::filesystem::path largest;
    for (const auto& entry :
         std::filesystem::directory_iterator(service_.data_dir() + "/store/rocksdb")) {
      if (entry.path().extension() == ".sst" &&
          (largest.empty() || entry.file_size() > std::filesystem::file_size(largest))) {
        largest = entry.path();
      }
    }
    return largest;
  }
  // A start brings what the write-ahead log has into a file of its own.
  void FillAndKill(uint64_t pages) {
    Fill(0, pages);
    service_.Restart();
    service_.process().Kill();
  }
};

TEST_F(DiskDamage, AByteOfAPageLosesExactlyThatPage) {
  FillAndKill(1000);
  const Offset victim = SeededRandom(seed_).Below(1000);
  ASSERT_EQ(FlipOf(victim, ".sst"), 1);
  service_.Restart();
  ExpectLost({victim});
  ExpectMends(victim);
  FreeAllAndExpectEmpty();
}

// What comes later is compacted together with the damaged block, and is not harmed by it.
TEST_F(DiskDamage, AStoreWithADamagedBlockGoesOn) {
  FillAndKill(1000);
  const Offset victim = SeededRandom(seed_).Below(500);
  ASSERT_EQ(FlipOf(victim, ".sst"), 1);
  constexpr int kFiles = 6;  // compaction begins at four
  for (int round = 0; round < kFiles; ++round) {
    service_.Restart();
    Fill(500, 500);
    if (HasFatalFailure()) {
      return;
    }
  }
  ExpectLost({victim});
  ExpectMends(victim);
  service_.Restart();
  ExpectLost({});
  FreeAllAndExpectEmpty();
}

// Also where it is no page's: keys, indices, filters, the file's foot. More pages may be lost then,
// or nothing served, but none is wrong.
TEST_F(DiskDamage, AnyByteOfAFileOfPagesMakesNoPageWrong) {
  FillAndKill(1000);
  const std::string copy = service_.data_dir() + "-copy";
  std::filesystem::copy(service_.data_dir(), copy, std::filesystem::copy_options::recursive);
  SeededRandom random(seed_);
  for (int trial = 0; trial < 4; ++trial) {
    const std::filesystem::path path = LargestFile();
    const uint64_t bytes = std::filesystem::file_size(path);
    // Half of them near the end, where what is not pages lies.
    const uint64_t at =
        random.Below(2) == 0 ? random.Below(bytes) : bytes - 1 - random.Below(bytes / 50);
    FlipAt(path, at, static_cast<int>(random.Below(8)));
    if (service_.process().Start().ok()) {
      ClientOptions options = service_.OptionsFor("space", 0);
      options.patience = std::chrono::seconds(3);
      // A new one, which has not seen the copy's future. There is none where the damage ends all.
      if (const auto client = SwapClient::Open(options); client.ok()) {
        ExpectNoneWrong(**client, "byte " + std::to_string(at) + " of " + std::to_string(bytes));
      }
    }
    service_.process().Kill();
    std::filesystem::remove_all(service_.data_dir());
    std::filesystem::copy(copy, service_.data_dir(), std::filesystem::copy_options::recursive);
  }
}

// Not a page but a change that is damaged, nobody knows of what: vswapd does not start, and says
// why.
TEST_F(DiskDamage, AByteOfTheWriteAheadLogIsRefusedAndNothingIsChanged) {
  Fill(0, 300);
  service_.process().Kill();
  Offset victim = 150;
  while (FlipOf(victim, ".log") == 0) {  // not where the log has a header within the page
    ASSERT_LT(++victim, 160u);
  }
  const std::string command = "timeout 60 " VSWAPD " standalone --listen 127.0.0.1:0 --data-dir " +
                              service_.data_dir() + " 2>&1";
  FILE* const pipe = popen(command.c_str(), "r");
  std::string output(4096, '\0');
  output.resize(fread(output.data(), 1, output.size(), pipe));
  EXPECT_NE(pclose(pipe), 0);
  EXPECT_THAT(output, HasSubstr("Corruption"));
  EXPECT_THAT(output, HasSubstr(service_.data_dir()));
  // The same bit again, and all is well.
  const std::string flipped = AsString(PageOf(victim));
  const std::string part = flipped.substr(1000, 32);
  for (const auto& entry :
       std::filesystem::directory_iterator(service_.data_dir() + "/store/rocksdb")) {
    if (entry.path().extension() == ".log") {
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      const std::string all{std::istreambuf_iterator<char>(file), {}};
      const size_t at = all.find(part);
      if (at != std::string::npos) {
        file.clear();
        file.seekp(static_cast<std::streamoff>(at + 32));
        file.put(flipped[1000 + 32]);
      }
    }
  }
  ASSERT_TRUE(service_.process().Start().ok());
  ExpectLost({});
  FreeAllAndExpectEmpty();
}

// The wire between client and service.
class WireDamage : public Damage {
 protected:
  WireDamage() : proxy_(service_.process().listen()) {
    EXPECT_TRUE(proxy_.listening());
    ClientOptions options = service_.OptionsFor("space", kPages);
    options.frontend = proxy_.address();
    auto client = SwapClient::Open(options);  // takes over: the same holder
    EXPECT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }

  // Several parts of the slot's page that are noise.
  std::vector<std::string> Parts(const PageBytes& page) const {
    std::vector<std::string> parts;
    for (size_t at = 64; at + 16 < noise_; at += noise_ / 8) {
      parts.push_back(AsString(page).substr(at, 16));
    }
    return parts;
  }
  PageBytes NextPageOf(Offset offset) {
    ++versions_[offset];
    PageBytes page = PageOf(offset);
    --versions_[offset];
    return page;
  }
  // Stores slots 0..7 in one call, slot 3 damaged so many times on its way.
  PagesResult StoreDamaged(int times) {
    PageBytes bytes;
    for (Offset i = 0; i < 8; ++i) {
      const PageBytes page = NextPageOf(i);
      bytes.insert(bytes.end(), page.begin(), page.end());
    }
    proxy_.Damage(TcpProxy::Direction::kToServer, Parts(NextPageOf(3)), times);
    PagesResult result = client_->Store(0, bytes);
    for (Offset i = 0; i < result.codes.size(); ++i) {
      versions_[i] += result.codes[i] == PageCode::kOk ? 1 : 0;
    }
    return result;
  }
  PagesResult LoadDamaged(int times, PageBytes& bytes) {
    proxy_.Damage(TcpProxy::Direction::kToClient, Parts(PageOf(3)), times);
    bytes.assign(8 * kPageBytes, std::byte{});
    return client_->Load(0, bytes);
  }
  static std::vector<PageCode> AllButThree(PageCode of_three) {
    std::vector<PageCode> codes(8, PageCode::kOk);
    codes[3] = of_three;
    return codes;
  }
  void StoreIsSentAgain();
  void LoadIsSentAgain();

  TcpProxy proxy_;
};

void WireDamage::StoreIsSentAgain() {
  Fill(0, 8);
  const PagesResult once = StoreDamaged(1);
  EXPECT_TRUE(once.AllOk());
  EXPECT_EQ(proxy_.damaged(), 1);
  EXPECT_EQ(service_.Metric("vswap_alloc_reject_total{reason=\"corrupt\"}"), 1u);
  ExpectLost({});
  // Always: given up in the end, the others are stored, and what was there stays.
  const PagesResult always = StoreDamaged(TcpProxy::kAlways);
  EXPECT_TRUE(always.status.ok()) << always.status;
  EXPECT_EQ(always.codes, AllButThree(PageCode::kCorrupt));
  EXPECT_GE(proxy_.damaged(), 3);
  EXPECT_EQ(service_.Metric("vswap_alloc_reject_total{reason=\"corrupt\"}"), 4u);
  ExpectLost({});
  proxy_.Damage(TcpProxy::Direction::kToServer, {}, 0);
  ExpectMends(3);
}

void WireDamage::LoadIsSentAgain() {
  Fill(0, 8);
  PageBytes bytes;
  EXPECT_TRUE(LoadDamaged(1, bytes).AllOk());
  EXPECT_EQ(proxy_.damaged(), 1);
  const PageBytes third(bytes.begin() + 3 * kPageBytes, bytes.begin() + 4 * kPageBytes);
  EXPECT_EQ(third, PageOf(3));
  const PagesResult always = LoadDamaged(TcpProxy::kAlways, bytes);
  EXPECT_TRUE(always.status.ok()) << always.status;
  EXPECT_EQ(always.codes, AllButThree(PageCode::kDataLoss));
  EXPECT_GE(proxy_.damaged(), 3);
  // It was the wire: the service has the page still.
  proxy_.Damage(TcpProxy::Direction::kToClient, {}, 0);
  ExpectLost({});
}

TEST_F(WireDamage, ANoisePageOnItsWayThereIsSentAgain) {
  noise_ = kNoise;
  StoreIsSentAgain();
}

TEST_F(WireDamage, APageThatShrinksOnItsWayThereIsSentAgain) { StoreIsSentAgain(); }

TEST_F(WireDamage, ANoisePageOnItsWayBackIsAskedForAgain) {
  noise_ = kNoise;
  LoadIsSentAgain();
}

TEST_F(WireDamage, ACompressedPageOnItsWayBackIsAskedForAgain) { LoadIsSentAgain(); }

}  // namespace
}  // namespace vswap
