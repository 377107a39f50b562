#include "services/store/store_db.h"

#include <gtest/gtest.h>

#include <fstream>

#include "services/store/directory_state.h"
#include "tests/unit/store/store_fixture.h"

namespace vswap {
namespace {

namespace fs = std::filesystem;

void Spit(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

std::string Slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Names and bytes of all files below a directory.
std::map<std::string, std::string> Snapshot(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) {
      files[entry.path()] = Slurp(entry.path());
    }
  }
  return files;
}

// A directory and the options to open it, with a boot id that the test chooses.
class StoreDbTest : public testing::Test {
 protected:
  StoreDbTest() {
    options_.directory = dir_.path() + "/data";
    options_.boot_id_path = dir_.path() + "/boot_id";
    SetBoot("first-boot");
  }
  void SetBoot(const std::string& id) { Spit(options_.boot_id_path, id + "\n"); }
  StatusOr<std::unique_ptr<StoreDb>> Open() { return StoreDb::Open(options_, random_); }
  // Opens, writes a value and leaves as kill -9 would, or cleanly.
  Incarnation Use(bool close) {
    auto store = Open();
    EXPECT_TRUE(store.ok()) << store.status();
    EXPECT_TRUE((*store)->db().Put({}, (*store)->pages(), "key", "value").ok());
    const Incarnation incarnation = (*store)->incarnation();
    if (close) {
      const Status closed = (*store)->Close();
      EXPECT_TRUE(closed.ok()) << closed;
    }
    return incarnation;
  }
  static std::string ValueOf(StoreDb& store) {
    std::string value;
    const rocksdb::Status got = store.db().Get({}, store.pages(), "key", &value);
    return got.ok() ? value : got.ToString();
  }
  void ExpectRefused(StatusCode code, const std::vector<std::string>& words) {
    const auto opened = Open();
    ASSERT_EQ(opened.status().code(), code) << opened.status();
    for (const std::string& word : words) {
      EXPECT_NE(MessageOf(opened.status()).find(word), std::string_view::npos)
          << word << " in " << opened.status();
    }
  }

  TempDir dir_;
  StoreDbOptions options_;
  SystemRandom random_;
};

TEST_F(StoreDbTest, DataAndIncarnationOutliveADrop) {
  const Incarnation incarnation = Use(/*close=*/false);
  EXPECT_NE(incarnation, 0u);
  const auto store = Open();
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->incarnation(), incarnation);
  EXPECT_EQ(ValueOf(**store), "value");
}

TEST_F(StoreDbTest, DataAndIncarnationOutliveACleanStop) {
  const Incarnation incarnation = Use(/*close=*/true);
  const auto store = Open();
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->incarnation(), incarnation);
  EXPECT_EQ(ValueOf(**store), "value");
}

TEST_F(StoreDbTest, AnotherFormatVersionIsRefusedAndNothingChanged) {
  Use(true);
  Spit(options_.directory + "/" + kStateFileName, "vswap-store\nformat 3\nfuture 1\n");
  const auto before = Snapshot(options_.directory);
  ExpectRefused(StatusCode::kFailedPrecondition, {"format version", "is 3", "allowed: 1, 2"});
  EXPECT_EQ(Snapshot(options_.directory), before);
}

TEST_F(StoreDbTest, ADamagedStateFileIsDataLoss) {
  Use(true);
  for (const std::string text :
       {"", "vswap-store\nformat 1\n", "vswap-store\nformat 2\n", "nonsense"}) {
    Spit(options_.directory + "/" + kStateFileName, text);
    ExpectRefused(StatusCode::kDataLoss, {kStateFileName, "damaged"});
  }
}

TEST_F(StoreDbTest, DataWithoutAStateFileIsRefused) {
  Use(true);
  fs::remove(options_.directory + "/" + kStateFileName);
  ExpectRefused(StatusCode::kDataLoss, {kStateFileName});
}

TEST_F(StoreDbTest, AMachineRestartUnderUnsyncedUseIsRefusedAndNothingChanged) {
  Use(false);
  SetBoot("second-boot");
  const auto before = Snapshot(options_.directory);
  ExpectRefused(StatusCode::kFailedPrecondition, {"may be missing", "discard_data", "sync_log"});
  EXPECT_EQ(Snapshot(options_.directory), before);
}

TEST_F(StoreDbTest, AMachineThatDoesNotTellItsBootIsTakenForRestarted) {
  fs::remove(options_.boot_id_path);
  Use(false);
  ExpectRefused(StatusCode::kFailedPrecondition, {"discard_data"});
}

TEST_F(StoreDbTest, DiscardDataStartsEmptyAsANewIncarnation) {
  const Incarnation incarnation = Use(false);
  SetBoot("second-boot");
  options_.discard_data = true;
  const auto store = Open();
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_NE((*store)->incarnation(), incarnation);
  EXPECT_EQ(ValueOf(**store), "NotFound: ");
}

TEST_F(StoreDbTest, DiscardDataDiscardsNothingThatCanBeOpened) {
  const Incarnation incarnation = Use(false);
  options_.discard_data = true;
  const auto store = Open();
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->incarnation(), incarnation);
  EXPECT_EQ(ValueOf(**store), "value");
}

TEST_F(StoreDbTest, WhereOthersHaveTheLogItCountsAsGoneAndPagesAreKept) {
  const Incarnation incarnation = Use(false);
  options_.replicated = true;
  const std::string of_shard = {0, 0, 0, 1, 's'};
  {
    const auto store = Open();
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->db().Put({}, (*store)->log(), of_shard, "a word").ok());
  }
  SetBoot("second-boot");
  Incarnation log = 0;
  {
    const auto store = Open();
    ASSERT_TRUE(store.ok()) << store.status();
    std::string value;
    EXPECT_TRUE((*store)->db().Get({}, (*store)->log(), of_shard, &value).IsNotFound());
    EXPECT_EQ((*store)->incarnation(), incarnation);
    EXPECT_EQ(ValueOf(**store), "value");
    log = (*store)->log_incarnation();
    EXPECT_NE(log, incarnation);
    EXPECT_NE(log, 0u);
    EXPECT_EQ(ReadDirectoryState(options_.directory)->value().format, kFormatOwnLog);
  }
  {  // a kill of the process, which loses nothing
    const auto store = Open();
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_EQ((*store)->log_incarnation(), log);
  }
  SetBoot("third-boot");
  const auto store = Open();
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_NE((*store)->log_incarnation(), log);
  EXPECT_EQ((*store)->incarnation(), incarnation);
}

TEST_F(StoreDbTest, TheLogIsAsOldAsTheDataWhereNothingWasLost) {
  options_.replicated = true;
  const Incarnation incarnation = Use(true);
  SetBoot("second-boot");
  const auto store = Open();
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->log_incarnation(), incarnation);
  EXPECT_EQ(ReadDirectoryState(options_.directory)->value().format, kFormatFirst);
}

TEST_F(StoreDbTest, DiscardDataWaitsForTheProcessThatHasItOpen) {
  const auto first = Open();
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE((*first)->db().Put({}, (*first)->pages(), "key", "value").ok());
  SetBoot("second-boot");
  options_.discard_data = true;
  ExpectRefused(StatusCode::kUnavailable, {"in use"});
  EXPECT_EQ(ValueOf(**first), "value");
}

TEST_F(StoreDbTest, ACleanStopOutlivesAMachineRestart) {
  Use(true);
  SetBoot("second-boot");
  const auto store = Open();
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(ValueOf(**store), "value");
}

TEST_F(StoreDbTest, ACleanStopCountsOnlyUntilTheNextUse) {
  Use(true);
  Use(false);
  SetBoot("second-boot");
  ExpectRefused(StatusCode::kFailedPrecondition, {"discard_data"});
}

TEST_F(StoreDbTest, ASyncedLogOutlivesAMachineRestart) {
  options_.sync_log = true;
  Use(false);
  SetBoot("second-boot");
  EXPECT_TRUE(Open().ok());
}

TEST_F(StoreDbTest, ASecondOneInTheProcessIsRefused) {
  const auto first = Open();
  ASSERT_TRUE(first.ok()) << first.status();
  const auto before = Slurp(options_.directory + "/" + kStateFileName);
  options_.sync_log = true;
  ExpectRefused(StatusCode::kUnavailable, {"in use by another process"});
  EXPECT_EQ(Slurp(options_.directory + "/" + kStateFileName), before);
}

// 100 writes, of which one in the middle is damaged.
class DamagedWriteAheadLog : public StoreDbTest {
 protected:
  void SetUp() override {
    options_.replicated = true;
    {
      const auto store = Open();
      ASSERT_TRUE(store.ok()) << store.status();
      for (int i = 0; i < 100; ++i) {
        const std::string key = "key" + std::to_string(i);
        ASSERT_TRUE((*store)->db().Put({}, (*store)->pages(), key, std::string(1000, 'x')).ok());
      }
    }
    std::string wal;
    for (const auto& entry : fs::directory_iterator(options_.directory + "/rocksdb")) {
      if (entry.path().extension() == ".log" && entry.file_size() > 50000) {
        wal = entry.path();
      }
    }
    ASSERT_FALSE(wal.empty());
    std::string bytes = Slurp(wal);
    bytes[40000] = static_cast<char>(bytes[40000] ^ 1);
    Spit(wal, bytes);
  }
};

// Silence here would be old words taken for current ones.
TEST_F(DamagedWriteAheadLog, IsRefused) { ExpectRefused(StatusCode::kDataLoss, {"Corruption"}); }

// What a loss of power leaves may look so.
TEST_F(DamagedWriteAheadLog, IsReadUpToTheDamageWhereTheMachineWentDown) {
  SetBoot("second-boot");
  const auto store = Open();
  ASSERT_TRUE(store.ok()) << store.status();
  const auto has = [&](const std::string& key) {
    std::string value;
    return (*store)->db().Get({}, (*store)->pages(), key, &value).ok();
  };
  EXPECT_TRUE(has("key0"));
  EXPECT_FALSE(has("key99"));
}

TEST_F(StoreDbTest, ATornTailOfTheWriteAheadLogIsNotRefused) {
  Use(false);
  for (const fs::directory_entry& entry : fs::directory_iterator(options_.directory + "/rocksdb")) {
    if (entry.path().extension() == ".log" && entry.file_size() > 3) {
      fs::resize_file(entry.path(), entry.file_size() - 3);
    }
  }
  const auto store = Open();
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(ValueOf(**store), "NotFound: ");
}

TEST_F(StoreDbTest, BadOptionsAreNamed) {
  const StoreDbOptions good = options_;
  options_.directory.clear();
  ExpectRefused(StatusCode::kInvalidArgument, {"directory"});
  options_ = good;
  options_.block_cache_bytes = 1;
  ExpectRefused(StatusCode::kInvalidArgument, {"block_cache_bytes", "allowed: at least 1048576"});
  options_ = good;
  options_.background_bytes_per_second = 0;
  ExpectRefused(StatusCode::kInvalidArgument, {"background_bytes_per_second", "allowed"});
  options_ = good;
  options_.directory = dir_.path() + "/absent/data";
  ExpectRefused(StatusCode::kFailedPrecondition, {"/absent/data"});
}

}  // namespace
}  // namespace vswap
