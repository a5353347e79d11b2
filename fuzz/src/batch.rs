//! Batches of series, compared to the bit and written again.

use iot_codec::series::{Batch, Channel, Kind, Limits, Reader, Samples, to_vec};

/// A channel in the form in which it is written: values, and which of them are there.
pub enum Column {
    Floats(Vec<f64>, Vec<bool>),
    Integers(Vec<i64>, Vec<bool>),
}

impl Column {
    pub fn of(samples: &Samples) -> Self {
        match samples {
            Samples::Floats(values) => {
                Self::Floats(values.iter().map(|value| value.unwrap_or(1.5)).collect(), marks(values))
            }
            Samples::Integers(values) => {
                Self::Integers(values.iter().map(|value| value.unwrap_or(-7)).collect(), marks(values))
            }
            _ => panic!("a kind of samples that this target does not know"),
        }
    }

    pub fn channel(&self) -> Channel<'_> {
        match self {
            Self::Floats(values, marks) => Channel::floats(values).present(marks),
            Self::Integers(values, marks) => Channel::integers(values).present(marks),
        }
    }
}

fn marks<T>(values: &[Option<T>]) -> Vec<bool> {
    values.iter().map(Option::is_some).collect()
}

/// Equal to the bit, NaNs included.
pub fn same(first: &Batch, second: &Batch) -> bool {
    let bits = |values: &[Option<f64>]| values.iter().map(|value| value.map(f64::to_bits)).collect::<Vec<_>>();
    first.times == second.times
        && first.channels.len() == second.channels.len()
        && first.channels.iter().zip(&second.channels).all(|channels| match channels {
            (Samples::Floats(first), Samples::Floats(second)) => bits(first) == bits(second),
            (first, second) => first == second,
        })
}

/// The blob of a batch, which is at most as long as the documentation of `Encoder::encode` says.
pub fn write(batch: &Batch) -> Vec<u8> {
    let columns: Vec<Column> = batch.channels.iter().map(Column::of).collect();
    let channels: Vec<Channel> = columns.iter().map(Column::channel).collect();
    let blob = to_vec(&batch.times, &channels).expect("a batch that was read can be written");
    let samples = batch.times.len();
    assert!(blob.len() <= (channels.len() + 1) * (50 + (samples * 67).div_ceil(8)), "{} bytes", blob.len());
    blob
}

/// Reads a blob by `Reader`, taking every second channel only, and asking for the wrong kind first.
pub fn skim(blob: &[u8], limits: &Limits, expected: &Batch) {
    let mut reader = Reader::new(blob, limits).expect("it was read before");
    let samples = reader.samples();
    assert_eq!((samples, reader.channels_left()), (expected.times.len(), expected.channels.len()));
    let (mut floats, mut integers, mut present) = (vec![0.0; samples], vec![0; samples], vec![false; samples]);
    for (index, values) in expected.channels.iter().enumerate() {
        let channel = reader.next_channel().expect("it was read before").expect("there is another");
        let kind = channel.kind();
        channel.present(&mut present).expect("the slice is as long as the batch");
        assert_eq!(channel.missing(), present.iter().filter(|mark| !**mark).count());
        let result = match (kind, index % 2) {
            (Kind::Float, 0) => channel.integers(&mut integers),
            (_, 0) => channel.floats(&mut floats),
            (Kind::Float, _) => channel.floats(&mut floats),
            (_, _) => channel.integers(&mut integers),
        };
        assert_eq!(result.is_ok(), index % 2 == 1, "{result:?}");
        match values {
            Samples::Floats(values) => assert!(kind == Kind::Float && marks(values) == present),
            Samples::Integers(values) => assert!(kind == Kind::Integer && marks(values) == present),
            _ => {}
        }
    }
    assert!(matches!(reader.next_channel(), Ok(None)));
    assert!(reader.times(&mut vec![0; samples]).is_err(), "times behind the last channel");
}
