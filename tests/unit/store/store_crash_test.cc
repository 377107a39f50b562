// The store in a process of its own: refused, and killed.
#include "tests/unit/store/store_crash.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "services/store/rocksdb_table_log.h"
#include "tests/unit/store/store_fixture.h"

namespace vswap {
namespace {

// store_helper with its output in a pipe. Killed at the end if it still runs.
class Helper {
 public:
  explicit Helper(std::vector<std::string> arguments) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    arguments.insert(arguments.begin(), STORE_HELPER);
    std::vector<char*> argv;
    for (std::string& argument : arguments) {
      argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    EXPECT_EQ(posix_spawn(&pid_, STORE_HELPER, &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    output_ = fdopen(ends[0], "r");
  }
  ~Helper() {
    Kill();
    fclose(output_);
  }
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;

  // The next line, without its end; empty at the end.
  std::string Line() {
    char line[4096];
    if (fgets(line, sizeof(line), output_) == nullptr) {
      return "";
    }
    std::string text = line;
    return text.substr(0, text.find('\n'));
  }
  void Kill() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      Wait();
    }
  }
  // The exit code.
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = 0;
  FILE* output_ = nullptr;
};

uint64_t Seed() {
  const char* given = std::getenv("VSWAP_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : SystemRandom().Next64();
}

// Every slot's record, from the log.
std::vector<SlotRecord> ReadSlots(TableLog& log) {
  std::vector<SlotRecord> slots;
  std::string cursor;
  do {
    const LogReadReply reply =
        Await<LogReadReply>([&](auto done) { log.Read(crash::kShard, cursor, 100, done); }).value();
    slots.insert(slots.end(), reply.slots.begin(), reply.slots.end());
    cursor = reply.next_cursor;
  } while (!cursor.empty());
  return slots;
}

// What a killed writer must have left: everything it was answered, each logged page whole, and
// nothing miscounted.
void CheckWhatWasLeft(StoreSetup& setup, uint64_t answered_round) {
  RocksdbTableLog log(setup.store(), setup.pool());
  NodeCalls calls = setup.calls();
  const std::vector<SlotRecord> slots = ReadSlots(log);
  uint64_t newest = 0;
  for (const SlotRecord& slot : slots) {
    newest = std::max(newest, slot.word);
    const PageName name{slot.space, slot.offset, slot.word};
    const auto got = calls.Get({name});
    ASSERT_TRUE(got.ok()) << got.status();
    ASSERT_EQ(got->pages[0].code, PageCode::kOk)
        << "offset " << name.offset << " version " << name.version;
    EXPECT_TRUE(std::ranges::equal(got->BytesOf(got->pages[0]), PlainOf(name, false)));
  }
  // One round may be in the log whose answer was not read.
  EXPECT_GE(newest, answered_round);
  EXPECT_LE(newest, answered_round + 1);
  EXPECT_EQ(slots.size(), crash::kPagesOfRound * std::min(newest, crash::kRoundsOverSlots));
  for (const SlotRecord& slot : slots) {
    EXPECT_GT(slot.word + crash::kRoundsOverSlots, newest) << "an old word is back";
  }
  const NodeStatistics statistics = calls.Statistics();
  EXPECT_EQ(statistics.pages, calls.AllNames().size());
  setup.pool().Stop();
}

TEST(StoreCrash, WhatWasAnsweredIsThereAfterKill9) {
  constexpr int kKills = 12;
  const uint64_t seed = Seed();
  std::printf("VSWAP_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  SeededRandom random(seed);
  StoreSetup setup({crash::kCapacityPages, 0});
  for (int kills = 0; kills < kKills; ++kills) {
    setup.Drop();
    uint64_t answered = 0;
    {
      Helper writer({"write", setup.options.directory, setup.options.boot_id_path});
      for (uint64_t lines = 1 + random.Below(kills % 3 == 0 ? 600 : 60); lines > 0; --lines) {
        const std::string line = writer.Line();
        ASSERT_FALSE(line.empty()) << "the writer ended by itself: " << writer.Wait();
        answered = std::strtoull(line.c_str(), nullptr, 10);
      }
      writer.Kill();
      for (std::string line = writer.Line(); !line.empty(); line = writer.Line()) {
        answered = std::strtoull(line.c_str(), nullptr, 10);
      }
    }
    const Status opened = setup.Open();
    ASSERT_TRUE(opened.ok()) << opened;
    CheckWhatWasLeft(setup, answered);
    ASSERT_FALSE(HasFatalFailure()) << "kill " << kills << ", round " << answered;
  }
}

TEST(StoreCrash, ASecondProcessIsRefused) {
  TempDir dir;
  SystemRandom random;
  StoreDbOptions options;
  options.directory = dir.path();
  const auto first = StoreDb::Open(options, random);
  ASSERT_TRUE(first.ok()) << first.status();
  Helper second({"open", dir.path()});
  const std::string answer = second.Line();
  EXPECT_EQ(second.Wait(), 1);
  EXPECT_EQ(answer.find("UNAVAILABLE"), 0u) << answer;
  EXPECT_NE(answer.find("in use by another process"), std::string::npos) << answer;
  EXPECT_NE(answer.find(dir.path()), std::string::npos) << answer;
}

TEST(StoreCrash, ADirectoryWithoutPermissionIsNamed) {
  TempDir dir;
  ASSERT_EQ(chmod(dir.path().c_str(), 0500), 0);
  // Root may write anywhere: the helper becomes nobody.
  const std::string uid = std::to_string(getuid() == 0 ? 65534 : getuid());
  for (const std::string& directory : {dir.path(), dir.path() + "/data"}) {
    Helper helper({"open", directory, uid});
    const std::string answer = helper.Line();
    EXPECT_EQ(helper.Wait(), 1);
    EXPECT_EQ(answer.find("PERMISSION_DENIED"), 0u) << answer;
    EXPECT_NE(answer.find(directory), std::string::npos) << answer;
  }
}

}  // namespace
}  // namespace vswap
