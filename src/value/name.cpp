#include "value/name.hpp"

#include <new>
#include <string>

namespace blazen {

Ref<Error> name_fault(std::string_view argument, std::string_view text) noexcept {
  try {
    const std::string name(argument);
    if (text.empty()) return Error::make(Status::invalid_argument, name + " is empty");
    if (text.size() > kNameBytesMax) {
      return Error::make(Status::limit, name + " has " + std::to_string(text.size()) +
                                            " bytes; BLAZEN_NAME_BYTES_MAX is " +
                                            std::to_string(kNameBytesMax));
    }
    const size_t valid = utf8_valid_prefix(text.data(), text.size());
    if (valid == text.size()) {
      const size_t nul = text.back() == '\0' ? text.size() - 1 : text.find('\0');
      return Error::at(Status::invalid_argument,
                       name + " has a NUL at byte " + std::to_string(nul) +
                           ": is its terminator counted in? A length is that of the text alone",
                       nul);
    }
    return Error::at(Status::invalid_utf8, name + " is not UTF-8 from byte " + std::to_string(valid), valid);
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

}  // namespace blazen
