//! The chart: accuracy over bytes, a line for each series, each point labelled with its speed against that of the network as it was.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const PLOT_WIDTH: f64 = 540.0;
const PLOT_HEIGHT: f64 = 320.0;
const COLOURS: [&str; 4] = ["#2563eb", "#d97706", "#059669", "#9333ea"];

/// A network.
pub struct Point<'a> {
    /// What it is one of.
    pub series: &'a str,
    pub bytes: u64,
    pub accuracy: f64,
    /// Times as fast as the network as it was.
    pub speed: f64,
}

/// The chart of the network as it was and of what was made of it, series by series.
pub fn chart(whole: &Point<'_>, points: &[Point<'_>]) -> String {
    let most = points.iter().chain([whole]).map(|point| point.bytes).max().unwrap_or(1) as f64;
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
        "<text x=\"{LEFT}\" y=\"20\" font-size=\"14\">Accuracy over bytes of weights; times as fast as {} at each point</text>",
        whole.series
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
    let (across, down) = (x(whole.bytes), y(whole.accuracy));
    line(format_args!("<circle cx=\"{across:.1}\" cy=\"{down:.1}\" r=\"5\" fill=\"black\"/>"));
    line(format_args!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        across - 8.0,
        down - 8.0,
        whole.series
    ));
    for (number, series) in points.chunk_by(|point, next| point.series == next.series).enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let places: Vec<String> =
            series.iter().map(|point| format!("{:.1},{:.1}", x(point.bytes), y(point.accuracy))).collect();
        line(format_args!("<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"/>", places.join(" ")));
        for point in series {
            let (across, down) = (x(point.bytes), y(point.accuracy));
            line(format_args!("<circle cx=\"{across:.1}\" cy=\"{down:.1}\" r=\"3\" fill=\"{colour}\"/>"));
            line(format_args!(
                "<text x=\"{across:.1}\" y=\"{:.1}\" font-size=\"8\" fill=\"{colour}\">{:.1}</text>",
                down - 5.0,
                point.speed
            ));
        }
        let (across, down) = (LEFT + PLOT_WIDTH + 20.0, TOP + 20.0 * number as f64 + 10.0);
        line(format_args!("<text x=\"{across}\" y=\"{down}\" fill=\"{colour}\">{}</text>", series[0].series));
    }
    line(format_args!("</svg>"));
    text
}
