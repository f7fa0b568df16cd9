//! The picture as SVG.

use std::fmt::Write;

use tilewise::{Explanation, Mapping};

use crate::picture::{MOST_SUBGROUPS, Slot, owner, shares, subgroup_of, waves};

const WIDTH: usize = 1000;
/// Where the columns of the picture start: SMs, lanes, tile.
const SMS: usize = 20;
const LANES: usize = 370;
const TILE: usize = 720;
/// The side of the tile.
const SIDE: usize = 250;

/// The colours of subgroups, taken in turn.
const COLOURS: [&str; 8] = ["#4e79a7", "#f28e2b", "#59a14f", "#b07aa1", "#76b7b2", "#edc948", "#e15759", "#9c755f"];
const IDLE: &str = "#e4e4e4";

fn colour(subgroup: u32) -> &'static str {
    COLOURS[subgroup as usize % COLOURS.len()]
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A drawing that grows downwards.
#[derive(Default)]
struct Drawing {
    body: String,
    /// Where the next thing goes.
    y: usize,
}

impl Drawing {
    fn text(&mut self, (x, y): (usize, usize), class: &str, text: &str) {
        let _ = writeln!(self.body, "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{}</text>", escaped(text));
    }

    /// A rectangle: x, y, width, height.
    fn rect(&mut self, [x, y, width, height]: [f64; 4], fill: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{fill}\"/>"
        );
    }

    /// Which workgroup runs on which SM, wave by wave; returns where it ends.
    fn sms(&mut self, mapping: &Mapping) -> usize {
        let top = self.y;
        let Some(waves) = waves(mapping) else {
            self.text((SMS, top), "head", "SM count unknown");
            return top;
        };
        self.text(
            (SMS, top),
            "head",
            &format!("{} workgroups over {} SMs", mapping.workgroups(), mapping.sm_count.unwrap_or(0)),
        );
        let cell = (280 / waves.sms.len().max(1)).min(56);
        let left = SMS + 46;
        for (i, sm) in waves.sms.iter().enumerate() {
            let name = sm.map_or("..".into(), |sm| if cell > 30 { format!("SM {sm}") } else { sm.to_string() });
            self.text((left + i * cell + cell / 2, top + 20), "mid", &name);
        }
        let mut y = top + 28;
        for row in &waves.rows {
            let Some((wave, slots)) = row else {
                self.text((SMS, y + 12), "small", "..");
                y += 20;
                continue;
            };
            self.text((SMS, y + 15), "small", &format!("wave {wave}"));
            for (i, slot) in slots.iter().enumerate() {
                let x = left + i * cell;
                let (fill, name, class) = match slot {
                    Slot::Runs(0) => (colour(6), "0".into(), "in"),
                    Slot::Runs(group) => ("#4a5a6a", group.to_string(), "in"),
                    Slot::Surplus(_) => ("#b8c0c8", "-".into(), "mid"),
                    Slot::Idle => (IDLE, "idle".into(), "mid"),
                    Slot::Hidden => ("none", "..".into(), "mid"),
                };
                self.rect([x as f64 + 1.0, y as f64, cell as f64 - 2.0, 20.0], fill);
                if cell > 30 || *slot != Slot::Idle {
                    self.text((x + cell / 2, y + 14), class, &name);
                }
            }
            y += 22;
        }
        self.text((SMS, y + 14), "small", "handed out in order, one to an SM at a time");
        y + 14
    }

    /// Workgroup 0: its subgroups and their lanes.
    fn lanes(&mut self, mapping: &Mapping) -> usize {
        let top = self.y;
        let (subgroups, size, invocations) = (mapping.subgroups(), mapping.subgroup_size.1, mapping.invocations());
        self.text((LANES, top), "head", &format!("workgroup 0: {subgroups} subgroups of {size} lanes"));
        let mut y = top + 12;
        for subgroup in 0..subgroups.min(MOST_SUBGROUPS) {
            self.text((LANES, y + 10), "small", &subgroup.to_string());
            for lane in 0..size.min(128) {
                let (x, y) = (LANES + 20 + (lane % 32) as usize * 9, y + (lane / 32) as usize * 10);
                let own = subgroup * size + lane < invocations;
                self.rect([x as f64, y as f64, 8.0, 9.0], if own { colour(subgroup) } else { IDLE });
            }
            y += size.div_ceil(32).min(4) as usize * 10 + 6;
        }
        if subgroups > MOST_SUBGROUPS {
            self.text((LANES, y + 10), "small", &format!("and {} subgroups more", subgroups - MOST_SUBGROUPS));
            y += 16;
        }
        if mapping.lanes() > invocations {
            self.text((LANES, y + 10), "small", &format!("grey: {} lanes without work", mapping.lanes() - invocations));
            y += 16;
        }
        y
    }

    /// The tile of workgroup 0: each element in the colour of its subgroup, those of lane 0 dark.
    fn tile(&mut self, mapping: &Mapping) -> usize {
        let top = self.y;
        let Some(tile) = mapping.tile else {
            self.text((TILE, top), "head", "no tile of rows and columns");
            self.text((TILE, top + 20), "small", &format!("lanes share the work as the head of {}", mapping.kernel));
            self.text((TILE, top + 34), "small", "says");
            return top + 34;
        };
        let [rows, columns] = tile;
        let cell = SIDE as f64 / rows.max(columns).max(1) as f64;
        let words = shares(mapping, tile);
        let (head, rest) = words.split_once(": ").unwrap_or((&words, ""));
        self.text((TILE, top), "head", head);
        self.text((TILE, top + 14), "small", rest);
        let at =
            |row: usize, column: usize| (TILE as f64 + column as f64 * cell, (top + 22) as f64 + row as f64 * cell);
        for row in 0..rows {
            let subgroup = |column| subgroup_of(mapping, owner(mapping, row, column));
            let mut first = 0;
            // Neighbours of one subgroup make one rectangle.
            for column in 1..=columns {
                if column == columns || subgroup(column) != subgroup(first) {
                    let (x, y) = at(row, first);
                    self.rect([x, y, (column - first) as f64 * cell, cell], colour(subgroup(first)));
                    first = column;
                }
            }
        }
        let [width, height] = mapping.workgroup.map(|side| side as usize);
        for (row, column) in (0..rows).step_by(height).flat_map(|r| (0..columns).step_by(width).map(move |c| (r, c))) {
            let (x, y) = at(row, column);
            self.rect([x, y, cell, cell], "#202020");
        }
        let end = top + 22 + (rows as f64 * cell).ceil() as usize;
        self.text((TILE, end + 14), "small", "dark: what lane 0 computes");
        end + 14
    }

    /// One plan with its dispatches.
    fn plan(&mut self, explanation: &Explanation) {
        self.y += 34;
        let (call, why) = explanation.plan.split_once("; ").unwrap_or((&explanation.plan, ""));
        // Long ones in small type: they would pass the right edge.
        self.text((SMS, self.y), if call.len() > 100 { "head" } else { "title" }, call);
        self.text((SMS, self.y + 18), "small", why);
        self.y += 18;
        for (number, mapping) in explanation.dispatches.iter().enumerate() {
            self.y += 30;
            self.y = [self.sms(mapping), self.lanes(mapping), self.tile(mapping)].into_iter().max().unwrap_or(self.y);
            self.y += 10;
            for line in format!("{number}: {mapping}").lines() {
                self.y += 15;
                self.text((SMS, self.y), "mono", line);
            }
        }
    }
}

/// The plans one under the other.
pub fn document(explanations: &[Explanation]) -> String {
    let mut drawing = Drawing::default();
    for explanation in explanations {
        drawing.plan(explanation);
    }
    let height = drawing.y + 24;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">
<style>
text {{ font-family: sans-serif; font-size: 11px; fill: #202020; }}
.title {{ font-size: 15px; font-weight: bold; }}
.head {{ font-weight: bold; font-size: 12px; }}
.small {{ fill: #606060; }}
.mid {{ text-anchor: middle; fill: #606060; }}
.in {{ text-anchor: middle; fill: #ffffff; }}
.mono {{ font-family: monospace; white-space: pre; }}
</style>
<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>
{}</svg>
",
        drawing.body
    )
}
