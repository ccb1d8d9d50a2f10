// JSON text, written from left to right.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace blazen {

// Writes members and items, with the commas between them.
class JsonWriter {
 public:
  void open(char bracket) {
    comma();
    json_ += bracket;
    first_ = true;
  }
  void close(char bracket) {
    json_ += bracket;
    first_ = false;
  }
  void key(std::string_view name) {
    comma();
    json_.append("\"").append(name).append("\":");
    first_ = true;
  }
  void raw(std::string_view value) {
    comma();
    json_ += value;
  }
  // Only the strings are nlohmann's, and a number with a fraction: its arrays and objects do not stand a failed
  // allocation.
  void text(std::string_view value) { raw(nlohmann::json(value).dump()); }
  void member(std::string_view name, std::string_view value) {
    key(name);
    text(value);
  }
  void fraction(std::string_view name, double value) {
    key(name);
    raw(nlohmann::json(value).dump());
  }
  void null(std::string_view name) {
    key(name);
    raw("null");
  }
  void member(std::string_view name, int64_t value) {
    key(name);
    raw(std::to_string(value));
  }
  void count(std::string_view name, uint64_t value) {
    key(name);
    raw(std::to_string(value));
  }
  void flag(std::string_view name, bool value) {
    key(name);
    raw(value ? "true" : "false");
  }
  std::string take() { return std::move(json_); }

 private:
  void comma() {
    if (!first_) json_ += ",";
    first_ = false;
  }
  std::string json_;
  bool first_ = true;
};

}  // namespace blazen
