#include "engine/effect_digest.hpp"

#include "base/digest.hpp"

namespace blazen {
namespace {

uint64_t identity_of(std::string_view kind, const Event& event, std::string_view target) noexcept {
  return Digest().add_text(kind).add_text(event.type()).add_text(target).finish();
}

}  // namespace

uint64_t send_identity_digest(const Event& event, std::string_view target) noexcept {
  return identity_of("send", event, target);
}

// Of a LIVE value, the label alone: the object is another one in each process.
uint64_t payload_digest(const Event& event, int64_t delay_ms) noexcept {
  const Value& value = *event.value();
  Digest digest;
  digest.add_number(static_cast<uint64_t>(value.tag())).add_text(value.codec()).add_text(value.data());
  digest.add_text(event.correlation()).add_number(static_cast<uint64_t>(delay_ms));
  return digest.finish();
}

Effect digest_of_request(const Event& event, std::string_view target, int64_t delay_ms,
                         uint64_t question) noexcept {
  Digest identity;
  identity.add_text("send").add_text(event.type()).add_text(target).add_number(question);
  return {identity.finish(), payload_digest(event, delay_ms)};
}

Effect digest_of_publication(const Event& event) noexcept {
  return {identity_of("publish", event, {}), payload_digest(event, 0)};
}

Effect digest_of_collect(std::string_view key, std::span<const Wanted> wanted) noexcept {
  Digest payload;
  for (const Wanted& each : wanted) payload.add_text(each.type).add_number(each.count);
  return {Digest().add_text("collect").add_text(key).finish(), payload.finish()};
}

uint64_t digest_of_question(Asks how, std::string_view prompt, std::string_view metadata) noexcept {
  return Digest().add_number(static_cast<uint64_t>(how)).add_text(prompt).add_text(metadata).finish();
}

}  // namespace blazen
