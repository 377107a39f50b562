#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/temp_dir.h"
#include "tests/support/vswapd_process.h"

// The real program: its results parse and have their keys, and what they say of memory is true. No
// speed is asserted.
namespace vswap {
namespace {

using nlohmann::json;
using testing::HasSubstr;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

struct Ended {
  int exit_status = -1;
  std::string out;
};

// `redirect`: what becomes of standard error.
Ended Bench(const std::string& arguments, const std::string& redirect = "2>&1") {
  FILE* pipe = popen((VSWAP_BENCH " " + arguments + " " + redirect).c_str(), "r");
  Ended ended;
  char buffer[4096];
  while (const size_t bytes = fread(buffer, 1, sizeof(buffer), pipe)) {
    ended.out.append(buffer, bytes);
  }
  const int status = pclose(pipe);
  ended.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ended;
}

// What a successful command prints on standard output is one JSON object and nothing else.
json RunJson(const std::string& arguments) {
  const Ended ended = Bench(arguments + " --output json", "");
  EXPECT_EQ(ended.exit_status, 0) << ended.out;
  json result = json::parse(ended.out, nullptr, false);
  EXPECT_TRUE(result.is_object()) << ended.out;
  return result.is_object() ? result : json::object();
}

void ExpectKeys(const json& result, const std::vector<std::string>& pointers) {
  for (const std::string& pointer : pointers) {
    EXPECT_TRUE(result.contains(json::json_pointer(pointer))) << pointer;
  }
}

void ExpectPositive(const json& result, const std::vector<std::string>& pointers) {
  for (const std::string& pointer : pointers) {
    EXPECT_GT(result.value(json::json_pointer(pointer), 0.0), 0) << pointer;
  }
}

void ExpectRefused(const std::string& arguments, const std::string& text) {
  const Ended ended = Bench(arguments);
  EXPECT_EQ(ended.exit_status, 2) << arguments;
  EXPECT_THAT(ended.out, HasSubstr(text)) << arguments;
}

TEST(VswapBench, HelpNamesTheCommandsAndVersionTheVersion) {
  const Ended help = Bench("--help");
  EXPECT_EQ(help.exit_status, 0);
  for (const char* command : {"slots", "sparse", "pages", "run"}) {
    EXPECT_THAT(help.out, HasSubstr(command));
    EXPECT_EQ(Bench(std::string(command) + " --help").exit_status, 0) << command;
  }
  EXPECT_THAT(Bench("--version").out, HasSubstr("vswap-bench "));
}

TEST(VswapBench, BadFlagsAreRefusedWithFieldAndRange) {
  ExpectRefused("", "subcommand is required");
  ExpectRefused("slots --entries 0", "--entries: Value 0 not in range");
  ExpectRefused("slots --threads 65", "--threads: Value 65 not in range");
  ExpectRefused("slots --fill-with noise", "--fill-with");
  ExpectRefused("slots --output xml", "--output: xml not in {text,json}");
  ExpectRefused("sparse --clusters 3 --pages 1024", "clusters is 3, allowed: 1..2");
  ExpectRefused("sparse --pages 511", "--pages: Value 511 not in range");
  ExpectRefused("pages", "--op is required");
  ExpectRefused("pages --op up", "--op");
  ExpectRefused("pages --op in --batch 513", "--batch: Value 513 not in range");
  ExpectRefused("pages --op in --batch 64 --depth 8 --pages 511",
                "pages is 511, allowed: at least batch * depth = 512");
  ExpectRefused("pages --op in --cpus 0", "cpus is '0', allowed: CLIENT:SERVICE");
  ExpectRefused("pages --op in --cpus 0:99999", "cpus is '0:99999', allowed: CLIENT:SERVICE");
  ExpectRefused("run --batch 5000", "--batch: Value 5000 not in range");
}

TEST(VswapBench, AServiceThatIsNotThereIsAnError) {
  const Ended ended = Bench("pages --op in --vswapd /nonexistent/vswapd");
  EXPECT_EQ(ended.exit_status, 1);
  EXPECT_THAT(ended.out, HasSubstr("/nonexistent/vswapd"));
}

TEST(VswapBench, AMillionFullSlotsTakeAtMost16BytesEach) {
  for (const char* fill : {"zero", "compressed"}) {
    const json result = RunJson(std::string("slots --entries 1000000 --operations 65536 "
                                            "--rounds 1 --fill-with ") +
                                fill);
    EXPECT_EQ(result.value("live_slots", 0), 1000000);
    EXPECT_EQ(result.value("live_slots_freed", -1), 0);
    ExpectPositive(result, {"/fill/operations_per_second", "/store/operations_per_second",
                            "/load/operations_per_second", "/free/operations_per_second",
                            "/store/cpu_ns_per_operation"});
    ExpectKeys(result, {"/version", "/target", "/entries", "/threads", "/shards", "/batch",
                        "/resident_bytes_before", "/resident_bytes_full", "/resident_bytes_freed"});
    if (!kSanitized) {
      EXPECT_LE(result.value("bytes_per_slot", 1e9), 16.0) << fill;
      // Word and companion alone: less would mean that the memory was not seen.
      EXPECT_GE(result.value("bytes_per_slot", 0.0), 12.0) << fill;
    }
  }
}

TEST(VswapBench, ThreadsShareTheEntries) {
  const json result = RunJson(
      "slots --entries 100001 --threads 3 --shards 2 --batch 7 "
      "--operations 10000 --rounds 1");
  EXPECT_EQ(result.value("live_slots", 0), 100001);
  EXPECT_EQ(result.value("live_slots_freed", -1), 0);
}

TEST(VswapBench, SparseClustersGiveTheirMemoryBack) {
  const json result = RunJson("sparse --clusters 20000");
  EXPECT_EQ(result.value("pages", uint64_t{0}), uint64_t{1} << 41);
  EXPECT_EQ(result.value("live_slots", 0), 20000);
  EXPECT_EQ(result.value("live_slots_freed", -1), 0);
  ExpectPositive(result, {"/fill_clusters_per_second", "/free_clusters_per_second"});
  ExpectKeys(result, {"/version", "/clusters", "/rounds", "/resident_bytes_before",
                      "/resident_bytes_full", "/resident_bytes_freed"});
  if (!kSanitized) {
    EXPECT_GE(result.value("bytes_per_cluster", 0.0), 6144.0) << "the memory was not seen";
    EXPECT_GE(result.value("given_back", 0.0), 0.9);
  }
}

TEST(VswapBench, PagesStartsAServiceMeasuresBesideTheBareCostsAndCleansUp) {
  const TempDir temp;
  setenv("TMPDIR", temp.path().c_str(), 1);
  for (const char* op : {"out", "in"}) {
    const json result =
        RunJson(std::string("pages --batch 16 --depth 2 --pages 1024 --rounds 1 --seconds 0.1 "
                            "--cpus 0:0 --op ") +
                op);
    EXPECT_EQ(result.value("own_service", false), true);
    ExpectPositive(result, {"/pages_per_second",
                            "/p50_us",
                            "/p99_us",
                            "/client_cpu_us_per_page",
                            "/service_cpu_us_per_page",
                            "/cpu_us_per_page",
                            "/bare/lz4_cpu_us_per_page",
                            "/bare/echo/pages_per_second",
                            "/bare/echo/p50_us",
                            "/bare/echo/p99_us",
                            "/bare/echo/client_cpu_us_per_page",
                            "/bare/echo/service_cpu_us_per_page",
                            "/bare/echo/cpu_us_per_page",
                            "/ratios/cpu",
                            "/ratios/p50",
                            "/ratios/p99",
                            "/ratios/pages_per_second",
                            "/lz4_bytes_per_page",
                            "/request_bytes",
                            "/answer_bytes"});
  }
  unsetenv("TMPDIR");
  EXPECT_TRUE(std::filesystem::is_empty(temp.path()));
}

TEST(VswapBench, MeasuresARunningService) {
  const TempDir temp;
  VswapdProcess service(VSWAPD, temp.path() + "/data", {"--memory-max", "64MiB"});
  ASSERT_TRUE(service.Start().ok());
  const std::string frontend = " --frontend " + service.listen();
  const json slots =
      RunJson("slots --entries 20000 --threads 2 --operations 4096 --rounds 1" + frontend);
  EXPECT_EQ(slots.value("live_slots", 0), 20000);
  EXPECT_EQ(slots.value("live_slots_freed", -1), 0);
  ExpectPositive(slots, {"/resident_bytes_full", "/store/cpu_ns_per_operation"});
  const json sparse = RunJson("sparse --clusters 500" + frontend);
  EXPECT_EQ(sparse.value("live_slots", 0), 500);
  EXPECT_EQ(sparse.value("live_slots_freed", -1), 0);
  const json pages =
      RunJson("pages --op out --batch 1 --pages 64 --rounds 1 --seconds 0.05" + frontend);
  EXPECT_EQ(pages.value("own_service", true), false);
  ExpectPositive(pages, {"/service_cpu_us_per_page"});
  const Ended run = Bench("run --pages 256 --seconds 1" + frontend);
  EXPECT_EQ(run.exit_status, 0) << run.out;
}

TEST(VswapBench, ASpaceThatIsTooSmallIsRefused) {
  const TempDir temp;
  VswapdProcess service(VSWAPD, temp.path() + "/data", {"--memory-max", "64MiB"});
  ASSERT_TRUE(service.Start().ok());
  const std::string frontend = " --frontend " + service.listen();
  RunJson("slots --entries 1000 --operations 64 --rounds 1" + frontend);
  ExpectRefused("slots --entries 2000 --operations 64 --rounds 1" + frontend,
                "space is bench-slots of 1024 pages, allowed: a new space");
}

}  // namespace
}  // namespace vswap
