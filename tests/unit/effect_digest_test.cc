// Goal: the digests of effects are known numbers, the same on every platform and in every version: snapshots
// keep them, and are resumed by libraries that were built elsewhere and later.
#include "engine/effect_digest.hpp"

#include <gtest/gtest.h>

namespace blazen {
namespace {

Ref<Event> event(Tag tag, std::string_view data, std::string_view codec = {},
                 std::string_view correlation = {}) {
  return Event::make("order::Placed", Value::copy(tag, data, codec), "whoever", correlation);
}

struct Known {
  const char* name;
  Effect effect;
  uint64_t identity;
  uint64_t payload;
};

// The numbers come from another implementation of SipHash-2-4, over the fields as little-endian words and
// texts behind their lengths.
TEST(EffectDigest, IsTheSameForEver) {
  const Known known[] = {
      {"a send", digest_of_send(*event(Tag::json, "{\"id\":7}"), {}, 0), 0x33eeddb5fe4db328,
       0xf6e7f5a3b2d2201a},
      {"to one step", digest_of_send(*event(Tag::json, "{\"id\":7}"), "ship", 0), 0x779b6317d2cbdbce,
       0xf6e7f5a3b2d2201a},
      {"delayed", digest_of_send(*event(Tag::json, "{\"id\":7}"), {}, 86400000), 0x33eeddb5fe4db328,
       0x7d2b42c4a28491ea},
      {"with a correlation", digest_of_send(*event(Tag::json, "{\"id\":7}", {}, "c-7"), {}, 0),
       0x33eeddb5fe4db328, 0xa553befe530e957f},
      {"bytes", digest_of_send(*event(Tag::bytes, "\xff\xfe"), {}, 0), 0x33eeddb5fe4db328,
       0x058b58e8f4d172c5},
      {"opaque bytes", digest_of_send(*event(Tag::native, "\x80\x04.", "python/pickle"), {}, 0),
       0x33eeddb5fe4db328, 0xee944e39d4efb678},
      {"a publication", digest_of_publication(*event(Tag::json, "{\"id\":7}")), 0x1a0227e731f42210,
       0xf6e7f5a3b2d2201a},
      {"a question that is sent", digest_of_request(*event(Tag::json, "{}", {}, "q"), "ship", 5, 77),
       0x44077f5baa641d72, 0xaf7a65234eccc6d1},
  };
  for (const Known& each : known) {
    EXPECT_EQ(each.effect.identity, each.identity) << each.name << std::hex << " 0x" << each.effect.identity;
    EXPECT_EQ(each.effect.payload, each.payload) << each.name << std::hex << " 0x" << each.effect.payload;
  }
}

TEST(EffectDigest, OfAQuestionIsTheSameForEver) {
  struct Known {
    const char* name;
    uint64_t digest;
    uint64_t known;
  };
  const Known known[] = {
      {"asked by a body", digest_of_question(Asks::body, "900?", {}), 0xef8b5604e45de30e},
      {"with metadata", digest_of_question(Asks::body, "900?", "{\"n\":1}"), 0x83ad00aa9772a148},
      {"sent", digest_of_question(Asks::send, "\"900?\"", {}), 0x3dbbe85d1659c8e8},
      {"emitted", digest_of_question(Asks::emit, "\"900?\"", {}), 0x29a96973a26b0388},
  };
  for (const Known& each : known)
    EXPECT_EQ(each.digest, each.known) << each.name << std::hex << " 0x" << each.digest;
}

}  // namespace
}  // namespace blazen
