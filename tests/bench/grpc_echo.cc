// What a message costs without vswap: one long-lived raw stream, a request of some bytes, an answer
// of others, one completion-queue thread on each side. And what LZ4 takes for a page.
//
//   grpc_echo serve ANSWER-BYTES                            prints its port
//   grpc_echo run PORT REQUEST-BYTES DEPTH SECONDS PID      DEPTH under way; PID: the server's
//   grpc_echo lz4
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <lz4.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace vswap {
namespace {

using SteadyClock = std::chrono::steady_clock;

grpc::ByteBuffer Message(size_t bytes) {
  const grpc::Slice slice(std::string(bytes, 'x'));
  return grpc::ByteBuffer(&slice, 1);
}

int Serve(size_t answer_bytes) {
  grpc::AsyncGenericService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterAsyncGenericService(&service);
  const auto queue = builder.AddCompletionQueue();
  const auto server = builder.BuildAndStart();
  std::printf("%d\n", port);
  std::fflush(stdout);
  const grpc::ByteBuffer answer = Message(answer_bytes);
  while (true) {
    grpc::GenericServerContext context;
    grpc::GenericServerAsyncReaderWriter stream(&context);
    grpc::ByteBuffer incoming;
    enum Tag : intptr_t { kCall = 1, kRead, kWritten };
    const auto tag = [](Tag t) { return reinterpret_cast<void*>(t); };
    service.RequestCall(&context, &stream, queue.get(), queue.get(), tag(kCall));
    size_t owed = 0;
    bool writing = false;
    bool open = true;
    void* got = nullptr;
    bool ok = false;
    while ((open || writing) && queue->Next(&got, &ok)) {
      if (got == tag(kWritten)) {
        writing = false;
      } else if (!ok) {
        open = false;
      } else {
        owed += got == tag(kRead);
        incoming.Clear();
        stream.Read(&incoming, tag(kRead));
      }
      if (open && owed > 0 && !writing) {
        --owed;
        writing = true;
        stream.Write(answer, tag(kWritten));
      }
    }
    stream.Finish(grpc::Status::OK, tag(kWritten));
    queue->Next(&got, &ok);
  }
}

double CpuOf(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  text = text.substr(text.rfind(')') + 2);
  unsigned long user = 0;
  unsigned long system = 0;
  std::sscanf(text.c_str(), "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

int Run(const std::string& port, size_t request_bytes, size_t depth, int seconds,
        const std::string& pid) {
  const auto channel =
      grpc::CreateChannel("127.0.0.1:" + port, grpc::InsecureChannelCredentials());
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  enum Tag : intptr_t { kStart = 1, kRead, kWritten };
  const auto tag = [](Tag t) { return reinterpret_cast<void*>(t); };
  const auto stream = stub.PrepareCall(&context, "/echo/Echo", &queue);
  stream->StartCall(tag(kStart));
  void* got = nullptr;
  bool ok = false;
  queue.Next(&got, &ok);
  const grpc::ByteBuffer request = Message(request_bytes);
  grpc::ByteBuffer incoming;
  stream->Read(&incoming, tag(kRead));
  std::vector<double> times;
  std::vector<SteadyClock::time_point> begun;  // of those under way, the oldest at `answered`
  size_t answered = 0;
  bool writing = false;
  const auto begin = SteadyClock::now();
  const double cpu = CpuOf("self") + CpuOf(pid);
  while (SteadyClock::now() - begin < std::chrono::seconds(seconds)) {
    if (!writing && begun.size() - answered < depth) {
      writing = true;
      begun.push_back(SteadyClock::now());
      stream->Write(request, tag(kWritten));
    }
    if (!queue.Next(&got, &ok) || !ok) {
      return 1;
    }
    if (got == tag(kWritten)) {
      writing = false;
      continue;
    }
    times.push_back(
        std::chrono::duration<double, std::micro>(SteadyClock::now() - begun[answered++]).count());
    incoming.Clear();
    stream->Read(&incoming, tag(kRead));
  }
  const double spent = CpuOf("self") + CpuOf(pid) - cpu;
  std::ranges::sort(times);
  std::printf("%zu messages, p50 %.0f us, p95 %.0f us, CPU of both %.1f us a message\n",
              times.size(), times[times.size() / 2], times[times.size() * 95 / 100],
              spent * 1e6 / static_cast<double>(times.size()));
  std::fflush(stdout);
  std::_Exit(0);
}

// Pages as vswap-bench's: one word in four is noise.
int Lz4() {
  constexpr size_t kPages = 4096;
  std::vector<char> pages(kPages * 4096);
  uint64_t state = 1;
  for (size_t at = 0; at < pages.size(); at += 8) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const uint64_t word = state ^ state >> 29;
    std::memcpy(pages.data() + at, at % 32 == 0 ? reinterpret_cast<const char*>(&word) : "coldpage",
                8);
  }
  char out[8192];
  const auto begin = SteadyClock::now();
  size_t bytes = 0;
  for (size_t page = 0; page < kPages; ++page) {
    bytes += static_cast<size_t>(
        LZ4_compress_default(pages.data() + page * 4096, out, 4096, sizeof(out)));
  }
  const double us = std::chrono::duration<double, std::micro>(SteadyClock::now() - begin).count();
  std::printf("LZ4: %.1f us a page, to %zu bytes\n", us / kPages, bytes / kPages);
  return 0;
}

}  // namespace
}  // namespace vswap

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 2 && arguments[0] == "serve") {
    return vswap::Serve(std::stoul(arguments[1]));
  }
  if (arguments.size() == 6 && arguments[0] == "run") {
    return vswap::Run(arguments[1], std::stoul(arguments[2]), std::stoul(arguments[3]),
                      std::stoi(arguments[4]), arguments[5]);
  }
  if (arguments.size() == 1 && arguments[0] == "lz4") {
    return vswap::Lz4();
  }
  std::fprintf(stderr, "usage: grpc_echo serve BYTES | run PORT BYTES DEPTH SECONDS PID | lz4\n");
  return 2;
}
