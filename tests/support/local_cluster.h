#pragma once

#include <sys/types.h>

#include <string>

#include "tests/support/temp_dir.h"

namespace vswap {

// A cluster of deploy/cluster.sh: real processes and a real etcd, ended and removed at the end.
// Processes are named ROLE/N; after a failure their last words are printed. Thread-confined;
// GoogleTest's failures tell where a command fails.
class LocalCluster {
 public:
  // `flags`: of `up`.
  explicit LocalCluster(const std::string& flags);
  ~LocalCluster();

  bool up() const { return up_; }
  // Of all front-ends: HOST:PORT,...
  std::string frontends() const { return Environment("VSWAP_FRONTENDS"); }
  void Kill(const std::string& process) { Run("kill", process); }
  void Stop(const std::string& process) { Run("stop", process); }
  void Continue(const std::string& process) { Run("cont", process); }
  // Killed, unless it is dead, and what it kept is gone.
  void Destroy(const std::string& process) { Run("destroy", process); }
  // Only of a cluster with --netns: the process' cable is pulled, and plugged in again.
  void Cut(const std::string& process) { Run("cut", process); }
  void Join(const std::string& process) { Run("join", process); }
  // Whether all shards are served, and logs and pages have as many copies as are wanted; as of the
  // last second.
  bool FullyRedundant() const;
  // A line a process, and how redundant all is.
  std::string Status() const;
  void Restart(const std::string& process) { Run("restart", process); }
  // Where the process, of any role but etcd, looks for etcd from its next start on: HOST:PORT.
  void SetEtcd(const std::string& process, const std::string& address);
  // A word of cluster.env; empty where it is not there.
  std::string Environment(const std::string& name) const;
  // What vswapctl prints, asked of the first front-end.
  std::string Control(const std::string& arguments) const;
  // Of its latest start.
  pid_t Pid(const std::string& process) const;
  // The same of a command that may be refused: what it prints, stderr included, and its exit
  // status.
  std::string Control(const std::string& arguments, int* exit_status) const;
  bool Alive(const std::string& process) const;
  // Whether the process, of any role but etcd, answers over the network within two seconds.
  bool Answers(const std::string& process) const;
  // What the process, of any role but etcd, tells at /metrics; empty where it does not answer
  // within two seconds.
  std::string Metrics(const std::string& process) const;
  std::string DataDir(const std::string& process) const;
  // What lies there takes room on the process' disk; of a store of a cluster with --store-disk.
  std::string Disk(const std::string& process) const;
  // The file of a compressor's pages.
  std::string Arena(const std::string& process) const;

 private:
  void Run(const std::string& command, const std::string& arguments);
  std::string Output(const std::string& line) const;
  // HOST:PORT of its metrics; empty while it is starting.
  std::string MetricsAddress(const std::string& process) const;

  TempDir directory_;
  const std::string dir_;
  bool up_ = false;
};

}  // namespace vswap
