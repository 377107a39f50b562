#include <benchmark/benchmark.h>

#include "services/common/frame.h"
#include "services/frontend/wire.h"

namespace vswap {
namespace {

// A store of so many raw pages as it comes over the stream.
std::string StoreMessage(uint32_t pages) {
  v1::StoreRequest store;
  store.mutable_header()->set_space(1);
  store.mutable_header()->set_token(1);
  store.mutable_header()->set_sequence(100000);
  store.mutable_header()->set_sequence_floor(99999);
  store.add_extents()->set_pages(pages);
  for (uint32_t i = 0; i < pages; ++i) {
    store.mutable_encodings()->push_back(static_cast<char>(Encoding::kRaw));
    store.add_lengths(kPageBytes);
    store.add_checksums(i);
  }
  const size_t bytes = pages * kPageBytes;
  return FrameHead(100000, v1::ExchangeRequest::kStoreFieldNumber, store.SerializeAsString(),
                   bytes) +
         std::string(bytes, 'p');
}

ByteView BytesOf(const std::string& message) {
  return std::as_bytes(std::span(message.data(), message.size()));
}

void CutFrame(benchmark::State& state) {
  const std::string message = StoreMessage(static_cast<uint32_t>(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(SplitFrame(BytesOf(message)));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(CutFrame)->Arg(1)->Arg(64)->Name("Wire/CutFrame");

void ParseStore(benchmark::State& state) {
  const std::string message = StoreMessage(static_cast<uint32_t>(state.range(0)));
  for (auto _ : state) {
    const StatusOr<Frame> frame = SplitFrame(BytesOf(message));
    v1::StoreRequest store;
    if (!frame.ok() ||
        !store.ParseFromArray(frame->head.data(), static_cast<int>(frame->head.size())) ||
        !ToStoreCall(store, frame->pages, nullptr).ok()) {
      state.SkipWithError("not a store");
      return;
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(ParseStore)->Arg(1)->Arg(64)->Name("Wire/ParseStore");

void MakeLoadHead(benchmark::State& state) {
  LoadReply reply;
  reply.pages.resize(static_cast<size_t>(state.range(0)),
                     {PageCode::kOk, Encoding::kLz4, 1, {1, 100000}, {}});
  for (auto _ : state) {
    v1::LoadResponse head;
    FillLoadHead(reply, 1, &head);
    benchmark::DoNotOptimize(head.SerializeAsString());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(MakeLoadHead)->Arg(1)->Arg(64)->Name("Wire/MakeLoadHead");

}  // namespace
}  // namespace vswap
