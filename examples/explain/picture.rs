//! Where the workgroups of a dispatch, its subgroups and its lanes lie; and the picture of it for the terminal.

use std::fmt::Write;

use tilewise::Mapping;

/// The most columns of SMs, rows of waves, rows of subgroups, and rows and columns of a tile that are drawn.
const MOST_SMS: u64 = 16;
const MOST_WAVES: u64 = 6;
pub const MOST_SUBGROUPS: u32 = 8;
const MOST_TILE: [usize; 2] = [16, 64];

/// Numbers up to `count`: the first ones and the last, `None` where some are left out.
fn some_of(count: u64, most: u64) -> Vec<Option<u64>> {
    if count <= most {
        return (0..count).map(Some).collect();
    }
    (0..most - 2).map(Some).chain([None, Some(count - 1)]).collect()
}

/// Workgroups on SMs in waves: handed out in order, one to each SM at a time. A GPU hands out the next one as an SM falls
/// free; which SM that is, no one promises.
pub struct Waves {
    /// The SMs that are drawn.
    pub sms: Vec<Option<u64>>,
    /// The waves that are drawn, each with the workgroup on each SM.
    pub rows: Vec<Option<(u64, Vec<Slot>)>>,
}

/// What an SM does in a wave.
#[derive(Clone, Copy, PartialEq)]
pub enum Slot {
    /// Runs a workgroup.
    Runs(u64),
    /// Runs a workgroup that only fills up the grid.
    Surplus(u64),
    /// Has none.
    Idle,
    /// Is not drawn.
    Hidden,
}

pub fn waves(mapping: &Mapping) -> Option<Waves> {
    let (count, waves) = (u64::from(mapping.sm_count?), mapping.waves()?);
    let sms = some_of(count, MOST_SMS);
    let slot = |wave: u64, sm: &Option<u64>| match sm.map(|sm| wave * count + sm) {
        None => Slot::Hidden,
        Some(group) if group < mapping.tiles => Slot::Runs(group),
        Some(group) if group < mapping.workgroups() => Slot::Surplus(group),
        Some(_) => Slot::Idle,
    };
    let rows = some_of(waves, MOST_WAVES).into_iter();
    let rows = rows.map(|wave| wave.map(|wave| (wave, sms.iter().map(|sm| slot(wave, sm)).collect()))).collect();
    Some(Waves { sms, rows })
}

/// The subgroup of an invocation, which takes the invocations in order.
pub fn subgroup_of(mapping: &Mapping, invocation: u32) -> u32 {
    invocation / mapping.subgroup_size.1.max(1)
}

/// The invocation that computes an element of the tile: an invocation's lie as far apart as the workgroup is wide and high.
pub fn owner(mapping: &Mapping, row: usize, column: usize) -> u32 {
    let [width, height] = mapping.workgroup;
    (row as u32 % height) * width + column as u32 % width
}

/// How a tile is shared out, in words.
pub fn shares(mapping: &Mapping, [rows, columns]: [usize; 2]) -> String {
    let [width, height] = mapping.workgroup.map(|side| side as usize);
    let (own_rows, own_columns) = (rows / height, columns / width);
    format!("tile {rows} x {columns}: {own_rows} x {own_columns} for a lane, {height} rows, {width} columns apart")
}

fn letter(subgroup: u32) -> char {
    char::from_digit(subgroup % 36, 36).unwrap_or('?')
}

/// The picture, within 100 columns.
pub fn terminal(mapping: &Mapping) -> String {
    let mut text = String::new();
    if let Some(waves) = waves(mapping) {
        let _ = write!(text, "    {:<9}", "grid");
        for sm in &waves.sms {
            let _ = match sm {
                Some(sm) => write!(text, " {:>4}", format!("SM{sm}")),
                None => write!(text, "   .."),
            };
        }
        text.push('\n');
        for row in &waves.rows {
            let Some((wave, slots)) = row else {
                text.push_str("    ..\n");
                continue;
            };
            let _ = write!(text, "    {:<9}", format!("wave {wave}"));
            for slot in slots {
                let _ = match slot {
                    Slot::Runs(group) => write!(text, " {group:>4}"),
                    Slot::Surplus(_) => write!(text, "    -"),
                    Slot::Idle => write!(text, "    ·"),
                    Slot::Hidden => write!(text, "   .."),
                };
            }
            text.push('\n');
        }
        text.push_str("    (handed out in order, one to an SM at a time; · idle, - fills up the grid)\n");
    }
    let (subgroups, invocations) = (mapping.subgroups(), mapping.invocations());
    let _ = writeln!(text, "    workgroup 0: {invocations} invocations in {subgroups} subgroups (█ lane, · none)");
    let size = mapping.subgroup_size.1;
    for subgroup in 0..subgroups.min(MOST_SUBGROUPS) {
        let lanes: String =
            (0..size.min(64)).map(|lane| if subgroup * size + lane < invocations { '█' } else { '·' }).collect();
        let first = subgroup * size;
        let last = (first + size).min(invocations) - 1;
        let _ = writeln!(text, "      {}: {lanes} {first}..{last}", letter(subgroup));
    }
    if subgroups > MOST_SUBGROUPS {
        let _ = writeln!(text, "      and {} more", subgroups - MOST_SUBGROUPS);
    }
    if let Some(tile) = mapping.tile {
        let _ = writeln!(text, "    {} (█ lane 0's, else the subgroup)", shares(mapping, tile));
        let [rows, columns] = [tile[0].min(MOST_TILE[0]), tile[1].min(MOST_TILE[1])];
        for row in 0..rows {
            let cells = (0..columns).map(|column| match owner(mapping, row, column) {
                0 => '█',
                invocation => letter(subgroup_of(mapping, invocation)),
            });
            let cells: String = cells.collect();
            let _ = writeln!(text, "      {cells}{}", if columns < tile[1] { " .." } else { "" });
        }
        if rows < tile[0] {
            let _ = writeln!(text, "      and {} rows more", tile[0] - rows);
        }
    }
    text
}
