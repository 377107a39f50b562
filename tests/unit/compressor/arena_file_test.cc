#include "services/compressor/arena_file.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <fstream>
#include <functional>

#include "services/common/data_dir.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/compressor/arena_bytes.h"
#include "tests/unit/compressor/arena_fixture.h"

namespace vswap {
namespace {

using arena::Superblock;

constexpr PageName kName{1, 2, 3};

void ExpectError(const Status& status, StatusCode code, std::string_view words) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_NE(MessageOf(status).find(words), std::string_view::npos) << status;
}

std::string ContentOf(const std::string& path, size_t bytes) {
  std::string content(bytes, 0);
  std::ifstream(path).read(content.data(), static_cast<std::streamsize>(bytes));
  return content;
}

// Changes the superblock of an arena that holds a page; its checksum fits again where asked for.
// The arena is refused and as it was, and opens once the superblock is as before.
void ExpectRefusedAfter(const std::function<void(Superblock&)>& change, bool fit_crc,
                        StatusCode code, std::string_view words) {
  ArenaSetup setup;
  ASSERT_TRUE(setup.Keep(kName, 100));
  setup.Drop();
  const ArenaBytes file(setup.options.path);
  const auto before = file.Read<Superblock>(0);
  Superblock changed = before;
  change(changed);
  changed.crc = fit_crc ? changed.Crc() : changed.crc;
  file.Write(0, changed);
  ExpectError(setup.OpenStatus(), code, words);
  EXPECT_EQ(ContentOf(setup.options.path, sizeof(changed)),
            std::string(reinterpret_cast<const char*>(&changed), sizeof(changed)));
  file.Write(0, before);
  setup.Open();
  EXPECT_TRUE(setup.HeldRight(kName, 100));
}

TEST(ArenaFile, WhatIsNotAnArenaIsRefused) {
  ExpectRefusedAfter([](Superblock& block) { block.magic[3] ^= 1; }, true,
                     StatusCode::kFailedPrecondition, "not an arena");
  ArenaSetup setup;
  setup.options.path += "-other";
  std::ofstream(setup.options.path) << "dear diary";
  ExpectError(setup.OpenStatus(), StatusCode::kFailedPrecondition, "not an arena");
  EXPECT_EQ(ContentOf(setup.options.path, 10), "dear diary");
}

TEST(ArenaFile, AnotherFormatVersionIsRefused) {
  ExpectRefusedAfter([](Superblock& block) { block.format_version = 2; }, false,
                     StatusCode::kFailedPrecondition, "format version 2, allowed: 1");
}

TEST(ArenaFile, ADamagedSuperblockIsRefused) {
  ExpectRefusedAfter([](Superblock& block) { block.incarnation ^= 1; }, false,
                     StatusCode::kDataLoss, "damaged superblock");
}

TEST(ArenaFile, AnotherLayoutIsRefused) {
  ExpectRefusedAfter([](Superblock& block) { block.slab_bytes = 64 * 1024; }, true,
                     StatusCode::kFailedPrecondition, "slab_bytes is 65536, asked for 32768");
}

TEST(ArenaFile, AnotherDataDirectoryIsRefused) {
  ExpectRefusedAfter([](Superblock& block) { block.data_dir_id = 7; }, true,
                     StatusCode::kFailedPrecondition, "another data directory, /nowhere/data");
}

TEST(ArenaFile, AMovedDataDirectoryKeepsItsArena) {
  ArenaSetup setup;
  ASSERT_TRUE(setup.Keep(kName, 100));
  setup.options.data_dir_path = "/nowhere/else";
  setup.Reopen();
  EXPECT_TRUE(setup.HeldRight(kName, 100));
  EXPECT_STREQ(ArenaBytes(setup.options.path).Read<Superblock>(0).data_dir_path, "/nowhere/else");
}

TEST(ArenaFile, ASecondOpenerIsRefused) {
  ArenaSetup setup;
  ASSERT_TRUE(setup.Keep(kName, 100));
  ExpectError(setup.OpenStatus(), StatusCode::kUnavailable, "in use by another process");
  EXPECT_TRUE(setup.HeldRight(kName, 100));
}

TEST(ArenaFile, BadOptionsAreNamed) {
  ArenaSetup setup;
  setup.Drop();
  const SlabArenaOptions good = setup.options;
  const auto expect_field = [&](std::string_view field) {
    ExpectError(setup.OpenStatus(), StatusCode::kInvalidArgument, field);
    ExpectError(setup.OpenStatus(), StatusCode::kInvalidArgument, "allowed");
    setup.options = good;
  };
  setup.options.memory_max_bytes = 1000;
  expect_field("memory_max_bytes");
  setup.options.memory_max_bytes = (uint64_t{1} << 40) + 1;
  expect_field("memory_max_bytes");
  setup.options.slab_bytes = 48 * 1024;
  expect_field("slab_bytes");
  setup.options.slab_bytes = kMiB;  // of a limit of 1 MiB
  expect_field("slab_bytes");
  setup.options.data_dir_path = std::string(5000, 'x');
  expect_field("data_dir_path");
}

TEST(ArenaFile, AFileThatCannotBeMadeIsAnError) {
  ArenaSetup setup;
  setup.options.path = setup.directory() + "/no/such/directory";
  ExpectError(setup.OpenStatus(), StatusCode::kUnavailable, "no/such/directory");
  setup.options.path = setup.directory() + "/link";
  std::filesystem::create_symlink(setup.directory() + "/target", setup.options.path);
  ExpectError(setup.OpenStatus(), StatusCode::kPermissionDenied, "link");
  EXPECT_FALSE(std::filesystem::exists(setup.directory() + "/target"));
}

TEST(ArenaFile, OnlyItsUserMayReadIt) {
  ArenaSetup setup;
  namespace fs = std::filesystem;
  EXPECT_EQ(fs::status(setup.options.path).permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
  setup.Drop();
  fs::permissions(setup.options.path, fs::perms::others_read, fs::perm_options::add);
  setup.Open();
  EXPECT_EQ(fs::status(setup.options.path).permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
}

TEST(ArenaFile, ItsMappingsAreLockedAndStayOutOfCores) {
  ArenaSetup setup;
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool ours = false;
  int mappings = 0;
  while (std::getline(maps, line)) {
    if (line.find(setup.options.path) != std::string::npos) {
      ours = true;
    } else if (ours && line.starts_with("VmFlags:")) {
      EXPECT_NE(line.find(" dd"), std::string::npos) << line;
      EXPECT_EQ(line.find(" lo") != std::string::npos, setup.arena().locked()) << line;
      ours = false;
      ++mappings;
    }
  }
  EXPECT_EQ(mappings, 2);
}

TEST(ArenaFile, DestroyRemovesIt) {
  ArenaSetup setup;
  ASSERT_TRUE(setup.Keep(kName, 100));
  const Incarnation incarnation = setup.arena().incarnation();
  ASSERT_TRUE(setup.arena().Destroy().ok());
  EXPECT_FALSE(std::filesystem::exists(setup.options.path));
  setup.Reopen();
  EXPECT_FALSE(setup.Held(kName));
  EXPECT_NE(setup.arena().incarnation(), incarnation);
}

// What a child process answers, 0..255.
int InChild(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    _exit(work());
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// This process may lock nothing from now on.
bool GiveUpLocking() {
  const rlimit none{0, 0};
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  return setrlimit(RLIMIT_MEMLOCK, &none) == 0 && syscall(SYS_capset, &header, data) == 0;
}

TEST(ArenaFile, SwappableMemoryIsRefusedUnlessAllowed) {
  ArenaSetup setup;
  setup.Drop();
  std::filesystem::remove(setup.options.path);
  const std::string no_swap = setup.directory() + "/no-swap";
  const std::string swap = setup.directory() + "/swap";
  std::ofstream(no_swap) << "Filename Type Size Used Priority\n";
  std::ofstream(swap) << "Filename Type Size Used Priority\n/dev/sdx partition 1 0 -2\n";
  const auto open = [&](const std::string& swaps_path, bool allow) {
    return InChild([&] {
      if (!GiveUpLocking()) {
        return 100;
      }
      SystemRandom random;
      setup.options.swaps_path = swaps_path;
      setup.options.allow_swappable = allow;
      const auto opened = SlabArena::Open(setup.options, random);
      if (!opened.ok()) {
        return MessageOf(opened.status()).find("allow_swappable") != std::string_view::npos
                   ? static_cast<int>(opened.status().code())
                   : 101;
      }
      return (*opened)->locked() ? 102 : 0;
    });
  };
  EXPECT_EQ(open(swap, false), static_cast<int>(StatusCode::kFailedPrecondition));
  // What a failed start had made is gone.
  EXPECT_FALSE(std::filesystem::exists(setup.options.path));
  EXPECT_EQ(open(no_swap, false), 0);
  EXPECT_EQ(open(swap, true), 0);
}

TEST(ArenaFile, ADiskIsRefusedUnlessAllowed) {
  const TempDir disk;
  struct statfs file_system {};
  ASSERT_EQ(statfs(disk.path().c_str(), &file_system), 0);
  if (file_system.f_type == TMPFS_MAGIC) {
    GTEST_SKIP() << disk.path() << " is on tmpfs";
  }
  ArenaSetup setup;
  setup.options.path = disk.path() + "/arena";
  ExpectError(setup.OpenStatus(), StatusCode::kFailedPrecondition, "not on tmpfs");
  EXPECT_FALSE(std::filesystem::exists(setup.options.path));
  setup.options.allow_swappable = true;
  EXPECT_TRUE(setup.OpenStatus().ok());
}

// A tmpfs of its own at `directory`, seen by this process only.
bool MountTmpfs(const std::string& directory, const char* size) {
  return unshare(CLONE_NEWNS) == 0 &&
         mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("vswap-test", directory.c_str(), "tmpfs", 0, size) == 0;
}

// Runs `work` in a child that sees such a tmpfs at `directory`. False where that may not be.
bool OnSmallTmpfs(const std::string& directory, const char* size,
                  const std::function<void()>& work) {
  constexpr int kMayNotMount = 77;
  const int answer = InChild([&] {
    if (!MountTmpfs(directory, size)) {
      return kMayNotMount;
    }
    work();
    return testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_TRUE(answer == 0 || answer == kMayNotMount) << answer;
  return answer != kMayNotMount;
}

TEST(ArenaFile, TheFileSystemsSizeIsALimitToo) {
  const ShmDir dir;
  if (!OnSmallTmpfs(dir.path(), "size=512k", [&] {
        SystemRandom random;
        const auto arena = SlabArena::Open(SmallArena(dir.path() + "/arena"), random);
        ASSERT_TRUE(arena.ok()) << arena.status();
        EXPECT_EQ((*arena)->Statistics().capacity_bytes, kMiB / 2);
      })) {
    GTEST_SKIP() << "may not mount";
  }
}

TEST(ArenaFile, AFileSystemThatIsFarTooSmallIsRefused) {
  const ShmDir dir;
  if (!OnSmallTmpfs(dir.path(), "size=64k", [&] {
        SystemRandom random;
        const Status status = SlabArena::Open(SmallArena(dir.path() + "/arena"), random).status();
        ExpectError(status, StatusCode::kFailedPrecondition, "has only 65536 bytes");
        EXPECT_FALSE(std::filesystem::exists(dir.path() + "/arena"));
      })) {
    GTEST_SKIP() << "may not mount";
  }
}

TEST(ArenaFile, WhereMemoryRunsOutBelowTheLimitPagesAreRefused) {
  const ShmDir dir;
  const auto work = [&] {
    SystemRandom random;
    const auto arena = SlabArena::Open(SmallArena(dir.path() + "/arena"), random);
    ASSERT_TRUE(arena.ok()) << arena.status();
    const auto keep = [&](Offset offset) {
      const PageName name{1, offset, 1};
      return (*arena)->Keep(ArenaSetup::PutOf(name, BytesOf(name, 1000))).has_value();
    };
    std::ofstream(dir.path() + "/other") << std::string(600 * 1024, 'x');
    Offset count = 0;
    while (keep(count)) {
      ++count;
    }
    EXPECT_GT(count, 100u);
    EXPECT_LT((*arena)->Statistics().used_bytes, kMiB / 2);
    std::filesystem::remove(dir.path() + "/other");
    EXPECT_TRUE(keep(count));
    for (Offset offset = 0; offset <= count; ++offset) {
      std::vector<std::byte> payload;
      EXPECT_TRUE((*arena)->CopyTo({1, offset, 1}, payload).has_value());
      EXPECT_EQ(payload, BytesOf({1, offset, 1}, 1000));
    }
  };
  if (!OnSmallTmpfs(dir.path(), "size=1m", work)) {
    GTEST_SKIP() << "may not mount";
  }
}

// An arena that belongs to a data directory that is there.
class OwnedArena {
 public:
  OwnedArena() {
    setup.Drop();
    std::filesystem::remove(setup.options.path);
    setup.options.data_dir_path = setup.directory() + "/data";
    setup.options.data_dir_id = *ReadOrMakeDataDirId(setup.options.data_dir_path, random);
    setup.Open();
  }
  std::vector<std::string> Reclaim() { return ReclaimAbandoned(setup.directory(), own_id).value(); }

  uint64_t own_id = 0;  // of who reclaims
  SystemRandom random;
  ArenaSetup setup;
};

TEST(ReclaimAbandoned, LeavesItsOwnWhoseDataDirectoryWasMoved) {
  OwnedArena owned;
  owned.setup.Drop();
  std::filesystem::rename(owned.setup.options.data_dir_path, owned.setup.directory() + "/moved");
  owned.own_id = owned.setup.options.data_dir_id;
  EXPECT_TRUE(owned.Reclaim().empty());
  owned.own_id = 0;
  EXPECT_EQ(owned.Reclaim().size(), 1u);
}

TEST(ReclaimAbandoned, TakesArenasWhoseDataDirectoryIsGone) {
  OwnedArena owned;
  owned.setup.Drop();
  EXPECT_TRUE(owned.Reclaim().empty());
  std::filesystem::remove_all(owned.setup.options.data_dir_path);
  EXPECT_EQ(owned.Reclaim(), std::vector<std::string>{owned.setup.options.path});
  EXPECT_FALSE(std::filesystem::exists(owned.setup.options.path));
}

TEST(ReclaimAbandoned, TakesArenasWhoseDataDirectoryIsAnother) {
  OwnedArena owned;
  owned.setup.Drop();
  std::filesystem::remove(owned.setup.options.data_dir_path + "/id");
  EXPECT_TRUE(owned.Reclaim().empty());  // nobody knows whose it is
  ASSERT_TRUE(ReadOrMakeDataDirId(owned.setup.options.data_dir_path, owned.random).ok());
  EXPECT_EQ(owned.Reclaim().size(), 1u);
}

TEST(ReclaimAbandoned, LeavesWhatIsInUseOrNoArena) {
  OwnedArena owned;
  const std::string note = owned.setup.directory() + "/note";
  std::ofstream(note) << "not an arena";
  std::filesystem::create_symlink(owned.setup.options.path, owned.setup.directory() + "/link");
  std::filesystem::remove_all(owned.setup.options.data_dir_path);
  EXPECT_TRUE(owned.Reclaim().empty());
  owned.setup.Drop();
  ArenaBytes(owned.setup.options.path).Write(16, uint32_t{2});  // a format to come
  EXPECT_TRUE(owned.Reclaim().empty());
  EXPECT_TRUE(std::filesystem::exists(note));
}

TEST(ReclaimAbandoned, ADirectoryThatCannotBeReadIsAnError) {
  ExpectError(ReclaimAbandoned("/nowhere", 0).status(), StatusCode::kUnavailable, "/nowhere");
}

TEST(ArenaFile, ItsDefaultPathNamesTheDataDirectory) {
  EXPECT_EQ(DefaultArenaPath(0x12ab), "/dev/shm/vswap-00000000000012ab");
}

}  // namespace
}  // namespace vswap
