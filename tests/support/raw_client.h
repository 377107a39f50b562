#pragma once

#include <grpcpp/grpcpp.h>

#include <string>
#include <vector>

#include "services/common/checksum.h"
#include "services/common/ids.h"
#include "vswap/v1/frontend.grpc.pb.h"

namespace vswap {

// The service's own messages by hand, so that a test can also send wrong ones. One space, opened at
// construction; every request is made right and may then be spoilt. Thread-confined.
class RawClient {
 public:
  RawClient(const std::string& address, const std::string& name, uint64_t pages)
      : channel_(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())),
        stub_(v1::FrontEndService::NewStub(channel_)) {
    v1::OpenRequest request;
    request.set_name(name);
    request.set_holder("raw");
    request.set_create_pages(pages);
    grpc::ClientContext context;
    status_ = stub_->Open(&context, request, &open_);
  }

  const grpc::Status& open_status() const { return status_; }
  const v1::OpenResponse& open() const { return open_; }
  // Later requests name its epochs.
  void UseMap(const v1::ShardMap& map) { *open_.mutable_shard_map() = map; }
  v1::FrontEndService::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() { return channel_; }

  v1::RequestHeader Header(Offset offset) {
    v1::RequestHeader header;
    header.set_space(open_.space());
    header.set_token(open_.token());
    const auto shard_count = static_cast<uint32_t>(open_.shard_map().epochs_size());
    header.set_shard(ShardOf(open_.space(), offset, shard_count));
    header.set_shard_epoch(open_.shard_map().epochs(static_cast<int>(header.shard())));
    header.set_sequence(++sequence_);
    header.set_sequence_floor(sequence_);
    header.set_lane(v1::LANE_PAGE_OUT);
    return header;
  }

  // Stores raw pages from `offset` on.
  v1::StoreRequest StoreOf(Offset offset, const std::vector<std::string>& pages) {
    v1::StoreRequest request;
    *request.mutable_header() = Header(offset);
    v1::Extent* extent = request.add_extents();
    extent->set_offset(offset);
    extent->set_pages(static_cast<uint32_t>(pages.size()));
    for (size_t i = 0; i < pages.size(); ++i) {
      AddPage(request, offset + i, v1::ENCODING_RAW, pages[i], pages[i]);
    }
    return request;
  }

  // Appends a page whose checksum is that of `plain` (4096 bytes).
  static void AddPage(v1::StoreRequest& request, Offset offset, v1::Encoding encoding,
                      const std::string& plain, const std::string& bytes) {
    const Stamp stamp = {request.header().token(), request.header().sequence()};
    request.mutable_encodings()->push_back(static_cast<char>(encoding));
    request.add_lengths(static_cast<uint32_t>(bytes.size()));
    request.add_checksums(
        PageChecksum(request.header().space(), offset, stamp,
                     PageView(reinterpret_cast<const std::byte*>(plain.data()), kPageBytes)));
    request.mutable_pages()->append(bytes);
  }

  v1::LoadRequest LoadOf(Offset offset, uint32_t pages) {
    v1::LoadRequest request;
    *request.mutable_header() = Header(offset);
    v1::Extent* extent = request.add_extents();
    extent->set_offset(offset);
    extent->set_pages(pages);
    return request;
  }

  v1::FreeRequest FreeOf(Offset offset, uint32_t pages) {
    v1::FreeRequest request;
    *request.mutable_header() = Header(offset);
    v1::Extent* extent = request.add_extents();
    extent->set_offset(offset);
    extent->set_pages(pages);
    return request;
  }

  grpc::Status Send(const v1::StoreRequest& request, v1::StoreResponse* response) {
    grpc::ClientContext context;
    return stub_->Store(&context, request, response);
  }
  grpc::Status Send(const v1::LoadRequest& request, v1::LoadResponse* response) {
    grpc::ClientContext context;
    return stub_->Load(&context, request, response);
  }
  grpc::Status Send(const v1::FreeRequest& request, v1::FreeResponse* response) {
    grpc::ClientContext context;
    return stub_->Free(&context, request, response);
  }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::FrontEndService::Stub> stub_;
  grpc::Status status_;
  v1::OpenResponse open_;
  Sequence sequence_ = 0;
};

}  // namespace vswap
