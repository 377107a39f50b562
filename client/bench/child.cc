#include "client/bench/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace vswap::bench {
namespace {

constexpr int kReadyMaxMs = 60000;

// The child's part: only what may be done between fork and exec.
[[noreturn]] void RunProgram(const std::vector<char*>& argv, const CpuList& cpus, int output,
                             pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (getppid() != parent || !PinTo(cpus).ok()) {
    _exit(126);
  }
  dup2(output, STDOUT_FILENO);
  execv(argv[0], argv.data());
  _exit(127);
}

}  // namespace

StatusOr<std::unique_ptr<Child>> Child::Start(std::vector<std::string> arguments,
                                              const CpuList& cpus) {
  if (access(arguments[0].c_str(), X_OK) != 0) {
    return MakeError(StatusCode::kNotFound, arguments[0] + ": " + std::strerror(errno));
  }
  std::array<int, 2> fds{};
  if (pipe2(fds.data(), O_CLOEXEC) != 0) {
    return MakeError(StatusCode::kInternal, std::string("pipe: ") + std::strerror(errno));
  }
  std::vector<char*> argv;
  for (std::string& argument : arguments) {
    argv.push_back(argument.data());
  }
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    RunProgram(argv, cpus, fds[1], parent);
  }
  close(fds[1]);
  if (pid < 0) {
    close(fds[0]);
    return MakeError(StatusCode::kInternal, std::string("fork: ") + std::strerror(errno));
  }
  std::unique_ptr<Child> child(new Child(pid, fds[0]));
  if (const Status status = child->ReadFirstLine(); !status.ok()) {
    return MakeError(status.code(), arguments[0] + ": " + std::string(MessageOf(status)));
  }
  return child;
}

Child::~Child() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  close(output_);
}

Status Child::ReadFirstLine() {
  while (first_line_.find('\n') == std::string::npos) {
    pollfd readable = {output_, POLLIN, 0};
    std::array<char, 256> buffer{};
    const ssize_t bytes =
        poll(&readable, 1, kReadyMaxMs) == 1 ? read(output_, buffer.data(), buffer.size()) : 0;
    if (bytes <= 0) {
      return MakeError(StatusCode::kUnavailable, "did not become ready");
    }
    first_line_.append(buffer.data(), static_cast<size_t>(bytes));
  }
  return Status();
}

std::string Child::Field(const std::string& name) const {
  const size_t begin = first_line_.find(name + "=");
  if (begin == std::string::npos) {
    return "";
  }
  const size_t value = begin + name.size() + 1;
  return first_line_.substr(value, first_line_.find_first_of(" \n", value) - value);
}

Duration Child::cpu() const {
  clockid_t clock{};
  timespec time{};
  if (clock_getcpuclockid(pid_, &clock) != 0 || clock_gettime(clock, &time) != 0) {
    return Duration(0);
  }
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::string OwnPath() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).string();
}

std::string OwnDirectory() { return std::filesystem::path(OwnPath()).parent_path().string(); }

}  // namespace vswap::bench
