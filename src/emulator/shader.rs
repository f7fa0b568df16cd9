//! Anyone's shader on the machine: text in, findings out.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::atomic::{AtomicU32, Ordering};

use naga::back::pipeline_constants::process_overrides;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Module, ShaderStage, Span};

use super::code::BufferBinding;
use super::machine::{self, Initialised, Launch, Outcome, Raised};
use super::{EmulatorOptions, Finding, lower};
use crate::compose::position;
use crate::error::{Error, Result};
use crate::gpu::pipelines::within_limits;

/// A WGSL shader of the caller's, parsed and validated by naga, ready to run on the emulator.
///
/// ```
/// use tilewise::emulator::{BindingData, EmulatorOptions, FindingKind, Run, Shader};
/// let shader = Shader::new(
///     "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
///      @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
///          x[i] = x[(i + 1u) % 64u];
///      }",
/// )?;
/// let ran = shader.run(&Run {
///     bindings: vec![BindingData { group: 0, binding: 0, bytes: vec![0; 256], initialised: true }],
///     ..Run::new("main", [1, 1, 1])
/// })?;
/// assert_eq!((ran.findings[0].kind, ran.findings[0].at.line), (FindingKind::Race, 3));
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Debug)]
pub struct Shader {
    name: String,
    text: String,
    module: Module,
    info: ModuleInfo,
}

/// What is bound to a variable of a [`Shader`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingData {
    /// `@group`
    pub group: u32,
    /// `@binding`
    pub binding: u32,
    /// The contents before the run, whole words of 4 bytes. Bindings share no memory.
    pub bytes: Vec<u8>,
    /// Whether the contents count as written; if not, reading what the kernel did not write itself is a finding.
    pub initialised: bool,
}

/// A dispatch of a [`Shader`].
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The compute entry point.
    pub entry: String,
    /// Workgroups in each dimension; with a 0, nothing runs.
    pub grid: [u32; 3],
    /// Memory for every variable that the entry point uses.
    pub bindings: Vec<BindingData>,
    /// The bytes of `var<immediate>`.
    pub immediates: Vec<u8>,
    /// Values of overrides, by name, or by number where they have an `@id`.
    pub overrides: HashMap<String, f64>,
    /// How to run it, and with what limits. The memory limit and poison do not matter: memory is the caller's.
    pub options: EmulatorOptions,
}

impl Run {
    /// A dispatch with nothing bound, default options and no overrides.
    pub fn new(entry: impl Into<String>, grid: [u32; 3]) -> Self {
        Run {
            entry: entry.into(),
            grid,
            bindings: Vec::new(),
            immediates: Vec::new(),
            overrides: HashMap::new(),
            options: EmulatorOptions::default(),
        }
    }
}

/// What came of a [`Run`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// What the checks found, one for each kind and place.
    pub findings: Vec<Finding>,
    /// The contents of each of the run's bindings afterwards.
    pub bindings: Vec<Vec<u8>>,
    /// Whether every workgroup came to its end: not where the step budget was spent, nor where something is not supported.
    pub complete: bool,
}

/// The memory behind a binding.
struct Memory {
    words: Vec<AtomicU32>,
    identity: usize,
    initialised: Option<Initialised>,
}

impl Memory {
    fn new(bytes: &[u8], written: bool) -> Self {
        let word = |bytes: &[u8]| {
            let mut whole = [0; 4];
            whole[..bytes.len()].copy_from_slice(bytes);
            AtomicU32::new(u32::from_le_bytes(whole))
        };
        let words: Vec<AtomicU32> = bytes.chunks(4).map(word).collect();
        let initialised = (!written).then(|| Initialised::new(words.len()));
        Memory { words, identity: machine::next_identity(), initialised }
    }

    fn window(&self) -> machine::Window<'_> {
        machine::Window {
            words: &self.words,
            identity: self.identity,
            offset: 0,
            bytes: self.words.len() as u64 * 4,
            initialised: self.initialised.as_ref(),
        }
    }
}

impl Shader {
    /// Parses and validates a shader, which findings and errors call `shader`.
    ///
    /// Barriers in control flow that may diverge pass: whether it does diverge is seen when it runs. The line `enable subgroups;`,
    /// which browsers ask for and naga does not know, is passed over.
    ///
    /// # Errors
    ///
    /// [`Error::Wgsl`] where naga refuses the text.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        Shader::named("shader", text)
    }

    /// The same with a name for findings and errors, as that of its file.
    pub fn named(name: impl Into<String>, text: impl Into<String>) -> Result<Self> {
        let (name, text) = (name.into(), without_subgroups_directive(text.into()));
        let refuse = |span: Option<Span>, message: String, report: String| {
            let (line, column) = span.and_then(|span| span.to_range()).map_or((0, 0), |at| position(&text, at.start));
            Error::Wgsl { name: name.clone(), line, column, message, report }
        };
        let module = naga::front::wgsl::parse_str(&text).map_err(|error| {
            let span = error.labels().next().map(|(span, _)| span);
            refuse(span, error.message().into(), error.emit_to_string_with_path(&text, &name))
        })?;
        // What the emulator lacks, the lowering refuses.
        let flags = ValidationFlags::all() - ValidationFlags::CONTROL_FLOW_UNIFORMITY;
        let info = Validator::new(flags, Capabilities::all()).validate(&module).map_err(|error| {
            let causes = std::iter::successors(error.as_inner().source(), |&cause| cause.source());
            let message = causes.fold(error.as_inner().to_string(), |message, cause| format!("{message}: {cause}"));
            // The whole function comes first, then what is wrong in it.
            let length = |span: &Span| span.to_range().map_or(usize::MAX, |range| range.len());
            let span = error.spans().map(|(span, _)| *span).min_by_key(length);
            refuse(span, message, error.emit_to_string_with_path(&text, &name))
        })?;
        Ok(Shader { name, text, module, info })
    }

    /// The names of the compute entry points.
    pub fn entries(&self) -> Vec<&str> {
        let compute = self.module.entry_points.iter().filter(|point| point.stage == ShaderStage::Compute);
        compute.map(|point| point.name.as_str()).collect()
    }

    /// Runs a dispatch. What goes wrong in the kernel is a finding, also what the emulator does not support.
    ///
    /// # Errors
    ///
    /// [`Error::Launch`] where the entry point, a binding, the immediates or an override do not fit the shader;
    /// [`Error::Limit`] beyond the limits of the options; [`Error::Option`] for options that no machine has.
    pub fn run(&self, run: &Run) -> Result<Ran> {
        let options = &run.options;
        options.check()?;
        let entries = self.entries();
        if !entries.contains(&run.entry.as_str()) {
            return Err(launch(run, format!("no compute entry point has this name; there are {entries:?}")));
        }
        let values = run.overrides.iter().map(|(name, value)| (name.clone(), *value)).collect();
        let stage = Some((ShaderStage::Compute, run.entry.as_str()));
        let (module, info) = process_overrides(&self.module, &self.info, stage, &values)
            .map_err(|error| launch(run, format!("overrides: {error}")))?;
        self.check(run, &module)?;

        let unchanged = || run.bindings.iter().map(|data| data.bytes.clone()).collect();
        let code = match lower::lower(&module, &info, &run.entry, &HashMap::new()) {
            Ok(code) => code,
            Err(unsupported) => {
                let raised = Raised::unsupported(unsupported.what, unsupported.span);
                return Ok(Ran { findings: vec![self.finding(run, raised)], bindings: unchanged(), complete: false });
            }
        };
        let memories: Vec<Memory> =
            run.bindings.iter().map(|data| Memory::new(&data.bytes, data.initialised || !options.sanitizer)).collect();
        let immediates = Memory::new(&run.immediates, true);
        let mut windows = Vec::with_capacity(code.buffers.len());
        for buffer in &code.buffers {
            let (place, memory) = match buffer.binding {
                BufferBinding::Immediate => ("the immediates".into(), Some(&immediates)),
                BufferBinding::Storage { group, binding, .. } | BufferBinding::Uniform { group, binding } => {
                    let at = run.bindings.iter().position(|data| (data.group, data.binding) == (group, binding));
                    (format!("group {group}, binding {binding}"), at.map(|at| &memories[at]))
                }
            };
            let Some(memory) = memory else {
                return Err(launch(run, format!("`{}` at {place} has nothing bound", buffer.name)));
            };
            let bytes = memory.words.len() as u64 * 4;
            if bytes < u64::from(buffer.least) {
                let detail = format!("`{}` at {place} needs {} bytes, it has {bytes}", buffer.name, buffer.least);
                return Err(launch(run, detail));
            }
            windows.push(memory.window());
        }
        let Outcome { findings, complete, .. } =
            machine::run(&Launch { code: &code, grid: run.grid, windows: &windows, options });
        let bytes =
            |memory: &Memory| memory.words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        let findings = findings.into_iter().map(|raised| self.finding(run, raised)).collect();
        Ok(Ran { findings, bindings: memories.iter().map(bytes).collect(), complete })
    }

    fn finding(&self, run: &Run, raised: Raised) -> Finding {
        raised.located(&run.entry, |span| {
            let (line, column) = span.to_range().map_or((0, 0), |at| position(&self.text, at.start));
            (self.name.clone(), line, column)
        })
    }

    /// Holds a run against the shader's declarations and the limits.
    fn check(&self, run: &Run, module: &Module) -> Result<()> {
        let limits = run.options.limits();
        within_limits(&run.entry, module, &limits)?;
        let within = |limit, needed: u64, available: u64| {
            let hint = "raise the limit in the options";
            if needed <= available {
                return Ok(());
            }
            Err(Error::Limit { op: run.entry.clone(), limit, needed, available, hint })
        };
        let longest = run.grid.into_iter().max().unwrap_or(0).into();
        let most = limits.max_compute_workgroups_per_dimension.into();
        within("max_compute_workgroups_per_dimension", longest, most)?;
        within("max_immediate_size", run.immediates.len() as u64, limits.max_immediate_size.into())?;
        // Whatever the shader declares may be bound, whether the entry point uses it or not.
        let declared: Vec<(u32, u32)> = self
            .module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| variable.binding)
            .map(|binding| (binding.group, binding.binding))
            .collect();
        for (index, data) in run.bindings.iter().enumerate() {
            let BindingData { group, binding, ref bytes, .. } = *data;
            let place = format!("group {group}, binding {binding}");
            if !declared.contains(&(group, binding)) {
                let known: Vec<String> = declared.iter().map(|(group, binding)| format!("{group}.{binding}")).collect();
                let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                return Err(launch(run, format!("the shader declares nothing at {place}; it has {known}")));
            }
            if run.bindings[..index].iter().any(|other| (other.group, other.binding) == (group, binding)) {
                return Err(launch(run, format!("{place} is bound twice")));
            }
            if bytes.len() % 4 != 0 {
                return Err(launch(run, format!("{place} has {} bytes, which are no whole words", bytes.len())));
            }
            within("max_storage_buffer_binding_size", bytes.len() as u64, limits.max_storage_buffer_binding_size)?;
        }
        Ok(())
    }
}

/// The text with spaces for the directive, so that all else stays at its line and column.
fn without_subgroups_directive(text: String) -> String {
    const DIRECTIVE: &str = "enable subgroups;";
    // Directives come first.
    match text.find(DIRECTIVE) {
        Some(at) if text[..at].lines().all(|line| is_before_declarations(line.trim())) => {
            text.replacen(DIRECTIVE, &" ".repeat(DIRECTIVE.len()), 1)
        }
        _ => text,
    }
}

fn is_before_declarations(line: &str) -> bool {
    ["//", "enable ", "requires ", "diagnostic"].iter().any(|start| line.starts_with(start)) || line.is_empty()
}

fn launch(run: &Run, detail: String) -> Error {
    Error::Launch { entry: run.entry.clone(), detail }
}
