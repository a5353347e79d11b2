//! The page that is left behind: one file, nothing fetched, readable without scripts.

use std::fmt::Write as _;

use crate::input::Reading;

/// What the page shows.
pub struct Report<'a> {
    /// The last line of the run.
    pub verdict: &'a str,
    /// The rows of the table: what, and how much.
    pub rows: &'a [(String, String)],
    /// What was refused and why.
    pub refused: &'a [(String, String)],
    /// The readings as the server wrote them: a name and the readings of each device.
    pub channels: &'a [(String, Vec<Reading>)],
    /// Messages in the gateway's queue over the time of the story, in seconds of the day.
    pub depth: &'a [(f64, f64)],
    /// What happened, with its beginning and end in seconds of the day.
    pub outages: &'a [Outage],
    /// How long lookups took, in milliseconds of the machine.
    pub lookups: &'a [f64],
}

/// A time in which something did not work.
#[derive(Clone)]
pub struct Outage {
    /// What.
    pub what: &'static str,
    /// From when to when, in seconds of the day.
    pub span: (f64, f64),
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#1c2733;background:#fff}h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%}td{padding:.2rem .6rem;border-bottom:1px solid #dfe5ea}\
td+td{text-align:right;font-variant-numeric:tabular-nums}code{background:#eef2f5;padding:.4rem .6rem;display:block;\
overflow-x:auto;border-radius:4px}svg{width:100%;height:auto;display:block;margin:.3rem 0}\
text{font:11px system-ui,sans-serif;fill:#51606e}.line{fill:none;stroke:#0b6fa4;stroke-width:1.3}\
.axis{stroke:#b9c4cd;stroke-width:1}.outage{fill:#d9480f;opacity:.18}.bar{fill:#0b6fa4}";

impl Report<'_> {
    /// The page.
    pub fn to_html(&self) -> String {
        let mut page = String::new();
        let _ = write!(
            page,
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>fleet</title><style>{STYLE}</style><h1>fleet</h1>\
             <p>Sensors signed and sealed the readings of a day; a gateway queued them and published them into a hash \
             table under attack; a server that was down pulled them, verified them and wrote them down.</p><code>{}</code>",
            escape(self.verdict)
        );
        self.table(&mut page, "What happened", self.rows);
        self.table(&mut page, "What the server refused, and why", self.refused);
        page.push_str("<h2>Messages in the gateway's queue over the day</h2>");
        page.push_str(&self.depth_plot());
        page.push_str("<h2>How long looking up in the hash table took</h2>");
        page.push_str(&histogram(self.lookups));
        page.push_str("<h2>The readings as the server received them</h2>");
        for (name, readings) in self.channels {
            page.push_str(&channel_plot(name, readings));
        }
        page.push_str("</html>\n");
        page
    }

    fn table(&self, page: &mut String, title: &str, rows: &[(String, String)]) {
        let _ = write!(page, "<h2>{title}</h2><table>");
        for (what, how_much) in rows {
            let _ = write!(page, "<tr><td>{}</td><td>{}</td></tr>", escape(what), escape(how_much));
        }
        page.push_str("</table>");
    }

    fn depth_plot(&self) -> String {
        let points: Vec<_> = self.depth.iter().map(|&(x, y)| (x, Some(y))).collect();
        let Some(plot) = Plot::around(&points, 180.0) else { return "<p>nothing was reported</p>".into() };
        let mut svg = plot.open();
        for (index, outage) in self.outages.iter().enumerate() {
            let (from, to) = (plot.x(outage.span.0), plot.x(outage.span.1));
            let _ = write!(
                svg,
                "<rect class=\"outage\" x=\"{from:.1}\" y=\"10\" width=\"{:.1}\" height=\"{:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{}</text>",
                (to - from).max(2.0),
                plot.height - 30.0,
                from + 3.0,
                20 + 13 * index,
                outage.what
            );
        }
        plot.line(&mut svg, &points);
        plot.close(svg, "messages", &hours(plot.left), &hours(plot.right))
    }
}

fn channel_plot(name: &str, readings: &[Reading]) -> String {
    let start = readings.first().map_or(0, |reading| reading.time.as_secs());
    let points: Vec<_> = readings
        .iter()
        .map(|reading| {
            let seconds = reading.time.as_secs() as f64 - start as f64;
            (seconds, Some(reading.value).filter(|value| value.is_finite()))
        })
        .collect();
    let Some(plot) = Plot::around(&points, 110.0) else {
        return format!("<p>{}: nothing arrived</p>", escape(name));
    };
    let mut svg = plot.open();
    plot.line(&mut svg, &points);
    plot.close(svg, name, &hours(plot.left), &hours(plot.right))
}

fn histogram(values: &[f64]) -> String {
    const BINS: usize = 40;
    let Some(greatest) = values.iter().copied().reduce(f64::max) else {
        return "<p>nothing was looked up</p>".into();
    };
    let mut bins = [0_usize; BINS];
    for value in values {
        bins[((value / greatest * BINS as f64) as usize).min(BINS - 1)] += 1;
    }
    let highest = bins.iter().copied().max().unwrap_or(1).max(1);
    let width = (WIDTH - 2.0 * MARGIN) / BINS as f64;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} 150\">");
    for (index, count) in bins.iter().enumerate() {
        let height = 110.0 * *count as f64 / highest as f64;
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
            MARGIN + index as f64 * width,
            130.0 - height,
            width - 1.0
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{MARGIN}\" y=\"145\">0 ms</text><text x=\"{}\" y=\"145\" text-anchor=\"end\">{greatest:.1} ms</text>\
         <text x=\"{MARGIN}\" y=\"12\">{highest} of {} lookups in the highest bar</text></svg>",
        WIDTH - MARGIN,
        values.len()
    );
    svg
}

const WIDTH: f64 = 900.0;
const MARGIN: f64 = 40.0;

/// A plot with its scales.
struct Plot {
    left: f64,
    right: f64,
    bottom: f64,
    top: f64,
    height: f64,
}

impl Plot {
    fn around(points: &[(f64, Option<f64>)], height: f64) -> Option<Self> {
        let values = || points.iter().filter_map(|point| point.1);
        let bottom = values().reduce(f64::min)?;
        let top = values().reduce(f64::max)?.max(bottom + 1e-9);
        let left = points.first()?.0;
        let right = points.last()?.0.max(left + 1.0);
        Some(Self { left, right, bottom, top, height })
    }

    fn x(&self, value: f64) -> f64 {
        MARGIN + (value.clamp(self.left, self.right) - self.left) / (self.right - self.left) * (WIDTH - 2.0 * MARGIN)
    }

    fn y(&self, value: f64) -> f64 {
        self.height - 20.0 - (value - self.bottom) / (self.top - self.bottom) * (self.height - 32.0)
    }

    fn open(&self) -> String {
        format!("<svg viewBox=\"0 0 {WIDTH} {}\">", self.height)
    }

    fn line(&self, svg: &mut String, points: &[(f64, Option<f64>)]) {
        svg.push_str("<path class=\"line\" d=\"");
        let mut pen = 'M';
        for &(x, value) in points {
            let Some(value) = value else {
                pen = 'M';
                continue;
            };
            let _ = write!(svg, "{pen}{:.1} {:.1}", self.x(x), self.y(value));
            pen = 'L';
        }
        svg.push_str("\"/>");
    }

    fn close(&self, mut svg: String, title: &str, left: &str, right: &str) -> String {
        let floor = self.height - 20.0;
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{MARGIN}\" y1=\"{floor}\" x2=\"{0}\" y2=\"{floor}\"/>\
             <text x=\"{MARGIN}\" y=\"{1}\">{left}</text><text x=\"{0}\" y=\"{1}\" text-anchor=\"end\">{right}</text>\
             <text x=\"2\" y=\"16\">{2:.1}</text><text x=\"2\" y=\"{floor}\">{3:.1}</text>\
             <text x=\"{4}\" y=\"10\" text-anchor=\"middle\">{5}</text></svg>",
            WIDTH - MARGIN,
            self.height - 6.0,
            self.top,
            self.bottom,
            WIDTH / 2.0,
            escape(title)
        );
        svg
    }
}

fn hours(seconds: f64) -> String {
    let minutes = (seconds.max(0.0) / 60.0).round() as u64;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use iot_core::Timestamp;

    use super::*;

    #[test]
    fn the_page_shows_everything_and_fetches_nothing() {
        let reading = |value| Reading { time: Timestamp::from_secs(60), value };
        let channels = [("a<b".to_owned(), vec![reading(1.0), reading(f64::NAN), reading(2.0)]), ("c".into(), vec![])];
        let report = Report {
            verdict: "fleet: ok",
            rows: &[("messages".into(), "384".into())],
            refused: &[],
            channels: &channels,
            depth: &[(0.0, 1.0), (60.0, 5.0)],
            outages: &[Outage { what: "link down", span: (10.0, 20.0) }],
            lookups: &[1.0, 2.0, 9.0],
        };
        let page = report.to_html();
        for part in ["fleet: ok", "384", "a&lt;b", "link down", "c: nothing arrived", "3 lookups"] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("http") && !page.contains("NaN"));
    }
}
