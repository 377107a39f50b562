// Writes the corpus of the fuzz targets: what the real encoders make, and cuts of it.
//
//   fuzz_make_corpus FOLDER

#include <filesystem>
#include <fstream>

#include "client/messages.h"
#include "services/cluster/node_wire.h"
#include "services/common/frame.h"
#include "services/frontend/wire.h"
#include "services/store/log_format.h"
#include "services/store/record_format.h"
#include "tests/fuzz/arena_edits.h"
#include "tests/support/front_end_setup.h"

namespace vswap::fuzz {
namespace {

// One target's folder.
class Folder {
 public:
  Folder(const std::filesystem::path& parent, const std::string& target) : path_(parent / target) {
    std::filesystem::create_directories(path_);
  }
  void Write(const std::string& name, std::string_view bytes) const {
    std::ofstream file(path_ / name, std::ios::binary);
    file << bytes;
    FUZZ_CHECK(file.good());
  }
  void WriteWithCuts(const std::string& name, std::string_view bytes) const {
    Write(name, bytes);
    Write(name + "-cut", bytes.substr(0, bytes.size() / 2));
    Write(name + "-without-last", bytes.substr(0, bytes.size() - 1));
  }

 private:
  std::filesystem::path path_;
};

template <typename Array>
std::string_view View(const Array& bytes) {
  return {bytes.data(), bytes.size()};
}

// Requests as the client makes them, for a space that the exchange target opens.
class Requests {
 public:
  explicit Requests(const FrontEndClient& client) : client_(client) {}

  // Stored pages: one that shrinks, then zeros.
  std::string Make(client::RequestKind kind, const std::vector<Extent>& extents) {
    client::Request request;
    request.kind = kind;
    request.lane = Lane::kDemand;
    request.sequence = ++sequence_;
    request.shard = client_.ShardAt(extents.front().offset);
    std::vector<std::byte> bytes = PlainOf({client_.space(), extents.front().offset, 1}, true);
    for (const Extent& extent : extents) {
      request.Add({extent, request.pages});
    }
    bytes.resize(kPageBytes * request.pages);
    request.bytes = bytes.data();
    if (kind == client::RequestKind::kStore) {
      client::PrepareStore(client_.space(), client_.token(), request);
    }
    std::vector<std::byte> room(client::kRequestHeadBytesMax + client::WirePageBytes(request));
    return std::string(AsText(client::WriteRequest(
        {.space = client_.space(), .token = client_.token(), .epoch = 1, .floor = sequence_},
        request, room)));
  }
  // Kinds that the client has no calls for.
  v1::RequestHeader Header() {
    v1::RequestHeader header;
    header.set_space(client_.space());
    header.set_token(client_.token());
    header.set_shard(0);
    header.set_shard_epoch(1);
    header.set_sequence(++sequence_);
    header.set_sequence_floor(sequence_);
    header.set_lane(v1::LANE_DEMAND);
    return header;
  }
  std::string Allocate(uint32_t order, uint32_t count) {
    v1::ExchangeRequest request;
    *request.mutable_allocate()->mutable_header() = Header();
    request.mutable_allocate()->set_order(order);
    request.mutable_allocate()->set_count(count);
    request.set_id(sequence_);
    return request.SerializeAsString();
  }
  std::string Duplicate(const Extent& extent) {
    v1::ExchangeRequest request;
    *request.mutable_duplicate()->mutable_header() = Header();
    request.mutable_duplicate()->add_extents()->set_offset(extent.offset);
    request.mutable_duplicate()->mutable_extents(0)->set_pages(extent.pages);
    request.set_id(sequence_);
    return request.SerializeAsString();
  }

 private:
  FrontEndClient client_;
  Sequence sequence_ = 0;
};

void WriteFrames(const std::filesystem::path& parent) {
  using client::RequestKind;
  FrontEndSetup setup;
  FrontEndClient device = setup.Open("a");
  FrontEndClient allocated = setup.OpenAllocated("b");
  const MutationResult given = setup.Allocate(allocated, 1, 1);
  FUZZ_CHECK(given.offsets.size() == 1);
  Requests a(device);
  Requests b(allocated);
  const std::string store = a.Make(RequestKind::kStore, {{10, 1}});
  const std::string zeros = a.Make(RequestKind::kStore, {{11, 2}});
  const std::string load = a.Make(RequestKind::kLoad, {{10, 2}, {100, 1}});
  const std::string free = a.Make(RequestKind::kFree, {{10, 1}});
  const std::string extents = a.Make(RequestKind::kExtents, {{0, 200}});
  const std::string prefetch = a.Make(RequestKind::kPrefetch, {{10, 4}});

  const Extent entries{given.offsets.front(), 2};
  const std::string allocate = b.Allocate(1, 1);
  const std::string store_b = b.Make(RequestKind::kStore, {entries});
  const std::string duplicate = b.Duplicate(entries);
  const std::string store_shared = b.Make(RequestKind::kStore, {entries});
  const std::string load_b = b.Make(RequestKind::kLoad, {entries});
  const std::string free_b = b.Make(RequestKind::kFree, {entries});
  const std::string free_last = b.Make(RequestKind::kFree, {entries});

  const Folder frame(parent, "frame");
  frame.WriteWithCuts("store", store);
  frame.Write("store-zeros", zeros);
  frame.WriteWithCuts("load", load);
  frame.Write("free", free);
  frame.Write("extents", extents);
  frame.Write("prefetch", prefetch);
  frame.Write("allocate", allocate);
  frame.Write("duplicate", duplicate);

  const Folder exchange(parent, "exchange");
  const auto pieces = [](std::initializer_list<std::string> messages) {
    Output all;
    for (const std::string& message : messages) {
      all.Piece(message);
    }
    return all.bytes();
  };
  exchange.WriteWithCuts("life-of-a-page",
                         pieces({store, load, zeros, extents, prefetch, free, load, store}));
  exchange.WriteWithCuts("life-of-an-entry", pieces({allocate, store_b, duplicate, store_shared,
                                                     load_b, free_b, load_b, free_last, load_b}));
  exchange.Write("load-of-nothing", pieces({load, load_b}));
  exchange.Write("free-twice", pieces({free, free, store, store}));
}

v1::ExchangeResponse LoadResponse() {
  v1::ExchangeResponse response;
  response.set_id(4);
  v1::LoadResponse& load = *response.mutable_load();
  load.set_shard_epoch(3);
  load.set_codes("\1\1\1\2");
  load.set_encodings(std::string("\1\2\3\0", 4));
  std::string pages;
  const OwnedPage raw = RawPage({3, 100, 1}, true);
  const std::vector<std::byte> plain = PlainOf({3, 102, 1}, true);
  const std::vector<std::byte> block = CompressPage(PageView(plain.data(), kPageBytes)).value();
  const Stamp stamp{7, 1};
  const uint32_t checksums[] = {raw.put.page_checksum, 0,
                                PageChecksum(3, 102, stamp, PageView(plain.data(), kPageBytes)), 0};
  const size_t lengths[] = {kPageBytes, 0, block.size(), 0};
  for (size_t i = 0; i < 4; ++i) {
    load.add_lengths(static_cast<uint32_t>(lengths[i]));
    load.add_checksums(checksums[i]);
    load.add_stamp_tokens(stamp.token);
    load.add_stamp_sequences(stamp.sequence);
  }
  pages += AsText(raw.bytes);
  pages += AsText(block);
  load.set_pages(pages);
  return response;
}

void WriteAnswers(const std::filesystem::path& parent) {
  const Folder folder(parent, "client_answer");
  const auto answer = [](client::RequestKind kind, uint8_t pages,
                         const v1::ExchangeResponse& message) {
    return Output()
        .Put(static_cast<uint8_t>(static_cast<uint8_t>(kind) - 2))
        .Put(static_cast<uint8_t>(pages - 1))
        .Bytes(message.SerializeAsString())
        .bytes();
  };
  folder.WriteWithCuts("load", answer(client::RequestKind::kLoad, 4, LoadResponse()));
  v1::ExchangeResponse store;
  store.set_id(5);
  store.mutable_store()->set_codes("\1\4");
  folder.Write("store", answer(client::RequestKind::kStore, 2, store));
  v1::ExchangeResponse free;
  free.mutable_free()->set_freed_pages(2);
  folder.Write("free", answer(client::RequestKind::kFree, 2, free));
  v1::ExchangeResponse prefetch;
  prefetch.mutable_prefetch()->set_shard_epoch(2);
  folder.Write("prefetch", answer(client::RequestKind::kPrefetch, 2, prefetch));
  v1::ExchangeResponse extents;
  for (const auto& [pages, kind] :
       {std::pair{3u, v1::BACKING_KIND_NONE}, {5u, v1::BACKING_KIND_COMPRESSED}}) {
    v1::BackingRun* run = extents.mutable_extents()->add_runs();
    run->set_pages(pages);
    run->set_kind(kind);
  }
  folder.Write("extents", answer(client::RequestKind::kExtents, 8, extents));
  v1::ExchangeResponse error;
  error.mutable_error()->set_code(10);
  error.mutable_error()->set_reason(v1::ERROR_REASON_FENCED);
  error.mutable_error()->set_message("fenced");
  folder.Write("error", answer(client::RequestKind::kLoad, 1, error));
}

void WriteRecords(const std::filesystem::path& parent) {
  const Folder folder(parent, "store_records");
  const OwnedPage page = Lz4Page({1, 100, 7});
  const RecordHead head{page.put.encoding, static_cast<uint16_t>(page.bytes.size()), page.put.stamp,
                        page.put.page_checksum, page.put.record_checksum};
  const auto input = [](std::string_view key, std::string_view value) {
    return Output().Put(uint8_t{0}).Piece(key).Bytes(value).bytes();
  };
  const auto page_key = EncodePageKey(page.put.name);
  folder.Write("record", input(View(page_key), std::string(View(EncodeRecordHead(head))) +
                                                   std::string(AsText(page.bytes))));
  folder.Write("record-without-bytes", input(View(page_key), View(EncodeRecordHead(head))));
  folder.Write("length", input(View(page_key), View(EncodeLength(head.stored_bytes))));
  const auto meta = EncodeMetaKey(3);
  folder.WriteWithCuts("meta",
                       input(View(meta), View(EncodeMetaValue(View(meta), {4, 10, 12, 99}))));
  const auto slot = EncodeSlotKey(3, {1, 100});
  folder.WriteWithCuts("slot",
                       input(View(slot), View(EncodeSlotValue(View(slot), {1, 100, 0x1234, 5}))));
  const auto request = EncodeRequestKey(3, {1, 8, 12});
  folder.WriteWithCuts("request",
                       input(View(request), EncodeRequestValue(View(request), "result")));
  const auto token = EncodeTokenKey(3, 1);
  folder.WriteWithCuts("token", input(View(token), View(EncodeTokenValue(View(token), 8))));
}

void WriteNodeMessages(const std::filesystem::path& parent) {
  const Folder folder(parent, "node_wire");
  const auto input = [](uint8_t kind, const google::protobuf::MessageLite& message) {
    return Output().Put(kind).Bytes(message.SerializeAsString()).bytes();
  };
  const OwnedPage raw = RawPage({1, 100, 7}, true);
  const OwnedPage block = Lz4Page({1, 101, 8});
  folder.WriteWithCuts("put", input(0, ToRequest({raw.put, block.put})));
  GetReply reply;
  reply.incarnation = 9;
  reply.payload = block.bytes;
  reply.pages.resize(3);
  reply.pages[0].code = PageCode::kNotFound;
  reply.pages[1] = {PageCode::kOk,
                    Encoding::kLz4,
                    static_cast<uint16_t>(block.bytes.size()),
                    0,
                    block.put.page_checksum,
                    block.put.record_checksum,
                    block.put.stamp};
  reply.pages[2].code = PageCode::kCorrupt;
  const std::vector<PageName> names = {{1, 100, 7}, {1, 101, 8}, {2, 0, kVersionMax}};
  folder.WriteWithCuts("got", input(1, ToResponse(names, reply)));
  folder.Write("put-answer",
               input(2, ToResponse(PutReply{
                            9, {{PageCode::kOk, 1234}, {PageCode::kResourceExhausted, 0}}})));
  v1::GetRequest get;
  for (const PageName& name : names) {
    FillName(name, get.add_names());
  }
  folder.Write("get", input(3, get));
  LogWrite write;
  write.shard = 2;
  write.epoch = 3;
  write.sequence = 4;
  write.slots = {{1, 100, 0x1234, 5}};
  write.purges = {{1, 101}};
  write.tokens = {{1, 8}};
  write.requests = {{{1, 8, 12}, "result"}};
  write.forgotten = {{1, 8, 11}};
  write.versions_reserved = 1 << 20;
  folder.Write("write", input(4, ToRequest(write)));
  folder.Write("sealed", input(4, ToResponse(LogEnd{4, 1 << 20, {{1, 8}}})));
  folder.Write(
      "read",
      input(4, ToResponse(LogReadReply{{{1, 100, 0x1234, 5}}, {{{1, 8, 12}, "result"}}, "next"})));
}

void WriteArenas(const std::filesystem::path& parent) {
  const Folder folder(parent, "arena");
  const auto edit = [](ArenaEdit kind) { return Output().Put(kind); };
  folder.Write("unchanged", "");
  const std::string byte(1, '\x10');
  folder.Write("superblock", edit(ArenaEdit::kSuperblock).Put<uint16_t>(40).Piece(byte).bytes());
  folder.Write("other-incarnation",
               edit(ArenaEdit::kSealedSuperblock).Put<uint16_t>(48).Piece(byte).bytes());
  folder.Write("path-too-long",
               edit(ArenaEdit::kSealedSuperblock).Put<uint16_t>(64).Piece("\xff\xff").bytes());
  folder.Write("damaged-header",
               edit(ArenaEdit::kHeader).Put<uint8_t>(3).Put<uint8_t>(70).Piece(byte).bytes());
  for (const auto& [name, state] : {std::pair{"writing", arena::HeaderState::kWriting},
                                    {"dying", arena::HeaderState::kDying}}) {
    const auto number = static_cast<uint32_t>(state);
    folder.Write(name, edit(ArenaEdit::kHeader)
                           .Put<uint8_t>(3)
                           .Put<uint8_t>(0)
                           .Piece({reinterpret_cast<const char*>(&number), sizeof(number)})
                           .bytes());
  }
  const uint32_t beyond = 0x00ffffff;
  folder.Write("block-beyond-the-file",
               edit(ArenaEdit::kSealedHeader)
                   .Put<uint8_t>(3)
                   .Put<uint8_t>(64)
                   .Piece({reinterpret_cast<const char*>(&beyond), sizeof(beyond)})
                   .bytes());
  folder.Write("block-of-another", edit(ArenaEdit::kSealedHeader)
                                       .Put<uint8_t>(3)
                                       .Put<uint8_t>(64)
                                       .Piece(std::string_view("\0\0\0\0", 4))
                                       .bytes());
  folder.Write(
      "more-bytes-than-a-page",
      edit(ArenaEdit::kSealedHeader).Put<uint8_t>(3).Put<uint8_t>(60).Piece("\xff\x7f").bytes());
  folder.Write(
      "same-name-twice",
      edit(ArenaEdit::kCopiedHeader).Put<uint8_t>(2).Put<uint8_t>(20).Put<uint64_t>(0).bytes());
  folder.Write(
      "same-blocks-other-name",
      edit(ArenaEdit::kCopiedHeader).Put<uint8_t>(2).Put<uint8_t>(20).Put<uint64_t>(1000).bytes());
  folder.Write("damaged-payload", edit(ArenaEdit::kBlock).Put<uint16_t>(9).Piece(byte).bytes());
  const auto file_bytes = [&](uint64_t bytes) {
    return edit(ArenaEdit::kFileBytes).Put(bytes).bytes();
  };
  folder.Write("file-empty", file_bytes(0));
  folder.Write("file-half-a-superblock", file_bytes(2048));
  folder.Write("file-without-blocks", file_bytes(arena::kBlocksBegin));
  folder.Write("file-half-a-slab", file_bytes(arena::kBlocksBegin + 16 * 1024));
  folder.Write("file-long", file_bytes(arena::kBlocksBegin + 200 * 32 * 1024));
  folder.Write("file-longer-than-block-numbers", file_bytes(uint64_t{1} << 46));
}

void WriteSettings(const std::filesystem::path& parent) {
  const Folder folder(parent, "settings");
  const auto input = [](uint8_t kind, std::string_view text) {
    return Output().Put(kind).Bytes(text).bytes();
  };
  folder.Write("file",
               input(0, "memory-max: 64MiB\nshards: 16\nlisten: '[::1]:7410'\nkeep-arena: true\n"));
  folder.Write("file-unknown-key", input(0, "memory_max: 64MiB\n"));
  folder.Write("file-nested", input(0, "memory-max: {a: [1, 2]}\n"));
  folder.Write("file-anchors", input(0, "a: &a [*a, *a]\nshards: *a\n"));
  folder.Write("file-deep", input(0, std::string(3000, '[')));
  folder.Write("file-sequence", input(0, "- shards\n- 1\n"));
  folder.Write("file-config", input(0, "config: /etc/passwd\n"));
  int number = 0;
  for (const char* size : {"64MiB", "64 m", "4194304", "1T", "2T", "0x400000B", "010M", "-1", "1e9",
                           "M", "18446744073709551616", "16777216EiB", " 64M", ""}) {
    folder.Write("size-" + std::to_string(number++), input(1, size));
  }
  for (const char* count :
       {"16", "0", "4097", "010", "0x10", " -18446744073709551615", "+3", "1 "}) {
    folder.Write("count-" + std::to_string(number++), input(2, count));
  }
  folder.Write("flag", input(3, "maybe"));
}

}  // namespace
}  // namespace vswap::fuzz

int main(int argc, char** argv) {
  using namespace vswap::fuzz;
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  WriteFrames(argv[1]);
  WriteAnswers(argv[1]);
  WriteRecords(argv[1]);
  WriteNodeMessages(argv[1]);
  WriteArenas(argv[1]);
  WriteSettings(argv[1]);
  return 0;
}
