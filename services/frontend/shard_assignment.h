#pragma once

#include <string>
#include <vector>

namespace vswap {

// Who should own each shard: as many for each of the front-ends as for the others, or one more, and
// as few moves as that takes. `owners`: of each shard, empty or somebody who is not live where
// nobody serves it; `live`: the front-ends, in order of their names. Everybody who knows the same
// comes to the same end. Empty `live`: nobody.
std::vector<std::string> AssignShards(const std::vector<std::string>& owners,
                                      const std::vector<std::string>& live);

}  // namespace vswap
