#include "tests/support/vswapd_process.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "proto/grpc_glue.h"
#include "tests/support/free_address.h"
#include "vswap/v1/admin.grpc.pb.h"

namespace vswap {
namespace {

constexpr int kReadyMaxMs = 60000;
constexpr auto kStatusMax = std::chrono::seconds(10);

std::string Field(const std::string& line, const std::string& name) {
  const size_t begin = line.find(name + "=");
  if (begin == std::string::npos) {
    return "";
  }
  const size_t value = begin + name.size() + 1;
  return line.substr(value, line.find_first_of(" \n", value) - value);
}

// The child's part: a pipe for its output, then the program.
[[noreturn]] void RunProgram(std::vector<std::string> arguments, int output, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {
    _exit(1);
  }
  dup2(output, STDOUT_FILENO);
  std::vector<char*> argv;
  for (std::string& argument : arguments) {
    argv.push_back(argument.data());
  }
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

}  // namespace

VswapdProcess::VswapdProcess(std::string program, std::string data_dir,
                             std::vector<std::string> flags)
    : program_(std::move(program)),
      data_dir_(std::move(data_dir)),
      flags_(std::move(flags)),
      listen_(FreeAddress()) {}

VswapdProcess::~VswapdProcess() {
  Kill();
  std::error_code ignored;
  std::filesystem::remove(arena(), ignored);
}

std::string VswapdProcess::arena() const {
  std::ifstream file(data_dir_ + "/id");
  std::string id;
  file >> id;
  return "/dev/shm/vswap-" + id;
}

Status VswapdProcess::Start() {
  VSWAP_RETURN_IF_ERROR(StartOnly());
  return WaitReady();
}

Status VswapdProcess::StartOnly() {
  std::vector<std::string> arguments = {program_,     "standalone", "--listen",    listen_,
                                        "--data-dir", data_dir_,    "--log-level", "warn"};
  arguments.insert(arguments.end(), flags_.begin(), flags_.end());
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) {
    return MakeError(StatusCode::kInternal, std::strerror(errno));
  }
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    RunProgram(std::move(arguments), fds[1], parent);
  }
  close(fds[1]);
  output_ = fds[0];
  return pid_ > 0 ? Status() : MakeError(StatusCode::kInternal, "fork");
}

Status VswapdProcess::WaitReady() {
  std::string line;
  while (line.find('\n') == std::string::npos) {
    pollfd poll_fd = {output_, POLLIN, 0};
    char buffer[256];
    const ssize_t bytes =
        poll(&poll_fd, 1, kReadyMaxMs) == 1 ? read(output_, buffer, sizeof(buffer)) : 0;
    if (bytes <= 0) {
      Kill();
      return MakeError(StatusCode::kUnavailable, "vswapd did not become ready: " + line);
    }
    line.append(buffer, static_cast<size_t>(bytes));
  }
  metrics_ = Field(line, "metrics");
  return metrics_.empty() ? MakeError(StatusCode::kInternal, "no ready line: " + line) : Status();
}

int VswapdProcess::Wait() {
  int status = 0;
  if (pid_ > 0) {
    waitpid(pid_, &status, 0);
    pid_ = 0;
    close(output_);
    output_ = -1;
  }
  return status;
}

void VswapdProcess::Kill() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    Wait();
  }
}

int VswapdProcess::Terminate() {
  kill(pid_, SIGTERM);
  const int status = Wait();
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

StatusOr<v1::GetStatusResponse> VswapdProcess::GetStatus() const {
  const auto stub =
      v1::AdminService::NewStub(grpc::CreateChannel(listen_, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kStatusMax);
  v1::GetStatusResponse response;
  const Status status = FromGrpc(stub->GetStatus(&context, {}, &response));
  return status.ok() ? StatusOr<v1::GetStatusResponse>(response) : status;
}

}  // namespace vswap
