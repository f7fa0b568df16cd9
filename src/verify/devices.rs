//! The devices that tests run on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Once, OnceLock};

use crate::gpu::Gpu;

/// A device on every adapter of the machine, with poisoned pools: what tests run on.
///
/// They are opened once, for up to four threads at a time: drivers on the CPU compile the kernels of a device one after the other, and most
/// of a test's time goes there.
///
/// With no adapter there is the emulator alone, and a line on standard error says so; with `TILEWISE_REQUIRE_GPU=1` in the
/// environment that is a failure instead. With `TILEWISE_EMULATOR=1` the emulator comes last beside the adapters. Without
/// the crate's feature `emulator`, there is none, and the list may be empty.
///
/// # Panics
/// If a device is required and there is none, or an adapter cannot be opened.
pub fn devices() -> &'static [Gpu] {
    thread_local! {
        static SEAT: Seat = Seat::least_taken();
    }
    SEAT.with(|seat| SETS[seat.0].devices.get_or_init(open))
}

/// The devices that some threads have in common.
struct Set {
    devices: OnceLock<Vec<Gpu>>,
    threads: AtomicUsize,
}

static SETS: [Set; 4] = [const { Set { devices: OnceLock::new(), threads: AtomicUsize::new(0) } }; 4];

/// A thread's place at a set of devices, as long as it runs.
struct Seat(usize);

impl Seat {
    fn least_taken() -> Self {
        let taken = |&number: &usize| SETS[number].threads.load(Ordering::Relaxed);
        let number = (0..SETS.len()).min_by_key(taken).unwrap_or(0);
        SETS[number].threads.fetch_add(1, Ordering::Relaxed);
        Seat(number)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        SETS[self.0].threads.fetch_sub(1, Ordering::Relaxed);
    }
}

fn open() -> Vec<Gpu> {
    let set = |variable| std::env::var(variable).as_deref() == Ok("1");
    let count = Gpu::adapters().len();
    // What earlier runs learnt is found out anew.
    let open = |index| Gpu::builder().adapter_index(index).poison(true).cache_folder(None).build();
    if count == 0 {
        assert!(!set("TILEWISE_REQUIRE_GPU"), "TILEWISE_REQUIRE_GPU is set, and there is no adapter");
        static TOLD: Once = Once::new();
        let instead = if cfg!(feature = "emulator") { "the emulator runs everything" } else { "nothing is checked" };
        TOLD.call_once(|| eprintln!("no adapter found: {instead}"));
    }
    let adapters = (0..count).map(|index| open(index).unwrap_or_else(|error| panic!("adapter {index}: {error}")));
    let emulator = (count == 0 || set("TILEWISE_EMULATOR")).then(emulated).flatten();
    adapters.chain(emulator).collect()
}

/// The emulator, where the crate has it.
fn emulated() -> Option<Gpu> {
    #[cfg(feature = "emulator")]
    return Some(Gpu::emulated(Default::default()).unwrap_or_else(|error| panic!("the emulator: {error}")));
    #[cfg(not(feature = "emulator"))]
    None
}
