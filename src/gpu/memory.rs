//! Device memory: a bounded pool of buffers, and the storage that tensors share.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use crate::error::{Error, Result};
use crate::gpu::bind::{BindCache, Piece};
use crate::gpu::scope::Health;
use crate::plan::{TEXEL, TEXEL_ROW};

/// Numbers about the memory of a [`Gpu`](crate::Gpu).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Bytes of the buffers and textures that live tensors, recorded work and programs hold.
    pub live_bytes: u64,
    /// Number of those.
    pub live_buffers: u64,
    /// Bytes of the buffers and textures that wait in the pool for reuse.
    pub pooled_bytes: u64,
    /// Number of those.
    pub pooled_buffers: u64,
    /// The most bytes, live and pooled together, that there have been.
    pub peak_bytes: u64,
    /// Buffers and textures that were created.
    pub created: u64,
    /// Those that were taken from the pool instead.
    pub reused: u64,
}

#[derive(Default)]
struct Pool {
    buffers: BTreeMap<u64, Vec<wgpu::Buffer>>,
    textures: BTreeMap<u64, Vec<wgpu::TextureView>>,
    stats: MemoryStats,
}

/// The buffers of one device. Shared by everything that holds or hands out memory.
pub(crate) struct Memory {
    /// Tells devices apart.
    pub id: u64,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub health: Health,
    pub binds: BindCache,
    pool: Mutex<Pool>,
    /// Live and pooled bytes may not exceed this.
    cap: Option<u64>,
    /// Whether reused buffers are filled with NaN, so that a kernel that leaves a hole in its output is seen.
    poison: bool,
    poison_source: OnceLock<wgpu::Buffer>,
    spare: OnceLock<wgpu::Buffer>,
}

/// Four f32 a texel.
pub(crate) const TEXEL_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Float;

/// Bytes of the buffer that poison is copied from.
pub(crate) const POISON_BYTES: u64 = 1 << 20;
/// What poison looks like: a quiet NaN as f32, a NaN as f16 twice, large as an integer.
pub(crate) const POISON_WORD: u32 = 0x7FC0_7E5A;
/// The pool keeps at most this many bytes, or as much as is live if that is more: a steady loop never allocates, a burst is
/// given back.
const POOL_FLOOR: u64 = 64 << 20;

pub(crate) const TENSOR_USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// What the pool keeps and hands out: buffers, and textures, whole, that operands are read through.
trait Pooled: Clone + Into<Piece> {
    /// The free ones, by their bytes.
    fn free(pool: &mut Pool) -> &mut BTreeMap<u64, Vec<Self>>;
}

impl Pooled for wgpu::Buffer {
    fn free(pool: &mut Pool) -> &mut BTreeMap<u64, Vec<Self>> {
        &mut pool.buffers
    }
}

impl Pooled for wgpu::TextureView {
    fn free(pool: &mut Pool) -> &mut BTreeMap<u64, Vec<Self>> {
        &mut pool.textures
    }
}

/// The size of buffer that serves a request: four classes an octave, so at most a quarter is lost.
fn size_class(bytes: u64) -> u64 {
    let bytes = bytes.max(256);
    let octave = 1u64 << (63 - bytes.leading_zeros());
    bytes.next_multiple_of(octave / 4)
}

/// The error of a tensor that no buffer of the device holds.
pub(crate) fn too_large(needed: u64, available: u64) -> Error {
    Error::Limit { op: "tensor".into(), limit: "max_buffer_size", needed, available, hint: "split the tensor" }
}

impl Memory {
    pub fn new(device: wgpu::Device, queue: wgpu::Queue, cap: Option<u64>, poison: bool) -> Arc<Self> {
        Arc::new(Memory {
            id: crate::gpu::next_device(),
            device,
            queue,
            health: Health::default(),
            binds: BindCache::default(),
            pool: Mutex::default(),
            cap,
            poison,
            poison_source: OnceLock::new(),
            spare: OnceLock::new(),
        })
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Storage of at least so many bytes. With `Some`, the buffer is a used one that asks to be poisoned by a recorded
    /// copy from the buffer returned.
    pub fn acquire(self: &Arc<Self>, bytes: u64) -> Result<(Arc<Storage>, Option<wgpu::Buffer>)> {
        self.health.check()?;
        let max = self.device.limits().max_buffer_size;
        if bytes > max {
            return Err(too_large(bytes, max));
        }
        let size = size_class(bytes).min(max);
        let make = || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("tilewise"),
                size,
                usage: TENSOR_USAGE,
                mapped_at_creation: false,
            })
        };
        let (buffer, fresh) = self.take(size, make)?;
        let storage = self.storage(buffer, size, true);
        let poison = (!fresh && self.poison).then(|| self.poison_source()).transpose()?;
        Ok((storage, poison))
    }

    /// Whether there is a limit to the bytes that it may take.
    pub fn is_capped(&self) -> bool {
        self.cap.is_some()
    }

    /// A texture of at least so many bytes, in rows of [`TEXEL_ROW`] texels, or in one shorter row.
    pub fn acquire_texels(self: &Arc<Self>, bytes: u64) -> Result<Texels> {
        self.health.check()?;
        let row = TEXEL * u64::from(TEXEL_ROW);
        let size = if bytes < row { size_class(bytes) } else { size_class(bytes).next_multiple_of(row) };
        let make = || {
            let width = (size.min(row) / TEXEL) as u32;
            let texture = self.device.create_texture(&wgpu::TextureDescriptor {
                label: Some("tilewise"),
                size: wgpu::Extent3d { width, height: size.div_ceil(row) as u32, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: TEXEL_FORMAT,
                usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
                view_formats: &[],
            });
            texture.create_view(&wgpu::TextureViewDescriptor::default())
        };
        let (view, _) = self.take(size, make)?;
        Ok(Texels { view, bytes: size, memory: self.clone() })
    }

    /// A free piece of the pool, or a new one, and whether it is new.
    fn take<T: Pooled>(&self, size: u64, make: impl Fn() -> T) -> Result<(T, bool)> {
        let reused = {
            let mut pool = self.pool();
            let reused = T::free(&mut pool).get_mut(&size).and_then(Vec::pop);
            if reused.is_some() {
                pool.stats.pooled_bytes -= size;
                pool.stats.pooled_buffers -= 1;
                pool.stats.reused += 1;
                pool.stats.live_bytes += size;
                pool.stats.live_buffers += 1;
            }
            reused
        };
        match reused {
            Some(piece) => Ok((piece, false)),
            None => Ok((self.create(size, make)?, true)),
        }
    }

    fn create<T>(&self, size: u64, make: impl Fn() -> T) -> Result<T> {
        let room =
            |pool: &Pool| self.cap.is_none_or(|cap| pool.stats.live_bytes + pool.stats.pooled_bytes + size <= cap);
        if !room(&self.pool()) {
            self.trim();
        }
        let in_use = {
            let mut pool = self.pool();
            if !room(&pool) {
                return Err(Error::OutOfMemory { requested: size, in_use: pool.stats.live_bytes, cap: self.cap });
            }
            // Counted before it is there, so that threads cannot pass the cap together.
            pool.stats.live_bytes += size;
            pool.stats.live_buffers += 1;
            pool.stats.live_bytes - size
        };
        let mut created = self.health.guard(&self.device, "create a buffer", &make);
        if matches!(created, Err(Error::OutOfMemory { .. })) && self.trim() > 0 {
            created = self.health.guard(&self.device, "create a buffer", &make);
        }
        let mut pool = self.pool();
        match created {
            Ok(piece) => {
                pool.stats.created += 1;
                pool.stats.peak_bytes = pool.stats.peak_bytes.max(pool.stats.live_bytes + pool.stats.pooled_bytes);
                Ok(piece)
            }
            Err(error) => {
                pool.stats.live_bytes -= size;
                pool.stats.live_buffers -= 1;
                Err(match error {
                    Error::OutOfMemory { .. } => Error::OutOfMemory { requested: size, in_use, cap: self.cap },
                    other => other,
                })
            }
        }
    }

    /// A view onto a buffer that the host owns.
    pub fn adopt(self: &Arc<Self>, buffer: &wgpu::Buffer) -> Arc<Storage> {
        self.storage(buffer.clone(), buffer.size(), false)
    }

    fn storage(self: &Arc<Self>, buffer: wgpu::Buffer, bytes: u64, owned: bool) -> Arc<Storage> {
        let block = Block::Wgpu(BufferBlock { buffer, bytes, memory: self.clone(), owned });
        Arc::new(Storage { bytes, device: self.id, block })
    }

    /// A buffer that holds these bytes from its creation on: no queue, no order to mind.
    pub fn create_filled(&self, usage: wgpu::BufferUsages, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let size = (bytes.len() as u64).next_multiple_of(4).max(4);
        let label = Some("tilewise");
        let buffer = self.health.guard(&self.device, "create a buffer", || {
            self.device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: true })
        })?;
        let mut view = buffer
            .slice(..)
            .get_mapped_range_mut()
            .map_err(|error| self.health.diagnose("map a new buffer", &error))?;
        view.slice(..bytes.len()).copy_from_slice(bytes);
        drop(view);
        buffer.unmap();
        Ok(buffer)
    }

    fn poison_source(&self) -> Result<wgpu::Buffer> {
        if let Some(buffer) = self.poison_source.get() {
            return Ok(buffer.clone());
        }
        let words = vec![POISON_WORD; (POISON_BYTES / 4) as usize];
        let buffer = self.create_filled(wgpu::BufferUsages::COPY_SRC, bytemuck::cast_slice(&words))?;
        Ok(self.poison_source.get_or_init(|| buffer).clone())
    }

    /// A buffer of one texel, for [`fill_texels`]; what is in it lasts from one copy to the next.
    pub fn spare_texel(&self) -> Result<wgpu::Buffer> {
        if let Some(buffer) = self.spare.get() {
            return Ok(buffer.clone());
        }
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let buffer = self.create_filled(usage, &[0; TEXEL as usize])?;
        Ok(self.spare.get_or_init(|| buffer).clone())
    }

    /// Destroys what is pooled and returns the bytes given back.
    pub fn trim(&self) -> u64 {
        let (pieces, bytes) = {
            let mut pool = self.pool();
            let buffers = std::mem::take(&mut pool.buffers).into_values().flatten().map(Piece::from);
            let textures = std::mem::take(&mut pool.textures).into_values().flatten().map(Piece::from);
            let pieces: Vec<_> = buffers.chain(textures).collect();
            let bytes = std::mem::take(&mut pool.stats.pooled_bytes);
            pool.stats.pooled_buffers = 0;
            (pieces, bytes)
        };
        self.binds.forget(&pieces);
        bytes
    }

    pub fn stats(&self) -> MemoryStats {
        self.pool().stats
    }

    fn release<T: Pooled>(&self, piece: &T, size: u64) {
        let keep = {
            let mut pool = self.pool();
            pool.stats.live_bytes -= size;
            pool.stats.live_buffers -= 1;
            let keep =
                pool.stats.pooled_bytes + size <= POOL_FLOOR.max(pool.stats.live_bytes) && !self.health.is_lost();
            if keep {
                pool.stats.pooled_bytes += size;
                pool.stats.pooled_buffers += 1;
                T::free(&mut pool).entry(size).or_default().push(piece.clone());
            }
            keep
        };
        if !keep {
            self.binds.forget(&[piece.clone().into()]);
        }
    }
}

/// Memory that tensors share. Recorded work holds it too, so it cannot be reused before that work was submitted.
pub(crate) struct Storage {
    pub bytes: u64,
    /// Tells devices apart.
    pub device: u64,
    pub block: Block,
}

/// What the memory is.
pub(crate) enum Block {
    Wgpu(BufferBlock),
    #[cfg(feature = "emulator")]
    Emulated(crate::gpu::emulated::Words),
}

impl Storage {
    /// The buffer, where there is a wgpu device underneath.
    pub fn buffer(&self) -> Result<&wgpu::Buffer> {
        match &self.block {
            Block::Wgpu(block) => Ok(&block.buffer),
            #[cfg(feature = "emulator")]
            Block::Emulated(_) => Err(crate::gpu::emulated::no_wgpu("the buffer of a tensor")),
        }
    }

    /// Whether the two are the same memory. Two views of one buffer of a host have a storage each.
    pub fn is(&self, other: &Storage) -> bool {
        match (&self.block, &other.block) {
            (Block::Wgpu(a), Block::Wgpu(b)) => a.buffer == b.buffer,
            #[cfg(feature = "emulator")]
            _ => std::ptr::eq(self, other),
        }
    }
}

/// A pooled buffer, which goes back to the pool with its last holder, or a buffer of the host.
pub(crate) struct BufferBlock {
    buffer: wgpu::Buffer,
    bytes: u64,
    memory: Arc<Memory>,
    owned: bool,
}

impl Drop for BufferBlock {
    fn drop(&mut self) {
        if self.owned {
            self.memory.release(&self.buffer, self.bytes);
        } else {
            self.memory.binds.forget(&[self.buffer.clone().into()]);
        }
    }
}

/// A pooled texture that operands are read through.
pub(crate) struct Texels {
    pub view: wgpu::TextureView,
    pub bytes: u64,
    memory: Arc<Memory>,
}

impl Drop for Texels {
    fn drop(&mut self) {
        self.memory.release(&self.view, self.bytes);
    }
}

/// Copies bytes of a buffer, from a multiple of 16 on, into a texture, from its beginning on. What is left of a last texel comes through
/// `spare`, which has room for one, if the buffer ends there.
pub(crate) fn fill_texels(
    encoder: &mut wgpu::CommandEncoder,
    to: &wgpu::TextureView,
    from: &wgpu::Buffer,
    window: Range<u64>,
    spare: &wgpu::Buffer,
) {
    let row = u64::from(TEXEL_ROW);
    // Whole rows, or a part of one.
    let copy = |encoder: &mut wgpu::CommandEncoder, buffer: &wgpu::Buffer, offset: u64, first: u64, texels: u64| {
        let [x, y, width, height] = [first % row, first / row, texels.min(row), texels.div_ceil(row)].map(|n| n as u32);
        let bytes_per_row = (height > 1).then_some((row * TEXEL) as u32);
        let layout = wgpu::TexelCopyBufferLayout { offset, bytes_per_row, rows_per_image: None };
        encoder.copy_buffer_to_texture(
            wgpu::TexelCopyBufferInfo { buffer, layout },
            wgpu::TexelCopyTextureInfo { origin: wgpu::Origin3d { x, y, z: 0 }, ..to.texture().as_image_copy() },
            wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        );
    };
    // Where the buffer goes on, the last texel may.
    let end = window.end.next_multiple_of(TEXEL).min(from.size());
    let texels = (end - window.start) / TEXEL;
    let whole = texels / row * row;
    for (first, count) in [(0, whole), (whole, texels - whole)] {
        if count > 0 {
            copy(encoder, from, window.start + first * TEXEL, first, count);
        }
    }
    let last = window.start + texels * TEXEL;
    if last < end {
        encoder.copy_buffer_to_buffer(from, last, spare, 0, end - last);
        copy(encoder, spare, 0, texels, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn size_classes_lose_at_most_a_quarter() {
        for bytes in (1..5000).chain([1 << 20, (1 << 20) + 1, 160 << 20]) {
            let class = size_class(bytes);
            assert!(class >= bytes && class.is_multiple_of(64), "{bytes} -> {class}");
            assert!(bytes < 256 || class as f64 <= bytes as f64 * 1.25, "{bytes} -> {class}");
        }
    }
}
