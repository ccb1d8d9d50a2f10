/* The loop of browsers and workers: functions of napi.js. There is one instance, and promises have their turn by themselves. */
#include "addon.h"

extern void blazen_loop_soon(Instance* self);
extern void blazen_loop_timer(Instance* self, double delay_ms);
extern void blazen_loop_keep(int32_t kept);
extern double blazen_loop_now(void);

struct Loop {
  int none;
};

bool loop_open(Instance* self) {
  static struct Loop loop;
  self->loop = &loop;
  return true;
}

void loop_soon(Instance* self) { blazen_loop_soon(self); }
void loop_never_mind(Instance* self) { (void)self; }
void loop_timer(Instance* self, int64_t delay_ms) { blazen_loop_timer(self, (double)delay_ms); }
void loop_keep(Instance* self, bool kept) {
  (void)self;
  blazen_loop_keep(kept);
}
uint64_t loop_now(void) { return (uint64_t)(blazen_loop_now() * 1e6); }
bool loop_enter(Instance* self) {
  (void)self;
  return true;
}
void loop_leave(Instance* self) { (void)self; }
