#include "value/name.hpp"

#include <new>
#include <string>

#include "base/limits.hpp"
#include "base/utf8.hpp"

namespace blazen {

Ref<Error> check_name(std::string_view argument, std::string_view text) noexcept {
  if (!text.empty()) return check_label(argument, text);
  try {
    return Error::make(Status::invalid_argument, std::string(argument).append(" is empty"));
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

Ref<Error> check_label(std::string_view argument, std::string_view text) noexcept {
  try {
    if (text.size() > kNameBytesMax) {
      return Error::make(Status::limit, std::string(argument)
                                            .append(" has ")
                                            .append(std::to_string(text.size()))
                                            .append(" bytes; BLAZEN_NAME_BYTES_MAX is ")
                                            .append(std::to_string(kNameBytesMax)));
    }
    const size_t valid = utf8_valid_prefix(text.data(), text.size());
    if (valid == text.size()) return nullptr;
    return Error::at(Status::invalid_utf8,
                     std::string(argument).append(" is not UTF-8 from byte ").append(std::to_string(valid)), valid);
  } catch (const std::bad_alloc&) {
    return Error::out_of_memory();
  }
}

}  // namespace blazen
