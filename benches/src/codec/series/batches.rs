//! The standard batches: consecutive windows of 60 samples of every channel of a day of readings, and of a series with
//! gaps.

/// A minute's weather at Alamosa, eight channels; `examples/fleet/data/README.md` names its source.
const SURFRAD: &str = include_str!("../../../../examples/fleet/data/surfrad-alamosa-2016-01-01.csv");
/// The public series with gaps, weekly carbon dioxide; `iot-codec/tests/data/README.md` names its source.
const CARBON_DIOXIDE: &str = include_str!("../../../../iot-codec/tests/data/co2-mauna-loa.csv");

const WINDOW: usize = 60;

/// A value that is there, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Microseconds since the Unix epoch.
    pub time: i64,
    /// The float's bits.
    pub bits: u64,
}

/// One window of one channel.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Microseconds since the Unix epoch.
    pub times: Vec<i64>,
    /// A value for each time; 0 where it is missing.
    pub values: Vec<f64>,
    /// Whether it is there.
    pub present: Vec<bool>,
    /// How many decimals the channel has: for peers that are told the scale.
    pub decimals: u32,
}

impl Batch {
    /// The samples that are there.
    pub fn there(&self) -> Vec<Sample> {
        let all = self.times.iter().zip(&self.values).zip(&self.present);
        all.filter(|(_, present)| **present)
            .map(|((time, value), _)| Sample { time: *time, bits: value.to_bits() })
            .collect()
    }
}

/// All of them.
pub fn standard() -> Vec<Batch> {
    [SURFRAD, CARBON_DIOXIDE].into_iter().flat_map(windows).collect()
}

fn windows(csv: &str) -> Vec<Batch> {
    let mut lines = csv.lines().filter(|line| !line.starts_with('#'));
    let channels = lines.next().expect("a heading").split(',').count() - 1;
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let digits = |field: &str| field.split_once('.').map_or(0, |(_, digits)| digits.trim_end_matches('0').len() as u32);
    let mut batches = Vec::new();
    for channel in 1..=channels {
        let decimals = rows.iter().map(|row| digits(row[channel])).max().expect("rows");
        batches.extend(rows.chunks(WINDOW).map(|rows| Batch {
            times: rows.iter().map(|row| micros(row[0])).collect(),
            values: rows.iter().map(|row| row[channel].parse().unwrap_or_default()).collect(),
            present: rows.iter().map(|row| !row[channel].is_empty()).collect(),
            decimals,
        }));
    }
    batches
}

/// Microseconds since the Unix epoch of `YYYY-MM-DDThh:mm:ssZ`.
fn micros(time: &str) -> i64 {
    let field = |from: usize, to: usize| time[from..to].parse::<i64>().expect("digits");
    let (year, month, day) = (field(0, 4), field(5, 7), field(8, 10));
    // Years begin in March here, so that the leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    ((days * 24 + field(11, 13)) * 60 + field(14, 16)) * 60_000_000 + field(17, 19) * 1_000_000
}
