//! What charts of bars are drawn with: that of this example, and that of benches/peers.

use std::fmt::Write;

/// A chart that is being drawn.
pub struct Svg(String);

impl Svg {
    /// White, with a title and a line of words at the top.
    pub fn new([width, height]: [f64; 2], title: &str, words: &str) -> Self {
        let mut svg = Svg(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <style>.head {{ font-size: 15px; font-weight: bold }} .end {{ text-anchor: end }} .mid {{ text-anchor: middle }}</style>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
        ));
        svg.text([10.0, 20.0], "head", title);
        svg.text([10.0, 40.0], "", words);
        svg
    }

    pub fn text(&mut self, [x, y]: [f64; 2], class: &str, text: &str) {
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(self.0, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{escaped}</text>");
    }

    /// A rectangle: x, y, width, height.
    pub fn bar(&mut self, [x, y, width, height]: [f64; 4], colour: &str) {
        let _ = writeln!(
            self.0,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
        );
    }

    /// A dashed line from above to below.
    pub fn line(&mut self, x: f64, [top, bottom]: [f64; 2], colour: &str) {
        let _ =
            writeln!(self.0, "<path d=\"M{x:.1} {top:.1}V{bottom:.1}\" stroke=\"{colour}\" stroke-dasharray=\"3\"/>");
    }

    pub fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}
