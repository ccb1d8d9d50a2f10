// Invariant: a byte is given out once, in one process. The page is one that the kernel wipes in a forked
// child, whose copy then reads as empty (MADV_WIPEONFORK, Linux 4.14); where that cannot be had, nothing is
// kept.
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

class PagedEntropy final : public Entropy {
 public:
  PagedEntropy() noexcept {
    void* memory = ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    page_ = static_cast<Page*>(memory);
    if (::madvise(page_, sizeof(Page), MADV_WIPEONFORK) != 0) unmap();
  }
  PagedEntropy(const PagedEntropy&) = delete;
  PagedEntropy& operator=(const PagedEntropy&) = delete;
  ~PagedEntropy() override { unmap(); }

  Ref<Error> fill(void* bytes, size_t size) noexcept override {
    if (page_ == nullptr || size > sizeof(page_->bytes)) return fill_from_system(bytes, size);
    if (page_->left < size) {
      if (Ref<Error> error = fill_from_system(page_->bytes, sizeof(page_->bytes))) return error;
      page_->left = sizeof(page_->bytes);
    }
    page_->left -= size;
    std::memcpy(bytes, page_->bytes + page_->left, size);
    std::memset(page_->bytes + page_->left, 0, size);
    return nullptr;
  }

 private:
  void unmap() noexcept {
    if (page_ != nullptr) ::munmap(page_, sizeof(Page));
    page_ = nullptr;
  }

  Page* page_ = nullptr;
};

#else

class PagedEntropy final : public Entropy {
 public:
  Ref<Error> fill(void* bytes, size_t size) noexcept override { return fill_from_system(bytes, size); }
};

#endif

}  // namespace

std::unique_ptr<Entropy> make_system_entropy() { return std::make_unique<PagedEntropy>(); }

}  // namespace blazen
