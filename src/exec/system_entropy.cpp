// Invariant: a byte is given out once, in one process. The kernel wipes the pages in a forked child, which then
// read as empty (MADV_WIPEONFORK, Linux 4.14); where that cannot be had, nothing is kept.
#include "exec/system_entropy.hpp"

#include <algorithm>
#include <cstring>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "base/random.hpp"

namespace blazen {
namespace {

Ref<Error> fill_from_system(void* bytes, size_t size) noexcept {
  const int code = fill_random(bytes, size);
  if (code == 0) return nullptr;
  Ref<Error> error = Error::make(Status::system, "the operating system gave no random bytes");
  if (error->status == Status::system && code > 0) error->host_code = code;
  return error;
}

#if defined(__linux__)

struct Page {
  size_t left;  // 0 in a new page and in a forked child
  unsigned char bytes[4096 - sizeof(size_t)];
};

// A page for each lane; those that are never used take no memory.
class PagedEntropy final : public Entropy {
 public:
  PagedEntropy() noexcept {
    void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    pages_ = static_cast<Page*>(memory);
    if (::madvise(pages_, kBytes, MADV_WIPEONFORK) != 0) unmap();
  }
  PagedEntropy(const PagedEntropy&) = delete;
  PagedEntropy& operator=(const PagedEntropy&) = delete;
  ~PagedEntropy() override { unmap(); }

  Ref<Error> fill(size_t lane, void* bytes, size_t size) noexcept override {
    if (pages_ == nullptr || size > sizeof(Page::bytes)) return fill_from_system(bytes, size);
    Page& page = pages_[lane];
    if (page.left < size) {
      if (Ref<Error> error = fill_from_system(page.bytes, sizeof(page.bytes))) return error;
      page.left = sizeof(page.bytes);
    }
    page.left -= size;
    std::memcpy(bytes, page.bytes + page.left, size);
    std::memset(page.bytes + page.left, 0, size);
    return nullptr;
  }

 private:
  static constexpr size_t kBytes = kLanes * sizeof(Page);
  void unmap() noexcept {
    if (pages_ != nullptr) ::munmap(pages_, kBytes);
    pages_ = nullptr;
  }

  Page* pages_ = nullptr;
};

#else

class PagedEntropy final : public Entropy {
 public:
  Ref<Error> fill(size_t, void* bytes, size_t size) noexcept override {
    return fill_from_system(bytes, size);
  }
};

#endif

}  // namespace

std::unique_ptr<Entropy> make_system_entropy() { return std::make_unique<PagedEntropy>(); }

}  // namespace blazen
