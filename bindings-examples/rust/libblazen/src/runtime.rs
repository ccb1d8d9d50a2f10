//! Where runs live. Each run has a runtime of its own, unless it is given a [`Runtime`] that several share.

use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::sync::{Arc, Weak};

use libblazen_sys as sys;
use parking_lot::Mutex;

use crate::drive::Inbox;
use crate::error::{Status, WorkflowError};
use crate::ffi::{self, sized, text, RuntimeRef};
use crate::guard;
use crate::wakes::WakeSet;

/// A runtime that several runs share, for the sake of its pools: a step that
/// [uses a pool](crate::StepDef::uses_pool) runs with one of its permits.
///
/// It has no thread. Each run is polled by whoever awaits it, and steps of a run are never polled by another's.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

pub(crate) struct Inner {
    handle: RuntimeRef,
    hooks: Arc<Hooks>,
    pub(crate) shared: bool,
}

/// Runtimes that are kept for the next runs: making one costs more than a short run does.
const SPARE_MAX: usize = 16;

struct Spare {
    runtime: Runtime,
    /// One of a parent process is of no use after a fork.
    process: u32,
    log_level: sys::blazen_log_level,
}

fn spare() -> &'static Mutex<Vec<Spare>> {
    static SPARE: Mutex<Vec<Spare>> = Mutex::new(Vec::new());
    &SPARE
}

/// What the callbacks of a runtime use.
#[derive(Default)]
struct Hooks {
    drivers: Mutex<Drivers>,
}

#[derive(Default)]
struct Drivers {
    wakes: Vec<Weak<WakeSet>>,
    inboxes: HashMap<usize, Weak<Inbox>>,
}

impl Runtime {
    /// Makes a runtime.
    pub fn new() -> Result<Self, WorkflowError> {
        Self::make(true)
    }

    pub(crate) fn private() -> Result<Self, WorkflowError> {
        Self::make(false)
    }

    fn make(shared: bool) -> Result<Self, WorkflowError> {
        check_abi()?;
        let hooks = Arc::new(Hooks::default());
        let mut options = sized!(sys::blazen_runtime_options);
        options.mode = sys::BLAZEN_MODE_PUMP;
        options.wake = Some(wake);
        options.drop = Some(drop_hooks);
        options.log_level = log_level();
        options.log = (options.log_level != sys::BLAZEN_LOG_NONE).then_some(log_message as _);
        options.user_data = Arc::into_raw(Arc::clone(&hooks)).cast_mut().cast();
        let made = ffi::make(|runtime, error| {
            // SAFETY: user_data is an Arc<Hooks>, as the callbacks expect; drop_hooks takes it back, also when this fails.
            unsafe { sys::blazen_runtime_create(&options, runtime, error) }
        })?;
        // SAFETY: made above, and ours.
        let handle = unsafe { RuntimeRef::own(made) }
            .ok_or_else(|| WorkflowError::new(Status::Internal, "the library made no runtime"))?;
        Ok(Self(Arc::new(Inner { handle, hooks, shared })))
    }

    /// One of its own for a run, made before or now.
    pub(crate) fn lend() -> Result<Self, WorkflowError> {
        let mut spare = spare().lock();
        while let Some(kept) = spare.pop() {
            if kept.process == std::process::id() && kept.log_level == log_level() {
                return Ok(kept.runtime);
            }
        }
        drop(spare);
        Self::private()
    }

    /// Takes back what `lend` gave, when its run has ended.
    pub(crate) fn give_back(self) {
        self.0.hooks.drivers.lock().wakes.clear();
        let kept = Spare { runtime: self, process: std::process::id(), log_level: log_level() };
        let mut spare = spare().lock();
        if spare.len() < SPARE_MAX {
            spare.push(kept);
        }
    }

    /// Sets how many bodies run at once of all the steps, in all runs of this runtime, that use the pool of this name.
    pub fn set_pool(&self, name: &str, permits: u32) -> Result<(), WorkflowError> {
        ffi::call(|error| {
            // SAFETY: the runtime lives; the name lives during the call.
            unsafe { sys::blazen_runtime_set_pool(self.raw(), text(name), name.len(), permits, error) }
        })
    }

    pub(crate) fn raw(&self) -> *mut sys::blazen_runtime {
        self.0.handle.raw()
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.0.shared
    }

    /// From now on, this driver is woken when there is work.
    pub(crate) fn join(&self, run: usize, wakes: &Arc<WakeSet>, inbox: &Arc<Inbox>) {
        let mut drivers = self.0.hooks.drivers.lock();
        drivers.wakes.retain(|known| known.strong_count() > 0);
        drivers.wakes.push(Arc::downgrade(wakes));
        if self.0.shared {
            drivers.inboxes.retain(|_, known| known.strong_count() > 0);
            drivers.inboxes.insert(run, Arc::downgrade(inbox));
        }
    }

    pub(crate) fn notify_all(&self) {
        let drivers: Vec<_> = self.0.hooks.drivers.lock().wakes.iter().filter_map(Weak::upgrade).collect();
        drivers.iter().for_each(|driver| driver.notify());
    }

    pub(crate) fn inbox(&self, run: usize) -> Option<Arc<Inbox>> {
        self.0.hooks.drivers.lock().inboxes.get(&run)?.upgrade()
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("shared", &self.0.shared).finish_non_exhaustive()
    }
}

fn check_abi() -> Result<(), WorkflowError> {
    // SAFETY: no arguments, no state.
    let abi = unsafe { sys::blazen_abi() };
    let wanted = sys::BLAZEN_ABI.unsigned_abs();
    if abi == wanted {
        return Ok(());
    }
    Err(WorkflowError::new(
        Status::Internal,
        format!("libblazen has the ABI {abi}, and this crate is made for {wanted}: install the library of this crate's version"),
    ))
}

unsafe extern "C" fn wake(hooks: *mut c_void) {
    guard::quietly(|| {
        // SAFETY: given as Arc<Hooks>, which lives until drop_hooks.
        let hooks = unsafe { &*hooks.cast::<Hooks>() };
        let drivers: Vec<_> = {
            let drivers = hooks.drivers.lock();
            if let [only] = &drivers.wakes[..] {
                let only = only.upgrade();
                drop(drivers);
                if let Some(only) = only {
                    only.notify();
                }
                return;
            }
            drivers.wakes.iter().filter_map(Weak::upgrade).collect()
        };
        drivers.iter().for_each(|driver| driver.notify());
    });
}

unsafe extern "C" fn drop_hooks(hooks: *mut c_void) {
    // SAFETY: given by Arc::into_raw; the library calls this once.
    drop(unsafe { Arc::from_raw(hooks.cast::<Hooks>()) });
}

fn log_level() -> sys::blazen_log_level {
    match log::max_level() {
        log::LevelFilter::Off => sys::BLAZEN_LOG_NONE,
        log::LevelFilter::Error => sys::BLAZEN_LOG_ERROR,
        log::LevelFilter::Warn => sys::BLAZEN_LOG_WARNING,
        log::LevelFilter::Info => sys::BLAZEN_LOG_INFO,
        log::LevelFilter::Debug | log::LevelFilter::Trace => sys::BLAZEN_LOG_DEBUG,
    }
}

unsafe extern "C" fn log_message(
    _hooks: *mut c_void,
    level: sys::blazen_log_level,
    message: *const c_char,
    length: usize,
) {
    // SAFETY: the text lives during the call.
    let message = unsafe { ffi::text_of(message, length) };
    let level = match level {
        sys::BLAZEN_LOG_ERROR => log::Level::Error,
        sys::BLAZEN_LOG_WARNING => log::Level::Warn,
        sys::BLAZEN_LOG_INFO => log::Level::Info,
        _ => log::Level::Debug,
    };
    guard::quietly(|| log::log!(target: "blazen", level, "{message}"));
}
