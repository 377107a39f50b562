#include "client/bench/pages.h"

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "client/bench/bare_costs.h"
#include "client/bench/measured_service.h"
#include "client/bench/statistics.h"
#include "client/bench/workload.h"
#include "services/common/process_usage.h"

namespace vswap::bench {
namespace {

using Json = nlohmann::ordered_json;

// One phase of calls of `batch` pages and the CPU time of its two ends.
struct Phase {
  double pages_per_second = 0;
  double p50_us = 0;
  double p99_us = 0;
  double client_cpu_us = 0;  // a page
  double service_cpu_us = 0;
  double cpu_us() const { return client_cpu_us + service_cpu_us; }
};

struct Round {
  Phase service;
  Phase echo;
  double lz4_us = 0;  // CPU a page
};

class PagesRun {
 public:
  explicit PagesRun(const PagesOptions& options) : options_(options) {}

  StatusOr<Json> Run() {
    VSWAP_RETURN_IF_ERROR(PinTo(options_.cpus.client));
    VSWAP_RETURN_IF_ERROR(Start());
    MakeContent();
    VSWAP_RETURN_IF_ERROR(FillAndCheck());
    calls_ = std::make_unique<PageCalls>(
        *client_, PageCalls::Options{options_.op, options_.batch, options_.depth, pages()},
        content_);
    for (uint64_t i = 0; i < options_.rounds; ++i) {
      VSWAP_RETURN_IF_ERROR(RunRound());
    }
    VSWAP_RETURN_IF_ERROR(client_->Free(0, pages()));
    VSWAP_RETURN_IF_ERROR(client_->Close());
    return Report();
  }

 private:
  // The working set, of whole batches.
  uint64_t pages() const { return options_.pages / options_.batch * options_.batch; }

  Status Start() {
    StatusOr<std::unique_ptr<MeasuredService>> service =
        MeasuredService::Start({.frontend = options_.frontend,
                                .vswapd = options_.vswapd,
                                .pages_max = options_.pages * 2,
                                .cpus = options_.cpus.service});
    if (!service.ok()) {
      return service.status();
    }
    service_ = *std::move(service);
    StatusOr<std::unique_ptr<Child>> echo =
        Child::Start({OwnPath(), "echo-server"}, options_.cpus.service);
    if (!echo.ok()) {
      return echo.status();
    }
    echo_ = *std::move(echo);
    ClientOptions client;
    client.frontend = service_->frontend();
    client.space = options_.space;
    client.holder = "vswap-bench";
    client.create_pages = options_.pages;
    StatusOr<std::unique_ptr<SwapClient>> opened = SwapClient::Open(client);
    if (!opened.ok()) {
      return opened.status();
    }
    client_ = *std::move(opened);
    return client_->space_pages() >= options_.pages
               ? Status()
               : InvalidField("pages", std::to_string(options_.pages),
                              "up to " + std::to_string(client_->space_pages()) +
                                  ", the size of space " + options_.space);
  }

  void MakeContent() {
    BenchOptions content;
    content.zero_share = options_.zero_share;
    content.random_share = options_.random_share;
    content.seed = options_.seed;
    content_.resize(pages() * kPageBytes);
    for (uint64_t i = 0; i < pages(); ++i) {
      FillSlot(content, i, content_.data() + i * kPageBytes);
    }
    blocks_ = CompressAll(content_);
    const std::vector<uint32_t> first(
        blocks_.lengths.begin(), blocks_.lengths.begin() + static_cast<ptrdiff_t>(options_.batch));
    messages_ = options_.op == PageOp::kOut
                    ? StoreMessages(ByteView(content_).first(options_.batch * kPageBytes))
                    : LoadMessages(first);
  }

  // Everything is stored once and compared once, so that no speed of wrong pages is measured.
  Status FillAndCheck() {
    const PagesResult stored = client_->Store(0, content_);
    if (!stored.AllOk()) {
      return MakeError(
          StatusCode::kResourceExhausted,
          "the service does not take the working set of " + std::to_string(pages()) + " pages: " +
              (stored.status.ok() ? "pages were refused" : std::string(MessageOf(stored.status))));
    }
    std::vector<std::byte> loaded(content_.size());
    const PagesResult result = client_->Load(0, loaded);
    return result.AllOk() && loaded == content_
               ? Status()
               : MakeError(StatusCode::kDataLoss, "pages did not come back as they were stored");
  }

  Status RunRound() {
    Round round;
    const auto length =
        std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options_.seconds));
    VSWAP_RETURN_IF_ERROR(Take(
        &round.service, [&] { return calls_->Run(length); }, [&] { return service_->Cpu(); }));
    round.lz4_us = options_.op == PageOp::kOut ? CompressUsPerPage(content_, length / 4)
                                               : ExpandUsPerPage(blocks_, length / 4);
    const EchoClient echo(echo_->Field("listen"));
    VSWAP_RETURN_IF_ERROR(Take(
        &round.echo,
        [&] { return echo.Run(messages_.request, messages_.answer, options_.depth, length); },
        [&] { return StatusOr<Duration>(echo_->cpu()); }));
    rounds_.push_back(round);
    return Status();
  }

  Status Take(Phase* phase, const std::function<StatusOr<CallTimes>()>& run,
              const std::function<StatusOr<Duration>()>& service_cpu) const {
    const StatusOr<Duration> service_before = service_cpu();
    const Duration client_before = OwnUsage().cpu;
    const StatusOr<CallTimes> times = run();
    const Duration client = OwnUsage().cpu - client_before;
    const StatusOr<Duration> service_after = service_cpu();
    for (const Status& status : {service_before.status(), times.status(), service_after.status()}) {
      VSWAP_RETURN_IF_ERROR(status);
    }
    const double done = static_cast<double>(times->latencies_us.size() * options_.batch);
    const auto per_page = [done](Duration cpu) {
      return std::chrono::duration<double, std::micro>(cpu).count() / done;
    };
    *phase = {done / times->seconds, Percentile(times->latencies_us, 0.5),
              Percentile(times->latencies_us, 0.99), per_page(client),
              per_page(*service_after - *service_before)};
    return Status();
  }

  double MedianOf(const std::function<double(const Round&)>& value) const {
    std::vector<double> values;
    for (const Round& round : rounds_) {
      values.push_back(value(round));
    }
    return Median(values);
  }

  Json PhaseJson(const Phase Round::*phase) const {
    const auto median = [&](double Phase::*value) {
      return MedianOf([&](const Round& round) { return round.*phase.*value; });
    };
    return {
        {"pages_per_second", median(&Phase::pages_per_second)},
        {"p50_us", median(&Phase::p50_us)},
        {"p99_us", median(&Phase::p99_us)},
        {"client_cpu_us_per_page", median(&Phase::client_cpu_us)},
        {"service_cpu_us_per_page", median(&Phase::service_cpu_us)},
        {"cpu_us_per_page", MedianOf([&](const Round& round) { return (round.*phase).cpu_us(); })}};
  }

  Json Report() const {
    Json json = {{"command", "pages"},
                 {"op", options_.op == PageOp::kOut ? "out" : "in"},
                 {"batch", options_.batch},
                 {"depth", options_.depth},
                 {"pages", pages()},
                 {"rounds", options_.rounds},
                 {"seconds", options_.seconds},
                 {"own_service", service_->own()},
                 {"lz4_bytes_per_page",
                  static_cast<double>(blocks_.bytes.size()) / static_cast<double>(pages())},
                 {"request_bytes", messages_.request},
                 {"answer_bytes", messages_.answer}};
    json.update(PhaseJson(&Round::service));
    json["bare"] = {
        {"lz4_cpu_us_per_page", MedianOf([](const Round& round) { return round.lz4_us; })},
        {"echo", PhaseJson(&Round::echo)}};
    json["ratios"] = {
        {"cpu", MedianOf([](const Round& round) {
           return round.service.cpu_us() / (round.lz4_us + round.echo.cpu_us());
         })},
        {"p50",
         MedianOf([](const Round& round) { return round.service.p50_us / round.echo.p50_us; })},
        {"p99",
         MedianOf([](const Round& round) { return round.service.p99_us / round.echo.p99_us; })},
        {"pages_per_second", MedianOf([](const Round& round) {
           return round.service.pages_per_second / round.echo.pages_per_second;
         })}};
    return json;
  }

  const PagesOptions options_;
  std::vector<std::byte> content_;
  Lz4Blocks blocks_;
  MessageBytes messages_;
  std::unique_ptr<MeasuredService> service_;
  std::unique_ptr<Child> echo_;
  std::unique_ptr<SwapClient> client_;
  std::unique_ptr<PageCalls> calls_;
  std::vector<Round> rounds_;
};

}  // namespace

StatusOr<nlohmann::ordered_json> MeasurePages(const PagesOptions& options) {
  if (options.pages < options.batch * options.depth) {
    return InvalidField(
        "pages", std::to_string(options.pages),
        "at least batch * depth = " + std::to_string(options.batch * options.depth));
  }
  return PagesRun(options).Run();
}

}  // namespace vswap::bench
