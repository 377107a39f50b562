// The program that a swapping guest runs: it fills more memory than the guest has and frees all of
// it; then two processes write, read, rewrite and discard as much, and check every page. What a
// page must hold follows from its index, its generation and the process that wrote it, and is
// written into the page, so that a misdelivered page names itself. Static, without libraries, one
// thread. The last line is `RESULT wrong=N checked=N`; the exit status is 0 only if nothing was
// wrong.

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kPagesPerMib = 256;
constexpr size_t kReportsMax = 20;  // wrong pages described one by one; all are counted

// What a page was last given: generation * 2 + process, generations from 1; 0: discarded, so zeros.
using Tag = uint32_t;

uint64_t Mix(uint64_t x) {  // SplitMix64's finalizer
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

class XorShift {
 public:
  explicit XorShift(uint64_t seed) : state_(Mix(seed) | 1) {}
  uint64_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }

 private:
  uint64_t state_;
};

struct PageHeader {
  char magic[8];
  uint32_t index;
  Tag tag;
  uint64_t seed;
};

constexpr char kMagic[8] = {'v', 's', 'w', 'a', 'p', 'p', 'g', '\n'};

// 16 bytes each, so that text is cheap to make on an emulated processor.
constexpr char kPhrases[16][17] = {
    "the quick brown ", "fox jumps over a",  " lazy dog and it",     "s shadow, while ",
    "cold pages sleep", " far away from t",  "heir warm host. ",     "Nobody reads the",
    "m now; somebody ", "will, one day. \n", "{\"id\": 4711, \"n\"", ": null, \"ok\": 1}",
    "int main(void) {", "  return errno;\n", "}\n\n// end of it",    "\t0x00000000,\n\t0x",
};

// One page in eight is zero, five are text, two are random.
void FillPage(uint64_t seed, uint32_t index, Tag tag, char* page) {
  XorShift random(seed ^ Mix(uint64_t{index} << 32 | tag));
  const uint64_t kind = (random.Next() >> 32) % 8;
  if (tag == 0 || kind == 0) {
    memset(page, 0, kPageBytes);
    return;
  }
  PageHeader header = {{}, index, tag, seed};
  memcpy(header.magic, kMagic, sizeof(kMagic));
  memcpy(page, &header, sizeof(header));
  size_t at = sizeof(header);
  const bool text = kind <= 5;
  while (at < kPageBytes) {
    const uint64_t word = random.Next();
    memcpy(page + at, &word, 8);
    at += 8;
    for (int i = 0; text && i < 4 && at < kPageBytes; ++i) {
      memcpy(page + at, kPhrases[(word >> (4 * i)) % 16], 16);
      at += 16;
    }
  }
}

// Text is a word and four phrases in turn, and ends with a whole phrase.
static_assert((kPageBytes - sizeof(PageHeader)) % (8 + 4 * 16) % 16 == 8);

// What a page that should hold something else says about itself.
std::string Describe(const char* page) {
  PageHeader header;
  memcpy(&header, page, sizeof(header));
  if (memcmp(header.magic, kMagic, sizeof(kMagic)) == 0) {
    char text[160];
    snprintf(text, sizeof(text), "page %u, write %u of process %u, seed %llu", header.index,
             header.tag / 2, header.tag % 2, static_cast<unsigned long long>(header.seed));
    return text;
  }
  const std::string zeros(kPageBytes, '\0');
  return memcmp(page, zeros.data(), kPageBytes) == 0 ? "zeros" : "bytes that were never written";
}

// The memory under test as one process sees it. Thread-confined; fork() gives the child its own
// copy.
class Region {
 public:
  Region(size_t pages, uint64_t seed) : seed_(seed), random_(seed), tags_(pages) {
    void* memory = mmap(nullptr, pages * kPageBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      perror("mmap");
      exit(2);
    }
    memory_ = static_cast<char*>(memory);
  }

  size_t pages() const { return tags_.size(); }
  uint64_t checked() const { return checked_; }
  uint64_t wrong() const { return wrong_; }

  void BecomeProcess(uint32_t process) {
    process_ = process;
    random_ = XorShift(seed_ + process);
    checked_ = 0;
    wrong_ = 0;
  }

  void Write(size_t index) {
    ++writes_;
    tags_[index] = writes_ * 2 + process_;
    FillPage(seed_, static_cast<uint32_t>(index), tags_[index], Page(index));
  }

  void WriteAll() {
    for (size_t i = 0; i < pages(); ++i) {
      Write(i);
    }
  }

  void Discard(size_t index, size_t pages) {
    if (madvise(Page(index), pages * kPageBytes, MADV_DONTNEED) != 0) {
      perror("madvise");
      exit(2);
    }
    for (size_t i = index; i < index + pages; ++i) {
      tags_[i] = 0;
    }
  }

  void Check(size_t index) {
    char expected[kPageBytes];
    FillPage(seed_, static_cast<uint32_t>(index), tags_[index], expected);
    ++checked_;
    if (memcmp(expected, Page(index), kPageBytes) == 0) {
      return;
    }
    ++wrong_;
    if (wrong_ <= kReportsMax) {
      printf("wrong page: process %u, page %zu, expected %s of process %u, found %s\n", process_,
             index,
             tags_[index] == 0 ? "zeros" : ("write " + std::to_string(tags_[index] / 2)).c_str(),
             tags_[index] % 2, Describe(Page(index)).c_str());
      fflush(stdout);
    }
  }

  void CheckAll() {
    for (size_t i = 0; i < pages(); ++i) {
      Check(i);
    }
  }

  // Rewrites and reads at random, discards runs, then reads everything in order.
  void RunRound() {
    for (size_t i = 0; i < pages() / 4; ++i) {
      const size_t rewritten = RandomPage();
      Check(rewritten);
      Write(rewritten);
      Check(RandomPage());
    }
    for (size_t i = 0; i < pages() / 256; ++i) {
      const size_t first = RandomPage();
      const size_t run = 1 + random_.Next() % 32;
      Discard(first, run < pages() - first ? run : pages() - first);
    }
    CheckAll();
  }

  // Claims that a page was written once more than it was.
  void PlantWrongExpectation() { tags_[pages() / 2] += 2; }

 private:
  char* Page(size_t index) { return memory_ + index * kPageBytes; }
  size_t RandomPage() { return (random_.Next() >> 16) % pages(); }

  const uint64_t seed_;
  uint32_t process_ = 0;
  XorShift random_;
  char* memory_ = nullptr;
  std::vector<Tag> tags_;
  uint32_t writes_ = 0;
  uint64_t checked_ = 0;
  uint64_t wrong_ = 0;
};

struct Options {
  size_t mib = 64;
  unsigned rounds = 2;
  uint64_t seed = 1;
  const char* swapoff_device = nullptr;
  bool plant = false;
};

// What the child found, through the pipe.
struct Findings {
  uint64_t wrong = 0;
  uint64_t checked = 0;
};

void Progress(const char* point) {
  printf("progress %s\n", point);
  fflush(stdout);
}

// The kernel could not read a page back.
void OnBusError(int) {
  constexpr char kText[] = "SIGBUS: a page could not be read from swap\n";
  [[maybe_unused]] const ssize_t written = write(STDOUT_FILENO, kText, sizeof(kText) - 1);
  _exit(3);
}

[[noreturn]] void RunChild(Region& region, const Options& options, int pipe_fd) {
  region.BecomeProcess(1);
  for (unsigned i = 0; i < options.rounds; ++i) {
    region.RunRound();
  }
  const Findings findings = {region.wrong(), region.checked()};
  if (write(pipe_fd, &findings, sizeof(findings)) != sizeof(findings)) {
    _exit(2);
  }
  _exit(0);
}

// Leaves what fits into memory swapped out, so that swapoff has pages to bring in.
bool SwapOff(Region& region, const char* device) {
  constexpr size_t kKeptPagesMax = 32 * kPagesPerMib;
  const size_t kept = region.pages() < kKeptPagesMax ? region.pages() : kKeptPagesMax;
  if (kept < region.pages()) {
    region.Discard(kept, region.pages() - kept);
  }
  Progress("swapoff");
  if (swapoff(device) != 0) {
    printf("swapoff %s: %s\n", device, strerror(errno));
    return false;
  }
  printf("swapoff ok\n");
  region.CheckAll();
  return true;
}

int Run(const Options& options) {
  Region region(options.mib * kPagesPerMib, options.seed);
  region.WriteAll();
  // The kernel discards in the background, and from outside it takes a while to look.
  Progress("filled");
  sleep(2);
  region.Discard(0, region.pages());
  Progress("freed");
  sleep(2);
  region.WriteAll();

  int pipe_fds[2];
  if (pipe(pipe_fds) != 0) {
    perror("pipe");
    return 2;
  }
  const pid_t child = fork();
  if (child < 0) {
    perror("fork");
    return 2;
  }
  if (child == 0) {
    RunChild(region, options, pipe_fds[1]);
  }
  close(pipe_fds[1]);
  Progress("forked");

  for (unsigned i = 1; i <= options.rounds; ++i) {
    region.RunRound();
    Progress(("round-" + std::to_string(i)).c_str());
  }
  Findings findings;
  int status = 0;
  const bool child_ok = read(pipe_fds[0], &findings, sizeof(findings)) == sizeof(findings) &&
                        waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                        WEXITSTATUS(status) == 0;
  Progress("child-done");
  if (options.plant) {
    region.PlantWrongExpectation();
  }
  region.CheckAll();  // nothing of the child's has come through
  const bool swapoff_ok =
      options.swapoff_device == nullptr || SwapOff(region, options.swapoff_device);

  const uint64_t wrong = region.wrong() + findings.wrong;
  printf("RESULT wrong=%llu checked=%llu child=%s swapoff=%s\n",
         static_cast<unsigned long long>(wrong),
         static_cast<unsigned long long>(region.checked() + findings.checked),
         child_ok ? "ok" : "failed",
         options.swapoff_device == nullptr ? "none"
         : swapoff_ok                      ? "ok"
                                           : "failed");
  return wrong == 0 && child_ok && swapoff_ok ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  int option;
  while ((option = getopt(argc, argv, "m:r:s:o:ph")) != -1) {
    switch (option) {
      case 'm':
        options.mib = strtoul(optarg, nullptr, 10);
        break;
      case 'r':
        options.rounds = static_cast<unsigned>(strtoul(optarg, nullptr, 10));
        break;
      case 's':
        options.seed = strtoull(optarg, nullptr, 10);
        break;
      case 'o':
        options.swapoff_device = optarg;
        break;
      case 'p':  // the test of the test: one expectation is wrong
        options.plant = true;
        break;
      default:
        fprintf(stderr,
                "usage: %s [-m MIB] [-r ROUNDS] [-s SEED] [-o DEVICE]\n"
                "  -m  memory under test in MiB, 1..65536 (default 64)\n"
                "  -r  rounds of rewriting, discarding and checking (default 2)\n"
                "  -s  seed of all content and order (default 1)\n"
                "  -o  at the end, swapoff this device while pages are on it, and check them\n",
                argv[0]);
        return option == 'h' ? 0 : 2;
    }
  }
  if (options.mib < 1 || options.mib > 65536) {
    fprintf(stderr, "-m: %zu is outside 1..65536 MiB\n", options.mib);
    return 2;
  }
  signal(SIGBUS, OnBusError);
  return Run(options);
}
