#include "tests/support/local_cluster.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace vswap {
namespace {

const std::string kClusterSh =
    std::string("VSWAPD=") + VSWAPD + " VSWAPCTL=" + VSWAPCTL + " bash " + CLUSTER_SH + " ";

std::string FileNameOf(std::string process) {
  std::ranges::replace(process, '/', '-');
  return process;
}

// Of the test, or after the last one of its suite.
bool HasFailed() {
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  return testing::Test::HasFailure() || (all.current_test_info() == nullptr && all.Failed());
}

}  // namespace

LocalCluster::LocalCluster(const std::string& flags) : dir_(directory_.path() + "/cluster") {
  Run("up", flags);
  up_ = !testing::Test::HasFailure();
}

LocalCluster::~LocalCluster() {
  if (HasFailed()) {
    std::printf("%s\n", Output("tail -n 8 " + dir_ + "/*.log").c_str());
  }
  Run("down", "");
}

void LocalCluster::Run(const std::string& command, const std::string& arguments) {
  const std::string line = kClusterSh + command + " --dir " + dir_ + " " + arguments;
  EXPECT_EQ(std::system(line.c_str()), 0) << line;
}

std::string LocalCluster::Environment(const std::string& name) const {
  std::ifstream file(dir_ + "/cluster.env");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + "=")) {
      return line.substr(name.size() + 1);
    }
  }
  return "";
}

void LocalCluster::SetEtcd(const std::string& process, const std::string& address) {
  const std::string path = dir_ + "/" + FileNameOf(process) + ".cmd";
  std::ifstream in(path);
  std::string command((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const std::string flag = "--etcd ";
  const size_t begin = command.find(flag);
  ASSERT_NE(begin, std::string::npos) << command;
  const size_t value = begin + flag.size();
  command.replace(value, command.find(' ', value) - value, address);
  std::ofstream(path) << command;
}

bool LocalCluster::FullyRedundant() const { return Status().ends_with("\nredundancy: full\n"); }

std::string LocalCluster::Status() const { return Output(kClusterSh + "status --dir " + dir_); }

std::string LocalCluster::Control(const std::string& arguments) const {
  const std::string all = frontends();
  return Output(std::string(VSWAPCTL) + " --frontend " + all.substr(0, all.find(',')) + " " +
                arguments);
}

std::string LocalCluster::Control(const std::string& arguments, int* exit_status) const {
  const std::string output = Control(arguments + " 2>&1; echo $?");
  const size_t last = output.rfind('\n', output.size() - 2) + 1;
  *exit_status = std::atoi(output.c_str() + last);
  return output.substr(0, last);
}

std::string LocalCluster::Output(const std::string& line) const {
  std::string output;
  FILE* const pipe = popen(line.c_str(), "r");
  for (int c = 0; pipe != nullptr && (c = std::fgetc(pipe)) != EOF;) {
    output.push_back(static_cast<char>(c));
  }
  EXPECT_TRUE(pipe != nullptr && pclose(pipe) == 0) << line << "\n" << output;
  return output;
}

pid_t LocalCluster::Pid(const std::string& process) const {
  pid_t pid = 0;
  std::ifstream(dir_ + "/" + FileNameOf(process) + ".pid") >> pid;
  return pid;
}

bool LocalCluster::Alive(const std::string& process) const {
  const pid_t pid = Pid(process);
  std::string name;
  char state = 'Z';
  std::string number;
  std::ifstream("/proc/" + std::to_string(pid) + "/stat") >> number >> name >> state;
  return pid > 0 && kill(pid, 0) == 0 && state != 'Z';
}

std::string LocalCluster::MetricsAddress(const std::string& process) const {
  std::ifstream file(dir_ + "/" + FileNameOf(process) + ".out");
  std::string ready;
  std::getline(file, ready);
  const size_t metrics = ready.find("metrics=");
  return metrics == std::string::npos ? "" : ready.substr(metrics + 8);
}

bool LocalCluster::Answers(const std::string& process) const {
  const std::string address = MetricsAddress(process);
  const std::string line = "curl -sf --max-time 2 http://" + address + "/livez > /dev/null";
  return !address.empty() && std::system(line.c_str()) == 0;
}

std::string LocalCluster::Metrics(const std::string& process) const {
  const std::string address = MetricsAddress(process);
  return address.empty() ? ""
                         : Output("curl -sf --max-time 2 http://" + address + "/metrics || true");
}

std::string LocalCluster::DataDir(const std::string& process) const {
  return Disk(process) + "/data";
}

std::string LocalCluster::Disk(const std::string& process) const {
  return dir_ + "/" + FileNameOf(process);
}

std::string LocalCluster::Arena(const std::string& process) const {
  std::string id;
  std::ifstream(DataDir(process) + "/id") >> id;
  return "/dev/shm/vswap-" + id;
}

}  // namespace vswap
