#include "client/bench/service_table.h"

#include <cstring>

#include "services/common/page.h"

namespace vswap::bench {
namespace {

uint64_t PagesOf(const std::vector<PageRange>& ranges) {
  uint64_t pages = 0;
  for (const PageRange& range : ranges) {
    pages += range.pages;
  }
  return pages;
}

// One batch of pages of zeros, or of a byte each.
std::vector<std::byte> Content(Fill fill) {
  std::vector<std::byte> bytes(kBatchPagesMax * kPageBytes);
  for (size_t page = 0; fill == Fill::kCompressed && page < kBatchPagesMax; ++page) {
    std::memset(bytes.data() + page * kPageBytes, static_cast<int>(1 + page % 255), kPageBytes);
  }
  return bytes;
}

Status FirstFailure(const PagesResult& result) {
  VSWAP_RETURN_IF_ERROR(result.status);
  for (const PageCode code : result.codes) {
    if (code != PageCode::kOk) {
      return MakeError(StatusCode::kInternal,
                       std::string("a page was answered with ") + Name(code));
    }
  }
  return Status();
}

}  // namespace

ServiceTable::ServiceTable(const Options& options)
    : options_(options),
      stored_(Content(options.fill)),
      loaded_(options.threads, std::vector<std::byte>(kBatchPagesMax * kPageBytes)) {}

StatusOr<std::unique_ptr<TableTarget>> ServiceTable::Make(const Options& options) {
  std::unique_ptr<ServiceTable> table(new ServiceTable(options));
  VSWAP_RETURN_IF_ERROR(table->Start());
  return std::unique_ptr<TableTarget>(std::move(table));
}

Status ServiceTable::Start() {
  StatusOr<std::unique_ptr<MeasuredService>> service =
      MeasuredService::Start({.frontend = options_.frontend, .vswapd = "", .cpus = {}});
  if (!service.ok()) {
    return service.status();
  }
  service_ = *std::move(service);
  ClientOptions options;
  options.frontend = service_->frontend();
  options.space = options_.space;
  options.holder = "vswap-bench";
  options.create_pages = options_.threads * options_.pages;
  StatusOr<std::unique_ptr<SwapClient>> client = SwapClient::Open(options);
  if (!client.ok()) {
    return client.status();
  }
  client_ = *std::move(client);
  if (client_->space_pages() < options.create_pages) {
    return InvalidField(
        "space", options_.space + " of " + std::to_string(client_->space_pages()) + " pages",
        "a new space, or one of at least " + std::to_string(options.create_pages) + " pages");
  }
  const StatusOr<Usage> usage = Measure();
  if (usage.ok() && usage->live_slots != 0) {
    return InvalidField(
        "space", options_.space + " with " + std::to_string(usage->live_slots) + " slots in use",
        "an empty space");
  }
  return usage.status();
}

std::vector<PageRange> ServiceTable::Shift(uint32_t thread, std::vector<PageRange> ranges) const {
  for (PageRange& range : ranges) {
    range.offset += thread * options_.pages;
  }
  return ranges;
}

void ServiceTable::Note(const Status& status) {
  if (!status.ok()) {
    MutexLock lock(mutex_);
    if (failure_.ok()) {
      failure_ = status;
    }
  }
}

void ServiceTable::Store(uint32_t thread, const std::vector<PageRange>& ranges) {
  const ByteView bytes(stored_.data(), PagesOf(ranges) * kPageBytes);
  Note(FirstFailure(client_->Store(Shift(thread, ranges), bytes)));
}

void ServiceTable::Load(uint32_t thread, const std::vector<PageRange>& ranges) {
  const std::span<std::byte> bytes(loaded_[thread].data(), PagesOf(ranges) * kPageBytes);
  Note(FirstFailure(client_->Load(Shift(thread, ranges), bytes)));
}

void ServiceTable::Free(uint32_t thread, const std::vector<PageRange>& ranges) {
  Note(client_->Free(Shift(thread, ranges)));
}

Status ServiceTable::Wait(uint32_t) {
  MutexLock lock(mutex_);
  return failure_;
}

StatusOr<TableTarget::Usage> ServiceTable::Measure() {
  const StatusOr<v1::GetStatusResponse> status = service_->GetStatus();
  if (!status.ok()) {
    return status.status();
  }
  Usage usage;
  for (const v1::SpaceStatus& space : status->spaces()) {
    if (space.name() == options_.space) {
      usage.live_slots = space.zero_pages() + space.compressed_pages() + space.physical_pages() +
                         space.lost_pages();
    }
  }
  usage.resident_bytes = status->process().resident_bytes();
  usage.cpu = std::chrono::microseconds(status->process().cpu_microseconds());
  return usage;
}

}  // namespace vswap::bench
