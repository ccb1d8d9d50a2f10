//! The time, under any executor: one thread that wakes whoever has to poll again at a moment. It starts with the first
//! moment that somebody waits for.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

type Key = (Instant, u64);

#[derive(Default)]
struct Clock {
    moments: Mutex<Moments>,
    earlier: Condvar,
}

#[derive(Default)]
struct Moments {
    wakers: BTreeMap<Key, Waker>,
    count: u64,
}

/// A moment at which a waker is woken; never, when it is dropped before.
#[derive(Debug)]
pub(crate) struct Moment(Key);

impl Moment {
    /// Wakes in so long. None where the machine has no thread for it left: then the time passes when somebody polls.
    pub(crate) fn new<W: Wake + Send + Sync + 'static>(delay: Duration, wake: &Arc<W>) -> Option<Self> {
        let clock = clock()?;
        let mut moments = clock.moments.lock();
        moments.count += 1;
        let key = (Instant::now() + delay, moments.count);
        moments.wakers.insert(key, Waker::from(Arc::clone(wake)));
        let first = moments.wakers.first_key_value().is_some_and(|(first, _)| *first == key);
        drop(moments);
        if first {
            clock.earlier.notify_one();
        }
        Some(Self(key))
    }

    pub(crate) fn at(&self) -> Instant {
        self.0 .0
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        if let Some(clock) = clock() {
            let waker = clock.moments.lock().wakers.remove(&self.0);
            drop(waker); // not under the lock: it may be the last reference to what it wakes
        }
    }
}

fn clock() -> Option<&'static Clock> {
    static CLOCK: OnceLock<Option<&'static Clock>> = OnceLock::new();
    *CLOCK.get_or_init(|| {
        let clock: &'static Clock = Box::leak(Box::default());
        std::thread::Builder::new()
            .name("blazen-time".to_owned())
            .spawn(move || tell(clock))
            .inspect_err(|error| log::error!(target: "blazen", "there is no thread that tells the time: {error}"))
            .ok()
            .map(|_| clock)
    })
}

fn tell(clock: &Clock) {
    let mut moments = clock.moments.lock();
    loop {
        let Some((&(at, _), _)) = moments.wakers.first_key_value() else {
            clock.earlier.wait(&mut moments);
            continue;
        };
        if Instant::now() < at {
            clock.earlier.wait_until(&mut moments, at);
            continue;
        }
        if let Some((_, waker)) = moments.wakers.pop_first() {
            parking_lot::MutexGuard::unlocked(&mut moments, || waker.wake());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    struct Tell(Mutex<mpsc::Sender<Instant>>);
    impl Wake for Tell {
        fn wake(self: Arc<Self>) {
            self.0.lock().send(Instant::now()).expect("the test listens");
        }
    }

    #[test]
    fn wakes_in_order_and_never_early() {
        let ((late_to, late), (soon_to, soon)) = (mpsc::channel(), mpsc::channel());
        let begin = Instant::now();
        let _late = Moment::new(Duration::from_millis(40), &Arc::new(Tell(Mutex::new(late_to)))).unwrap();
        let _soon = Moment::new(Duration::from_millis(5), &Arc::new(Tell(Mutex::new(soon_to)))).unwrap();
        let (soon, late) = (soon.recv().unwrap(), late.recv().unwrap());
        assert!(soon >= begin + Duration::from_millis(5));
        assert!(late >= begin + Duration::from_millis(40));
        assert!(soon < late);
    }

    #[test]
    fn a_moment_that_is_dropped_wakes_nobody() {
        let (sender, receiver) = mpsc::channel();
        drop(Moment::new(Duration::from_millis(5), &Arc::new(Tell(Mutex::new(sender)))));
        assert_eq!(receiver.recv_timeout(Duration::from_millis(50)), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
