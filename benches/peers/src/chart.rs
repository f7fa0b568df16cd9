//! The ratios as a picture: a bar for each peer at each shape, to the right where tilewise is faster, to the left where it
//! is slower.

use std::collections::BTreeSet;

use crate::libraries::OWN;
use crate::row::Row;
use crate::svg::Svg;

const WIDTH: f64 = 900.0;
/// Where the scale starts and ends.
const START: f64 = 260.0;
const END: f64 = 690.0;
/// From a bar to the next, its height, and what is left free between shapes.
const PITCH: f64 = 16.0;
const BAR: f64 = 12.0;
const GAP: f64 = 10.0;
/// What lies above the first bar.
const TOP: f64 = 72.0;
/// From a mark of the scale to the next, as a power of two.
const MARK: i32 = 2;

/// Of the peers, by their names in order.
const COLOURS: [&str; 6] = ["#4e79a7", "#59a14f", "#b07aa1", "#f28e2b", "#76b7b2", "#edc948"];

/// From the least ratio to the greatest, logarithmic, between marks; one step around 1 at least.
struct Scale {
    least: i32,
    most: i32,
}

impl Scale {
    fn new(rows: &[&Row]) -> Self {
        let mut scale = Scale { least: -MARK, most: MARK };
        for steps in rows.iter().filter_map(|row| ratio(row)).map(|ratio| ratio.log2() / f64::from(MARK)) {
            scale.least = scale.least.min(steps.floor() as i32 * MARK);
            scale.most = scale.most.max(steps.ceil() as i32 * MARK);
        }
        scale
    }

    fn x(&self, ratio: f64) -> f64 {
        START + (END - START) * (ratio.log2() - f64::from(self.least)) / f64::from(self.most - self.least)
    }

    fn draw(&self, svg: &mut Svg, bottom: f64) {
        for power in (self.least..=self.most).step_by(MARK as usize) {
            let times = 2f64.powi(power.abs());
            let (words, colour) = match power {
                0 => ("1".into(), "black"),
                1.. => (times.to_string(), "#c0c0c0"),
                _ => (format!("1/{times}"), "#c0c0c0"),
            };
            let x = self.x(2f64.powi(power));
            svg.text([x, TOP - 8.0], "mid", &words);
            svg.line(x, [TOP - 4.0, bottom], colour);
        }
    }
}

fn ratio(row: &Row) -> Option<f64> {
    row.outcome.as_ref().ok()?.tilewise_faster
}

/// What stands behind a bar.
fn words(row: &Row) -> String {
    match (&row.outcome, ratio(row)) {
        (Err(_), _) => format!("{} failed", row.library),
        (Ok(_), None) => format!("{OWN} failed beside {}", row.library),
        (Ok(_), Some(ratio)) => format!("{ratio:.*} x {}", if ratio < 0.1 { 3 } else { 2 }, row.library),
    }
}

/// Draws rows of a device.
pub fn draw(adapter: &str, rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.library != OWN).collect();
    let mut shapes: Vec<Vec<&Row>> = rows.chunk_by(|a, b| a.is_beside(b)).map(<[&Row]>::to_vec).collect();
    shapes.iter_mut().for_each(|shape| shape.sort_by_key(|row| &row.library));
    let peers: Vec<&String> = rows.iter().map(|row| &row.library).collect::<BTreeSet<_>>().into_iter().collect();
    let bottom = TOP + PITCH * rows.len() as f64 + GAP * shapes.len() as f64;
    let mut svg = Svg::new(
        [WIDTH, bottom + 10.0],
        adapter,
        "tilewise's rate over each peer's on the same shape, by medians, on a logarithmic scale; left of 1 the peer is faster",
    );
    let scale = Scale::new(&rows);
    scale.draw(&mut svg, bottom - GAP);
    let mut y = TOP;
    for shape in shapes {
        svg.text([START - 8.0, y + BAR - 2.0], "end", &format!("{} {}", shape[0].op, shape[0].shape));
        for row in shape {
            let number = peers.iter().position(|peer| **peer == row.library).unwrap_or(0);
            let (from, to) = (scale.x(1.0), scale.x(ratio(row).unwrap_or(1.0)));
            svg.bar([from.min(to), y, (to - from).abs(), BAR], COLOURS[number % COLOURS.len()]);
            svg.text([from.max(to) + 6.0, y + BAR - 2.0], "", &words(row));
            y += PITCH;
        }
        y += GAP;
    }
    svg.finish()
}
