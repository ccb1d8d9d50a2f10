//! Who waits for a run, and is woken when there is something to poll: [`WakeSet`].
//!
//! A run is polled by whoever awaits it; there may be several, and one at a time has the right to. Meanwhile a wake-up, and
//! another who comes to poll, only say that there is to be one more look. So no wake-up is lost.
//!
//! ```text
//! IDLE --begin--> POLLING --notify--> NOTIFIED --end_unless_notified--> POLLING --end_unless_notified--> IDLE
//! ```

use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};
use std::sync::Arc;
use std::task::{Wake, Waker};

use parking_lot::Mutex;

const IDLE: u8 = 0;
const POLLING: u8 = 1;
const NOTIFIED: u8 = 2;

struct Waiting {
    id: u64,
    waker: Waker,
    /// The state of the run by which it was decided that there is something to wait for.
    seen: i32,
}

#[derive(Default)]
pub(crate) struct WakeSet {
    state: AtomicU8,
    ids: AtomicU64,
    waiting: Mutex<Vec<Waiting>>,
}

impl WakeSet {
    pub(crate) fn new_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// From now on, this one is woken too, once. `seen` is the state of the run.
    pub(crate) fn register(&self, id: u64, waker: &Waker, seen: i32) {
        let mut waiting = self.waiting.lock();
        match waiting.iter_mut().find(|other| other.id == id) {
            Some(known) => {
                known.waker.clone_from(waker);
                known.seen = seen;
            }
            None => waiting.push(Waiting { id, waker: waker.clone(), seen }),
        }
    }

    /// It has looked, and waits since the run was in this state: while another polls, that need not be the last one.
    pub(crate) fn saw(&self, id: u64, state: i32) {
        if let Some(known) = self.waiting.lock().iter_mut().find(|other| other.id == id) {
            known.seen = state;
        }
    }

    pub(crate) fn forget(&self, id: u64) {
        self.waiting.lock().retain(|other| other.id != id);
    }

    /// Takes the right to poll. Where another has it, that one looks once more.
    pub(crate) fn begin(&self) -> bool {
        self.state
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| match state {
                IDLE => Some(POLLING),
                _ => Some(NOTIFIED),
            })
            .is_ok_and(|before| before == IDLE)
    }

    /// Gives the right to poll back, unless there was a wake-up since it was taken, or since this was asked.
    pub(crate) fn end_unless_notified(&self) -> bool {
        let ended = self.state.compare_exchange(POLLING, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !ended {
            self.state.store(POLLING, Ordering::SeqCst);
        }
        ended
    }

    /// With the right to poll: whether there was a wake-up, which is seen to now.
    pub(crate) fn look_again(&self) -> bool {
        self.state.compare_exchange(NOTIFIED, POLLING, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Gives the right to poll back in any case.
    pub(crate) fn end(&self) {
        self.state.store(IDLE, Ordering::SeqCst);
    }

    /// There is something to poll.
    pub(crate) fn notify(&self) {
        let noted =
            self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| (state == POLLING).then_some(NOTIFIED));
        if noted == Err(IDLE) {
            self.wake_everybody();
        }
    }

    /// Something is true now that somebody may wait for.
    pub(crate) fn wake_everybody(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for each in waiting {
            each.waker.wake();
        }
    }

    /// A poll of this one has left the run in this state: those who have seen another one have to look again.
    pub(crate) fn wake_others(&self, id: u64, state: i32) {
        let others: Vec<_> = {
            let mut waiting = self.waiting.lock();
            let stays = |each: &Waiting| each.id == id || each.seen == state;
            if waiting.iter().all(stays) {
                return;
            }
            let (staying, others) = std::mem::take(&mut *waiting).into_iter().partition(stays);
            *waiting = staying;
            others
        };
        for each in others {
            each.waker.wake();
        }
    }
}

impl Wake for WakeSet {
    fn wake(self: Arc<Self>) {
        self.notify();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn everybody_is_woken_once() {
        let (set, count) = (WakeSet::default(), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        for _ in 0..2 {
            set.register(1, &waker, 0);
            set.register(2, &waker, 0);
        }
        set.notify();
        set.notify();
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_wake_up_while_polling_is_one_more_look() {
        let (set, count) = (WakeSet::default(), Arc::new(Count::default()));
        set.register(1, &Waker::from(Arc::clone(&count)), 0);
        assert!(set.begin());
        set.notify();
        assert!(!set.end_unless_notified());
        assert!(set.end_unless_notified());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        set.notify();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn who_comes_while_another_polls_makes_it_look_once_more() {
        let set = WakeSet::default();
        assert!(set.begin());
        assert!(!set.begin());
        assert!(!set.end_unless_notified());
        assert!(set.end_unless_notified());
        assert!(set.begin());
    }

    #[test]
    fn who_has_seen_another_state_is_woken_by_who_has_polled() {
        const RUNNING: i32 = 2;
        const ASKING: i32 = 9;
        let (set, count) = (WakeSet::default(), Arc::new(Count::default()));
        set.register(1, &Waker::from(Arc::clone(&count)), ASKING);
        set.wake_others(2, ASKING);
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        set.saw(1, RUNNING); // while 2 polls, and before it asks again
        set.wake_others(1, ASKING);
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        set.wake_others(2, ASKING);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn no_wake_up_is_lost_between_threads() {
        const ROUNDS: usize = if cfg!(miri) { 20 } else { 2000 };
        let set = Arc::new(WakeSet::default());
        let given = Arc::new(AtomicUsize::new(0));
        let (other_set, other_given) = (Arc::clone(&set), Arc::clone(&given));
        let other = std::thread::spawn(move || {
            for _ in 0..ROUNDS {
                other_given.fetch_add(1, Ordering::SeqCst);
                other_set.notify();
            }
        });
        let mut seen = 0;
        while seen < ROUNDS {
            let parked = std::thread::current();
            set.register(1, &Waker::from(Arc::new(Unpark(parked))), 0);
            if set.begin() {
                loop {
                    seen = given.load(Ordering::SeqCst);
                    if set.end_unless_notified() {
                        break;
                    }
                }
            }
            if seen < ROUNDS {
                std::thread::park();
            }
        }
        other.join().unwrap();
    }

    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
}
