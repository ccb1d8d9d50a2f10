// A deterministic JSON document for throughput figures, shaped like a page of social-media posts:
// objects with short keys, integers, decimals, literals, small arrays, some long texts, some
// escapes, about one text in three outside ASCII. Compact, ASCII apart from those texts.
//
// Invariant: the same size gives the same bytes on every platform.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>

namespace blazen::bench {

namespace detail {

// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere unlike <random>'s
// distributions.
class SampleRandom {
 public:
  uint64_t next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  uint64_t below(uint64_t bound) { return next() % bound; }

 private:
  uint64_t state_ = 20240229;
};

inline std::string sample_text(SampleRandom& random, size_t word_count) {
  static const char* const kPlain[] = {
      "workflow", "the",    "of",     "engine", "a",    "release", "event", "with", "latest",
      "is",       "update", "https:", "faster", "than", "more",    "retry", "soon", "and"};
  static const char* const kEscaped[] = {"\\n", "\\\"quoted\\\"", "http:\\/\\/t.co\\/x1", "\\u00e9"};
  static const char* const kForeign[] = {
      "名前を変更しました", "здравствуйте", "café", "今日はいい天気", "naïve", "👍🏽", "Straße"};
  const bool is_foreign = random.below(3) == 0;
  std::string text;
  for (size_t i = 0; i < word_count; ++i) {
    if (i != 0) text += ' ';
    const uint64_t dice = random.below(20);
    if (is_foreign && dice < 10) {
      text += kForeign[random.below(std::size(kForeign))];
    } else if (dice == 19) {
      text += kEscaped[random.below(std::size(kEscaped))];
    } else {
      text += kPlain[random.below(std::size(kPlain))];
    }
  }
  return text;
}

// One draw a statement, here and below: the order of draws within an expression is unspecified.
inline std::string sample_decimal(SampleRandom& random) {
  const std::string whole = std::to_string(random.below(180));
  return whole + '.' + std::to_string(random.below(10'000'000));
}

inline void append_user(std::string& out, SampleRandom& random) {
  const std::string id = std::to_string(random.below(4'000'000'000));
  out += R"({"id":)" + id + R"(,"id_str":")" + id + R"(","name":")" + sample_text(random, 2);
  out += R"(","screen_name":"user_)" + std::to_string(random.below(100'000));
  out += R"(","description":")" + sample_text(random, 5 + random.below(20));
  out += R"(","url":null,"protected":false,"followers_count":)" + std::to_string(random.below(9000));
  out += R"(,"friends_count":)" + std::to_string(random.below(900)) + R"(,"verified":)";
  out += random.below(4) == 0 ? "true" : "false";
  out += R"(,"lang":"en","profile_image_url":"https://img.example.com/profile/)" + id + R"(.png"})";
}

inline void append_post(std::string& out, SampleRandom& random) {
  const std::string id = std::to_string(random.next());
  out += R"({"created_at":"Sun Aug 31 00:29:15 +0000 2014","id":)" + id;
  out += R"(,"id_str":")" + id + R"(","text":")" + sample_text(random, 8 + random.below(18));
  out += R"(","truncated":false,"in_reply_to_status_id":null,"user":)";
  append_user(out, random);
  out += R"(,"coordinates":)";
  if (random.below(2) == 0) {
    out += R"({"type":"Point","at":[-)" + sample_decimal(random);
    out += ',' + sample_decimal(random) + "]}";
  } else {
    out += "null";
  }
  out += R"(,"score":)" + sample_decimal(random) + "e-3";
  out += R"(,"entities":{"hashtags":[)";
  for (uint64_t i = 0, count = random.below(4); i < count; ++i) {
    const uint64_t start = random.below(100);
    if (i != 0) out += ',';
    out += R"({"text":")" + sample_text(random, 1) + R"(","indices":[)" + std::to_string(start);
    out += ',' + std::to_string(start + 9) + "]}";
  }
  out += R"(],"symbols":[],"urls":[],"extra":{}},"retweet_count":)";
  out += std::to_string(random.below(100)) + R"(,"favorited":false,"lang":"en"})";
}

}  // namespace detail

/// A valid document of at least `approx_bytes` and at most about 2 KB more.
inline std::string make_json_sample(size_t approx_bytes) {
  detail::SampleRandom random;
  std::string out = R"({"statuses":[)";
  out.reserve(approx_bytes + 4096);
  do {
    if (out.back() != '[') out += ',';
    detail::append_post(out, random);
  } while (out.size() < approx_bytes);
  return out += R"(],"search_metadata":{"completed_in":0.087,"count":100}})";
}

}  // namespace blazen::bench
