#pragma once

#include <memory>

#include "services/frontend/front_end.h"
#include "vswap/v1/frontend.pb.h"

// Between the messages of vswap.v1.FrontEndService and the front-end's own types. What comes in is
// checked only as far as it must be to be converted; validate.h does the rest.
namespace vswap {

RequestHeader ToHeader(const v1::RequestHeader& header);

// `pages` and `owner`: the page bytes, which `request` need not hold. INVALID_ARGUMENT where the
// lists of pages do not fit together.
StatusOr<StoreCall> ToStoreCall(const v1::StoreRequest& request, ByteView pages,
                                std::shared_ptr<const void> owner);
LoadCall ToLoadCall(const v1::LoadRequest& request);
LoadCall ToLoadCall(const v1::PrefetchRequest& request);
FreeCall ToFreeCall(const v1::FreeRequest& request);
AllocateCall ToAllocateCall(const v1::AllocateRequest& request);
DuplicateCall ToDuplicateCall(const v1::DuplicateRequest& request);

// Answers; `epoch` is the request's, which its owner has accepted.
void FillStore(const MutationResult& result, Epoch epoch, v1::StoreResponse* response);
void FillFree(const MutationResult& result, Epoch epoch, v1::FreeResponse* response);
void FillAllocate(const MutationResult& result, Epoch epoch, v1::AllocateResponse* response);
void FillDuplicate(const MutationResult& result, Epoch epoch, v1::DuplicateResponse* response);
// All but the page bytes.
void FillLoadHead(const LoadReply& reply, Epoch epoch, v1::LoadResponse* response);
void FillExtents(const std::vector<BackingRun>& runs, Epoch epoch, v1::ExtentsResponse* response);
void FillShardMap(const ShardMap& map, v1::ShardMap* response);

}  // namespace vswap
