//! Series on real readings, and the vectors of `docs/formats/series.md`.
#![cfg(feature = "alloc")]

use std::{fs, path::Path};

use iot_codec::series::{Channel, Encoder, Limits, Samples, from_slice, to_vec};

/// A CSV of readings: times in microseconds, then a column a channel, `None` where a field is empty.
struct Readings {
    times: Vec<i64>,
    columns: Vec<(String, Vec<Option<f64>>)>,
}

impl Readings {
    fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let names = lines.next().expect("a heading").split(',').skip(1);
        let mut readings = Self { times: vec![], columns: names.map(|name| (name.to_owned(), vec![])).collect() };
        for line in lines {
            let (time, fields) = line.split_once(',').expect("a time first");
            readings.times.push(micros(time));
            for ((_, column), field) in readings.columns.iter_mut().zip(fields.split(',')) {
                column.push((!field.is_empty()).then(|| field.parse().expect("a number")));
            }
        }
        readings
    }

    /// The bytes of all batches of one column, each of which has come back to the bit.
    fn bytes(&self, column: &[Option<f64>], batch: usize) -> usize {
        let mut encoder = Encoder::<64>::new();
        let mut total = 0;
        for (times, samples) in self.times.chunks(batch).zip(column.chunks(batch)) {
            let values: Vec<f64> = samples.iter().map(|sample| sample.unwrap_or(f64::NAN)).collect();
            let marks: Vec<bool> = samples.iter().map(Option::is_some).collect();
            let mut out = [0; 1024];
            let channels = [Channel::floats(&values).present(&marks)];
            let len = encoder.encode(times, &channels, &mut out).expect("enough space");
            assert_eq!(out[..len], to_vec(times, &channels).expect("within bounds"));
            let read = from_slice(&out[..len], &Limits::default()).expect("just written");
            assert_eq!(read.times, times);
            let Samples::Floats(found) = &read.channels[0] else { panic!("floats were written") };
            let bits = |sample: &Option<f64>| sample.map(f64::to_bits);
            assert!(found.iter().map(bits).eq(samples.iter().map(bits)));
            total += len;
        }
        total
    }
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

/// Each file, and the most bytes that its columns may take in batches of 60.
const FILES: [(&str, &[usize]); 6] = [
    ("../examples/fleet/data/surfrad-alamosa-2016-01-01.csv", &[596, 904, 735, 496, 919, 607, 447, 269]),
    ("tests/data/co2-mauna-loa.csv", &[1529]),
    ("tests/data/seattle-weather.csv", &[1255, 1395, 1292, 1214]),
    ("tests/data/seattle-temperature.csv", &[1287]),
    ("tests/data/us-employment.csv", &[186, 153, 145, 176, 134, 157]),
    ("tests/data/nino-sea-surface.csv", &[1077]),
];

#[test]
fn public_series_come_back_to_the_bit_in_few_bytes() {
    for (name, most) in FILES {
        let readings = Readings::open(name);
        let found: Vec<usize> = readings.columns.iter().map(|(_, column)| readings.bytes(column, 60)).collect();

        assert_eq!(found.len(), most.len());
        assert!(found.iter().zip(most).all(|(found, most)| found <= most), "{name}: {found:?} bytes, not {most:?}");
    }
}

/// A batch of the vectors, with its bytes in hexadecimal.
#[derive(Default)]
struct Vector {
    name: String,
    times: Vec<i64>,
    channels: Vec<Samples>,
    blob: String,
}

fn vectors() -> Vec<Vector> {
    let mut vectors: Vec<Vector> = vec![];
    for line in include_str!("vectors/series.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (key, value) = line.split_once(':').expect("a key and a value");
        let words = value.split_whitespace();
        if key == "name" {
            vectors.push(Vector { name: value.trim().to_owned(), ..Vector::default() });
            continue;
        }
        let vector = vectors.last_mut().expect("a name first");
        match key {
            "times" => vector.times = words.map(|word| word.parse().expect("an integer")).collect(),
            "floats" => vector.channels.push(Samples::Floats(words.map(float).collect())),
            "integers" => vector.channels.push(Samples::Integers(words.map(integer).collect())),
            "blob" => value.trim().clone_into(&mut vector.blob),
            other => panic!("unknown key {other}"),
        }
    }
    vectors
}

fn float(word: &str) -> Option<f64> {
    match word.strip_prefix("0x") {
        Some(bits) => Some(f64::from_bits(u64::from_str_radix(bits, 16).expect("hexadecimal"))),
        None => (word != "-").then(|| word.parse().expect("a number")),
    }
}

fn integer(word: &str) -> Option<i64> {
    (word != "-").then(|| word.parse().expect("an integer"))
}

/// The values and the marks of a channel, in a form that the encoder takes.
enum Dense {
    Floats(Vec<f64>, Vec<bool>),
    Integers(Vec<i64>, Vec<bool>),
}

impl Dense {
    fn of(samples: &Samples) -> Self {
        fn split<T: Copy + Default>(samples: &[Option<T>]) -> (Vec<T>, Vec<bool>) {
            samples.iter().map(|sample| (sample.unwrap_or_default(), sample.is_some())).unzip()
        }
        match samples {
            Samples::Floats(samples) => {
                let (values, marks) = split(samples);
                Self::Floats(values, marks)
            }
            Samples::Integers(samples) => {
                let (values, marks) = split(samples);
                Self::Integers(values, marks)
            }
            other => panic!("unknown samples {other:?}"),
        }
    }

    fn channel(&self) -> Channel<'_> {
        match self {
            Self::Floats(values, marks) => Channel::floats(values).present(marks),
            Self::Integers(values, marks) => Channel::integers(values).present(marks),
        }
    }
}

/// The channels with floats as bits, so that they compare to the bit.
fn bits(channels: &[Samples]) -> Vec<Vec<Option<i64>>> {
    let bits = |samples: &Samples| match samples {
        Samples::Floats(samples) => samples.iter().map(|sample| sample.map(|float| float.to_bits() as i64)).collect(),
        Samples::Integers(samples) => samples.clone(),
        other => panic!("unknown samples {other:?}"),
    };
    channels.iter().map(bits).collect()
}

#[test]
fn vectors_are_written_and_read() {
    for vector in vectors() {
        let dense: Vec<Dense> = vector.channels.iter().map(Dense::of).collect();
        let channels: Vec<_> = dense.iter().map(Dense::channel).collect();
        let blob = to_vec(&vector.times, &channels).expect("within bounds");
        let found: String = blob.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, vector.blob, "{}", vector.name);

        let batch = from_slice(&blob, &Limits::default()).expect("just written");
        assert_eq!(batch.times, vector.times, "{}", vector.name);
        assert_eq!(bits(&batch.channels), bits(&vector.channels), "{}", vector.name);
    }
}
