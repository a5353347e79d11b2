use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 180.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 44.0;

/// One for each line, far apart for those who do not see all colours.
const COLOURS: &[&str] = &["#0b6fa4", "#d9480f", "#2b8a3e", "#868e96"];

/// How many lines are ruled across.
const RULES: u32 = 5;

/// Lines over one abscissa.
pub struct Chart {
    /// What its files are called.
    pub name: &'static str,
    abscissa: &'static str,
    ordinate: &'static str,
    scale: Scale,
    columns: Vec<&'static str>,
    rows: Vec<(f64, Vec<f64>)>,
}

/// How the abscissa is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    Linear,
    Logarithmic,
    /// Of one more than the number.
    LogarithmicFromZero,
}

impl Scale {
    fn place(self, x: f64) -> f64 {
        match self {
            Self::Linear => x,
            Self::Logarithmic => x.ln(),
            Self::LogarithmicFromZero => x.ln_1p(),
        }
    }
}

impl Chart {
    /// A chart without lines.
    pub fn new(name: &'static str, abscissa: &'static str, ordinate: &'static str, scale: Scale) -> Self {
        Self { name, abscissa, ordinate, scale, columns: Vec::new(), rows: Vec::new() }
    }

    /// What its lines are.
    pub fn columns(&mut self, names: &[&'static str]) {
        self.columns = names.to_vec();
    }

    /// A point of each line. Those of one chart come in order.
    pub fn row(&mut self, x: f64, values: &[f64]) {
        self.rows.push((x, values.to_vec()));
    }

    /// A header, and a line for each row.
    pub fn to_csv(&self) -> String {
        let quoted = |name: &&str| format!("\"{name}\"");
        let names: Vec<_> = [self.abscissa].iter().chain(&self.columns).map(quoted).collect();
        let mut csv = names.join(",") + "\n";
        for (x, values) in &self.rows {
            let _ = write!(csv, "{x}");
            for value in values {
                let _ = write!(csv, ",{value:.3}");
            }
            csv.push('\n');
        }
        csv
    }

    /// A drawing that needs nothing else.
    pub fn to_svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        self.rule(&mut svg);
        for (place, name) in self.columns.iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            let point = |(x, values): &(f64, Vec<f64>)| format!("{:.1},{:.1}", self.x(*x), self.y(values[place]));
            let points: Vec<_> = self.rows.iter().map(point).collect();
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\n\
                 <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
                points.join(" "),
                WIDTH - RIGHT + 10.0,
                TOP + 12.0 + 16.0 * place as f64
            );
        }
        svg + "</svg>\n"
    }

    fn rule(&self, svg: &mut String) {
        let (left, right, floor) = (LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM);
        for rule in 0..=RULES {
            let value = self.most() * f64::from(rule) / f64::from(RULES);
            let (y, digits) = (self.y(value), usize::from(self.most() < 20.0));
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#dfe5ea\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.digits$}</text>",
                left - 6.0,
                y + 4.0
            );
        }
        for (x, _) in &self.rows {
            let _ =
                writeln!(svg, "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{x}</text>", self.x(*x), floor + 16.0);
        }
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text><text x=\"{}\" y=\"{}\">{}</text>",
            (left + right) / 2.0,
            HEIGHT - 8.0,
            self.abscissa,
            left + 4.0,
            TOP - 4.0,
            self.ordinate
        );
    }

    fn x(&self, x: f64) -> f64 {
        let ends = (self.rows.first().map_or(0.0, |row| row.0), self.rows.last().map_or(1.0, |row| row.0));
        let (from, to) = (self.scale.place(ends.0), self.scale.place(ends.1));
        let share = if to > from { (self.scale.place(x) - from) / (to - from) } else { 0.5 };
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - value / self.most() * (HEIGHT - TOP - BOTTOM)
    }

    /// The greatest value, which is the top of the chart, rounded up to two digits.
    fn most(&self) -> f64 {
        let most = self.rows.iter().flat_map(|row| &row.1).copied().fold(0.0, f64::max).max(0.1);
        let unit = 10_f64.powf(most.log10().floor()) / 2.0;
        (most / unit).ceil() * unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_shows_each_row_and_column() {
        let mut chart = Chart::new("name", "hosts", "seconds", Scale::Logarithmic);
        chart.columns(&["p50", "p99"]);
        chart.row(10.0, &[0.5, 1.0]);
        chart.row(1000.0, &[0.75, 2.0]);
        assert_eq!(chart.to_csv(), "\"hosts\",\"p50\",\"p99\"\n10,0.500,1.000\n1000,0.750,2.000\n");
        let svg = chart.to_svg();
        // The greatest value is the top, and the ends of the abscissa are the edges.
        assert!(svg.contains("points=\"52.0,146.0 540.0,16.0\"") && svg.contains(">hosts<"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 2);
    }
}
