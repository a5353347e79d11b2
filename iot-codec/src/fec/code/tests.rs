extern crate std;

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// All shards of a block, by the definition: the polynomial through the data, evaluated at each index.
fn shards(code: &Code, block: &[u8], data: usize, count: usize) -> Vec<Vec<u8>> {
    let len = block.len() / data;
    let encode = |index| {
        let mut shard = vec![0xee; len];
        code.encode(block, index as u8, &mut shard).unwrap();
        shard
    };
    (0..count).map(encode).collect()
}

/// Puts shards where [`reconstruct`] wants them: data at its place, parity at the others in the order given.
fn arrange(shards: &[Vec<u8>], data: usize, received: &[usize]) -> (Vec<u8>, Vec<u8>) {
    let mut parity = received.iter().filter(|&&index| index >= data);
    let held: Vec<u8> =
        (0..data).map(|place| if received.contains(&place) { place } else { *parity.next().unwrap() } as u8).collect();
    (held.iter().flat_map(|&index| shards[usize::from(index)].clone()).collect(), held)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|index| (index * index * 31 + index * 7 + 1) as u8).collect()
}

#[test]
fn every_subset_of_enough_shards_gives_the_data() {
    for data in 1..=6_usize {
        for count in data..=10 {
            let code = Code::new(data).unwrap();
            let block = pattern(data * 11);
            let shards = shards(&code, &block, data, count);
            for set in 0_u32..1 << count {
                if set.count_ones() as usize != data {
                    continue;
                }
                let received: Vec<usize> = (0..count).filter(|index| set >> index & 1 == 1).collect();
                let (mut found, held) = arrange(&shards, data, &received);
                reconstruct(&mut found, &held).unwrap();
                assert_eq!(found, block, "{data} of {count}, received {received:?}");
            }
        }
    }
}

#[test]
fn data_shards_are_the_data() {
    let block = pattern(60);
    let code = Code::new(6).unwrap();
    assert_eq!(shards(&code, &block, 6, 6).concat(), block);
}

#[test]
fn parity_of_one_data_shard_is_a_copy_and_the_first_of_two_extends_the_line() {
    let code = Code::new(1).unwrap();
    assert!(shards(&code, b"same", 1, SHARDS).iter().all(|shard| shard == b"same"));
    // The polynomial a + b·x has b = d₀ + d₁, so its value at 2 is d₀ + 2·(d₀ + d₁).
    let code = Code::new(2).unwrap();
    assert_eq!(shards(&code, &[3, 5], 2, 3)[2], [3 ^ (2 * (3 ^ 5))]);
}

/// Shards that the crate `reed-solomon-erasure` 6.0.0 (`galois_8`), a descendant of Backblaze's, made.
#[test]
fn agrees_with_other_implementations() {
    let text = include_str!("../../../tests/vectors/fec.txt");
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let mut count = 0;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [data, index, block, expected] = fields[..] else { panic!("four fields in {line}") };
        let (data, index) = (data.parse().unwrap(), index.parse().unwrap());
        let block = hex(block);
        let mut shard = vec![0; block.len() / data];
        Code::new(data).unwrap().encode(&block, index, &mut shard).unwrap();
        assert_eq!(shard, hex(expected), "{line}");
        count += 1;
    }
    assert!(count > 20);
}

#[test]
fn the_most_shards_can_be_missing_and_come_in_any_order() {
    for (data, len) in [(127, 9), (128, 3), (100, 20), (254, 2), (255, 1), (31, 700)] {
        let code = Code::new(data).unwrap();
        let block = pattern(data * len);
        let shards = shards(&code, &block, data, SHARDS);
        let received: Vec<usize> = (0..SHARDS).rev().take(data).collect();
        let (mut found, held) = arrange(&shards, data, &received);
        reconstruct(&mut found, &held).unwrap();
        assert_eq!(found, block, "{data} shards of {len}");
    }
}

#[test]
fn refuses_what_does_not_fit_and_leaves_the_block_alone() {
    assert_eq!(Code::new(0).unwrap_err(), FecError::DataShards { count: 0 });
    assert_eq!(Code::new(256).unwrap_err(), FecError::DataShards { count: 256 });
    let code = Code::new(2).unwrap();
    let mut shard = [0; 2];
    assert_eq!(code.encode(b"abcde", 2, &mut shard), Err(FecError::BlockLength { len: 5, shards: 2 }));
    assert_eq!(code.encode(b"abcd", 255, &mut shard), Err(FecError::NoSuchShard { index: 255 }));
    for (held, index, place) in
        [(&[1, 0, 2][..], 1, 0), (&[3, 1, 3], 3, 2), (&[0, 0, 2], 0, 1), (&[0, 1, 255], 255, 2), (&[7, 0, 8], 0, 1)]
    {
        let mut block = *b"abcdef";
        assert_eq!(reconstruct(&mut block, held), Err(FecError::Index { index, place }));
        assert_eq!(&block, b"abcdef");
    }
    assert_eq!(reconstruct(&mut [0; 5], &[0, 2]), Err(FecError::BlockLength { len: 5, shards: 2 }));
    assert_eq!(reconstruct(&mut [], &[]), Err(FecError::DataShards { count: 0 }));
    assert_eq!(reconstruct(&mut [], &[9, 1]), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against an implementation that solves for the polynomial by elimination, one octet at a time.
    #[test]
    fn repairs_as_elimination_does(
        data in 1..24_usize,
        len in 1..70_usize,
        order in Just((0..SHARDS).collect::<Vec<_>>()).prop_shuffle(),
        seed in any::<u8>(),
    ) {
        let block: Vec<u8> = pattern(data * len).iter().map(|octet| octet ^ seed).collect();
        let code = Code::new(data).unwrap();
        let shards = shards(&code, &block, data, SHARDS);
        let (mut found, held) = arrange(&shards, data, &order[..data]);
        for offset in 0..len {
            let values: Vec<u8> = held.iter().map(|&index| shards[usize::from(index)][offset]).collect();
            for (place, value) in eliminate(&held, &values).into_iter().enumerate() {
                prop_assert_eq!(value, block[place * len + offset]);
            }
        }
        reconstruct(&mut found, &held).unwrap();
        prop_assert_eq!(found, block);
    }

    #[test]
    fn no_input_panics(mut block in proptest::collection::vec(any::<u8>(), 0..600),
                       held in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = reconstruct(&mut block, &held);
    }
}

fn multiply(a: u8, b: u8) -> u8 {
    let mut sum = [0];
    add_scaled(&mut sum, &[a], b);
    sum[0]
}

fn power(base: u8, exponent: usize) -> u8 {
    (0..exponent).fold(1, |product, _| multiply(product, base))
}

/// The values at 0, 1, .. of the polynomial that has these values at these points.
fn eliminate(points: &[u8], values: &[u8]) -> Vec<u8> {
    let count = points.len();
    let mut rows: Vec<Vec<u8>> = points
        .iter()
        .zip(values)
        .map(|(&point, &value)| (0..count).map(|exponent| power(point, exponent)).chain([value]).collect())
        .collect();
    for column in 0..count {
        let pivot = (column..count).find(|&row| rows[row][column] != 0).unwrap();
        rows.swap(column, pivot);
        let inverse = power(rows[column][column], 254);
        let scaled: Vec<u8> = rows[column].iter().map(|&value| multiply(value, inverse)).collect();
        for row in (0..count).filter(|&row| row != column) {
            let factor = rows[row][column];
            rows[row].iter_mut().zip(&scaled).for_each(|(value, other)| *value ^= multiply(*other, factor));
        }
        rows[column] = scaled;
    }
    let at = |point: u8| {
        rows.iter().enumerate().fold(0, |sum, (exponent, row)| sum ^ multiply(row[count], power(point, exponent)))
    };
    (0..count).map(|point| at(point as u8)).collect()
}
