//! The sides of the scoreboard's rows under criterion: the same functions, one group a row.
//!
//! The rows that count, and the one whose stores are opened by processes of their own, are the scoreboard's alone.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use iot_benches::dht::Targets;
use iot_benches::measure::Side;
use iot_benches::queue::Place;
use iot_benches::{codec, crypto, dht, queue};
use iot_crypto::stream::{Ring, RustCrypto};

fn group(criterion: &mut Criterion, name: &str, sides: Vec<Side<'_>>) {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    measure(&mut group, sides);
    group.finish();
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, sides: Vec<Side<'_>>) {
    for mut side in sides {
        group.bench_function(side.name(), |bencher| bencher.iter_custom(|calls| side.run(calls)));
    }
}

fn codec(criterion: &mut Criterion) {
    group(criterion, "codec/decode", codec::decode_sides());
    group(criterion, "codec/decode-ciborium", codec::decode_ciborium_sides());
    group(criterion, "codec/encode", codec::encode_sides());
    group(criterion, "codec/validate", codec::validate_sides());
    group(criterion, "codec/series-encode", codec::series::encode_sides());
    group(criterion, "codec/series-decode", codec::series::decode_sides());
}

fn crypto(criterion: &mut Criterion) {
    group(criterion, "crypto/seal", crypto::seal_sides());
    group(criterion, "crypto/open", crypto::open_sides());
    group(criterion, "crypto/parse-sign1", crypto::parse_sides());
    group(criterion, "crypto/stream-open", crypto::stream::open_sides::<RustCrypto>());
    group(criterion, "crypto/stream-open-fast", crypto::stream::open_sides::<Ring>());
}

fn queue(criterion: &mut Criterion) {
    let place = Place::new().expect("there is a disk");
    for batch in [1, 64] {
        let sides = queue::append_sides(&place, batch).expect("the stores can be made");
        group(criterion, &format!("queue/append-{batch}"), sides);
    }
}

fn dht(criterion: &mut Criterion) {
    group(criterion, "dht/closest", dht::closest_sides(Targets::Random));
    group(criterion, "dht/closest-near", dht::closest_sides(Targets::Near));
}

criterion_group!(rows, codec, crypto, queue, dht);
criterion_main!(rows);
