#include "client/bench/bare_costs.h"

#include <lz4.h>
#include <time.h>

#include <array>
#include <functional>
#include <numeric>

#include "client/messages.h"
#include "services/common/frame.h"

namespace vswap::bench {
namespace {

using client::Request;
using client::RequestKind;
using Block = std::array<char, kPageBytes>;

// What the service's compressor asks for at most.
constexpr int kBlockBytesMax = static_cast<int>(kPageBytes - kPageBytes / 8);

double ThreadCpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

int Compress(ByteView page, Block& block) {
  return LZ4_compress_default(reinterpret_cast<const char*>(page.data()), block.data(),
                              static_cast<int>(kPageBytes), kBlockBytesMax);
}

// `pass` handles some pages and returns how many.
double UsPerPage(Duration length, const std::function<uint64_t()>& pass) {
  const auto begin = std::chrono::steady_clock::now();
  const double cpu = ThreadCpuSeconds();
  uint64_t pages = 0;
  while (std::chrono::steady_clock::now() - begin < length || pages == 0) {
    pages += pass();
  }
  return (ThreadCpuSeconds() - cpu) * 1e6 / static_cast<double>(pages);
}

// Of ids and header fields as they are after some time.
constexpr Sequence kSequence = 100000;
constexpr client::SendHeader kHeader{1, 1, 1, kSequence - 1};

size_t RequestBytes(const Request& request) {
  std::vector<std::byte> room(client::kRequestHeadBytesMax + client::WirePageBytes(request));
  return client::WriteRequest(kHeader, request, room).size();
}

}  // namespace

Lz4Blocks CompressAll(ByteView pages) {
  Lz4Blocks blocks;
  Block block;
  for (size_t at = 0; at < pages.size(); at += kPageBytes) {
    const ByteView page = pages.subspan(at, kPageBytes);
    const int bytes = Compress(page, block);
    const auto* begin = reinterpret_cast<const std::byte*>(block.data());
    const ByteView stored = bytes > 0 ? ByteView(begin, static_cast<size_t>(bytes)) : page;
    blocks.lengths.push_back(static_cast<uint32_t>(stored.size()));
    blocks.bytes.insert(blocks.bytes.end(), stored.begin(), stored.end());
  }
  return blocks;
}

double CompressUsPerPage(ByteView pages, Duration length) {
  size_t at = 0;
  Block block;
  return UsPerPage(length, [&] {
    constexpr uint64_t kPass = 16;
    for (uint64_t i = 0; i < kPass; ++i) {
      Compress(pages.subspan(at, kPageBytes), block);
      at = (at + kPageBytes) % pages.size();
    }
    return kPass;
  });
}

double ExpandUsPerPage(const Lz4Blocks& blocks, Duration length) {
  Block plain;
  return UsPerPage(length, [&] {
    size_t at = 0;
    for (const uint32_t bytes : blocks.lengths) {
      if (bytes < kPageBytes) {
        LZ4_decompress_safe(reinterpret_cast<const char*>(blocks.bytes.data()) + at, plain.data(),
                            static_cast<int>(bytes), static_cast<int>(kPageBytes));
      }
      at += bytes;
    }
    return blocks.lengths.size();
  });
}

MessageBytes StoreMessages(ByteView pages) {
  Request request;
  request.kind = RequestKind::kStore;
  request.lane = Lane::kPageOut;
  request.sequence = kSequence;
  const size_t count = pages.size() / kPageBytes;
  request.Add({{0, static_cast<uint32_t>(count)}, 0});
  request.pages = static_cast<uint32_t>(count);
  request.bytes = pages.data();
  client::PrepareStore(kHeader.space, kHeader.token, request);
  v1::StoreResponse response;
  response.set_shard_epoch(1);
  response.set_codes(std::string(count, '\1'));
  return {RequestBytes(request), FrameHead(kSequence, v1::ExchangeResponse::kStoreFieldNumber,
                                           response.SerializeAsString(), 0)
                                     .size()};
}

MessageBytes LoadMessages(const std::vector<uint32_t>& lengths) {
  Request request;
  request.kind = RequestKind::kLoad;
  request.sequence = kSequence;
  request.Add({{0, static_cast<uint32_t>(lengths.size())}, 0});
  request.pages = static_cast<uint32_t>(lengths.size());
  v1::LoadResponse response;
  response.set_shard_epoch(1);
  response.set_codes(std::string(lengths.size(), '\1'));
  response.set_encodings(std::string(lengths.size(), '\3'));
  for (const uint32_t length : lengths) {
    response.add_lengths(length);
    response.add_checksums(1);
    response.add_stamp_tokens(1);
    response.add_stamp_sequences(kSequence);
  }
  const size_t bytes = std::accumulate(lengths.begin(), lengths.end(), size_t{0});
  const std::string head = FrameHead(kSequence, v1::ExchangeResponse::kLoadFieldNumber,
                                     response.SerializeAsString(), bytes);
  return {RequestBytes(request), head.size() + bytes};
}

}  // namespace vswap::bench
