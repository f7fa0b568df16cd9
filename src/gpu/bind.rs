//! Bind groups, cached by what they bind.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

/// What a binding sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Window {
    /// A range of a buffer.
    Buffer { buffer: wgpu::Buffer, offset: u64, bytes: u64 },
    /// A whole texture.
    Texels(wgpu::TextureView),
}

impl Window {
    pub fn resource(&self) -> wgpu::BindingResource<'_> {
        match self {
            Window::Buffer { buffer, offset, bytes } => wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset: *offset,
                size: wgpu::BufferSize::new(*bytes),
            }),
            Window::Texels(view) => wgpu::BindingResource::TextureView(view),
        }
    }

    fn is_of(&self, piece: &Piece) -> bool {
        match (self, piece) {
            (Window::Buffer { buffer, .. }, Piece::Buffer(other)) => buffer == other,
            (Window::Texels(view), Piece::Texels(other)) => view == other,
            _ => false,
        }
    }
}

/// What windows are of.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Buffer(wgpu::Buffer),
    Texels(wgpu::TextureView),
}

impl From<wgpu::Buffer> for Piece {
    fn from(buffer: wgpu::Buffer) -> Self {
        Piece::Buffer(buffer)
    }
}

impl From<wgpu::TextureView> for Piece {
    fn from(view: wgpu::TextureView) -> Self {
        Piece::Texels(view)
    }
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
    pub fn forget(&self, pieces: &[Piece]) {
        if !pieces.is_empty() {
            let gone = |window: &Window| pieces.iter().any(|piece| window.is_of(piece));
            self.entries().groups.retain(|key, _| !key.windows.iter().any(gone));
        }
    }

    pub fn len(&self) -> usize {
        self.entries().groups.len()
    }
}
