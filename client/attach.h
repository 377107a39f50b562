#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "client/client_options.h"
#include "services/common/ids.h"
#include "services/common/page.h"
#include "vswap/v1/frontend.pb.h"

namespace vswap::client {

// What opening a space gives.
struct Attachment {
  SpaceId space = 0;
  Token token = 0;
  uint64_t space_pages = 0;
  v1::ShardMap map;  // epochs: one a shard
  SpaceKind kind = SpaceKind::kUnset;
};

// A connection of its own, which no other channel shares. Reconnects within a second.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& frontend);

// Opens the space; goes on trying within the patience while there is no service.
StatusOr<Attachment> Attach(const ClientOptions& options);
// Closes it. Not being attached any more is success.
Status Detach(const ClientOptions& options, const Attachment& attachment);

}  // namespace vswap::client
