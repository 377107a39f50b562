#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "services/common/status.h"
#include "tests/support/temp_dir.h"

namespace vswap {

// A real etcd on loopback in a directory of its own, which may be killed, stopped and started again
// on the same ports and data. Killed when this object goes, and when the test's process dies.
// Thread-confined.
class EtcdProcess {
 public:
  // A cluster of one.
  EtcdProcess();
  // The members of one cluster, not started. Start them with StartAll.
  static std::vector<std::unique_ptr<EtcdProcess>> Members(int count);
  static Status StartAll(const std::vector<std::unique_ptr<EtcdProcess>>& members);

  ~EtcdProcess();
  EtcdProcess(const EtcdProcess&) = delete;
  EtcdProcess& operator=(const EtcdProcess&) = delete;

  // Starts it, and waits until it answers a linearizable read.
  Status Start();
  Status StartOnly();
  Status WaitHealthy();
  // SIGKILL.
  void Kill();
  // SIGTERM; the exit status.
  int Terminate();
  // SIGSTOP, SIGCONT: its connections stay, and nobody answers once Stop has returned.
  void Stop();
  void Continue();
  // Forgets history before `revision`.
  Status Compact(uint64_t revision) const;

  // HOST:PORT, of clients.
  const std::string& endpoint() const { return endpoint_; }

 private:
  explicit EtcdProcess(std::string name);
  std::vector<std::string> Arguments() const;
  int Wait();
  std::string LogTail() const;

  const std::string name_;
  TempDir directory_;
  std::string endpoint_;
  std::string peer_;
  std::string cluster_;  // NAME=URL,NAME=URL
  pid_t pid_ = 0;        // 0: not running
};

}  // namespace vswap
