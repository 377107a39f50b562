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

void CheckLoaded(const v1::LoadRequest& request, const client::Answer& answer) {
  client::Request asked;
  asked.kind = client::RequestKind::kLoad;
  for (const v1::Extent& extent : request.extents()) {
    asked.extents.push_back({extent.offset(), extent.pages()});
  }
  FUZZ_CHECK(client::CheckAnswer(asked, answer).ok());
  ByteView rest = answer.pages;
  size_t index = 0;
  for (const Extent& extent : asked.extents) {
    for (uint32_t i = 0; i < extent.pages; ++i, ++index) {
      const int at = static_cast<int>(index);
      const ByteView bytes = rest.first(answer.load.lengths(at));
      rest = rest.subspan(bytes.size());
      if (static_cast<PageCode>(answer.load.codes()[index]) != PageCode::kOk) {
        continue;
      }
      std::array<std::byte, kPageBytes> plain;
      FUZZ_CHECK(
          client::DecodePage(request.header().space(), extent.offset + i,
                             {static_cast<Encoding>(answer.load.encodings()[index]),
                              answer.load.checksums(at),
                              {answer.load.stamp_tokens(at), answer.load.stamp_sequences(at)},
                              bytes},
                             plain));
    }
  }
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
  // Two spaces; a message's header names one, its token and its shard's epoch.
  setup.Open("a");
  setup.Open("b");
  prometheus::Registry registry;
  RequestMetrics metrics(registry);
  RequestHandler handler(setup.front_end(), metrics, setup.executor);
  for (int i = 0; i < 64 && !input.done(); ++i) {
    const ByteView message = input.Piece();
    const std::string bytes = Exchange(setup, handler, message);
    const StatusOr<client::Answer> answer = client::ParseAnswer(std::as_bytes(std::span(bytes)));
    FUZZ_CHECK(answer.ok());
    v1::ExchangeRequest request;
    if (answer->status.ok() &&
        request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      FUZZ_CHECK(answer->id == request.id());
      if (request.has_load()) {
        CheckLoaded(request.load(), *answer);
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
