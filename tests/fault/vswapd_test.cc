#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/support/temp_dir.h"
#include "tests/support/vswapd_process.h"

// What vswapd says when it is told something wrong, and that it changes nothing then.
namespace vswap {
namespace {

using testing::HasSubstr;

class Vswapd : public testing::Test {
 protected:
  struct Outcome {
    int exit_code = -1;
    std::string output;  // both streams
  };

  static Outcome Run(const std::string& arguments, const std::string& environment = "") {
    const std::string command =
        environment + " timeout 20 " VSWAPD " " + arguments + " 2>&1 < /dev/null";
    FILE* pipe = popen(command.c_str(), "r");
    Outcome outcome;
    char buffer[512];
    while (fgets(buffer, sizeof(buffer), pipe) != nullptr) {
      outcome.output += buffer;
    }
    const int status = pclose(pipe);
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
  }

  std::string Path(const std::string& name) const { return directory_.path() + "/" + name; }
  std::string Standalone(const std::string& flags) const {
    return "standalone --listen 127.0.0.1:0 --data-dir " + Path("data") + " " + flags;
  }
  static void ExpectRefused(const Outcome& outcome, int exit_code, const std::string& text) {
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(text));
  }
  std::string WriteFile(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name)) << text;
    return Path(name);
  }

  TempDir directory_;
};

TEST_F(Vswapd, AnswersHelpAndVersion) {
  EXPECT_EQ(Run("--version").output, "vswapd 0.1.0\n");
  const Outcome help = Run("standalone --help");
  EXPECT_EQ(help.exit_code, 0);
  for (const char* flag : {"--listen", "--metrics-listen", "--data-dir", "--memory-max",
                           "--capacity-pages", "--config", "VSWAP_MEMORY_MAX"}) {
    EXPECT_THAT(help.output, HasSubstr(flag));
  }
}

TEST_F(Vswapd, BadFlagsAreNamedWithTheirRange) {
  ExpectRefused(Run(Standalone("--memory-max 1K")), 2,
                "--memory-max: is 1K, allowed: 4194304..1099511627776");
  ExpectRefused(Run(Standalone("--memory-max lots")), 2, "--memory-max");
  ExpectRefused(Run(Standalone("--capacity-pages -1")), 2, "--capacity-pages: is -1, allowed: 0..");
  ExpectRefused(Run(Standalone("--shards 0")), 2, "--shards: is 0, allowed: 1..4096");
  ExpectRefused(Run(Standalone("--sise 1")), 2, "--sise");
  ExpectRefused(Run("standalone --listen nonsense --data-dir " + Path("data")), 1,
                "listen is nonsense, allowed: HOST:PORT, port 0..65535");
  ExpectRefused(Run("standalone --listen 127.0.0.1:70000 --data-dir " + Path("data")), 1,
                "listen is 127.0.0.1:70000");
  ExpectRefused(Run(Standalone("--metrics-listen nowhere")), 1, "metrics-listen is nowhere");
  ExpectRefused(Run(Standalone("--log-level loud")), 2, "log-level is loud, allowed: trace");
  ExpectRefused(Run(""), 2, "subcommand");
  ExpectRefused(Run("dance"), 2, "subcommand");
}

TEST_F(Vswapd, BadEnvironmentAndFilesAreNamed) {
  ExpectRefused(Run(Standalone(""), "VSWAP_MEMORY_MAX=1K"), 2, "--memory-max: is 1K, allowed:");
  ExpectRefused(Run(Standalone("--config " + Path("none.yaml"))), 2, "none.yaml");
  const std::string unknown = WriteFile("unknown.yaml", "memory-max: 64MiB\nmemroy: 1\n");
  ExpectRefused(Run(Standalone("--config " + unknown)), 2, "unknown setting memroy");
  const std::string range = WriteFile("range.yaml", "shards: 5000\n");
  ExpectRefused(Run(Standalone("--config " + range)), 2, "--shards: is 5000, allowed: 1..4096");
  const std::string list = WriteFile("list.yaml", "shards: [1, 2]\n");
  ExpectRefused(Run(Standalone("--config " + list)), 2, "shards must be one value");
  const std::string broken = WriteFile("broken.yaml", "shards: [1\n");
  ExpectRefused(Run(Standalone("--config " + broken)), 2, "broken.yaml");
  EXPECT_FALSE(std::filesystem::exists(Path("data")));
}

TEST_F(Vswapd, AFlagComesBeforeTheEnvironmentAndThatBeforeTheFile) {
  const std::string file = WriteFile("good.yaml", "capacity-pages: 111\nmemory-max: 5MiB\n");
  ASSERT_EQ(setenv("VSWAP_CAPACITY_PAGES", "222", 1), 0);
  const auto capacity = [&](std::vector<std::string> flags) {
    flags.insert(flags.end(), {"--config", file});
    VswapdProcess process(VSWAPD, Path("data"), flags);
    const Status started = process.Start();
    EXPECT_TRUE(started.ok()) << started;
    const StatusOr<v1::GetStatusResponse> status = process.GetStatus();
    EXPECT_TRUE(status.ok()) << status.status();
    EXPECT_EQ(status->nodes(0).capacity_bytes(), 5u << 20);
    return status->nodes(1).pages_capacity();
  };
  EXPECT_EQ(capacity({"--capacity-pages", "333"}), 333u);
  EXPECT_EQ(capacity({}), 222u);
  unsetenv("VSWAP_CAPACITY_PAGES");
  EXPECT_EQ(capacity({}), 111u);
}

TEST_F(Vswapd, ASecondProcessIsRefusedAndTheFirstServesOn) {
  VswapdProcess first(VSWAPD, Path("data"), {});
  ASSERT_TRUE(first.Start().ok());
  ExpectRefused(Run(Standalone("")), 1, "is in use by another process");
  ExpectRefused(Run("standalone --listen " + first.listen() + " --data-dir " + Path("other")), 1,
                "listen: cannot listen on " + first.listen());
  ExpectRefused(Run("standalone --listen 127.0.0.1:0 --metrics-listen " + first.metrics() +
                    " --data-dir " + Path("third")),
                1, "metrics-listen: cannot listen on " + first.metrics());
  EXPECT_TRUE(first.GetStatus().ok());
  std::ifstream endpoints(Path("data") + "/endpoints.env");
  std::string line;
  std::getline(endpoints, line);
  EXPECT_EQ(line, "VSWAP_LISTEN=" + first.listen());
  EXPECT_EQ(first.Terminate(), 0);
  EXPECT_FALSE(std::filesystem::exists(Path("data") + "/endpoints.env"));
}

TEST_F(Vswapd, ADirectoryThatCannotBeUsedIsNamed) {
  WriteFile("file", "not a directory");
  ExpectRefused(Run("standalone --listen 127.0.0.1:0 --data-dir " + Path("file")), 1,
                "data-dir: cannot open " + Path("file"));
  ExpectRefused(Run("standalone --listen 127.0.0.1:0 --data-dir " + Path("no/parent")), 1,
                "data-dir: cannot make " + Path("no/parent"));
  ExpectRefused(Run("standalone --listen 127.0.0.1:0 --data-dir /proc/vswap"), 1,
                "data-dir: cannot make /proc/vswap");
  // Root may write anywhere: another user must not.
  std::filesystem::create_directory(Path("private"));
  chmod(Path("private").c_str(), 0700);
  chmod(directory_.path().c_str(), 0755);
  if (geteuid() == 0) {
    const std::string command = "setpriv --reuid 65534 --regid 65534 --clear-groups " VSWAPD
                                " standalone --listen 127.0.0.1:0 --data-dir " +
                                Path("private");
    ExpectRefused(Run("--version; " + command), 1, "Permission denied");
  }
}

TEST_F(Vswapd, WrongVersionsAreRefusedAndLeftAsTheyWere) {
  ExpectRefused(Run(Standalone("--arena " + Path("arena"))), 1, "tmpfs");
  EXPECT_FALSE(std::filesystem::exists(Path("arena")));
  const std::string arena = "/dev/shm/vswap-test-" + std::to_string(getpid());
  {
    VswapdProcess process(VSWAPD, Path("data"), {"--arena", arena, "--keep-arena"});
    ASSERT_TRUE(process.Start().ok());
    ASSERT_EQ(process.Terminate(), 0);
  }
  const auto refused_with = [&](const std::string& text) {
    ExpectRefused(Run(Standalone("--arena " + arena)), 1, text);
  };
  {  // The arena's format version follows its magic of 8 bytes.
    std::fstream file(arena, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(8);
    file.put('\x7f');
  }
  refused_with("arena");
  std::filesystem::remove(arena);
  {
    std::ifstream in(Path("data/store/store.state"));
    std::string text((std::istreambuf_iterator<char>(in)), {});
    text.replace(text.find("format 1"), 8, "format 9");
    std::ofstream(Path("data/store/store.state")) << text;
  }
  refused_with("format");
  std::filesystem::remove(arena);
}

}  // namespace
}  // namespace vswap
