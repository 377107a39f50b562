#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "services/common/status.h"
#include "vswap/v1/admin.pb.h"

namespace vswap {

// A real vswapd standalone in a data directory of the test's, which may be killed and started again
// on the same port. Killed when this object goes, and when the test's process dies; the arena that
// it leaves is removed then.
// Thread-confined.
class VswapdProcess {
 public:
  // `program`: path of vswapd. The directory's parent must exist.
  VswapdProcess(std::string program, std::string data_dir, std::vector<std::string> flags);
  ~VswapdProcess();
  VswapdProcess(const VswapdProcess&) = delete;
  VswapdProcess& operator=(const VswapdProcess&) = delete;

  // Starts it and waits until it is ready, each time on the same port for the service and on
  // another for the metrics.
  Status Start();
  // Without waiting for ready.
  Status StartOnly();
  Status WaitReady();
  // SIGKILL.
  void Kill();
  // SIGTERM; the exit status.
  int Terminate();
  // Of the next start.
  void SetFlags(std::vector<std::string> flags) { flags_ = std::move(flags); }

  // HOST:PORT
  const std::string& listen() const { return listen_; }
  const std::string& metrics() const { return metrics_; }
  // 0: not running.
  pid_t pid() const { return pid_; }
  // File of the compressed pages, where no flag names another.
  std::string arena() const;
  StatusOr<v1::GetStatusResponse> GetStatus() const;

 private:
  int Wait();

  const std::string program_;
  const std::string data_dir_;
  std::vector<std::string> flags_;
  const std::string listen_;
  std::string metrics_;
  pid_t pid_ = 0;
  int output_ = -1;  // its standard output
};

}  // namespace vswap
