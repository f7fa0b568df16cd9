//! Programs of chance, of one invocation, against the machine's GPU drivers: control flow, calls, pointers and variables as
//! entangled as they come.

use std::fmt::Write;

use super::{kernel, lowered, run_code};
use crate::wgpu;

/// Writes a program; a linear congruential generator decides.
struct Writer {
    state: u64,
    text: String,
    /// Levels of nesting.
    depth: usize,
    /// Loops that a `break` or `continue` may name, and whether a switch stands between.
    loops: usize,
    names: usize,
    /// Within a function that is called: no variables of the entry point.
    callee: bool,
}

impl Writer {
    fn next(&mut self, below: usize) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % below
    }

    fn pick(&mut self, of: &[&str]) -> String {
        of[self.next(of.len())].to_string()
    }

    /// A variable of type u32 that can be assigned to.
    fn target(&mut self) -> String {
        if self.callee {
            return self.pick(&["(*p)", "(*q)[x % 4u]", "(*q)[1]", "l", "g", "l", "w[x % 3u]", "w.y"]);
        }
        let index = if self.next(2) == 0 { self.next(4).to_string() } else { "(a % 4u)".into() };
        match self.next(8) {
            0 => "g".into(),
            1 => format!("arr[{index}]"),
            2 => format!("v[{index} % 3u]"),
            3 => "v.z".into(),
            4 => format!("s.inner[{index} % 2u][(b + 1u) % 4u]"),
            _ => self.pick(&["a", "b", "c"]),
        }
    }

    fn value(&mut self) -> String {
        match self.next(10) {
            // Not known before it runs: a zero to divide by would be refused.
            0 => format!("(seed + {}u)", self.next(7)),
            1 => "seed".into(),
            2 | 3 if self.depth < 6 => {
                self.depth += 1;
                let (left, right) = (self.value(), self.value());
                self.depth -= 1;
                let op = self.pick(&["+", "*", "-", "^", "/", "%", "&", "|"]);
                format!("({left} {op} {right})")
            }
            4 if self.depth < 6 => {
                self.depth += 1;
                let [a, b, c] = [(); 3].map(|()| self.value());
                self.depth -= 1;
                format!("select({a}, {b}, ({c} % 2u) == 1u)")
            }
            5 if self.callee => self.pick(&["x", "y"]),
            _ => self.target(),
        }
    }

    fn line(&mut self, line: std::fmt::Arguments) {
        self.text.write_fmt(line).unwrap();
        self.text.push('\n');
    }

    fn block(&mut self, statements: usize) {
        self.depth += 1;
        for _ in 0..1 + self.next(statements) {
            self.statement();
        }
        self.depth -= 1;
    }

    fn statement(&mut self) {
        let deep = self.depth > 2;
        match self.next(if deep { 7 } else { 13 }) {
            0..=2 => {
                let (to, value) = (self.target(), self.value());
                self.line(format_args!("{to} = {value};"));
            }
            3 => {
                let (to, value) = (self.target(), self.value());
                let op = self.pick(&["+", "^", "*"]);
                self.line(format_args!("{to} {op}= {value};"));
            }
            4 => {
                let line = if self.callee {
                    self.pick(&[
                        "w = w.zxy;",
                        "{ let t = w; w.x += 1u; w = t + w; }",
                        "*q = array(l, (*q)[0], (*q)[3], x);",
                    ])
                } else {
                    self.pick(&[
                        "v = v.yzx;",
                        "arr = array(arr[3], a, arr[0], arr[1]);",
                        "s.inner[a % 2u] = arr;",
                        "arr = s.inner[b % 2u];",
                        "other[b % 4u] += 1u; s.inner[1] = other;",
                        "{ let old = s; s.inner[0] = old.inner[1]; s.inner[1] = old.inner[0]; }",
                        "s = S(array(s.inner[1], arr), v);",
                    ])
                };
                self.line(format_args!("{line}"));
            }
            5 if !self.callee => {
                let (value, to) = (self.value(), self.target());
                let p = self.pick(&["a", "b", "c"]);
                let q = self.pick(&["arr", "other"]);
                let f = self.next(3);
                // A value loaded before the call is used after it.
                self.names += 1;
                let name = self.names;
                self.line(format_args!("let k{name} = {p}; let r{name} = f{f}({value}, {p}, &{p}, &{q});"));
                self.line(format_args!("{to} = r{name} + k{name};"));
            }
            5 | 6 if self.loops > 0 && self.next(2) == 0 => {
                let condition = self.value();
                let leave = self.pick(&["break;", "continue;"]);
                self.line(format_args!("if ({condition}) % 3u == 1u {{ {leave} }}"));
            }
            6 if self.callee => {
                let (condition, value) = (self.value(), self.value());
                self.line(format_args!("if ({condition}) % 4u == 1u {{ return {value}; }}"));
            }
            7 | 8 => {
                let condition = self.value();
                self.line(format_args!("if ({condition}) % 2u == 0u {{"));
                self.block(4);
                if self.next(2) == 0 {
                    self.line(format_args!("}} else {{"));
                    self.block(4);
                }
                self.line(format_args!("}}"));
            }
            9 | 10 => {
                self.names += 1;
                let (name, trips) = (self.names, 1 + self.next(4));
                let loops = std::mem::replace(&mut self.loops, 1);
                if self.next(2) == 0 {
                    self.line(format_args!("for (var i{name} = seed; i{name} < {trips}u; i{name}++) {{"));
                    self.line(format_args!("var t{name} = i{name}; t{name} += {trips}u;"));
                    self.block(5);
                    let to = self.target();
                    self.line(format_args!("{to} += t{name}; }}"));
                } else {
                    self.line(format_args!("{{ var i{name} = seed; loop {{"));
                    self.block(5);
                    let (to, value) = (self.target(), self.value());
                    self.line(format_args!(
                        "continuing {{ {to} = {value}; i{name} += 1u; break if i{name} >= {trips}u; }} }} }}"
                    ));
                }
                self.loops = loops;
            }
            11 => {
                let selector = self.value();
                self.line(format_args!("switch ({selector}) % 6u {{ case 1u, 4u: {{"));
                self.block(4);
                self.line(format_args!("}} default: {{"));
                self.block(4);
                self.line(format_args!("}} case 2u: {{"));
                self.block(4);
                let leave = if self.next(2) == 0 { "break;" } else { "" };
                self.line(format_args!("{leave} }} case 3u: {{ }} }}"));
            }
            _ => {
                self.line(format_args!("{{"));
                self.names += 1;
                let (name, value) = (self.names, self.value());
                self.line(format_args!("let k{name} = {value};"));
                self.block(4);
                let to = self.target();
                self.line(format_args!("{to} ^= k{name}; }}"));
            }
        }
    }

    fn program(state: u64) -> String {
        let mut writer = Writer { state, text: String::new(), depth: 0, loops: 0, names: 0, callee: true };
        writer.line(format_args!("var<private> g: u32 = 3u; struct S {{ inner: array<array<u32, 4>, 2>, v: vec3u }}"));
        for f in 0..3 {
            writer.line(format_args!(
                "fn f{f}(x: u32, y: u32, p: ptr<function, u32>, q: ptr<function, array<u32, 4>>) -> u32 {{
                let seed = x; var l = y; var w = vec3(x, 1u, 2u);"
            ));
            writer.block(3);
            let value = writer.value();
            writer.line(format_args!("return {value}; }}"));
        }
        let declarations = std::mem::take(&mut writer.text);
        writer.callee = false;
        writer.line(format_args!("var a = data[1]; var b = 2u; var c: u32; var v = vec3(a, b, 7u);"));
        writer.line(format_args!(
            "var arr = array(1u, 2u, 3u, 4u); var other: array<u32, 4>; var s = S(array(arr, arr), v);"
        ));
        for _ in 0..5 {
            writer.statement();
        }
        writer.line(format_args!(
            "out[0] = a; out[1] = b; out[2] = c; out[3] = g; out[4] = v.x; out[5] = v.y; out[6] = v.z;"
        ));
        writer
            .line(format_args!("for (var i = 0u; i < 4u; i++) {{ out[7u + i] = arr[i]; out[11u + i] = s.inner[0][i];"));
        writer.line(format_args!("out[15u + i] = s.inner[1][i]; }} out[19] = s.v.z;"));
        kernel(&declarations, &writer.text).replace("enable f16;", "")
    }
}

fn on_gpu(device: &wgpu::Device, queue: &wgpu::Queue, text: &str) -> Vec<u32> {
    let buffer = |words: Vec<u32>| {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let descriptor = wgpu::BufferDescriptor { label: None, size: 256, usage, mapped_at_creation: false };
        let buffer = device.create_buffer(&descriptor);
        queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&words));
        buffer
    };
    let (out, data) = (buffer(vec![0; 64]), buffer((0..64).collect()));
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let read =
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 256, usage, mapped_at_creation: false });
    let source = wgpu::ShaderSource::Wgsl(text.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: out.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: data.as_entire_binding() },
        ],
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }
    encoder.copy_buffer_to_buffer(&out, 0, &read, 0, 256);
    queue.submit([encoder.finish()]);
    read.map_async(wgpu::MapMode::Read, .., |_| {});
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let view = read.get_mapped_range(..).unwrap();
    bytemuck::cast_slice(&view).to_vec()
}

#[test]
fn programs_do_what_the_drivers_have_them_do() {
    // Drivers take seconds to compile long programs; a hundred longer ones agreed when this was written.
    let programs = (0..).map(Writer::program).filter(|text| text.len() < 5000).take(8);
    for (seed, text) in programs.enumerate() {
        let code = lowered(&text).unwrap_or_else(|error| panic!("{text}\n{error:?}"));
        let (out, _) = run_code(&code);
        for gpu in crate::verify::devices() {
            // The emulator among the devices has neither.
            let (Ok(device), Ok(queue)) = (gpu.device(), gpu.queue()) else { continue };
            assert_eq!(out, on_gpu(device, queue, &text), "program {seed}:\n{text}");
        }
    }
}
