#include "tests/support/etcd_process.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "etcd/rpc.grpc.pb.h"
#include "tests/support/free_address.h"

namespace vswap {
namespace {

constexpr auto kHealthyMax = std::chrono::seconds(60);
constexpr auto kProbeMax = std::chrono::milliseconds(500);
constexpr auto kProbePause = std::chrono::milliseconds(20);
constexpr size_t kLogTailBytes = 2000;

// The child's part: its output to a file, then the program, without an environment (etcd reads
// ETCD_...).
[[noreturn]] void RunProgram(std::vector<char*> argv, int output, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {
    _exit(1);
  }
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  char* environment[] = {nullptr};
  execvpe(argv[0], argv.data(), environment);
  _exit(127);
}

std::unique_ptr<etcdserverpb::KV::Stub> StubOf(const std::string& endpoint) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return etcdserverpb::KV::NewStub(
      grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments));
}

}  // namespace

EtcdProcess::EtcdProcess() : EtcdProcess("m0") { cluster_ = name_ + "=http://" + peer_; }

EtcdProcess::EtcdProcess(std::string name)
    : name_(std::move(name)), endpoint_(FreeAddress()), peer_(FreeAddress()) {}

EtcdProcess::~EtcdProcess() { Kill(); }

std::vector<std::unique_ptr<EtcdProcess>> EtcdProcess::Members(int count) {
  std::vector<std::unique_ptr<EtcdProcess>> members;
  std::string cluster;
  for (int i = 0; i < count; ++i) {
    const std::string name = "m" + std::to_string(i);
    members.push_back(std::unique_ptr<EtcdProcess>(new EtcdProcess(name)));
    cluster += (i == 0 ? "" : ",") + name + "=http://" + members.back()->peer_;
  }
  for (const auto& member : members) {
    member->cluster_ = cluster;
  }
  return members;
}

Status EtcdProcess::StartAll(const std::vector<std::unique_ptr<EtcdProcess>>& members) {
  for (const auto& member : members) {
    VSWAP_RETURN_IF_ERROR(member->StartOnly());
  }
  for (const auto& member : members) {
    VSWAP_RETURN_IF_ERROR(member->WaitHealthy());
  }
  return Status();
}

std::vector<std::string> EtcdProcess::Arguments() const {
  const std::string client_url = "http://" + endpoint_;
  const std::string peer_url = "http://" + peer_;
  return {"etcd",
          "--name=" + name_,
          "--data-dir=" + directory_.path() + "/data",
          "--listen-client-urls=" + client_url,
          "--advertise-client-urls=" + client_url,
          "--listen-peer-urls=" + peer_url,
          "--initial-advertise-peer-urls=" + peer_url,
          "--initial-cluster=" + cluster_,
          "--initial-cluster-state=new",
          "--heartbeat-interval=50",  // ms; leases of 1 s need an election of less than 1 s
          "--election-timeout=500",
          "--logger=zap",
          "--log-level=warn"};
}

Status EtcdProcess::Start() {
  VSWAP_RETURN_IF_ERROR(StartOnly());
  return WaitHealthy();
}

Status EtcdProcess::StartOnly() {
  std::vector<std::string> arguments = Arguments();
  std::vector<char*> argv;
  for (std::string& argument : arguments) {
    argv.push_back(argument.data());
  }
  argv.push_back(nullptr);
  const std::string log = directory_.path() + "/log";
  const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    RunProgram(std::move(argv), output, parent);
  }
  close(output);
  return pid_ > 0 ? Status() : MakeError(StatusCode::kInternal, "fork");
}

Status EtcdProcess::WaitHealthy() {
  const auto stub = StubOf(endpoint_);
  const auto deadline = std::chrono::steady_clock::now() + kHealthyMax;
  while (std::chrono::steady_clock::now() < deadline) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kProbeMax);
    context.set_wait_for_ready(true);
    etcdserverpb::RangeRequest request;
    request.set_key("health");
    etcdserverpb::RangeResponse response;
    if (stub->Range(&context, request, &response).ok()) {
      return Status();
    }
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = 0;
      return MakeError(StatusCode::kUnavailable, WIFEXITED(status) && WEXITSTATUS(status) == 127
                                                     ? "there is no etcd: package etcd-server"
                                                     : "etcd has ended: " + LogTail());
    }
    std::this_thread::sleep_for(kProbePause);
  }
  return MakeError(StatusCode::kUnavailable, "etcd did not become healthy: " + LogTail());
}

std::string EtcdProcess::LogTail() const {
  std::ifstream file(directory_.path() + "/log");
  std::stringstream text;
  text << file.rdbuf();
  const std::string whole = text.str();
  return whole.substr(whole.size() - std::min(whole.size(), kLogTailBytes));
}

int EtcdProcess::Wait() {
  int status = 0;
  if (pid_ > 0) {
    waitpid(pid_, &status, 0);
    pid_ = 0;
  }
  return status;
}

void EtcdProcess::Kill() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    Wait();
  }
}

int EtcdProcess::Terminate() {
  if (pid_ > 0) {
    kill(pid_, SIGTERM);
  }
  const int status = Wait();
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// The signal is on its way when kill returns: other threads may answer yet. The parent is told once
// all of them stand.
void EtcdProcess::Stop() {
  if (pid_ <= 0) {
    return;
  }
  kill(pid_, SIGSTOP);
  int status = 0;
  if (waitpid(pid_, &status, WUNTRACED) == pid_ && !WIFSTOPPED(status)) {
    pid_ = 0;  // it had ended
  }
}

void EtcdProcess::Continue() {
  if (pid_ > 0) {
    kill(pid_, SIGCONT);
  }
}

Status EtcdProcess::Compact(uint64_t revision) const {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kHealthyMax);
  etcdserverpb::CompactionRequest request;
  request.set_revision(static_cast<int64_t>(revision));
  etcdserverpb::CompactionResponse response;
  const grpc::Status status = StubOf(endpoint_)->Compact(&context, request, &response);
  return status.ok()
             ? Status()
             : MakeError(static_cast<StatusCode>(status.error_code()), status.error_message());
}

}  // namespace vswap
