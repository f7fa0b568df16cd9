//! GPU time per kernel, by timestamp queries.

use std::fmt;
use std::io;

use crate::error::Result;
use crate::gpu::memory::Memory;

/// What a dispatch is called in tables.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Label {
    pub op: &'static str,
    pub variant: String,
}

/// One timed dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The op.
    pub op: &'static str,
    /// The variant that ran.
    pub variant: String,
    /// Start in ns, counted from the first start of the timing; `None` where the device has no timestamps.
    pub start_ns: Option<f64>,
    /// Duration in ns.
    pub duration_ns: Option<f64>,
}

/// A line of the table: all dispatches of one variant of one op.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// The op.
    pub op: &'static str,
    /// The variant.
    pub variant: String,
    /// How many dispatches.
    pub dispatches: usize,
    /// Their GPU time together, in ms; `None` where the device has no timestamps.
    pub ms: Option<f64>,
}

/// What [`Gpu::timed`](crate::Gpu::timed) measured. Prints as a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timings {
    /// Every dispatch, in order.
    pub spans: Vec<Span>,
    origin: Option<u64>,
}

impl Timings {
    pub(crate) fn extend(&mut self, labels: &[Label], ticks: Option<&[u8]>, period_ns: f64) {
        let ticks: Option<Vec<u64>> = ticks.map(bytemuck::pod_collect_to_vec);
        for (i, label) in labels.iter().enumerate() {
            let times = ticks.as_ref().map(|ticks| {
                let (start, end) = (ticks[2 * i], ticks[2 * i + 1]);
                let origin = *self.origin.get_or_insert(start);
                (start.saturating_sub(origin) as f64 * period_ns, end.saturating_sub(start) as f64 * period_ns)
            });
            self.spans.push(Span {
                op: label.op,
                variant: label.variant.clone(),
                start_ns: times.map(|(start, _)| start),
                duration_ns: times.map(|(_, duration)| duration),
            });
        }
    }

    /// The time of each kernel, the longest first.
    pub fn kernels(&self) -> Vec<KernelTime> {
        let mut rows: Vec<KernelTime> = Vec::new();
        for span in &self.spans {
            let ms = span.duration_ns.map(|ns| ns / 1e6);
            match rows.iter_mut().find(|row| row.op == span.op && row.variant == span.variant) {
                Some(row) => {
                    row.dispatches += 1;
                    row.ms = row.ms.zip(ms).map(|(sum, ms)| sum + ms);
                }
                None => rows.push(KernelTime { op: span.op, variant: span.variant.clone(), dispatches: 1, ms }),
            }
        }
        rows.sort_by(|x, y| y.ms.unwrap_or(0.0).total_cmp(&x.ms.unwrap_or(0.0)));
        rows
    }

    /// GPU time of all dispatches together in ms; `None` where the device has no timestamps or nothing ran.
    pub fn total_ms(&self) -> Option<f64> {
        self.spans
            .iter()
            .map(|span| span.duration_ns)
            .sum::<Option<f64>>()
            .filter(|_| !self.spans.is_empty())
            .map(|ns| ns / 1e6)
    }

    /// Writes the dispatches in Chrome's trace event format, for `chrome://tracing` or Perfetto. Where the device has no
    /// timestamps, the dispatches stand one after the other without duration.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_chrome_trace(&self, mut to: impl io::Write) -> io::Result<()> {
        writeln!(to, "{{\"displayTimeUnit\": \"ns\", \"traceEvents\": [")?;
        for (i, span) in self.spans.iter().enumerate() {
            let start = span.start_ns.unwrap_or(i as f64 * 1000.0) / 1000.0;
            let duration = span.duration_ns.unwrap_or(0.0) / 1000.0;
            let comma = if i + 1 < self.spans.len() { "," } else { "" };
            // Names are the crate's own words: nothing to escape.
            writeln!(
                to,
                "{{\"name\": \"{}\", \"cat\": \"{}\", \"ph\": \"X\", \"ts\": {start:.3}, \"dur\": {duration:.3}, \"pid\": 0, \"tid\": 0}}{comma}",
                span.op, span.variant
            )?;
        }
        writeln!(to, "]}}")
    }
}

impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<18} {:<32} {:>10} {:>12}", "op", "variant", "dispatches", "GPU ms")?;
        for row in self.kernels() {
            let ms = row.ms.map_or("untimed".into(), |ms| format!("{ms:.3}"));
            writeln!(f, "{:<18} {:<32} {:>10} {:>12}", row.op, row.variant, row.dispatches, ms)?;
        }
        Ok(())
    }
}

/// A query set of WebGPU holds 4,096 queries: two for each dispatch.
const DISPATCHES_OF_A_SET: usize = 2048;

/// The timestamps of one submission, two for each dispatch.
pub(crate) struct Queries {
    labels: Vec<Label>,
    /// None where the device has no timestamps.
    buffers: Option<Buffers>,
}

struct Buffers {
    sets: Vec<wgpu::QuerySet>,
    resolved: wgpu::Buffer,
    /// A copy for each timing that is under way: two cannot map the same buffer.
    copies: Vec<wgpu::Buffer>,
}

impl Queries {
    /// The queries of these dispatches, to be read by so many timings; none for no dispatch.
    pub fn new(memory: &Memory, labels: impl Iterator<Item = Label>, readers: usize) -> Result<Option<Self>> {
        let labels: Vec<Label> = labels.collect();
        if labels.is_empty() {
            return Ok(None);
        }
        let device = &memory.device;
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(Some(Queries { labels, buffers: None }));
        }
        let buffers = memory.health.guard(device, "time", || {
            let buffer = |usage| {
                device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("tilewise timestamps"),
                    size: labels.len() as u64 * 16,
                    usage,
                    mapped_at_creation: false,
                })
            };
            let set = |dispatches: &[Label]| {
                device.create_query_set(&wgpu::QuerySetDescriptor {
                    label: Some("tilewise"),
                    ty: wgpu::QueryType::Timestamp,
                    count: 2 * dispatches.len() as u32,
                })
            };
            Buffers {
                sets: labels.chunks(DISPATCHES_OF_A_SET).map(set).collect(),
                resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
                copies: (0..readers)
                    .map(|_| buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST))
                    .collect(),
            }
        })?;
        Ok(Some(Queries { labels, buffers: Some(buffers) }))
    }

    /// The timestamps of the n-th dispatch's pass.
    pub fn writes(&self, n: usize) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let at = 2 * (n % DISPATCHES_OF_A_SET) as u32;
        self.buffers.as_ref().map(|buffers| wgpu::ComputePassTimestampWrites {
            query_set: &buffers.sets[n / DISPATCHES_OF_A_SET],
            beginning_of_pass_write_index: Some(at),
            end_of_pass_write_index: Some(at + 1),
        })
    }

    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        if let Some(Buffers { sets, resolved, copies }) = &self.buffers {
            for (number, set) in sets.iter().enumerate() {
                let offset = (number * DISPATCHES_OF_A_SET) as u64 * 16;
                encoder.resolve_query_set(set, 0..set.count(), resolved, offset);
            }
            for copy in copies {
                encoder.copy_buffer_to_buffer(resolved, 0, copy, 0, resolved.size());
            }
        }
    }

    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The buffer that a reader maps.
    pub fn read_back(&self, reader: usize) -> Option<&wgpu::Buffer> {
        self.buffers.as_ref().map(|buffers| &buffers.copies[reader])
    }
}
