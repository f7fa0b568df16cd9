//! The chart: accuracy over bytes, a line for each criterion, each point labelled with its speed against the dense network.

use std::fmt::Write;

use crate::Row;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const PLOT_WIDTH: f64 = 540.0;
const PLOT_HEIGHT: f64 = 320.0;
const COLOURS: [&str; 4] = ["#2563eb", "#d97706", "#059669", "#9333ea"];

/// The chart of all rows, with the dense network's accuracy and bytes.
pub fn chart(rows: &[Row], (accuracy, bytes): (f64, u64)) -> String {
    let most = rows.iter().map(|row| row.bytes).chain([bytes]).max().unwrap_or(1) as f64;
    let x = |bytes: u64| LEFT + bytes as f64 / most * PLOT_WIDTH;
    let y = |accuracy: f64| TOP + (1.0 - accuracy) * PLOT_HEIGHT;
    let mut text = String::new();
    // Writing to a string does not fail.
    let mut line = |args: std::fmt::Arguments<'_>| {
        let _ = writeln!(text, "{args}");
    };
    line(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">"
    ));
    line(format_args!("<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>"));
    line(format_args!(
        "<text x=\"{LEFT}\" y=\"20\" font-size=\"14\">Accuracy over bytes of weights; times as fast as dense at each point</text>"
    ));
    for step in 0..=5 {
        let share = f64::from(step) / 5.0;
        let (across, down) = (LEFT + share * PLOT_WIDTH, y(share));
        let kilobytes = share * most / 1024.0;
        line(format_args!(
            "<line x1=\"{LEFT}\" y1=\"{down:.1}\" x2=\"{:.1}\" y2=\"{down:.1}\" stroke=\"#ddd\"/>",
            LEFT + PLOT_WIDTH
        ));
        line(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{share:.1}</text>",
            LEFT - 6.0,
            down + 4.0
        ));
        line(format_args!(
            "<text x=\"{across:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{kilobytes:.0} KiB</text>",
            TOP + PLOT_HEIGHT + 16.0
        ));
    }
    let (across, down) = (x(bytes), y(accuracy));
    line(format_args!("<circle cx=\"{across:.1}\" cy=\"{down:.1}\" r=\"5\" fill=\"black\"/>"));
    line(format_args!("<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">dense</text>", across - 8.0, down - 8.0));
    for (number, of_way) in rows.chunk_by(|row, next| row.way == next.way).enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let points: Vec<String> =
            of_way.iter().map(|row| format!("{:.1},{:.1}", x(row.bytes), y(row.accuracy))).collect();
        line(format_args!("<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"/>", points.join(" ")));
        for row in of_way {
            let (across, down) = (x(row.bytes), y(row.accuracy));
            line(format_args!("<circle cx=\"{across:.1}\" cy=\"{down:.1}\" r=\"3\" fill=\"{colour}\"/>"));
            line(format_args!(
                "<text x=\"{across:.1}\" y=\"{:.1}\" font-size=\"8\" fill=\"{colour}\">{:.1}</text>",
                down - 5.0,
                row.dense_ms / row.ms
            ));
        }
        let (across, down) = (LEFT + PLOT_WIDTH + 20.0, TOP + 20.0 * number as f64 + 10.0);
        line(format_args!("<text x=\"{across}\" y=\"{down}\" fill=\"{colour}\">{}</text>", of_way[0].way));
    }
    line(format_args!("</svg>"));
    text
}
