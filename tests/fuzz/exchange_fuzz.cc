// Messages of the stream against a whole front-end in memory: each is answered once, with something
// that the client understands, and what is loaded is what was stored.

#include <prometheus/registry.h>

#include "client/messages.h"
#include "services/frontend/request_handler.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/quiet_protobuf.h"
#include "tests/support/front_end_setup.h"

namespace vswap {
namespace {

void CheckLoaded(const v1::LoadRequest& request, const v1::LoadResponse& load) {
  const auto pages = static_cast<size_t>(load.lengths_size());
  FUZZ_CHECK(load.codes().size() == pages && load.encodings().size() == pages);
  ByteView rest = std::as_bytes(std::span(load.pages()));
  size_t index = 0;
  for (const v1::Extent& extent : request.extents()) {
    for (uint32_t i = 0; i < extent.pages(); ++i, ++index) {
      FUZZ_CHECK(index < pages);
      const int at = static_cast<int>(index);
      FUZZ_CHECK(load.lengths(at) <= rest.size());
      const ByteView bytes = rest.first(load.lengths(at));
      rest = rest.subspan(bytes.size());
      if (static_cast<PageCode>(load.codes()[index]) != PageCode::kOk) {
        continue;
      }
      std::array<std::byte, kPageBytes> plain;
      FUZZ_CHECK(client::DecodePage(request.header().space(), extent.offset() + i,
                                    {static_cast<Encoding>(load.encodings()[index]),
                                     load.checksums(at),
                                     {load.stamp_tokens(at), load.stamp_sequences(at)},
                                     bytes},
                                    plain));
    }
  }
  FUZZ_CHECK(index == pages && rest.empty());
}

// The answer as it goes out.
std::string Exchange(FrontEndSetup& setup, RequestHandler& handler, ByteView message) {
  std::string answer;
  int answers = 0;
  const auto owner = std::make_shared<const std::vector<std::byte>>(message.begin(), message.end());
  handler.Exchange(*owner, owner, [&](const std::string& head, const std::vector<ByteView>& pages) {
    ++answers;
    answer = head;
    for (const ByteView page : pages) {
      answer += fuzz::AsText(page);
    }
  });
  setup.executor.RunReady();
  FUZZ_CHECK(answers == 1);
  return answer;
}

void Run(fuzz::Input input) {
  FrontEndSetup setup;
  // A message's header names one of the two, its token and its shard's epoch.
  setup.Open("a");
  setup.OpenAllocated("b");
  prometheus::Registry registry;
  RequestMetrics metrics(registry);
  RequestHandler handler(setup.front_end(), metrics, setup.executor);
  for (int i = 0; i < 64 && !input.done(); ++i) {
    const ByteView message = input.Piece();
    v1::ExchangeResponse answer;
    FUZZ_CHECK(answer.ParseFromString(Exchange(setup, handler, message)));
    FUZZ_CHECK(answer.result_case() != v1::ExchangeResponse::RESULT_NOT_SET);
    v1::ExchangeRequest request;
    if (!answer.has_error() &&
        request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      FUZZ_CHECK(answer.id() == request.id());
      FUZZ_CHECK(static_cast<int>(answer.result_case()) == static_cast<int>(request.op_case()));
      if (request.has_load()) {
        CheckLoaded(request.load(), answer.load());
      }
    }
  }
}

}  // namespace
}  // namespace vswap

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t data_bytes) {
  vswap::Run(vswap::fuzz::Input(data, data_bytes));
  return 0;
}
