#pragma once

#include <memory>
#include <string>

#include "client/bench/child.h"
#include "client/bench/temp_directory.h"
#include "services/common/status.h"
#include "vswap/v1/admin.grpc.pb.h"

namespace vswap::bench {

// The service that is measured: the one that was named, or else a vswapd of our own, on free ports,
// with a data directory and an arena that are removed when this object goes. Thread-confined.
class MeasuredService {
 public:
  struct Options {
    std::string frontend;    // HOST:PORT; empty: start one
    std::string vswapd;      // program to start; empty: beside this program
    uint64_t pages_max = 0;  // the own one has room for so many in each tier
    CpuList cpus;            // of the own one
  };

  static StatusOr<std::unique_ptr<MeasuredService>> Start(const Options& options);
  ~MeasuredService();

  const std::string& frontend() const { return frontend_; }
  bool own() const { return child_ != nullptr; }
  StatusOr<v1::GetStatusResponse> GetStatus() const;
  // Of the process: user and system, so far.
  StatusOr<Duration> Cpu() const;

 private:
  explicit MeasuredService(std::string frontend) : frontend_(std::move(frontend)) {}
  Status StartOwn(const Options& options);

  std::string frontend_;
  std::unique_ptr<TempDirectory> directory_;
  std::unique_ptr<Child> child_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
};

}  // namespace vswap::bench
