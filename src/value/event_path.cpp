#include "value/event_path.hpp"

#include <memory>
#include <nlohmann/json.hpp>

#include "base/uuid.hpp"

namespace blazen {
namespace {

std::string pointer_escaped(const std::string& name) {
  std::string text;
  for (const char c : name) {
    if (c == '~') {
      text += "~0";
    } else if (c == '/') {
      text += "~1";
    } else {
      text += c;
    }
  }
  return text;
}

std::string quoted_json(const std::string& text) { return nlohmann::json(text).dump(); }

std::unique_ptr<EventPath::Texts> make_texts(const EventPath& path) {
  auto made = std::make_unique<EventPath::Texts>();
  made->run_id = uuid_text(path.run_id()).data();
  if (path.around) made->text = path.around->texts().text + "/";
  made->text.append(pointer_escaped(path.names->step)).append("#").append(std::to_string(path.invocation_id));
  std::string& json = made->json;
  if (path.around) {
    json = path.around->texts().json;
    json.back() = ',';
  } else {
    json = "[";
  }
  json.append("{\"step\":")
      .append(quoted_json(path.names->part_of.empty() ? path.names->step : path.names->part_of));
  json.append(",\"invocation_id\":").append(std::to_string(path.invocation_id));
  if (!path.names->branch.empty()) json.append(",\"branch\":").append(quoted_json(path.names->branch));
  json.append(",\"run_id\":\"").append(made->run_id).append("\"}]");
  return made;
}

}  // namespace

void EventPath::destroy(EventPath* path) noexcept { delete path; }

// Two that ask at once make it twice, and one of them is kept.
const EventPath::Texts& EventPath::texts() const {
  if (const Texts* known = texts_.load(std::memory_order_acquire)) return *known;
  std::unique_ptr<Texts> made = make_texts(*this);
  const Texts* expected = nullptr;
  if (texts_.compare_exchange_strong(expected, made.get(), std::memory_order_acq_rel)) return *made.release();
  return *expected;
}

// The longer one comes behind its own beginning.
std::strong_ordering EventPath::order(const EventPath* a, const EventPath* b) noexcept {
  if (a == b) return std::strong_ordering::equal;
  if (a == nullptr || b == nullptr)
    return a == nullptr ? std::strong_ordering::less : std::strong_ordering::greater;
  if (a->depth > b->depth) {
    const std::strong_ordering shorter = order(a->around.get(), b);
    return shorter == 0 ? std::strong_ordering::greater : shorter;
  }
  if (b->depth > a->depth) {
    const std::strong_ordering shorter = order(a, b->around.get());
    return shorter == 0 ? std::strong_ordering::less : shorter;
  }
  const std::strong_ordering before = order(a->around.get(), b->around.get());
  return before == 0 ? a->invocation_id <=> b->invocation_id : before;
}

}  // namespace blazen
