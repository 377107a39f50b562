#pragma once

namespace vswap {

// That the oracle tells of each page that a fake space gets wrong: another slot's page, a lost one,
// and zeros where a page was stored; and of none where all are right. Prints what it tells.
void ExpectPlantedPagesTold();

}  // namespace vswap
