//! The table as a picture: a bar for each row, as long as its share of the limit.

use crate::Row;
use crate::svg::Svg;

const WIDTH: f64 = 900.0;
/// Where bars start, and where those of the whole limit end.
const START: f64 = 300.0;
const END: f64 = 760.0;
/// From a row to the next, and the height of its bar.
const PITCH: f64 = 20.0;
const BAR: f64 = 14.0;
/// What lies above the first row.
const TOP: f64 = 56.0;
/// Shares beyond are drawn as this: some ops write less than a copy does.
const MOST: f64 = 1.2;

/// Of rows bound by arithmetic, of those bound by memory, and of what is neither.
const ARITHMETIC: &str = "#4e79a7";
const MEMORY: &str = "#59a14f";
const OTHER: &str = "#b07aa1";

/// A row's colour, and what stands behind its bar.
fn legend(row: &Row, flops_per_byte: f64) -> (&'static str, String) {
    let rate = match row.gflops {
        _ if row.op == "dispatch" => return (OTHER, row.variant.clone()),
        gflops if gflops > row.gbps * flops_per_byte => (ARITHMETIC, format!("{gflops:.1} GFLOP/s")),
        _ => (MEMORY, format!("{:.1} GB/s", row.gbps)),
    };
    let wrong = if row.verified { "" } else { ", WRONG" };
    (rate.0, format!("{:.0} %, {}{wrong}", row.fraction_of_limit * 100.0, rate.1))
}

/// Draws rows of a device whose limits are in a line of the head.
pub fn draw(adapter: &str, limits: &str, flops_per_byte: f64, rows: &[Row]) -> String {
    let height = TOP + PITCH * rows.len() as f64 + 10.0;
    let mut svg = Svg::new([WIDTH, height], adapter, limits);
    for (number, row) in rows.iter().enumerate() {
        let y = TOP + PITCH * number as f64;
        let (colour, words) = legend(row, flops_per_byte);
        let width = (END - START) * row.fraction_of_limit.min(MOST);
        svg.text([START - 8.0, y + BAR - 2.0], "end", &format!("{} {}", row.op, row.shape));
        svg.bar([START, y, width, BAR], colour);
        svg.text([START + width + 6.0, y + BAR - 2.0], "", &words);
    }
    svg.line(END, [TOP, TOP + PITCH * rows.len() as f64], "black");
    svg.finish()
}
