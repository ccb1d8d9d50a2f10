#include "run/question_name.hpp"

#include <utility>

namespace blazen {
namespace {

std::string sixteen_digits(uint64_t number) {
  std::string text(16, '0');
  for (size_t at = text.size(); at-- > 0; number >>= 4) text[at] = "0123456789abcdef"[number & 15];
  return text;
}

}  // namespace

QuestionName name_question(const Invocation& invocation, uint64_t place, uint64_t digest) {
  std::string first = "i" + std::to_string(invocation.id) + "." + std::to_string(place);
  if (!invocation.journal) return {std::move(first), {}};
  if (!invocation.journal->has_asked_another(first, digest)) return {std::move(first), {}};
  return {first + "." + sixteen_digits(digest), first};
}

}  // namespace blazen
