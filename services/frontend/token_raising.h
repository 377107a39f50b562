#pragma once

#include <functional>
#include <vector>

#include "services/common/executor.h"
#include "services/frontend/ownership.h"
#include "services/frontend/peers.h"
#include "services/frontend/shard_table.h"

namespace vswap {

// Raises the token in every shard that is served here; logged when it is answered. Shards that
// are lost meanwhile are left out. FENCED: a newer token is known.
void RaiseOwnTokens(const ShardTable& shards, SpaceId space, Token token,
                    Callback<std::vector<ShardEpoch>> done);

// Raises a space's token in every shard of the cluster, whoever owns it: asks all front-ends, again
// and again while shards change hands, for about ten seconds. Answers the epochs, one a shard, in
// which it was raised: a later owner finds it in the log. `peers` may be null where there are no
// others. FENCED: a newer token is known. UNAVAILABLE: some shard has no owner that answers.
void RaiseTokenEverywhere(const ShardTable& shards, const Ownership& ownership, Peers* peers,
                          Executor& executor, const v1::SpaceRecord& space,
                          Callback<std::vector<Epoch>> done);

}  // namespace vswap
