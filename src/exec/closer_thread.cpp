#include "exec/closer_thread.hpp"

#ifndef BLAZEN_NO_THREADS

#include <new>
#include <string>
#include <system_error>

#include "exec/thread.hpp"

namespace blazen {
namespace {

class CloserThread final : public Closer {
 public:
  explicit CloserThread(const ThreadSettings& settings) : settings_(settings) {}

  Ref<Error> start(void (*close)(void* closing) noexcept, void* closing) noexcept override {
    try {
      Thread(settings_, "close", [close, closing] { close(closing); }).detach();
      return nullptr;
    } catch (const std::system_error& failure) {
      Ref<Error> error =
          Error::make(Status::system, "the operating system refused to start the thread that ends the close");
      if (error->status == Status::system) error->host_code = failure.code().value();
      return error;
    } catch (const std::bad_alloc&) {
      return Error::out_of_memory();
    }
  }

 private:
  const ThreadSettings settings_;
};

}  // namespace

std::unique_ptr<Closer> make_closer_thread(const ThreadSettings& settings) {
  return std::make_unique<CloserThread>(settings);
}

}  // namespace blazen

#endif
