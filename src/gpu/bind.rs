//! Bind groups, cached by what they bind.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

/// A window of a buffer, as a binding sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    pub buffer: wgpu::Buffer,
    pub offset: u64,
    pub bytes: u64,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    kernel: u64,
    windows: Vec<Window>,
}

#[derive(Default)]
struct Entries {
    groups: HashMap<Key, (wgpu::BindGroup, u64)>,
    clock: u64,
}

/// A bounded cache of bind groups. An entry keeps its buffers alive, so it is dropped with them.
#[derive(Default)]
pub(crate) struct BindCache {
    entries: Mutex<Entries>,
}

/// Enough for every layer of a large network, forward and backward; an entry is about 1 KiB.
const CAPACITY: usize = 4096;

impl BindCache {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The bind group of a kernel and its windows, made if need be.
    pub fn get<E>(
        &self,
        kernel: u64,
        windows: Vec<Window>,
        make: impl FnOnce(&[Window]) -> Result<wgpu::BindGroup, E>,
    ) -> Result<wgpu::BindGroup, E> {
        let key = Key { kernel, windows };
        {
            let mut entries = self.entries();
            entries.clock += 1;
            let now = entries.clock;
            if let Some((group, used)) = entries.groups.get_mut(&key) {
                *used = now;
                return Ok(group.clone());
            }
        }
        // Made without the lock: the error scopes around it may call back.
        let group = make(&key.windows)?;
        let mut entries = self.entries();
        if entries.groups.len() >= CAPACITY {
            // Drop the older half at once, so that eviction costs nothing on average.
            let mut ages: Vec<u64> = entries.groups.values().map(|(_, used)| *used).collect();
            let (_, median, _) = ages.select_nth_unstable(CAPACITY / 2);
            let median = *median;
            entries.groups.retain(|_, (_, used)| *used > median);
        }
        let now = entries.clock;
        entries.groups.insert(key, (group.clone(), now));
        Ok(group)
    }

    /// Drops the entries that hold any of these buffers.
    pub fn forget(&self, buffers: &[wgpu::Buffer]) {
        if !buffers.is_empty() {
            self.entries().groups.retain(|key, _| !key.windows.iter().any(|window| buffers.contains(&window.buffer)));
        }
    }

    pub fn len(&self) -> usize {
        self.entries().groups.len()
    }
}
