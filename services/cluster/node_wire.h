#pragma once

#include "services/cluster/node.h"
#include "services/cluster/table_log.h"
#include "vswap/v1/node.pb.h"
#include "vswap/v1/tablelog.pb.h"

// Between the messages of vswap.v1.NodeService and TableLogService and the interfaces Node and
// TableLog. What comes from the wire is checked: the first wrong field is named with its allowed
// range.
namespace vswap {

void FillName(const PageName& name, v1::PageName* out);
PageName ToName(const v1::PageName& name);

// 1..512 names, none twice, offsets below 2^41, versions of 48 bits.
StatusOr<std::vector<PageName>> ToNames(
    const google::protobuf::RepeatedPtrField<v1::PageName>& names);

v1::PutRequest ToRequest(const std::vector<PutPage>& pages);
// The pages borrow from the request.
StatusOr<std::vector<PutPage>> ToPutPages(const v1::PutRequest& request);
v1::PutResponse ToResponse(const PutReply& reply);
// As many outcomes as `pages` were put.
StatusOr<PutReply> ToReply(const v1::PutResponse& response, size_t pages);

v1::GetResponse ToResponse(const std::vector<PageName>& names, const GetReply& reply);
// Verifies every record's checksum against the name that was asked for: what does not fit is
// kCorrupt.
StatusOr<GetReply> ToReply(const v1::GetResponse& response, const std::vector<PageName>& names);

v1::InventoryResponse ToResponse(const InventoryReply& reply);
InventoryReply ToReply(const v1::InventoryResponse& response);

v1::VerifyResponse ToResponse(const VerifyReply& reply);
// As many codes as `pages` were asked for.
StatusOr<VerifyReply> ToReply(const v1::VerifyResponse& response, size_t pages);

v1::WriteRequest ToRequest(const LogWrite& write);
LogWrite ToLogWrite(const v1::WriteRequest& request);
v1::SealResponse ToResponse(const LogEnd& end);
LogEnd ToLogEnd(const v1::SealResponse& response);
v1::ReadResponse ToResponse(const LogReadReply& reply);
LogReadReply ToReply(const v1::ReadResponse& response);

}  // namespace vswap
