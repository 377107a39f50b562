#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/support/local_cluster.h"
#include "tests/support/service.h"

// What deploy/cluster.sh tells of a cluster.
namespace vswap {
namespace {

// Of the process, its words separated by blanks; empty where there is none.
std::string CommandOf(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/cmdline");
  std::string command((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::ranges::replace(command, '\0', ' ');
  return command;
}

class ClusterSh : public testing::Test {
 protected:
  ClusterSh() : cluster_("--frontends 2 --compressors 1 --stores 1 --replicas 1 --shards 2") {}

  // That VSWAP_PID_ROLE_N is of a process whose command has these words.
  void ExpectProcess(const std::string& name, const std::string& program,
                     const std::string& words) {
    const std::string pid = cluster_.Environment("VSWAP_PID_" + name);
    const std::string command = CommandOf(pid);
    EXPECT_NE(command.find(program + " "), std::string::npos) << name << "=" << pid << command;
    EXPECT_NE(command.find(" " + words + " "), std::string::npos) << name << "=" << pid << command;
  }
  void ExpectAllProcesses() {
    ExpectProcess("ETCD_1", "etcd", "--name etcd-1");
    ExpectProcess("FRONTEND_1", "vswapd frontend", "--id frontend-1");
    ExpectProcess("FRONTEND_2", "vswapd frontend", "--id frontend-2");
    ExpectProcess("COMPRESSOR_1", "vswapd compressor", "--id compressor-1");
    ExpectProcess("STORE_1", "vswapd store", "--id store-1");
  }

  LocalCluster cluster_;
};

TEST_F(ClusterSh, TheEnvironmentNamesWhatRuns) {
  ASSERT_TRUE(cluster_.up());
  ExpectAllProcesses();
  const std::string frontends = cluster_.Environment("VSWAP_FRONTENDS");
  const size_t comma = frontends.find(',');
  ASSERT_NE(comma, std::string::npos) << frontends;
  const std::string first = frontends.substr(0, comma);
  const std::string second = frontends.substr(comma + 1);
  ExpectProcess("FRONTEND_1", "vswapd", "--listen " + first);
  ExpectProcess("FRONTEND_2", "vswapd", "--listen " + second);
  const std::string etcd = cluster_.Environment("VSWAP_ETCD");
  const std::string health = "curl -sf http://" + etcd + "/health | grep -q true";
  EXPECT_EQ(std::system(health.c_str()), 0) << etcd;
  for (const char* role : {"FRONTEND_1", "COMPRESSOR_1", "STORE_1"}) {
    ExpectProcess(role, "vswapd", "--etcd " + etcd);
  }

  const std::string pid = cluster_.Environment("VSWAP_PID_STORE_1");
  cluster_.Restart("store/1");
  EXPECT_NE(cluster_.Environment("VSWAP_PID_STORE_1"), pid);
  EXPECT_TRUE(PollUntil([&] { return cluster_.Answers("store/1"); }));
  ExpectAllProcesses();
}

}  // namespace
}  // namespace vswap
